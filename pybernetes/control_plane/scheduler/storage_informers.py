"""The storage objects from informers, started with the first Pod that has volumes: most clusters in tests have none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pybernetes.api.core_v1 import PersistentVolume, PersistentVolumeClaim
from pybernetes.api.storage_v1 import CSIDriver, CSINode, CSIStorageCapacity, StorageClass, VolumeAttachment
from pybernetes.client.factory import InformerFactory
from pybernetes.control_plane.scheduler.watched import WatchedObjects


class StorageInformers(WatchedObjects):
    """Implements `storage.Objects`; `event(name, old, new)` hears what may help waiting Pods."""

    def __init__(self, informers: InformerFactory, event: Callable[[str, Any, Any], None]) -> None:
        super().__init__(informers, event)
        self.claims = self._watch(PersistentVolumeClaim)
        self._volumes = self._watch(PersistentVolume)
        self._classes = self._watch(StorageClass)
        self._csi_nodes = self._watch(CSINode)
        self._drivers = self._watch(CSIDriver)
        self._capacities = self._watch(CSIStorageCapacity)
        self._attachments = self._watch(VolumeAttachment)

    def claim(self, namespace: str, name: str) -> PersistentVolumeClaim | None:
        return self.claims.get(namespace, name)

    def volume(self, name: str) -> PersistentVolume | None:
        return self._volumes.get("", name)

    def volumes(self) -> Iterable[PersistentVolume]:
        return self._volumes.list()

    def storage_class(self, name: str) -> StorageClass | None:
        return self._classes.get("", name) if name else None

    def csi_node(self, name: str) -> CSINode | None:
        return self._csi_nodes.get("", name)

    def csi_nodes(self) -> Sequence[CSINode]:
        return self._csi_nodes.list()

    def csi_driver(self, name: str) -> CSIDriver | None:
        return self._drivers.get("", name)

    def capacities(self) -> Sequence[CSIStorageCapacity]:
        return self._capacities.list()

    def attachments(self) -> Sequence[VolumeAttachment]:
        return self._attachments.list()
