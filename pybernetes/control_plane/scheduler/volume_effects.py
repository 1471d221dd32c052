"""Carrying out what VolumeBinding decided: write volumes and claims, and wait until they are bound.

The volume controller (or an external provisioner) completes what is written here. A provisioner that cannot make the
volume for the chosen node takes the annotation off the claim; then the Pod is scheduled anew.
"""

from __future__ import annotations

from pybernetes.api.core_v1 import PersistentVolume, PersistentVolumeClaim
from pybernetes.client.client import Client
from pybernetes.client.informer import Informer
from pybernetes.control_plane.scheduler.storage import (
    BOUND_BY_CONTROLLER,
    SELECTED_NODE,
    VolumeWork,
    fully_bound,
)


class VolumesNotBound(Exception):
    """The volumes of a Pod could not be bound; the text tells why."""


class VolumeEffects:
    """Writes for volumes; `claims` must be synced."""

    def __init__(self, client: Client, claims: Informer[PersistentVolumeClaim], timeout: float) -> None:
        self._volumes = client.resource(PersistentVolume)
        self._client_claims = client.resource(PersistentVolumeClaim)
        self._claims = claims
        self._timeout = timeout

    async def carry_out(self, work: VolumeWork, node: str) -> None:
        """Until all claims are bound. Raises VolumesNotBound, StatusError or Unavailable."""
        for volume, claim in work.bind:
            reference = volume.spec.claim_ref
            if reference is not None and reference.uid == claim.metadata.uid:
                continue
            body = {
                "metadata": {
                    "resourceVersion": volume.metadata.resource_version,
                    "annotations": {BOUND_BY_CONTROLLER: "yes"},
                },
                "spec": {
                    "claimRef": {
                        "apiVersion": "v1",
                        "kind": "PersistentVolumeClaim",
                        "namespace": claim.metadata.namespace,
                        "name": claim.metadata.name,
                        "uid": claim.metadata.uid,
                        "resourceVersion": claim.metadata.resource_version,
                    }
                },
            }
            await self._volumes.patch(volume.metadata.name, "", body)
        written: list[PersistentVolumeClaim] = []
        for claim in work.provision:
            if (claim.metadata.annotations or {}).get(SELECTED_NODE) == node:
                continue
            changes = {"metadata": {"uid": claim.metadata.uid, "annotations": {SELECTED_NODE: node}}}
            metadata = claim.metadata
            written.append(await self._client_claims.patch(metadata.name, metadata.namespace, changes))
        for one in written:
            await self._claims.caught_up(one)
        waiting = [*(claim for _, claim in work.bind), *work.provision]
        rejected = {c.metadata.uid for c in work.provision}
        if not await self._claims.until(lambda: self._settled(waiting, rejected, node), self._timeout):
            raise VolumesNotBound("binding volumes: context deadline exceeded")
        for claim in waiting:
            current = self._claims.get(claim.metadata.namespace, claim.metadata.name)
            if current is None or current.metadata.uid != claim.metadata.uid:
                raise VolumesNotBound(f'binding volumes: persistentvolumeclaim "{claim.metadata.name}" not found')
            if not fully_bound(current):
                raise VolumesNotBound(f'binding volumes: provisioning failed for PVC "{claim.metadata.name}"')

    def _settled(self, waiting: list[PersistentVolumeClaim], provisioned: set[str], node: str) -> bool:
        """All are bound, or one will never be."""
        bound = True
        for claim in waiting:
            current = self._claims.get(claim.metadata.namespace, claim.metadata.name)
            if current is None or current.metadata.uid != claim.metadata.uid:
                return True
            if fully_bound(current):
                continue
            selected = (current.metadata.annotations or {}).get(SELECTED_NODE)
            if claim.metadata.uid in provisioned and selected != node:
                return True
            bound = False
        return bound
