"""The ordered list of authenticators, and TokenReview.

The first that knows the request decides. A bearer token nobody accepts is an error, not anonymity; only a request
without credentials is anonymous.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Protocol

from pybernetes.api.authentication_v1 import TokenReview, TokenReviewSpec, TokenReviewStatus
from pybernetes.control_plane.apiserver.authentication import jwt
from pybernetes.control_plane.apiserver.authentication.jwt import InvalidToken
from pybernetes.control_plane.apiserver.authentication.service_accounts import ServiceAccountTokens
from pybernetes.control_plane.apiserver.authentication.user import ANONYMOUS_USER, User
from pybernetes.control_plane.apiserver.authentication.waiting import Found, Remembering
from pybernetes.machinery import errors

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.http import Request

log = logging.getLogger(__name__)

_WEBSOCKET = "base64url.bearer.authorization.k8s.io."


class RequestAuthenticator(Protocol):
    """Knows users by the connection or by headers. None: not mine. Raises the 401 Status: mine, and not valid."""

    def authenticate(self, request: Request) -> User | None: ...


class TokenAuthenticator(Protocol):
    """Knows users by bearer token. None: not mine. Raises InvalidToken: mine, and not valid."""

    def authenticate_token(self, token: str) -> User | None: ...


class Authentication:
    """`requests` are asked in order, then, if there is a bearer token, `tokens` in order; else it is anonymous.

    audiences: those that mean this server; tokens that name none are for these. waiting: asked last, with patience.
    anonymous_paths: where requests without credentials are served; None: everywhere.
    """

    def __init__(
        self,
        requests: Sequence[RequestAuthenticator],
        tokens: Sequence[TokenAuthenticator],
        *,
        audiences: Sequence[str] = (),
        anonymous: bool = True,
        anonymous_paths: Sequence[str] | None = None,
        waiting: Sequence[Remembering] = (),
    ) -> None:
        self.requests = tuple(requests)
        self.tokens = tuple(tokens)
        self.audiences = frozenset(audiences)
        self.anonymous = anonymous
        self.anonymous_paths = frozenset(anonymous_paths) if anonymous_paths is not None else None
        self.waiting = tuple(waiting)

    def authenticate(self, request: Request) -> User | Awaitable[User]:
        """Who sends this request, or a promise of it. Raises the 401 Status error."""
        for authenticator in self.requests:
            user = authenticator.authenticate(request)
            if user is not None:
                return user
        token = bearer_token(request)
        if token is not None:
            return self.authenticate_token(token)
        if self.anonymous and (self.anonymous_paths is None or request.path in self.anonymous_paths):
            return ANONYMOUS_USER
        raise errors.unauthorized()

    def authenticate_token(self, token: str) -> User | Awaitable[User]:
        """Whose token this is, or a promise of it. Raises the 401 Status error."""
        reasons = []
        for authenticator in self.tokens:
            try:
                user = authenticator.authenticate_token(token)
            except InvalidToken as error:
                reasons.append(str(error))
                continue
            if user is not None:
                return user
        for remembering in self.waiting:
            found = remembering.known(token, self.audiences)
            if found is not None:
                return found.user
        if self.waiting:
            return self._wait(token, reasons)
        log.info("bearer token refused: %s", "; ".join(reasons) or "unknown")
        raise errors.unauthorized()

    async def _wait(self, token: str, reasons: list[str]) -> User:
        found = await self._ask(token, self.audiences, reasons)
        if found is not None and (found.audiences is None or set(found.audiences) & self.audiences):
            return found.user
        log.info("bearer token refused: %s", "; ".join(reasons) or "unknown")
        raise errors.unauthorized()

    async def _ask(self, token: str, audiences: frozenset[str], reasons: list[str]) -> Found | None:
        for remembering in self.waiting:
            try:
                found = remembering.known(token, audiences) or await remembering.ask(token, audiences)
            except InvalidToken as error:
                reasons.append(str(error))
                continue
            if found is not None:
                return found
        return None

    async def close(self) -> None:
        """Close what is asked through."""
        for remembering in self.waiting:
            await remembering.close()

    def review(self, question: TokenReview) -> TokenReview:
        """The review, with its status filled in by those who know by themselves. Raises the 400 Status without a
        token."""
        question.status = self._review(question.spec)
        return question

    async def ask_others(self, question: TokenReview) -> TokenReview:
        """After `review`: when it did not find the user, those are asked who must ask somebody themselves."""
        spec = question.spec
        if question.status.authenticated or not self.waiting:
            return question
        reasons: list[str] = []
        wanted = frozenset(spec.audiences or self.audiences)
        found = await self._ask(spec.token or "", wanted, reasons)
        if found is not None:
            accepted = sorted(wanted & self.audiences if found.audiences is None else found.audiences)
            if accepted or not wanted:
                question.status = TokenReviewStatus(
                    authenticated=True, user=found.user.info(), audiences=accepted or None
                )
                return question
            reasons.append("token is not for the requested audiences")
        if reasons:
            question.status = TokenReviewStatus(error=f"[invalid bearer token, {', '.join(reasons)}]")
        return question

    def _review(self, spec: TokenReviewSpec) -> TokenReviewStatus:
        if not spec.token:
            raise errors.bad_request("token is required for TokenReview in authentication")
        reasons = []
        wanted = frozenset(spec.audiences or self.audiences)
        for authenticator in self.tokens:
            try:
                if isinstance(authenticator, ServiceAccountTokens):
                    found = authenticator.check(spec.token, wanted)
                    user, accepted = found if found is not None else (None, ())
                else:
                    user = authenticator.authenticate_token(spec.token)
                    accepted = tuple(sorted(wanted & self.audiences))
                    if user is not None and wanted and not accepted:
                        raise InvalidToken("token is not for the requested audiences")
            except InvalidToken as error:
                reasons.append(str(error))
                continue
            if user is not None:
                return TokenReviewStatus(authenticated=True, user=user.info(), audiences=list(accepted) or None)
        error_text = f"[invalid bearer token, {', '.join(reasons)}]" if reasons else "invalid bearer token"
        return TokenReviewStatus(error=error_text)


def bearer_token(request: Request) -> str | None:
    """The bearer token of a request: from its Authorization header or, for browsers, from a WebSocket subprotocol."""
    header = request.headers.get(b"authorization")
    if header is not None:
        scheme, _, token = header.decode("latin-1").strip().partition(" ")
        if scheme.lower() == "bearer" and token.strip():
            return token.strip()
        return None
    if request.upgrade:
        for protocol in request.header(b"sec-websocket-protocol").decode("latin-1").split(","):
            protocol = protocol.strip()
            if protocol.startswith(_WEBSOCKET):
                try:
                    return jwt.decode(protocol[len(_WEBSOCKET) :]).decode()
                except (InvalidToken, UnicodeDecodeError) as error:
                    raise errors.unauthorized() from error
    return None
