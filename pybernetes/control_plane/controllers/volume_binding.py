"""The persistent volume binder: brings claims and volumes together, and says what became of either.

A claim takes the smallest volume that satisfies it. Binding is two writes, the volume's first, so that a crash in
between leaves a volume that names its claim and is completed the next time. Dynamic provisioning is left to external
provisioners, which the claim's annotation calls; with WaitForFirstConsumer the scheduler chooses a node first.
"""

from __future__ import annotations

from collections.abc import Iterable

from pybernetes.aio import clock
from pybernetes.api.core_v1 import Node, ObjectReference, PersistentVolume, PersistentVolumeClaim
from pybernetes.api.storage_v1 import StorageClass
from pybernetes.client.controller import Controller, key_of
from pybernetes.control_plane.controllers.node_fit import term_matches
from pybernetes.machinery import codec, labels, quantity
from pybernetes.machinery.errors import StatusError

BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
PROVISIONER = "volume.kubernetes.io/storage-provisioner"
BETA_PROVISIONER = "volume.beta.kubernetes.io/storage-provisioner"
NO_PROVISIONER = "kubernetes.io/no-provisioner"
_VOLUME = "volume/"  # prefix of a volume's key; a claim's key is namespace/name


def names(volume: PersistentVolume, claim: PersistentVolumeClaim) -> bool:
    """Whether the volume's claimRef is this claim (of this uid, or of none yet)."""
    reference = volume.spec.claim_ref
    return (
        reference is not None
        and reference.namespace == claim.metadata.namespace
        and reference.name == claim.metadata.name
        and reference.uid in (None, "", claim.metadata.uid)
    )


def best_match(
    claim: PersistentVolumeClaim, volumes: Iterable[PersistentVolume], node: Node | None
) -> PersistentVolume | None:
    """The volume to bind: one that names the claim already, else the smallest that satisfies it."""
    spec = claim.spec
    asked = (spec.resources.requests if spec.resources else None) or {}
    wanted = quantity.parse(asked.get("storage", "0"))
    selector = labels.from_struct(spec.selector) if spec.selector is not None else None
    fitting: list[tuple[quantity.Quantity, str, PersistentVolume]] = []
    for volume in volumes:
        v = volume.spec
        if volume.metadata.deletion_timestamp is not None:
            continue
        size = quantity.parse((v.capacity or {}).get("storage", "0"))
        if size < wanted or (v.volume_mode or "Filesystem") != (spec.volume_mode or "Filesystem"):
            continue
        if v.claim_ref is not None:
            if names(volume, claim):
                return volume
            continue
        if volume.status.phase not in (None, "", "Available", "Pending"):
            continue
        if (v.storage_class_name or "") != (spec.storage_class_name or ""):
            continue
        if not {*(spec.access_modes or ())} <= {*(v.access_modes or ())}:
            continue
        if selector is not None and not selector.matches(volume.metadata.labels):
            continue
        required = v.node_affinity.required if v.node_affinity else None
        terms = required.node_selector_terms if node is not None and required is not None else None
        if node is not None and terms is not None and not any(term_matches(term, node) for term in terms):
            continue
        fitting.append((size, volume.metadata.name, volume))
    return min(fitting, key=lambda row: (row[0], row[1]))[2] if fitting else None


