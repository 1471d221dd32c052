"""Authenticators that have to ask somebody else: issuers of JSON Web Tokens, and reviewers of tokens.

They come after those that know by themselves, and what they find is remembered for a while, so that a client's
stream of requests does not become a stream of questions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from pybernetes.aio import clock
from pybernetes.control_plane.apiserver.authentication.jwt import InvalidToken
from pybernetes.control_plane.apiserver.authentication.user import AUTHENTICATED, User
from pybernetes.machinery.errors import StatusError

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.remote_hook import RemoteHook

_REMEMBERED = 4096


class Found(NamedTuple):
    """A user, and for which of the audiences asked for the token is; None: it names none."""

    user: User
    audiences: tuple[str, ...] | None = None


class WaitingAuthenticator(Protocol):
    """Knows users by bearer token. None: not mine. Raises InvalidToken: mine, and not valid."""

    #: Seconds that an answer is remembered.
    ttl: float

    async def ask(self, token: str, audiences: Collection[str]) -> Found | None: ...

    async def close(self) -> None: ...


class Remembering:
    """An authenticator whose good answers are kept for its `ttl`."""

    def __init__(self, inner: WaitingAuthenticator) -> None:
        self._inner = inner
        self._known: dict[tuple[bytes, frozenset[str]], tuple[float, Found]] = {}

    def known(self, token: str, audiences: Collection[str]) -> Found | None:
        """What is remembered of a token."""
        found = self._known.get(_key(token, audiences))
        return found[1] if found is not None and clock.monotonic() < found[0] else None

    async def ask(self, token: str, audiences: Collection[str]) -> Found | None:
        """As the protocol's."""
        found = await self._inner.ask(token, audiences)
        if found is not None and self._inner.ttl > 0:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[_key(token, audiences)] = (clock.monotonic() + self._inner.ttl, found)
        return found

    async def close(self) -> None:
        """Close what it asks through."""
        await self._inner.close()


def _key(token: str, audiences: Collection[str]) -> tuple[bytes, frozenset[str]]:
    return hashlib.sha256(token.encode()).digest(), frozenset(audiences)


class TokenWebhook:
    """Asks another server by TokenReview (authentication.k8s.io/v1)."""

    def __init__(self, hook: RemoteHook, ttl: float) -> None:
        self._hook = hook
        self.ttl = ttl

    async def ask(self, token: str, audiences: Collection[str]) -> Found | None:
        """See WaitingAuthenticator."""
        spec: dict[str, Any] = {"token": token}
        if audiences:
            spec["audiences"] = sorted(audiences)
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {}, "spec": spec}
        try:
            answer = await self._hook.post(review)
            status = answer["status"]
        except (OSError, ValueError, LookupError, TypeError, StatusError) as error:
            raise InvalidToken(f"webhook: {error}") from None
        if not status.get("authenticated"):
            if status.get("error"):
                raise InvalidToken(str(status["error"]))
            return None
        given = status.get("user") or {}
        extra = {str(key): tuple(values) for key, values in (given.get("extra") or {}).items()}
        groups = tuple(dict.fromkeys((*(given.get("groups") or ()), AUTHENTICATED)))
        user = User(str(given.get("username") or ""), str(given.get("uid") or ""), groups, extra)
        told = status.get("audiences")
        return Found(user, tuple(a for a in told if a in audiences) if told else None)

    async def close(self) -> None:
        """See WaitingAuthenticator."""
        await self._hook.close()
