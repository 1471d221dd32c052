"""ServiceAccount tokens: issuing them (TokenRequest), and telling whose one is.

A token names its ServiceAccount and perhaps the Pod, Secret or Node it is bound to, by name and uid; it ends when any
of them does. A signature is verified once per token and remembered by the token's hash; time and the bound objects are
looked at every time, from memory.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pybernetes.aio import clock
from pybernetes.api.authentication_v1 import TokenRequestSpec
from pybernetes.api.core_v1 import Pod, ServiceAccount
from pybernetes.control_plane.apiserver.authentication import jwt
from pybernetes.control_plane.apiserver.authentication.jwt import InvalidToken
from pybernetes.control_plane.apiserver.authentication.user import CREDENTIAL_ID, User
from pybernetes.machinery.meta import Object

#: (group, resource, namespace, name) -> the live object, or None. From memory: it is asked on every request.
Getter = Callable[[str, str, str, str], Any]

LEGACY_ISSUER = "kubernetes/serviceaccount"
PREFIX = "system:serviceaccount:"
#: What the admission plugin asks for in projected tokens; such a token is valid for a year, see `TokenIssuer`.
WARN_ONLY_SECONDS = 3607
EXTENDED_SECONDS = 365 * 24 * 3600
_LEEWAY = 60.0  # seconds, for clocks and for objects just deleted
_REMEMBERED = 4096


class Bound(NamedTuple):
    """An object a token is bound to. resource: `pods`, `secrets` or `nodes`."""

    resource: str
    name: str
    uid: str


class _Known(NamedTuple):
    """A token whose signature was verified."""

    user: User
    namespace: str
    account: str
    account_uid: str
    bound: Bound | None
    audiences: tuple[str, ...]
    not_before: float
    expires: float
    secret: str  # name of the legacy token's Secret


def account_user(namespace: str, name: str, uid: str = "", extra: dict[str, tuple[str, ...]] | None = None) -> User:
    """The user a ServiceAccount acts as."""
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
    return User(f"{PREFIX}{namespace}:{name}", uid, groups, extra or {})


def split_username(name: str) -> tuple[str, str] | None:
    """(namespace, name) of a ServiceAccount's user name."""
    if not name.startswith(PREFIX):
        return None
    namespace, _, account = name[len(PREFIX) :].partition(":")
    return (namespace, account) if namespace and account and ":" not in account else None


@dataclass(frozen=True)
class Config:
    """Who issues tokens for whom."""

    #: The issuer, a URL from which the keys can be fetched.
    issuer: str = "https://kubernetes.default.svc.cluster.local"
    #: Audiences that mean this API server; the issuer if empty.
    audiences: tuple[str, ...] = ()
    #: Further issuers whose tokens are accepted (for changing the issuer).
    accepted_issuers: tuple[str, ...] = ()
    #: Longest validity, seconds.
    max_expiration: int = 1 << 32
    #: Give projected tokens a year, though kubelet renews them hourly, for clients that read theirs only once.
    extend: bool = True

    @property
    def api_audiences(self) -> tuple[str, ...]:
        return self.audiences or (self.issuer,)


