"""The attach-detach controller: volumes of CSI drivers are attached to the nodes whose Pods use them, and to no other.

Keys are nodes: what the Pods of one want is held against its VolumeAttachments. A driver's attacher does the work and
answers in their status; what is attached stands in the node's status, where the kubelet reads it. Before detaching it
is taken off that list, and a volume that the node still reports in use stays, for pulling a disk from under a mounted
file system destroys it: six minutes on a node that is not well, for ever on one that is, and not at all once the node
is tainted as out of service.
"""

from __future__ import annotations

from collections.abc import Iterable

from pybernetes.aio import clock
from pybernetes.api.core_v1 import Node, PersistentVolume, PersistentVolumeClaim, Pod
from pybernetes.api.storage_v1 import CSIDriver, VolumeAttachment
from pybernetes.client.client import Client
from pybernetes.client.controller import Controller, RequeueAfter
from pybernetes.client.events import EventRecorder
from pybernetes.client.factory import InformerFactory
from pybernetes.control_plane.controllers import attach_plan as plan
from pybernetes.control_plane.controllers.indexes import POD_NODE, pods_by_node
from pybernetes.control_plane.controllers.volume_protection import claims_of
from pybernetes.machinery.errors import StatusError

#: Seconds a volume in use holds out on a node that is not well.
FORCE_AFTER = 360.0
_CLAIM, _NODE, _VOLUME = "claim", "node", "volume"


