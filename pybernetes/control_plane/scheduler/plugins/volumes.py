"""VolumeRestrictions, NodeVolumeLimits and VolumeZone: volumes that cannot be shared, counted or reached."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pybernetes.api.core_v1 import Volume
from pybernetes.control_plane.scheduler.facts import PodFacts
from pybernetes.control_plane.scheduler.nodes import Ints, Rows
from pybernetes.control_plane.scheduler.plugins.base import UNRESOLVABLE, Plugin, Refused, Scope
from pybernetes.control_plane.scheduler.plugins.volume_binding import pod_claims
from pybernetes.control_plane.scheduler.snapshot import Snapshot
from pybernetes.control_plane.scheduler.storage import claim_name

_ONCE_POD = "ReadWriteOncePod"
_ZONES = (
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
)


class VolumeRestrictions(Plugin):
    """Disks that one node or one Pod may use at a time."""

    name = "VolumeRestrictions"
    scope = Scope.CLUSTER
    wakes_on = frozenset({"Node/added", "Pod/removed", "PersistentVolumeClaim"})
    _DISK, _CLAIM = 1, 2

    def prepare(self, pod: PodFacts, snapshot: Snapshot) -> Any:
        if not pod.volumes:
            return None
        alone = []
        objects = snapshot.storage.objects
        assert objects is not None
        for volume in pod.volumes:
            if volume.persistent_volume_claim is None:
                continue
            claim = objects.claim(pod.namespace, claim_name(pod, volume))
            if claim is None:
                raise Refused(f'persistentvolumeclaim "{claim_name(pod, volume)}" not found')
            if _ONCE_POD in (claim.spec.access_modes or ()):
                alone.append(f"{pod.namespace}/{claim.metadata.name}")
        disks = [v for v in pod.volumes if _is_disk(v)]
        return (alone, disks) if alone or disks else None

    def filter(self, state: Any, snapshot: Snapshot, rows: Rows) -> Ints:
        alone, disks = state
        nodes, storage = snapshot.nodes, snapshot.storage
        codes = np.zeros(nodes.size, np.int64)
        if any(storage.users.get(key) for key in alone):
            codes[:] = self._CLAIM
        if disks:
            for name, pods in storage.pods.items():
                row = nodes.rows.get(name)
                if row is not None and any(_conflict(a, b) for a in disks for p in pods.values() for b in p.volumes):
                    codes[row] = self._DISK
        return codes[rows]

    def reasons(self, state: Any, code: int) -> Sequence[str]:
        if code == self._DISK:
            return ["node(s) had no available disk"]
        return ["node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"]


def _is_disk(volume: Volume) -> bool:
    return any(
        source is not None
        for source in (volume.gce_persistent_disk, volume.aws_elastic_block_store, volume.iscsi, volume.rbd)
    )


def _conflict(a: Volume, b: Volume) -> bool:
    """Whether two Pods on one node may not have these."""
    if a.gce_persistent_disk and b.gce_persistent_disk:
        same = a.gce_persistent_disk.pd_name == b.gce_persistent_disk.pd_name
        return same and not (a.gce_persistent_disk.read_only and b.gce_persistent_disk.read_only)
    if a.aws_elastic_block_store and b.aws_elastic_block_store:
        return a.aws_elastic_block_store.volume_id == b.aws_elastic_block_store.volume_id
    if a.iscsi and b.iscsi:
        return a.iscsi.iqn == b.iscsi.iqn and not (a.iscsi.read_only and b.iscsi.read_only)
    if a.rbd and b.rbd:
        same = bool({*a.rbd.monitors} & {*b.rbd.monitors}) and (a.rbd.pool or "rbd", a.rbd.image) == (
            b.rbd.pool or "rbd",
            b.rbd.image,
        )
        return same and not (a.rbd.read_only and b.rbd.read_only)
    return False


@dataclass(frozen=True, slots=True)
class _Attached:
    driver: str
    handle: str


class NodeVolumeLimits(Plugin):
    """No more volumes of a driver than the node can attach (CSINode)."""

    name = "NodeVolumeLimits"
    scope = Scope.CLUSTER
    wakes_on = frozenset({"Node/added", "Pod/removed", "CSINode", "PersistentVolumeClaim", "VolumeAttachment/removed"})

    def prepare(self, pod: PodFacts, snapshot: Snapshot) -> Any:
        if not pod.volumes:
            return None
        return set(_attached(pod, snapshot)) or None

    def filter(self, state: Any, snapshot: Snapshot, rows: Rows) -> Ints:
        nodes, storage = snapshot.nodes, snapshot.storage
        objects = storage.objects
        assert objects is not None
        codes = np.zeros(nodes.size, np.int64)
        drivers = {one.driver for one in state}
        attachments: dict[str, set[_Attached]] | None = None
        for csi in objects.csi_nodes():
            limits = {
                d.name: d.allocatable.count
                for d in csi.spec.drivers
                if d.name in drivers and d.allocatable is not None and d.allocatable.count is not None
            }
            row = nodes.rows.get(csi.metadata.name)
            if not limits or row is None:
                continue
            if attachments is None:
                attachments = self._attachments(snapshot)
            there = set(attachments.get(csi.metadata.name, ()))
            for pod in storage.pods.get(csi.metadata.name, {}).values():
                there.update(_attached(pod, snapshot))
            for driver, limit in limits.items():
                wanted = sum(1 for one in state if one.driver == driver and one not in there)
                if wanted and wanted + sum(1 for one in there if one.driver == driver) > limit:
                    codes[row] = 1
        return codes[rows]

    def reasons(self, state: Any, code: int) -> Sequence[str]:
        return ["node(s) exceed max volume count"]

    def _attachments(self, snapshot: Snapshot) -> dict[str, set[_Attached]]:
        """By node, what is attached although perhaps no Pod uses it."""
        objects = snapshot.storage.objects
        assert objects is not None
        found: dict[str, set[_Attached]] = {}
        for attachment in objects.attachments():
            volume = objects.volume(attachment.spec.source.persistent_volume_name or "")
            if volume is not None and volume.spec.csi is not None:
                one = _Attached(attachment.spec.attacher, volume.spec.csi.volume_handle)
                found.setdefault(attachment.spec.node_name, set()).add(one)
        return found


def _attached(pod: PodFacts, snapshot: Snapshot) -> Iterator[_Attached]:
    """The CSI volumes of a Pod; one that does not exist yet counts for the driver that will make it."""
    objects = snapshot.storage.objects
    assert objects is not None
    for volume in pod.volumes:
        name = claim_name(pod, volume)
        claim = objects.claim(pod.namespace, name) if name else None
        if claim is None:
            continue
        if claim.spec.volume_name:
            bound = objects.volume(claim.spec.volume_name)
            if bound is not None:
                if bound.spec.csi is not None:
                    yield _Attached(bound.spec.csi.driver, bound.spec.csi.volume_handle)
                continue
        one = objects.storage_class(claim.spec.storage_class_name or "")
        if one is not None:
            yield _Attached(one.provisioner, f"{one.provisioner}-{pod.namespace}/{name}")


class VolumeZone(Plugin):
    """Volumes labelled with a zone or region are used there."""

    name = "VolumeZone"
    scope = Scope.CLUSTER
    wakes_on = frozenset({"Node/added", "Node/labels", "PersistentVolumeClaim", "PersistentVolume", "StorageClass"})

    def prepare(self, pod: PodFacts, snapshot: Snapshot) -> Any:
        if not pod.volumes:
            return None
        objects = snapshot.storage.objects
        assert objects is not None
        wanted: list[tuple[str, list[str]]] = []
        for claim in pod_claims(pod, snapshot.storage):
            name = claim.spec.volume_name
            if not name:
                if not claim.spec.storage_class_name:
                    raise Refused("PersistentVolumeClaim had no pv name and storageClass name")
                continue
            volume = objects.volume(name)
            if volume is None:
                raise Refused(f'persistentvolume "{name}" not found')
            for key in _ZONES:
                if value := (volume.metadata.labels or {}).get(key):
                    wanted.append((key, value.split("__")))
        return wanted or None

    def filter(self, state: Any, snapshot: Snapshot, rows: Rows) -> Ints:
        nodes = snapshot.nodes
        matching = np.ones(len(nodes.alive[rows]), np.bool_)
        for key, values in state:
            mask = nodes.label(key).one_of(values, rows)
            if key.startswith("failure-domain.beta"):
                current = "topology.kubernetes.io/" + key.rpartition("/")[2]
                mask |= nodes.label(current).one_of(values, rows)
            matching &= mask
        zoned = np.zeros(len(matching), np.bool_)
        for key in _ZONES:
            zoned |= nodes.label(key).present(rows)
        return np.where(matching | ~zoned, 0, UNRESOLVABLE | 1)

    def reasons(self, state: Any, code: int) -> Sequence[str]:
        return ["node(s) had no available volume zone"]
