"""Claims, volumes and what drivers can do, as the volume plugins see them; and what plans have promised of them.

A plan that binds a claim to a volume, or sends it to be provisioned for a node, promises it at once; the API hears of
it later. The promise holds until the objects say the same, or the binding has failed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from pybernetes.api.core_v1 import PersistentVolume, PersistentVolumeClaim, Volume
from pybernetes.api.storage_v1 import CSIDriver, CSINode, CSIStorageCapacity, StorageClass, VolumeAttachment
from pybernetes.control_plane.scheduler.facts import PodFacts

BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
NO_PROVISIONER = "kubernetes.io/no-provisioner"


class Objects(Protocol):
    """Where the objects come from: informers, or a test."""

    def claim(self, namespace: str, name: str) -> PersistentVolumeClaim | None: ...
    def volume(self, name: str) -> PersistentVolume | None: ...
    def volumes(self) -> Iterable[PersistentVolume]: ...
    def storage_class(self, name: str) -> StorageClass | None: ...
    def csi_node(self, name: str) -> CSINode | None: ...
    def csi_nodes(self) -> Sequence[CSINode]: ...
    def csi_driver(self, name: str) -> CSIDriver | None: ...
    def capacities(self) -> Sequence[CSIStorageCapacity]: ...
    def attachments(self) -> Sequence[VolumeAttachment]: ...


@dataclass(frozen=True, slots=True)
class VolumeWork:
    """What must be written before the Pod is bound: (volume, claim) pairs, and claims to be provisioned on the node."""

    bind: tuple[tuple[PersistentVolume, PersistentVolumeClaim], ...]
    provision: tuple[PersistentVolumeClaim, ...]


class Storage:
    """The objects, who uses which claim, and promises."""

    def __init__(self) -> None:
        self.objects: Objects | None = None
        #: node name -> Pods with volumes that matter, by uid.
        self.pods: dict[str, dict[str, PodFacts]] = {}
        #: namespace/name of a claim -> placed Pods that use it.
        self.users: dict[str, int] = {}
        self._promised: dict[str, str] = {}  # volume name -> uid of the claim
        self._selected: dict[str, str] = {}  # uid of a claim -> node name

    def account(self, node: str, pod: PodFacts, sign: int) -> None:
        """A Pod with volumes came to (`sign` 1) or left (-1) a node."""
        if sign > 0:
            self.pods.setdefault(node, {})[pod.uid] = pod
        else:
            there = self.pods[node]
            del there[pod.uid]
            if not there:
                del self.pods[node]
        for key in claim_keys(pod):
            left = self.users.get(key, 0) + sign
            if left > 0:
                self.users[key] = left
            else:
                self.users.pop(key, None)

    def promise(self, work: VolumeWork, node: str) -> None:
        """From now on these are taken."""
        for volume, claim in work.bind:
            self._promised[volume.metadata.name] = claim.metadata.uid
        for claim in work.provision:
            self._selected[claim.metadata.uid] = node

    def release(self, work: VolumeWork) -> None:
        """The work is done and seen, or has failed."""
        for volume, _ in work.bind:
            self._promised.pop(volume.metadata.name, None)
        for claim in work.provision:
            self._selected.pop(claim.metadata.uid, None)

    def promised_to(self, volume: PersistentVolume) -> str:
        """Uid of the claim the volume is promised to, or ""."""
        return self._promised.get(volume.metadata.name, "")

    def selected_node(self, claim: PersistentVolumeClaim) -> str:
        """The node a claim's volume is to be made for, or ""."""
        promised = self._selected.get(claim.metadata.uid)
        return promised or (claim.metadata.annotations or {}).get(SELECTED_NODE, "")


def claim_name(pod: PodFacts, volume: Volume) -> str:
    """The claim a Pod's volume stands for; "" when it is none."""
    if volume.persistent_volume_claim is not None:
        return volume.persistent_volume_claim.claim_name
    return f"{pod.name}-{volume.name}" if volume.ephemeral is not None else ""


def claim_keys(pod: PodFacts) -> list[str]:
    """namespace/name of all claims a Pod uses."""
    return [f"{pod.namespace}/{name}" for volume in pod.volumes if (name := claim_name(pod, volume))]


def fully_bound(claim: PersistentVolumeClaim) -> bool:
    """Whether both sides of the binding are written."""
    return bool(claim.spec.volume_name) and BIND_COMPLETED in (claim.metadata.annotations or {})
