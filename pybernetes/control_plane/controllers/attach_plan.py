"""What attaching and detaching decide, as pure functions: names, who wants what, and when a node may be overruled.

Only volumes of CSI drivers are attached. A VolumeAttachment's name follows from driver, volume and node, so that two
controllers, or one that was restarted in between, never ask twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from pybernetes.api.core_v1 import Node, PersistentVolume, Pod
from pybernetes.api.storage_v1 import CSIDriver, VolumeAttachment, VolumeAttachmentSource, VolumeAttachmentSpec
from pybernetes.machinery.meta import ObjectMeta

MANAGED = "volumes.kubernetes.io/controller-managed-attach-detach"
KEEP_TERMINATED = "volumes.kubernetes.io/keep-terminated-pod-volumes"
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
_SHARED = {"ReadWriteMany", "ReadOnlyMany"}


def attachment_name(driver: str, handle: str, node: str) -> str:
    """The name of the VolumeAttachment of a volume on a node."""
    return "csi-" + hashlib.sha256(f"{handle}{driver}{node}".encode()).hexdigest()


def unique_name(volume: PersistentVolume) -> str:
    """How a volume is called in a node's status; "" when it is not a driver's."""
    csi = volume.spec.csi
    return f"kubernetes.io/csi/{csi.driver}^{csi.volume_handle}" if csi is not None else ""


def attachment(volume: PersistentVolume, node: str) -> VolumeAttachment:
    """The wish to have a volume attached."""
    csi = volume.spec.csi
    assert csi is not None
    return VolumeAttachment(
        metadata=ObjectMeta(name=attachment_name(csi.driver, csi.volume_handle, node)),
        spec=VolumeAttachmentSpec(
            attacher=csi.driver,
            node_name=node,
            source=VolumeAttachmentSource(persistent_volume_name=volume.metadata.name),
        ),
    )


def is_ours(one: VolumeAttachment, volume: PersistentVolume | None) -> bool:
    """Whether this controller made it; others may make attachments of their own, which are theirs to delete. Without
    its volume, the shape of the name must do."""
    name = one.metadata.name
    if volume is None or volume.spec.csi is None:
        return name.startswith("csi-") and len(name) == 68
    return name == attachment_name(one.spec.attacher, volume.spec.csi.volume_handle, one.spec.node_name)


def attachable(volume: PersistentVolume, driver: CSIDriver | None) -> bool:
    """Whether its driver wants it attached; one that has not said so does."""
    return volume.spec.csi is not None and (driver is None or driver.spec.attach_required is not False)


def exclusive(volume: PersistentVolume) -> bool:
    """Whether it may be attached to one node only."""
    modes = volume.spec.access_modes or ()
    return bool(modes) and not _SHARED & {*modes}


def wants_volumes(pod: Pod, node: Node | None) -> bool:
    """Whether a Pod on a node still needs its volumes there."""
    status = pod.status
    over = status.phase in ("Succeeded", "Failed")
    if not over and pod.metadata.deletion_timestamp is not None:
        statuses = [*(status.container_statuses or ()), *(status.init_container_statuses or ())]
        over = all(s.state is not None and (s.state.terminated or s.state.waiting) for s in statuses)
    if not over:
        return True
    return node is not None and (node.metadata.annotations or {}).get(KEEP_TERMINATED) == "true"


def is_managed(node: Node) -> bool:
    """Whether attaching is left to the control plane."""
    return (node.metadata.annotations or {}).get(MANAGED) == "true"


def out_of_service(node: Node | None) -> bool:
    """Whether somebody has vouched that nothing runs there any more."""
    return node is not None and any(t.key == OUT_OF_SERVICE for t in node.spec.taints or ())


def is_healthy(node: Node | None) -> bool:
    """Whether the node says that it is ready."""
    conditions = (node.status.conditions or ()) if node is not None else ()
    return any(c.type == "Ready" and c.status == "True" for c in conditions)


def conflict(namespace: str, users: Iterable[Pod]) -> str:
    """Why a volume cannot be attached a second time, without the names of other people's Pods."""
    here, elsewhere = [], 0
    for pod in users:
        if pod.metadata.namespace == namespace:
            here.append(pod.metadata.name)
        else:
            elsewhere += 1
    if here:
        others = f" and {elsewhere} pod(s) in different namespaces" if elsewhere else ""
        return f"Volume is already used by pod(s) {', '.join(sorted(here))}{others}"
    if elsewhere:
        return f"Volume is already used by {elsewhere} pod(s) in different namespaces"
    return "Volume is already exclusively attached to one node and can't be attached to another"
