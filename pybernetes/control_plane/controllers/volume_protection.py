"""Volumes in use are not deleted: the finalizers of PersistentVolumeClaims that Pods use, of bound PersistentVolumes,
and of the VolumeAttributesClasses that either names.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from pybernetes.api.core_v1 import PersistentVolume, PersistentVolumeClaim, Pod
from pybernetes.api.storage_v1 import VolumeAttributesClass
from pybernetes.client.client import Resource
from pybernetes.client.controller import Controller, split_key
from pybernetes.client.informer import Informer
from pybernetes.control_plane.controllers.pods import is_terminal
from pybernetes.machinery import codec
from pybernetes.machinery.meta import Object

PVC_FINALIZER = "kubernetes.io/pvc-protection"
PV_FINALIZER = "kubernetes.io/pv-protection"
VAC_FINALIZER = "kubernetes.io/vac-protection"
_CLAIM = "claim"

T = TypeVar("T", bound=Object)


def claims_of(pod: Pod) -> Iterable[str]:
    """`namespace/name` of the claims a Pod uses, those of its ephemeral volumes included."""
    namespace = pod.metadata.namespace
    for volume in pod.spec.volumes or ():
        if volume.persistent_volume_claim is not None:
            yield f"{namespace}/{volume.persistent_volume_claim.claim_name}"
        elif volume.ephemeral is not None:
            yield f"{namespace}/{pod.metadata.name}-{volume.name}"


async def _set_finalizer(resource: Resource[T], informer: Informer[T], obj: T, finalizer: str, wanted: bool) -> None:
    present = obj.metadata.finalizers or []
    if (finalizer in present) == wanted:
        return
    changed = codec.copy(obj)
    changed.metadata.finalizers = [*(f for f in present if f != finalizer), *([finalizer] if wanted else [])] or None
    await informer.caught_up(await resource.update(changed))


class PVCProtectionController(Controller):
    """Keys are PersistentVolumeClaims."""

    name = "persistentvolumeclaim-protection-controller"

    def setup(self) -> None:
        """Claims, and Pods that stop using one."""
        self.claims = self.informers.informer(PersistentVolumeClaim)
        self.pods = self.informers.informer(Pod)
        self.pods.add_index(_CLAIM, claims_of)
        self.claims.on(self.enqueue, self.enqueue_updated)
        self.pods.on(updated=self._pod_updated, deleted=self._pod)

    def _pod(self, pod: Pod) -> None:
        for key in claims_of(pod):
            claim = self.claims.by_key(key)
            if claim is not None and claim.metadata.deletion_timestamp is not None:
                self.queue.add(key)

    def _pod_updated(self, old: Pod, new: Pod) -> None:
        if is_terminal(new) and not is_terminal(old):
            self._pod(new)

    async def reconcile(self, key: str) -> None:
        """Protect; or let go when it is being deleted and no Pod uses it, which the server is asked about as well."""
        claim = self.claims.by_key(key)
        if claim is None:
            return
        resource = self.client.resource(PersistentVolumeClaim)
        if claim.metadata.deletion_timestamp is None:
            await _set_finalizer(resource, self.claims, claim, PVC_FINALIZER, True)
        elif PVC_FINALIZER in (claim.metadata.finalizers or ()):
            if self._in_use(self.pods.by_index(_CLAIM, key)):
                return
            live = await self.client.resource(Pod).list(claim.metadata.namespace)
            if not self._in_use(pod for pod in live.items if key in claims_of(pod)):
                await _set_finalizer(resource, self.claims, claim, PVC_FINALIZER, False)

    def _in_use(self, pods: Iterable[Pod]) -> bool:
        return any(pod.spec.node_name and not is_terminal(pod) for pod in pods)


class PVProtectionController(Controller):
    """Keys are PersistentVolumes."""

    name = "persistentvolume-protection-controller"

    def setup(self) -> None:
        """Volumes."""
        self.volumes = self.informers.informer(PersistentVolume)
        self.volumes.on(self.enqueue, self.enqueue_updated)

    async def reconcile(self, key: str) -> None:
        """Protect; or let go when it is being deleted and no longer bound."""
        volume = self.volumes.get(*split_key(key))
        if volume is None:
            return
        resource = self.client.resource(PersistentVolume)
        if volume.metadata.deletion_timestamp is None:
            await _set_finalizer(resource, self.volumes, volume, PV_FINALIZER, True)
        elif volume.status.phase != "Bound":
            await _set_finalizer(resource, self.volumes, volume, PV_FINALIZER, False)


class VACProtectionController(Controller):
    """Keys are VolumeAttributesClasses."""

    name = "volumeattributesclass-protection-controller"

    def setup(self) -> None:
        """Classes, and claims and volumes that stop naming one."""
        self.classes = self.informers.informer(VolumeAttributesClass)
        self.claims = self.informers.informer(PersistentVolumeClaim)
        self.volumes = self.informers.informer(PersistentVolume)
        self.classes.on(self.enqueue, self.enqueue_updated)
        self.claims.on(updated=self._updated, deleted=self._gone)
        self.volumes.on(updated=self._updated, deleted=self._gone)

    def _updated(
        self, old: PersistentVolumeClaim | PersistentVolume, new: PersistentVolumeClaim | PersistentVolume
    ) -> None:
        if _classes_of(old) != _classes_of(new):
            self._gone(old)

    def _gone(self, user: PersistentVolumeClaim | PersistentVolume) -> None:
        for name in _classes_of(user):
            found = self.classes.get("", name)
            if found is not None and found.metadata.deletion_timestamp is not None:
                self.queue.add(name)

    def _users(self) -> Iterable[PersistentVolumeClaim | PersistentVolume]:
        yield from self.claims.list()
        yield from self.volumes.list()

    async def reconcile(self, key: str) -> None:
        """Protect; or let go when it is being deleted and neither a claim nor a volume names it."""
        found = self.classes.get("", key)
        if found is None:
            return
        resource = self.client.resource(VolumeAttributesClass)
        if found.metadata.deletion_timestamp is None:
            await _set_finalizer(resource, self.classes, found, VAC_FINALIZER, True)
        elif not any(key in _classes_of(user) for user in self._users()):
            await _set_finalizer(resource, self.classes, found, VAC_FINALIZER, False)


def _classes_of(user: PersistentVolumeClaim | PersistentVolume) -> set[str]:
    """The VolumeAttributesClasses that a volume has, or a claim has, asks for or is being changed to."""
    names = {user.spec.volume_attributes_class_name}
    if isinstance(user, PersistentVolumeClaim):
        names.add(user.status.current_volume_attributes_class_name)
        if user.status.modify_volume_status is not None:
            names.add(user.status.modify_volume_status.target_volume_attributes_class_name)
    return {name for name in names if name}
