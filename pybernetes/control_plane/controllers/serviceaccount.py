"""The service account controller: every namespace has a `default` ServiceAccount."""

from __future__ import annotations

from pybernetes.api.core_v1 import Namespace, ServiceAccount
from pybernetes.client.controller import Controller
from pybernetes.control_plane.controllers.pod_control import is_namespace_terminating
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.meta import ObjectMeta

NAME = "default"


class ServiceAccountController(Controller):
    """Creates it in new namespaces and again when it is deleted."""

    name = "serviceaccount-controller"

    def setup(self) -> None:
        """Keys are namespaces."""
        self.namespaces = self.informers.informer(Namespace)
        self.accounts = self.informers.informer(ServiceAccount)
        self.namespaces.on(self.enqueue, self.enqueue_updated)
        self.accounts.on(deleted=lambda account: self.queue.add(account.metadata.namespace))

    async def reconcile(self, key: str) -> None:
        """Create the account if the namespace is active and has none."""
        namespace = self.namespaces.get("", key)
        if namespace is None or namespace.metadata.deletion_timestamp or self.accounts.get(key, NAME) is not None:
            return
        account = ServiceAccount(metadata=ObjectMeta(name=NAME, namespace=key))
        try:
            await self.client.resource(ServiceAccount).create(account)
        except StatusError as error:
            if error.reason != "AlreadyExists" and not is_namespace_terminating(error):
                raise
