"""Acting as somebody else: `Impersonate-User`, `-Group`, `-Uid`, `-Extra-*`, each of which must be allowed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import unquote

from pybernetes.control_plane.apiserver.authentication.service_accounts import account_user, split_username
from pybernetes.control_plane.apiserver.authentication.user import ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED, User
from pybernetes.control_plane.apiserver.authorization.attributes import Attributes, Authorize, forbidden
from pybernetes.machinery import errors

_EXTRA = b"impersonate-extra-"
_GROUP = "authentication.k8s.io"


def impersonates(headers: Mapping[bytes, bytes]) -> bool:
    """A cheap look for any of the headers (names in lower case); it may see one where there is none."""
    return b"impersonate-" in b" ".join(headers)


def impersonate(user: User, headers: Sequence[tuple[bytes, bytes]], authorize: Authorize) -> User:
    """Whom `user` acts as: itself without such headers. headers: all, (lower-case name, value).

    Raises the 403 Status for what `user` may not impersonate, 400 for groups or the like without a user.
    """
    name, uid = "", ""
    groups: list[str] = []
    extra: dict[str, tuple[str, ...]] = {}
    for key, raw in headers:
        if not key.startswith(b"impersonate-"):
            continue
        value = raw.decode("utf-8", "replace").strip()
        if key == b"impersonate-user":
            name = name or value
        elif key == b"impersonate-group":
            groups.append(value)
        elif key == b"impersonate-uid":
            uid = uid or value
        elif key.startswith(_EXTRA):
            field = unquote(key[len(_EXTRA) :].decode("latin-1")).lower()
            extra[field] = (*extra.get(field, ()), value)
    if not name:
        if groups or uid or extra:
            raise errors.bad_request("requested impersonation of groups, uid or extra without impersonating a user")
        return user
    account = split_username(name)
    checks = [
        Attributes("impersonate", "", "serviceaccounts", account[0], account[1])
        if account
        else Attributes("impersonate", "", "users", "", name)
    ]
    checks += [Attributes("impersonate", "", "groups", "", group) for group in groups]
    for field, values in extra.items():
        checks += [Attributes("impersonate", _GROUP, "userextras", "", value, field) for value in values]
    if uid:
        checks.append(Attributes("impersonate", _GROUP, "uids", "", uid))
    for attributes in checks:
        decision = authorize(user, attributes)
        if not decision.allowed:
            raise forbidden(user, attributes, decision.reason)
    if account and not groups:
        groups = [group for group in account_user(*account).groups if group != AUTHENTICATED]
    if name == ANONYMOUS:
        if UNAUTHENTICATED not in groups:
            groups.append(UNAUTHENTICATED)
    elif AUTHENTICATED not in groups and UNAUTHENTICATED not in groups:
        groups.append(AUTHENTICATED)
    return User(name, uid, tuple(groups), extra)