class VolumeBinder(Controller):
    """Keys are claims, and `volume/name` for volumes."""

    name = "persistentvolume-binder-controller"
    component = "persistentvolume-controller"
    workers = 1  # two claims must not choose one volume

    def setup(self) -> None:
        """Claims, volumes, classes, and the nodes that the scheduler chose."""
        self.claims = self.informers.informer(PersistentVolumeClaim)
        self.volumes = self.informers.informer(PersistentVolume)
        self.classes = self.informers.informer(StorageClass)
        self.nodes = self.informers.informer(Node)
        self.claims.on(self.enqueue, self.enqueue_updated, self._claim_deleted)
        self.volumes.on(self._volume, lambda old, new: self._volume(new), self._volume)
        self.classes.on(lambda one: self._enqueue_pending())
        self._claims = self.client.resource(PersistentVolumeClaim)
        self._volumes = self.client.resource(PersistentVolume)

    def _claim_deleted(self, claim: PersistentVolumeClaim) -> None:
        if claim.spec.volume_name:
            self.queue.add(_VOLUME + claim.spec.volume_name)

    def _volume(self, volume: PersistentVolume) -> None:
        self.queue.add(_VOLUME + volume.metadata.name)
        if (reference := volume.spec.claim_ref) is not None:
            self.queue.add(f"{reference.namespace}/{reference.name}")
        else:
            self._enqueue_pending()

    def _enqueue_pending(self) -> None:
        for claim in self.claims.list():
            if claim.status.phase in (None, "Pending"):
                self.queue.add(key_of(claim))

    async def reconcile(self, key: str) -> None:
        """One volume's phase, or one claim's binding."""
        if key.startswith(_VOLUME) and (volume := self.volumes.by_key(key.removeprefix(_VOLUME))) is not None:
            await self._reconcile_volume(volume)
        elif (claim := self.claims.by_key(key)) is not None:
            await self._reconcile_claim(claim)

    async def _reconcile_volume(self, volume: PersistentVolume) -> None:
        reference = volume.spec.claim_ref
        if reference is None or not reference.uid:
            await self._set_phase(volume, "Available")
            return
        claim = self.claims.get(reference.namespace or "", reference.name or "")
        if claim is None or claim.metadata.uid != reference.uid:
            claim = await self._live_claim(reference)
        if claim is not None and claim.metadata.uid == reference.uid:
            if claim.spec.volume_name == volume.metadata.name:
                await self._set_phase(volume, "Bound")
            elif claim.spec.volume_name and (volume.metadata.annotations or {}).get(BOUND_BY_CONTROLLER):
                await self._unbind(volume)  # the claim has taken another
            return
        await self._set_phase(volume, "Released")
        provisioned = "pv.kubernetes.io/provisioned-by" in (volume.metadata.annotations or {})
        if volume.spec.persistent_volume_reclaim_policy == "Delete" and not provisioned:
            message = "error getting deleter volume plugin for volume: no deletable volume plugin matched"
            self.events.event(volume, "Warning", "VolumeFailedDelete", message)
            await self._set_phase(volume, "Failed", message)

    async def _live_claim(self, reference: ObjectReference) -> PersistentVolumeClaim | None:
        try:
            return await self._claims.get(reference.name or "", reference.namespace or "")
        except StatusError as error:
            if error.code != 404:
                raise
            return None

    async def _reconcile_claim(self, claim: PersistentVolumeClaim) -> None:
        name = claim.spec.volume_name
        if name:
            volume = self.volumes.get("", name)
            if volume is None:
                if (claim.metadata.annotations or {}).get(BIND_COMPLETED):
                    await self._set_claim(claim, "Lost", None)
                    message = "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
                    self.events.event(claim, "Warning", "ClaimLost", message)
                else:
                    await self._set_claim(claim, "Pending", None)
            elif volume.spec.claim_ref is None or names(volume, claim):
                await self._bind(claim, volume)
            elif (claim.metadata.annotations or {}).get(BIND_COMPLETED):
                await self._set_claim(claim, "Lost", None)
                message = "Bound claim has its PersistentVolume bound to another claim"
                self.events.event(claim, "Warning", "ClaimMisbound", message)
            else:
                await self._set_claim(claim, "Pending", None)
                message = f'volume "{name}" already bound to a different claim.'
                self.events.event(claim, "Warning", "FailedBinding", message)
            return
        if claim.metadata.deletion_timestamp is not None:
            return
        node = self.nodes.get("", (claim.metadata.annotations or {}).get(SELECTED_NODE, ""))
        one = self.classes.get("", claim.spec.storage_class_name or "") if claim.spec.storage_class_name else None
        waits = one is not None and one.volume_binding_mode == "WaitForFirstConsumer" and node is None
        chosen = best_match(claim, self.volumes.list(), node)
        if chosen is not None and (not waits or names(chosen, claim)):
            await self._bind(claim, chosen)
            return
        await self._set_claim(claim, "Pending", None)
        if waits:
            message = "waiting for first consumer to be created before binding"
            self.events.event(claim, "Normal", "WaitForFirstConsumer", message)
        elif one is not None and one.provisioner != NO_PROVISIONER:
            await self._call_provisioner(claim, one)
        elif claim.spec.storage_class_name and one is None:
            message = f'storageclass.storage.k8s.io "{claim.spec.storage_class_name}" not found'
            self.events.event(claim, "Warning", "ProvisioningFailed", message)
        else:
            message = "no persistent volumes available for this claim and no storage class is set"
            self.events.event(claim, "Normal", "FailedBinding", message)

    async def _call_provisioner(self, claim: PersistentVolumeClaim, one: StorageClass) -> None:
        annotations = claim.metadata.annotations or {}
        if annotations.get(PROVISIONER) != one.provisioner:
            added = {PROVISIONER: one.provisioner, BETA_PROVISIONER: one.provisioner}
            changed = codec.copy(claim)
            changed.metadata.annotations = {**annotations, **added}
            await self.claims.caught_up(await self._claims.update(changed))
        message = (
            f"Waiting for a volume to be created either by the external provisioner '{one.provisioner}' or manually "
            "by the system administrator. If volume creation is delayed, please verify that the provisioner is running "
            "and correctly registered."
        )
        self.events.event(claim, "Normal", "ExternalProvisioning", message)

    async def _bind(self, claim: PersistentVolumeClaim, volume: PersistentVolume) -> None:
        reference = volume.spec.claim_ref
        if reference is None or reference.uid != claim.metadata.uid:
            bound = codec.copy(volume)
            bound.spec.claim_ref = ObjectReference(
                api_version="v1",
                kind="PersistentVolumeClaim",
                namespace=claim.metadata.namespace,
                name=claim.metadata.name,
                uid=claim.metadata.uid,
                resource_version=claim.metadata.resource_version,
            )
            if reference is None:
                bound.metadata.annotations = {**(bound.metadata.annotations or {}), BOUND_BY_CONTROLLER: "yes"}
            volume = await self._volumes.update(bound)
            await self.volumes.caught_up(volume)
        await self._set_phase(volume, "Bound")
        annotations = dict(claim.metadata.annotations or {})
        annotations[BIND_COMPLETED] = "yes"
        if not claim.spec.volume_name:
            annotations[BOUND_BY_CONTROLLER] = "yes"
        if claim.spec.volume_name != volume.metadata.name or annotations != claim.metadata.annotations:
            changed = codec.copy(claim)
            changed.spec.volume_name = volume.metadata.name
            changed.metadata.annotations = annotations
            claim = await self._claims.update(changed)
            await self.claims.caught_up(claim)
        await self._set_claim(claim, "Bound", volume)

    async def _unbind(self, volume: PersistentVolume) -> None:
        changed = codec.copy(volume)
        changed.spec.claim_ref = None
        annotations = {k: v for k, v in (volume.metadata.annotations or {}).items() if k != BOUND_BY_CONTROLLER}
        changed.metadata.annotations = annotations or None
        await self.volumes.caught_up(await self._volumes.update(changed))

    async def _set_phase(self, volume: PersistentVolume, phase: str, message: str | None = None) -> None:
        if volume.status.phase == phase:
            return
        changed = codec.copy(volume)
        changed.status.phase, changed.status.message = phase, message
        changed.status.last_phase_transition_time = clock.rfc3339()
        await self.volumes.caught_up(await self._volumes.update_status(changed))

    async def _set_claim(self, claim: PersistentVolumeClaim, phase: str, volume: PersistentVolume | None) -> None:
        status = codec.copy(claim.status)
        status.phase = phase
        if volume is not None:
            status.access_modes = volume.spec.access_modes
            if claim.status.phase != "Bound":
                status.capacity = volume.spec.capacity
            status.current_volume_attributes_class_name = volume.spec.volume_attributes_class_name
        if status == claim.status:
            return
        changed = codec.copy(claim)
        changed.status = status
        await self.claims.caught_up(await self._claims.update_status(changed))
