"""Service account token Secrets: long-lived tokens for those who ask for one by creating a Secret of that type.

The signing function is injected: the key is the API server's business, and whoever assembles a cluster has it.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass

from pybernetes.api.core_v1 import Secret, ServiceAccount
from pybernetes.client.client import Client
from pybernetes.client.controller import Controller, key_of, split_key
from pybernetes.client.events import EventRecorder
from pybernetes.client.factory import InformerFactory
from pybernetes.machinery import codec
from pybernetes.machinery.errors import StatusError

TYPE = "kubernetes.io/service-account-token"
NAME = "kubernetes.io/service-account.name"
UID = "kubernetes.io/service-account.uid"
_ACCOUNT = "account"


@dataclass(frozen=True)
class Config:
    """What goes into a token Secret."""

    sign: Callable[[ServiceAccount, Secret], str]  #: the token of an account that lives as long as the Secret
    root_ca: str = ""  #: PEM


class ServiceAccountTokenController(Controller):
    """Keys are Secrets."""

    name = "serviceaccount-token-controller"

    def __init__(self, config: Config, client: Client, informers: InformerFactory, events: EventRecorder) -> None:
        super().__init__(client, informers, events)
        self._config = config

    def setup(self) -> None:
        """Token Secrets, and the accounts they are for."""
        self.secrets = self.informers.informer(Secret)
        self.accounts = self.informers.informer(ServiceAccount)
        self.secrets.add_index(_ACCOUNT, _account)
        self.secrets.on(self._secret, lambda old, new: self._secret(new))
        self.accounts.on(self._of_account, deleted=self._of_account)

    def _secret(self, secret: Secret) -> None:
        if secret.type == TYPE:
            self.enqueue(secret)

    def _of_account(self, account: ServiceAccount) -> None:
        for secret in self.secrets.by_index(_ACCOUNT, key_of(account)):
            self.enqueue(secret)

    async def reconcile(self, key: str) -> None:
        """Fill the Secret; delete one whose account has gone."""
        secret = self.secrets.get(*split_key(key))
        if secret is None or secret.type != TYPE or secret.metadata.deletion_timestamp is not None:
            return
        metadata = secret.metadata
        annotations = metadata.annotations or {}
        name, uid = annotations.get(NAME, ""), annotations.get(UID, "")
        if not name:
            return
        account = self.accounts.get(metadata.namespace, name) or await self._live(metadata.namespace, name)
        resource = self.client.resource(Secret)
        if account is None or (uid and account.metadata.uid != uid):
            try:
                version = metadata.resource_version
                await resource.delete(metadata.name, metadata.namespace, uid=metadata.uid, resource_version=version)
            except StatusError as error:
                if error.code != 404:
                    raise
            return
        data = dict(secret.data or {})
        if self._config.root_ca:
            data["ca.crt"] = _base64(self._config.root_ca)
        data["namespace"] = _base64(metadata.namespace)
        if not data.get("token"):
            data["token"] = _base64(self._config.sign(account, secret))
        if data == secret.data and uid:
            return
        changed = codec.copy(secret)
        changed.data = data
        changed.metadata.annotations = {**annotations, UID: account.metadata.uid}
        await self.secrets.caught_up(await resource.update(changed))

    async def _live(self, namespace: str, name: str) -> ServiceAccount | None:
        try:
            return await self.client.resource(ServiceAccount).get(name, namespace)
        except StatusError as error:
            if error.code != 404:
                raise
            return None


def _account(secret: Secret) -> tuple[str, ...]:
    name = (secret.metadata.annotations or {}).get(NAME) if secret.type == TYPE else None
    return (f"{secret.metadata.namespace}/{name}",) if name else ()


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
