"""Bootstrap tokens: expired ones go, and `cluster-info` is signed with each that may be used to join.

A machine that wants to join has only a token; the signature (a detached JWS, HS256 with the token's secret) proves to
it that the cluster-info it fetched without any trust comes from someone who knows the token.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

from pybernetes.aio import clock
from pybernetes.api.core_v1 import ConfigMap, Secret
from pybernetes.client.controller import Controller, RequeueAfter, split_key
from pybernetes.machinery import codec
from pybernetes.machinery.errors import StatusError

TYPE = "bootstrap.kubernetes.io/token"
CLUSTER_INFO = "cluster-info"
_NAMESPACE, _PUBLIC = "kube-system", "kube-public"
_PREFIX = "jws-kubeconfig-"
_KEY = f"{_PUBLIC}/{CLUSTER_INFO}"


def value(secret: Secret, name: str) -> str:
    """A field of the Secret, decoded; "" when it is missing or not text."""
    try:
        return base64.b64decode((secret.data or {}).get(name, "")).decode()
    except ValueError:
        return ""


def expires(secret: Secret) -> float | None:
    """When the token expires (Unix seconds): None is never; text that is no time has expired."""
    text = value(secret, "expiration")
    if not text:
        return None
    try:
        return clock.parse_rfc3339(text)
    except ValueError:
        return 0.0


def sign(content: str, token_id: str, token_secret: str) -> str:
    """The detached JWS of `content`: header and signature, with nothing between."""
    header = _base64url(json.dumps({"alg": "HS256", "kid": token_id}, separators=(",", ":")).encode())
    signed = f"{header}.{_base64url(content.encode())}".encode()
    return f"{header}..{_base64url(hmac.new(token_secret.encode(), signed, hashlib.sha256).digest())}"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class TokenCleaner(Controller):
    """Keys are Secrets."""

    name = "token-cleaner-controller"

    def setup(self) -> None:
        """Token Secrets in kube-system."""
        self.secrets = self.informers.informer(Secret)
        self.secrets.on(self._secret, lambda old, new: self._secret(new))

    def _secret(self, secret: Secret) -> None:
        if secret.type == TYPE and secret.metadata.namespace == _NAMESPACE:
            self.enqueue(secret)

    async def reconcile(self, key: str) -> RequeueAfter | None:
        """Delete the token, or wait for its end."""
        namespace, name = split_key(key)
        secret = self.secrets.get(namespace, name)
        if secret is None or (at := expires(secret)) is None:
            return None
        if (remaining := at - clock.timestamp()) > 0:
            return RequeueAfter(remaining)
        try:
            await self.client.resource(Secret).delete(name, namespace, uid=secret.metadata.uid)
        except StatusError as error:
            if error.code != 404:
                raise
        return None


class BootstrapSigner(Controller):
    """The only key is the ConfigMap."""

    name = "bootstrap-signer-controller"

    def setup(self) -> None:
        """Token Secrets, and the ConfigMap."""
        self.secrets = self.informers.informer(Secret)
        self.maps = self.informers.informer(ConfigMap)
        self.secrets.on(self._secret, lambda old, new: self._secret(new), self._secret)
        self.maps.on(self._map, lambda old, new: self._map(new))

    def _secret(self, secret: Secret) -> None:
        if secret.type == TYPE and secret.metadata.namespace == _NAMESPACE:
            self.queue.add(_KEY)

    def _map(self, config_map: ConfigMap) -> None:
        if config_map.metadata.name == CLUSTER_INFO and config_map.metadata.namespace == _PUBLIC:
            self.queue.add(_KEY)

    async def reconcile(self, key: str) -> RequeueAfter | None:
        """Sign with every token that is good for signing."""
        info = self.maps.get(_PUBLIC, CLUSTER_INFO)
        content = (info.data or {}).get("kubeconfig") if info is not None else None
        if info is None or not content:
            return None
        now = clock.timestamp()
        signatures: dict[str, str] = {}
        ends = []
        for secret in self.secrets.list(_NAMESPACE):
            if secret.type != TYPE or value(secret, "usage-bootstrap-signing") != "true":
                continue
            token_id, token_secret = value(secret, "token-id"), value(secret, "token-secret")
            end = expires(secret)
            if not token_id or not token_secret or (end is not None and end <= now):
                continue
            signatures[_PREFIX + token_id] = sign(content, token_id, token_secret)
            if end is not None:
                ends.append(end - now)
        data = {k: v for k, v in (info.data or {}).items() if not k.startswith(_PREFIX)} | signatures
        if data != info.data:
            changed = codec.copy(info)
            changed.data = data
            await self.maps.caught_up(await self.client.resource(ConfigMap).update(changed))
        return RequeueAfter(min(ends)) if ends else None
