"""Who may use the node's API: client certificates of the cluster's CA, or bearer tokens; and what they may do.

Both questions beyond the certificate go to the API server (TokenReview, SubjectAccessReview), with their answers kept
for a while. Members of system:masters need not be asked about. Nobody is anonymous here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pybernetes.aio import clock
from pybernetes.api.authentication_v1 import TokenReview, TokenReviewSpec
from pybernetes.api.authorization_v1 import ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec
from pybernetes.client.client import Client
from pybernetes.client.errors import Unavailable
from pybernetes.machinery.errors import StatusError
from pybernetes.node.kubelet.http_server import Refusal, Request

TOKEN_KEPT, ALLOWED_KEPT, DENIED_KEPT = 120.0, 300.0, 30.0
_VERBS = {"POST": "create", "GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""


def caller_of_certificate(certificate: Mapping[str, Any]) -> Caller | None:
    """Common name and organisations of a verified client certificate. Pure."""
    name, groups = "", []
    for part in certificate.get("subject", ()):
        for key, value in part:
            if key == "commonName":
                name = value
            elif key == "organizationName":
                groups.append(value)
    return Caller(name, tuple(groups)) if name else None


def subresource_of(path: str) -> str:
    """The subresource of `nodes` that a path is about, for authorization. Pure."""
    first = path.strip("/").split("/")[0]
    table = {
        "stats": "stats", "metrics": "metrics", "logs": "log", "checkpoint": "checkpoint",
        "pods": "pods", "runningpods": "pods", "healthz": "healthz", "configz": "configz",
        "statusz": "statusz", "flagz": "flagz",
    }  # fmt: skip
    return table.get(first, "proxy")


class Gate:
    """Lets callers in or raises Refusal."""

    def __init__(self, client: Client, node_name: str) -> None:
        self._client = client
        self._node = node_name
        self._tokens: dict[str, tuple[Caller, float]] = {}
        self._answers: dict[tuple[Caller, str, str], tuple[bool, float]] = {}

    async def check(self, request: Request) -> None:
        """Raises Refusal 401 or 403."""
        caller = caller_of_certificate(request.peer_certificate)
        if caller is None:
            scheme, _, token = request.header("authorization").partition(" ")
            if scheme.lower() == "bearer" and token:
                caller = await self._review_token(token)
        if caller is None:
            raise Refusal(401, "Unauthorized")
        verb, subresource = _VERBS.get(request.method, "get"), subresource_of(request.path)
        if "system:masters" in caller.groups:
            return
        if not await self._may(caller, verb, subresource) and not (
            subresource != "proxy" and await self._may(caller, verb, "proxy")
        ):
            raise Refusal(
                403,
                f"Forbidden (user={caller.name}, verb={verb}, resource=nodes, subresource(s)=[{subresource} proxy])\n",
            )

    async def _review_token(self, token: str) -> Caller | None:
        now = clock.monotonic()
        known = self._tokens.get(token)
        if known is not None and now < known[1]:
            return known[0]
        try:
            review = await self._client.resource(TokenReview).create(TokenReview(spec=TokenReviewSpec(token=token)))
        except (StatusError, Unavailable) as error:
            raise Refusal(500, f"token review: {error}") from None
        user = review.status.user
        if not review.status.authenticated or user is None:
            return None
        caller = Caller(user.username or "", tuple(user.groups or ()), user.uid or "")
        self._tokens = {t: entry for t, entry in self._tokens.items() if now < entry[1]}
        self._tokens[token] = (caller, now + TOKEN_KEPT)
        return caller

    async def _may(self, caller: Caller, verb: str, subresource: str) -> bool:
        key, now = (caller, verb, subresource), clock.monotonic()
        known = self._answers.get(key)
        if known is not None and now < known[1]:
            return known[0]
        spec = SubjectAccessReviewSpec(
            user=caller.name,
            groups=list(caller.groups),
            uid=caller.uid or None,
            resource_attributes=ResourceAttributes(
                verb=verb, version="v1", resource="nodes", subresource=subresource, name=self._node
            ),
        )
        try:
            review = await self._client.resource(SubjectAccessReview).create(SubjectAccessReview(spec=spec))
        except (StatusError, Unavailable) as error:
            raise Refusal(500, f"subject access review: {error}") from None
        allowed = bool(review.status.allowed)
        self._answers[key] = (allowed, now + (ALLOWED_KEPT if allowed else DENIED_KEPT))
        return allowed
