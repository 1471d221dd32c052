"""Other bearer tokens: those that join a node, and a fixed list for tests and benchmarks."""

from __future__ import annotations

import base64
import csv
import hashlib
import hmac
import io
import re
from collections.abc import Iterable, Mapping
from typing import Any

from pybernetes.aio import clock
from pybernetes.control_plane.apiserver.authentication.jwt import InvalidToken
from pybernetes.control_plane.apiserver.authentication.service_accounts import Getter
from pybernetes.control_plane.apiserver.authentication.user import User

BOOTSTRAP_GROUP = "system:bootstrappers"
_BOOTSTRAP = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")
_GROUP = re.compile(r"system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]")


class StaticTokens:
    """token -> user. Compared by hash, so that the time it takes tells nothing of a token."""

    def __init__(self, tokens: Mapping[str, User]) -> None:
        self._users = {_digest(token): user.with_groups("system:authenticated") for token, user in tokens.items()}

    def authenticate_token(self, token: str) -> User | None:
        return self._users.get(_digest(token))


def read_token_file(text: str) -> dict[str, User]:
    """Upstream's `--token-auth-file`: CSV of token, user, uid, and optionally a quoted list of groups."""
    found = {}
    for number, row in enumerate(csv.reader(io.StringIO(text)), 1):
        if not row or row[0].startswith("#"):
            continue
        if len(row) < 3:
            raise ValueError(f"token file line {number} must have at least 3 columns (token, user name, user uid)")
        token, name, uid = (cell.strip() for cell in row[:3])
        if not token or not name:
            raise ValueError(f"token file line {number}: token and user name must not be empty")
        groups = tuple(group.strip() for group in row[3].split(",")) if len(row) > 3 and row[3] else ()
        found[token] = User(name, uid, groups)
    return found


class BootstrapTokens:
    """Tokens `ID.SECRET` of the Secrets `bootstrap-token-ID` in kube-system."""

    def __init__(self, get: Getter) -> None:
        self._get = get

    def authenticate_token(self, token: str) -> User | None:
        """Raises InvalidToken for what has the form of such a token and is none."""
        match = _BOOTSTRAP.fullmatch(token)
        if match is None:
            return None
        id_, secret = match.groups()
        obj = self._get("", "secrets", "kube-system", f"bootstrap-token-{id_}")
        if obj is None or obj.metadata.deletion_timestamp or obj.type != "bootstrap.kubernetes.io/token":
            raise InvalidToken("no such bootstrap token")
        data = {key: base64.b64decode(value).decode("utf-8", "replace") for key, value in (obj.data or {}).items()}
        same = hmac.compare_digest(data.get("token-secret", "").encode(), secret.encode())
        if data.get("token-id") != id_ or not same:
            raise InvalidToken("bootstrap token does not match")
        if data.get("usage-bootstrap-authentication") != "true":
            raise InvalidToken("bootstrap token is not for authentication")
        if is_expired(data):
            raise InvalidToken("bootstrap token has expired")
        groups = [BOOTSTRAP_GROUP, *extra_groups(data)]
        return User(f"system:bootstrap:{id_}", "", (*sorted(groups), "system:authenticated"))


def is_expired(data: Mapping[str, Any]) -> bool:
    """A bootstrap token's `expiration` has passed, or cannot be read."""
    text = data.get("expiration", "")
    if not text:
        return False
    try:
        return clock.parse_rfc3339(text) <= clock.timestamp()
    except ValueError:
        return True


def extra_groups(data: Mapping[str, Any]) -> Iterable[str]:
    """The groups in `auth-extra-groups`. Raises InvalidToken for a group that a token may not give."""
    found = set()
    for group in filter(None, data.get("auth-extra-groups", "").split(",")):
        if not _GROUP.fullmatch(group):
            raise InvalidToken(f"bootstrap group {group!r} is invalid")
        found.add(group)
    return found


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
