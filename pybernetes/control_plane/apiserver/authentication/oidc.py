"""Users of an OpenID Connect issuer, by its JSON Web Tokens.

Signatures and keys are joserfc's: issuers sign with a dozen algorithms, unlike ourselves (`jwt.py`). The keys are
fetched when the first token of the issuer comes, and again when one is signed with a key that is not known.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from pybernetes.aio import clock
from pybernetes.control_plane.apiserver.authentication import jwt
from pybernetes.control_plane.apiserver.authentication.claims import Mapping
from pybernetes.control_plane.apiserver.authentication.configuration import JWT
from pybernetes.control_plane.apiserver.authentication.jwt import InvalidToken
from pybernetes.control_plane.apiserver.authentication.waiting import Found
from pybernetes.control_plane.apiserver.http import ensure_task

if TYPE_CHECKING:
    from joserfc.jwk import KeySet

log = logging.getLogger(__name__)

#: Seconds for one fetch, between two fetches, and that a clock may be behind the issuer's.
_TIMEOUT, _PAUSE, _LEEWAY = 10.0, 1.0, 300.0


class OIDC:
    """See the module. Raises ValueError when the configuration's expressions do not compile."""

    ttl = 10.0

    def __init__(self, config: JWT, algorithms: Sequence[str]) -> None:
        self._issuer = config.issuer
        self._algorithms = list(algorithms)
        self._mapping = Mapping(config)
        self._keys: KeySet | None = None
        self._fetched = -_PAUSE
        self._lock = asyncio.Lock()

    async def ask(self, token: str, audiences: Collection[str]) -> Found | None:
        """See WaitingAuthenticator."""
        if not jwt.looks_like_one(token):
            return None
        try:
            if jwt.unverified(token).get("iss") != self._issuer.url:
                return None
        except InvalidToken:
            return None
        claims = await self._verified(token)
        self._check(claims)
        return Found(self._mapping.user_of(claims))

    async def close(self) -> None:
        """See WaitingAuthenticator."""

    async def _verified(self, token: str) -> dict[str, Any]:
        """The claims, once a key of the issuer has signed them. Raises InvalidToken."""
        keys = self._keys or await self._fetch()
        try:
            return self._decoded(token, keys)
        except (ValueError, LookupError, TypeError):
            keys = await self._fetch()
        try:
            return self._decoded(token, keys)
        except (ValueError, LookupError, TypeError) as error:
            raise InvalidToken(f"oidc: verify token: {error}") from None

    def _decoded(self, token: str, keys: KeySet) -> dict[str, Any]:
        from joserfc import errors
        from joserfc import jwt as jose

        try:
            return dict(jose.decode(token, keys, algorithms=self._algorithms).claims)
        except errors.JoseError as error:
            raise ValueError(str(error)) from None

    def _check(self, claims: dict[str, Any]) -> None:
        now = clock.timestamp()
        expires, begins = claims.get("exp"), claims.get("nbf")
        if not isinstance(expires, int | float) or now > expires:
            raise InvalidToken("oidc: verify token: oidc: token is expired")
        if isinstance(begins, int | float) and now + _LEEWAY < begins:
            raise InvalidToken("oidc: verify token: oidc: current time before the nbf (not before) time")
        audience = claims.get("aud")
        told = {audience} if isinstance(audience, str) else set(audience or ())
        if not told & set(self._issuer.audiences):
            raise InvalidToken(f"oidc: verify token: oidc: expected audience in {self._issuer.audiences!r}")

    async def _fetch(self) -> KeySet:
        """The issuer's keys, anew unless they are very new. Raises InvalidToken."""
        await ensure_task()
        async with self._lock:
            if self._keys is not None and clock.monotonic() < self._fetched + _PAUSE:
                return self._keys
            try:
                self._keys = await self._download()
            except (OSError, ValueError, LookupError, TypeError) as error:
                log.warning("keys of %s: %s", self._issuer.url, error)
                raise InvalidToken(f"oidc: authenticator not initialized: {error}") from None
            finally:
                self._fetched = clock.monotonic()
            return self._keys

    async def _download(self) -> KeySet:
        import aiohttp
        from joserfc import errors
        from joserfc.jwk import KeySet

        issuer = self._issuer
        trusted = ssl.create_default_context(cadata=issuer.certificate_authority or None)
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT)
        where = issuer.discovery_url or f"{issuer.url.rstrip('/')}/.well-known/openid-configuration"
        try:
            async with aiohttp.ClientSession(timeout=timeout, raise_for_status=True) as session:
                async with session.get(where, ssl=trusted) as response:
                    document = await response.json(content_type=None)
                if document.get("issuer") != issuer.url:
                    raise ValueError(f"the issuer calls itself {document.get('issuer')!r}, not {issuer.url!r}")
                async with session.get(document["jwks_uri"], ssl=trusted) as response:
                    return KeySet.import_key_set(await response.json(content_type=None))
        except (aiohttp.ClientError, TimeoutError, errors.JoseError) as error:
            raise ValueError(str(error) or type(error).__name__) from None
