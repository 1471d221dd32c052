"""Ephemeral volumes: the PersistentVolumeClaims that Pods bring along, created for them and owned by them."""

from __future__ import annotations

from pybernetes.api.core_v1 import PersistentVolumeClaim, Pod
from pybernetes.client.controller import Controller, controller_of, controller_reference, key_of, split_key
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.meta import ObjectMeta


class EphemeralVolumeController(Controller):
    """Keys are Pods."""

    name = "ephemeral-volume-controller"
    component = "ephemeral_volume"

    def setup(self) -> None:
        """Pods with ephemeral volumes, and their claims."""
        self.pods = self.informers.informer(Pod)
        self.claims = self.informers.informer(PersistentVolumeClaim)
        self.pods.on(self._pod)
        self.claims.on(deleted=self._claim_deleted)

    def _pod(self, pod: Pod) -> None:
        if any(volume.ephemeral is not None for volume in pod.spec.volumes or ()):
            self.queue.add(key_of(pod))

    def _claim_deleted(self, claim: PersistentVolumeClaim) -> None:
        owner = controller_of(claim)
        if owner is not None and owner.kind == "Pod":
            self.queue.add(f"{claim.metadata.namespace}/{owner.name}")

    async def reconcile(self, key: str) -> None:
        """Create what is missing; refuse a claim of that name that is not the Pod's."""
        pod = self.pods.get(*split_key(key))
        if pod is None or pod.metadata.deletion_timestamp is not None:
            return
        for volume in pod.spec.volumes or ():
            template = volume.ephemeral.volume_claim_template if volume.ephemeral is not None else None
            if template is None:
                continue
            name = f"{pod.metadata.name}-{volume.name}"
            present = self.claims.get(pod.metadata.namespace, name)
            if present is not None:
                owner = controller_of(present)
                if owner is None or owner.uid != pod.metadata.uid:
                    raise RuntimeError(f"PVC {present.metadata.namespace}/{name} was not created for pod {key}")
                continue
            metadata = template.metadata or ObjectMeta()
            claim = PersistentVolumeClaim(
                metadata=ObjectMeta(
                    name=name,
                    namespace=pod.metadata.namespace,
                    labels=metadata.labels,
                    annotations=metadata.annotations,
                    owner_references=[controller_reference(pod)],
                ),
                spec=template.spec,
            )
            try:
                await self.claims.caught_up(await self.client.resource(PersistentVolumeClaim).create(claim))
            except StatusError as error:
                message = f"ephemeral volume controller: create PVC {name}: {error}"
                self.events.event(pod, "Warning", "EphemeralVolumeCreationFailed", message)
                raise
