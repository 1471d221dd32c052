"""Service account tokens for projected volumes: requested for pod and audience, renewed at 80 % of their life."""

from __future__ import annotations

from pybernetes.aio import clock
from pybernetes.api.authentication_v1 import BoundObjectReference, TokenRequest, TokenRequestSpec
from pybernetes.api.core_v1 import Pod, ServiceAccount
from pybernetes.client.client import Client
from pybernetes.machinery.meta import ObjectMeta

#: Renew after this part of the life, and after a day at the latest.
RENEW_AT = 0.8
MAX_AGE = 24 * 3600.0

_Key = tuple[str, str, int]


class Tokens:
    """Tokens of the pods on a node, by pod uid, audience and lifetime."""

    def __init__(self, client: Client) -> None:
        self._accounts = client.resource(ServiceAccount)
        self._tokens: dict[_Key, tuple[str, float]] = {}  # token, when to renew

    async def get(self, pod: Pod, audience: str, seconds: int) -> tuple[str, float]:
        """A valid token, and when to come back for the next (Unix seconds). Raises StatusError, Unavailable."""
        key = (pod.metadata.uid, audience, seconds)
        now = clock.timestamp()
        known = self._tokens.get(key)
        if known is not None and now < known[1]:
            return known
        account = pod.spec.service_account_name or "default"
        request = TokenRequest(
            metadata=ObjectMeta(name=account, namespace=pod.metadata.namespace),
            spec=TokenRequestSpec(
                audiences=[audience] if audience else [],
                expiration_seconds=seconds,
                bound_object_ref=BoundObjectReference(
                    api_version="v1", kind="Pod", name=pod.metadata.name, uid=pod.metadata.uid
                ),
            ),
        )
        answer = await self._accounts.create_subresource(account, pod.metadata.namespace, "token", request)
        status = answer.status
        life = clock.parse_rfc3339(status.expiration_timestamp) - now
        # A little chance keeps the tokens of many pods from being renewed in one moment.
        renew = now + min(life * RENEW_AT, MAX_AGE) - min(10.0, life * 0.05) * clock.rng.random()
        self._tokens[key] = (status.token, renew)
        return self._tokens[key]

    def forget(self, uid: str) -> None:
        """The pod is gone."""
        for key in [key for key in self._tokens if key[0] == uid]:
            del self._tokens[key]
