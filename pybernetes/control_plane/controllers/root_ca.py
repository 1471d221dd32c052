"""The root CA publisher: every namespace has a ConfigMap with the certificate that verifies the API server."""

from __future__ import annotations

from dataclasses import dataclass

from pybernetes.api.core_v1 import ConfigMap, Namespace
from pybernetes.client.client import Client
from pybernetes.client.controller import Controller
from pybernetes.client.events import EventRecorder
from pybernetes.client.factory import InformerFactory
from pybernetes.control_plane.controllers.pod_control import is_namespace_terminating
from pybernetes.machinery import codec
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.meta import ObjectMeta

NAME = "kube-root-ca.crt"
_DESCRIPTION = "kubernetes.io/description"
_TEXT = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
    "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes "
    "clusters."
)


@dataclass(frozen=True)
class Config:
    """What to publish."""

    root_ca: str  #: PEM


class RootCAPublisher(Controller):
    """Keeps the ConfigMap in every active namespace."""

    name = "root-ca-certificate-publisher-controller"

    def __init__(self, config: Config, client: Client, informers: InformerFactory, events: EventRecorder) -> None:
        super().__init__(client, informers, events)
        self._data = {"ca.crt": config.root_ca}

    def setup(self) -> None:
        """Keys are namespaces."""
        self.namespaces = self.informers.informer(Namespace)
        self.maps = self.informers.informer(ConfigMap)
        self.namespaces.on(self.enqueue, self.enqueue_updated)
        self.maps.on(updated=lambda old, new: self._map_changed(new), deleted=self._map_changed)

    def _map_changed(self, config_map: ConfigMap) -> None:
        if config_map.metadata.name == NAME:
            self.queue.add(config_map.metadata.namespace)

    async def reconcile(self, key: str) -> None:
        """Create or correct the ConfigMap of a namespace."""
        namespace = self.namespaces.get("", key)
        if namespace is None or namespace.metadata.deletion_timestamp is not None:
            return
        resource = self.client.resource(ConfigMap)
        present = self.maps.get(key, NAME)
        try:
            if present is None:
                metadata = ObjectMeta(name=NAME, namespace=key, annotations={_DESCRIPTION: _TEXT})
                await resource.create(ConfigMap(metadata=metadata, data=self._data))
            elif present.data != self._data or (present.metadata.annotations or {}).get(_DESCRIPTION) != _TEXT:
                changed = codec.copy(present)
                changed.data = self._data
                changed.metadata.annotations = {**(changed.metadata.annotations or {}), _DESCRIPTION: _TEXT}
                await resource.update(changed)
        except StatusError as error:
            if error.reason != "AlreadyExists" and not is_namespace_terminating(error):
                raise