class TokenIssuer:
    """Makes tokens. key: the private signing key, PEM. (Older public keys are the authenticator's business.)"""

    def __init__(self, key: bytes, get: Getter, config: Config | None = None) -> None:
        self.config = config or Config()
        self.key = jwt.Key(key)
        self._get = get

    def issue(
        self,
        namespace: str,
        name: str,
        uid: str,
        audiences: Sequence[str] = (),
        expiration_seconds: int = 3600,
        bound: Bound | None = None,
        node: Bound | None = None,
    ) -> tuple[str, float]:
        """A token for a ServiceAccount, and when it ends (Unix seconds). node: where the bound pod runs."""
        config = self.config
        now = int(clock.timestamp())
        audiences = tuple(audiences) or config.api_audiences
        private: dict[str, Any] = {"namespace": namespace, "serviceaccount": {"name": name, "uid": uid}}
        for reference in (bound, node):
            if reference is not None:
                private[reference.resource[:-1]] = {"name": reference.name, "uid": reference.uid}
        seconds = expiration_seconds
        extended = (
            config.extend
            and seconds == WARN_ONLY_SECONDS
            and bound is not None
            and set(audiences) <= set(config.api_audiences)
        )
        if extended:
            private["warnafter"] = now + seconds
            seconds = EXTENDED_SECONDS
        token = self.key.sign(
            {
                "aud": list(audiences),
                "exp": now + seconds,
                "iat": now,
                "iss": config.issuer,
                "jti": str(uuid.UUID(bytes=_random_bytes(), version=4)),
                "kubernetes.io": private,
                "nbf": now,
                "sub": f"{PREFIX}{namespace}:{name}",
            }
        )
        return token, float(now + expiration_seconds)

    def legacy(self, namespace: str, name: str, uid: str, secret: str) -> str:
        """The token of a `kubernetes.io/service-account-token` Secret: without end, valid while the Secret exists."""
        prefix = "kubernetes.io/serviceaccount"
        return self.key.sign(
            {
                "iss": LEGACY_ISSUER,
                f"{prefix}/namespace": namespace,
                f"{prefix}/secret.name": secret,
                f"{prefix}/service-account.name": name,
                f"{prefix}/service-account.uid": uid,
                "sub": f"{PREFIX}{namespace}:{name}",
            }
        )

    def mint(self, account: ServiceAccount, spec: TokenRequestSpec, bound: Object | None) -> tuple[str, str]:
        """Serve a checked TokenRequest: the token, and its end as RFC 3339. bound: the object of `bound_object_ref`,
        which the caller has found and compared; a token bound to a Pod names the Pod's Node as well."""
        reference = node = None
        if bound is not None:
            reference = Bound(f"{bound.kind.lower()}s", bound.metadata.name, bound.metadata.uid)
            if isinstance(bound, Pod) and bound.spec.node_name:
                found = self._get("", "nodes", "", bound.spec.node_name)
                node = Bound("nodes", bound.spec.node_name, found.metadata.uid if found is not None else "")
        seconds = 3600 if spec.expiration_seconds is None else spec.expiration_seconds
        meta = account.metadata
        token, end = self.issue(
            meta.namespace,
            meta.name,
            meta.uid,
            spec.audiences or (),
            min(seconds, self.config.max_expiration),
            reference,
            node,
        )
        return token, clock.format_rfc3339(end)