class AttachDetachController(Controller):
    """Keys are node names."""

    name = "attachdetach-controller"
    workers = 1  # two nodes must not take one volume at the same time

    def __init__(self, client: Client, informers: InformerFactory, events: EventRecorder) -> None:
        super().__init__(client, informers, events)
        self._in_use: dict[str, frozenset[str]] = {}  # of nodes that are gone: what they last reported
        self._unwanted: dict[str, float] = {}  # attachment -> when it was first found to be unwanted

    def setup(self) -> None:
        """Pods by node and by claim, the way from claims to drivers, and attachments by node and by volume."""
        self.nodes = self.informers.informer(Node)
        self.pods = self.informers.informer(Pod)
        self.claims = self.informers.informer(PersistentVolumeClaim)
        self.volumes = self.informers.informer(PersistentVolume)
        self.drivers = self.informers.informer(CSIDriver)
        self.attachments = self.informers.informer(VolumeAttachment)
        pods_by_node(self.informers)
        self.pods.add_index(_CLAIM, claims_of)
        self.attachments.add_index(_NODE, lambda one: (one.spec.node_name,))
        self.attachments.add_index(_VOLUME, lambda one: (one.spec.source.persistent_volume_name or "",))
        self.pods.on(self._pod, lambda old, new: self._pod(new), self._pod)
        self.claims.on(self._claim, lambda old, new: self._claim(new))
        self.volumes.on(self._volume, lambda old, new: self._volume(new))
        self.attachments.on(self._attachment, lambda old, new: self._attachment(new), self._detached)
        self.nodes.on(self._node, self._node_updated, self._node_deleted)

    # Sources

    def _pod(self, pod: Pod) -> None:
        if pod.spec.node_name and any(True for _ in claims_of(pod)):
            self.queue.add(pod.spec.node_name)

    def _claim(self, claim: PersistentVolumeClaim) -> None:
        for pod in self.pods.by_index(_CLAIM, f"{claim.metadata.namespace}/{claim.metadata.name}"):
            self._pod(pod)

    def _volume(self, volume: PersistentVolume) -> None:
        if volume.spec.csi is not None:
            for pod in self._users(volume):
                self._pod(pod)

    def _attachment(self, one: VolumeAttachment) -> None:
        self.queue.add(one.spec.node_name)

    def _detached(self, one: VolumeAttachment) -> None:
        self._attachment(one)
        self._unwanted.pop(one.metadata.name, None)
        volume = self.volumes.get("", one.spec.source.persistent_volume_name or "")
        if volume is not None:
            self._volume(volume)  # somebody may have waited for it

    def _node(self, node: Node) -> None:
        self._in_use.pop(node.metadata.name, None)
        self._enqueue_node(node)

    def _node_updated(self, old: Node, new: Node) -> None:
        if (
            old.status.volumes_in_use != new.status.volumes_in_use
            or old.spec.taints != new.spec.taints
            or plan.is_healthy(old) != plan.is_healthy(new)
            or plan.is_managed(old) != plan.is_managed(new)
        ):
            self._enqueue_node(new)

    def _node_deleted(self, node: Node) -> None:
        self._in_use[node.metadata.name] = frozenset(node.status.volumes_in_use or ())
        self._enqueue_node(node)

    def _enqueue_node(self, node: Node) -> None:
        name = node.metadata.name
        if self.attachments.by_index(_NODE, name) or any(
            True for pod in self.pods.by_index(POD_NODE, name) for _ in claims_of(pod)
        ):
            self.queue.add(name)

    # Reconciling

    async def reconcile(self, key: str) -> RequeueAfter | None:
        """Detach what no Pod wants, attach what one does, and tell the node."""
        node = self.nodes.get("", key)
        wanted = self._wanted(key, node)
        waits: list[float] = []
        leaving: list[tuple[VolumeAttachment, PersistentVolume | None]] = []
        for one in self.attachments.by_index(_NODE, key):
            volume = self.volumes.get("", one.spec.source.persistent_volume_name or "")
            if not plan.is_ours(one, volume) or (volume is not None and volume.metadata.name in wanted):
                self._unwanted.pop(one.metadata.name, None)
                continue
            since = self._unwanted.setdefault(one.metadata.name, clock.monotonic())
            left = since + FORCE_AFTER - clock.monotonic()
            if not self._held(key, node, volume) or plan.out_of_service(node):
                leaving.append((one, volume))
            elif not plan.is_healthy(node):
                if left <= 0:
                    leaving.append((one, volume))
                else:
                    waits.append(left + 0.01)
        gone = {one.metadata.name for one, _ in leaving}
        if node is not None:
            await self._tell(node, gone)
        for one, volume in leaving:
            await self._detach(one, volume)
        if node is not None and plan.is_managed(node):
            for volume, pods in wanted.values():
                await self._attach(volume, key, pods)
        return RequeueAfter(min(waits)) if waits else None

    def _wanted(self, key: str, node: Node | None) -> dict[str, tuple[PersistentVolume, list[Pod]]]:
        """Volumes by name, with the Pods that want them on the node."""
        found: dict[str, tuple[PersistentVolume, list[Pod]]] = {}
        for pod in self.pods.by_index(POD_NODE, key):
            if not plan.wants_volumes(pod, node):
                continue
            for volume in self._volumes_of(pod):
                found.setdefault(volume.metadata.name, (volume, []))[1].append(pod)
        return found

    def _volumes_of(self, pod: Pod) -> Iterable[PersistentVolume]:
        for name in claims_of(pod):
            claim = self.claims.by_key(name)
            if claim is None or not claim.spec.volume_name or claim.status.phase != "Bound":
                continue
            volume = self.volumes.get("", claim.spec.volume_name)
            if volume is None or volume.spec.csi is None:
                continue
            if plan.attachable(volume, self.drivers.get("", volume.spec.csi.driver)):
                yield volume

    def _users(self, volume: PersistentVolume) -> list[Pod]:
        claim = volume.spec.claim_ref
        return [*self.pods.by_index(_CLAIM, f"{claim.namespace}/{claim.name}")] if claim is not None else []

    def _held(self, key: str, node: Node | None, volume: PersistentVolume | None) -> bool:
        """Whether the node has it mounted, as far as anybody knows."""
        in_use = self._in_use.get(key) if node is None else node.status.volumes_in_use or ()
        return in_use is None or (volume is not None and plan.unique_name(volume) in in_use)

    async def _attach(self, volume: PersistentVolume, node: str, pods: list[Pod]) -> None:
        wish = plan.attachment(volume, node)
        present = self.attachments.get("", wish.metadata.name)
        if present is None:
            others = {one.spec.node_name for one in self.attachments.by_index(_VOLUME, volume.metadata.name)} - {node}
            if others and plan.exclusive(volume):
                users = [p for p in self._users(volume) if p.spec.node_name in others]
                for pod in pods:
                    why = plan.conflict(pod.metadata.namespace, users)
                    message = f'Multi-Attach error for volume "{volume.metadata.name}" {why}'
                    self.events.event(pod, "Warning", "FailedAttachVolume", message)
                return
            try:
                await self.attachments.caught_up(await self.client.resource(VolumeAttachment).create(wish))
            except StatusError as error:
                if error.reason != "AlreadyExists":
                    raise
        elif present.status.attach_error is not None and not present.status.attached:
            text = present.status.attach_error.message or ""
            message = f'AttachVolume.Attach failed for volume "{volume.metadata.name}" : {text}'
            for pod in pods:
                self.events.event(pod, "Warning", "FailedAttachVolume", message)

    async def _tell(self, node: Node, leaving: set[str]) -> None:
        """Bring the node's `volumesAttached` to what is attached and is to stay."""
        wanted: dict[str, str] = {}
        fresh: list[PersistentVolume] = []
        known = {one.name for one in node.status.volumes_attached or ()}
        for one in self.attachments.by_index(_NODE, node.metadata.name):
            volume = self.volumes.get("", one.spec.source.persistent_volume_name or "")
            if volume is None or not plan.is_ours(one, volume) or one.metadata.name in leaving:
                continue
            if one.status.attached and one.metadata.deletion_timestamp is None:
                wanted[plan.unique_name(volume)] = ""
                if plan.unique_name(volume) not in known:
                    fresh.append(volume)
        if set(wanted) == known:
            return
        body = [{"name": name, "devicePath": path} for name, path in sorted(wanted.items())]
        version = {"resourceVersion": node.metadata.resource_version}
        patch = {"metadata": version, "status": {"volumesAttached": body or None}}
        updated = await self.client.resource(Node).patch(node.metadata.name, "", patch, subresource="status")
        await self.nodes.caught_up(updated)
        for volume in fresh:
            message = f'AttachVolume.Attach succeeded for volume "{volume.metadata.name}" '
            for pod in self._users(volume):
                if pod.spec.node_name == node.metadata.name:
                    self.events.event(pod, "Normal", "SuccessfulAttachVolume", message)

    async def _detach(self, one: VolumeAttachment, volume: PersistentVolume | None) -> None:
        if one.metadata.deletion_timestamp is not None:
            return  # its attacher is at it
        try:
            await self.client.resource(VolumeAttachment).delete(one.metadata.name, uid=one.metadata.uid)
        except StatusError as error:
            if error.code != 404:
                raise