class ServiceAccountTokens:
    """The authenticator of bearer tokens. keys: PEM, public or private, of every key whose tokens are accepted."""

    def __init__(self, keys: Sequence[bytes], get: Getter, config: Config | None = None) -> None:
        self.config = config or Config()
        self.keys = {key.id: key for key in map(jwt.Key, keys)}
        self._get = get
        self._known: dict[bytes, _Known] = {}
        self._issuers = {self.config.issuer, LEGACY_ISSUER, *self.config.accepted_issuers}
        self._audiences = frozenset(self.config.api_audiences)

    def authenticate_token(self, token: str) -> User | None:
        """The user; None if this is no token of ours. Raises InvalidToken for one that is not valid here and now."""
        found = self.check(token, self._audiences)
        return found[0] if found is not None else None

    def check(self, token: str, audiences: frozenset[str]) -> tuple[User, tuple[str, ...]] | None:
        """The user, and which of `audiences` the token is for."""
        digest = hashlib.sha256(token.encode()).digest()
        known = self._known.get(digest)
        if known is None:
            if not jwt.looks_like_one(token) or jwt.unverified(token).get("iss") not in self._issuers:
                return None
            known = self._read(jwt.verified(token, self.keys))
            if len(self._known) >= _REMEMBERED:
                del self._known[next(iter(self._known))]
            self._known[digest] = known
        now = clock.timestamp()
        if now > known.expires + _LEEWAY:
            raise InvalidToken("service account token has expired")
        if now < known.not_before - _LEEWAY:
            raise InvalidToken("service account token is not valid yet")
        if known.secret:
            accepted = tuple(sorted(self._audiences & audiences))
        else:
            accepted = tuple(audience for audience in known.audiences if audience in audiences)
        if not accepted:
            raise InvalidToken(
                f"token audiences [{' '.join(known.audiences)}] is invalid for the target audiences "
                f"[{' '.join(sorted(audiences))}]"
            )
        self._check_alive(known, token, now)
        return known.user, accepted

    def _check_alive(self, known: _Known, token: str, now: float) -> None:
        get = self._get
        account = get("", "serviceaccounts", known.namespace, known.account)
        if account is None or _gone(account, now):
            raise InvalidToken(f"service account {known.namespace}/{known.account} has been deleted")
        if account.metadata.uid != known.account_uid:
            raise InvalidToken("service account UID does not match the token's claim")
        if known.secret:
            secret = get("", "secrets", known.namespace, known.secret)
            if secret is None or secret.metadata.deletion_timestamp or _secret_value(secret, "token") != token:
                raise InvalidToken("token has been invalidated")
        bound = known.bound
        if bound is not None:
            obj = get("", bound.resource, "" if bound.resource == "nodes" else known.namespace, bound.name)
            if obj is None or obj.metadata.uid != bound.uid or _gone(obj, now):
                raise InvalidToken(f"the {bound.resource[:-1]} that the token is bound to no longer exists")

    def _read(self, claims: dict[str, Any]) -> _Known:
        """Claims to what is remembered. Raises InvalidToken for claims that upstream would not issue."""
        try:
            if claims["iss"] == LEGACY_ISSUER:
                return _read_legacy(claims)
            private = claims["kubernetes.io"]
            account = private["serviceaccount"]
            namespace, name, uid = private["namespace"], account["name"], account["uid"]
            audiences = claims["aud"]
            audiences = (audiences,) if isinstance(audiences, str) else tuple(map(str, audiences))
            expires, start = float(claims["exp"]), float(claims.get("nbf", 0))
            references = {kind: Bound(f"{kind}s", private[kind]["name"], private[kind]["uid"])
                          for kind in ("pod", "secret", "node") if private.get(kind)}  # fmt: skip
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidToken(f"service account token lacks a claim: {error}") from error
        if claims.get("sub") != f"{PREFIX}{namespace}:{name}":
            raise InvalidToken("service account token subject does not match its claims")
        extra: dict[str, tuple[str, ...]] = {}
        if claims.get("jti"):
            extra[CREDENTIAL_ID] = (f"JTI={claims['jti']}",)
        for kind in ("pod", "node"):
            if kind in references:
                extra[f"authentication.kubernetes.io/{kind}-name"] = (references[kind].name,)
                extra[f"authentication.kubernetes.io/{kind}-uid"] = (references[kind].uid,)
        bound = references.get("pod") or references.get("secret") or references.get("node")
        user = account_user(namespace, name, uid, extra)
        return _Known(user, namespace, name, uid, bound, audiences, start, expires, "")


def _read_legacy(claims: dict[str, Any]) -> _Known:
    prefix = "kubernetes.io/serviceaccount"
    namespace, secret = claims[f"{prefix}/namespace"], claims[f"{prefix}/secret.name"]
    name, uid = claims[f"{prefix}/service-account.name"], claims[f"{prefix}/service-account.uid"]
    if not (namespace and secret and name and uid) or claims.get("sub") != f"{PREFIX}{namespace}:{name}":
        raise InvalidToken("legacy service account token lacks a claim")
    return _Known(account_user(namespace, name, uid), namespace, name, uid, None, (), 0.0, float("inf"), secret)


def _gone(obj: Any, now: float) -> bool:
    deleted = obj.metadata.deletion_timestamp
    return bool(deleted) and clock.parse_rfc3339(deleted) < now - _LEEWAY


def _secret_value(secret: Any, key: str) -> str:
    import base64

    return base64.b64decode((secret.data or {}).get(key, "")).decode("utf-8", "replace")


def _random_bytes() -> bytes:
    return clock.rng.randbytes(16)


def discovery(config: Config, keys: Sequence[jwt.Key]) -> dict[str, Any]:
    """The document at `/.well-known/openid-configuration`."""
    return {
        "issuer": config.issuer,
        "jwks_uri": f"{config.issuer.rstrip('/')}/openid/v1/jwks",
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": sorted({key.algorithm for key in keys}),
    }


def key_set(keys: Sequence[jwt.Key]) -> dict[str, Any]:
    """The document at `/openid/v1/jwks` (media type application/jwk-set+json)."""
    return {"keys": [key.jwk() for key in keys]}
