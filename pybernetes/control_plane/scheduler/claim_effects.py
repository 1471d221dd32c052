"""Carrying out what DynamicResources decided: allocations and reservations are written to the claims.

A finalizer comes first, for an allocated claim must not vanish under its Pod. The claims are watched from the first Pod
that has some; most clusters have none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from pybernetes.api.resource_v1 import (
    AllocationResult,
    DeviceClass,
    ResourceClaim,
    ResourceClaimConsumerReference,
    ResourceSlice,
)
from pybernetes.client.client import Client
from pybernetes.client.factory import InformerFactory
from pybernetes.client.informer import Informer
from pybernetes.control_plane.scheduler.claims import ClaimWork, claim_name, is_reserved_for
from pybernetes.control_plane.scheduler.facts import PodFacts
from pybernetes.control_plane.scheduler.watched import WatchedObjects
from pybernetes.machinery import codec
from pybernetes.machinery.errors import StatusError

FINALIZER = "resource.kubernetes.io/delete-protection"
_ATTEMPTS = 5


class ClaimsNotReserved(Exception):
    """The devices of a Pod could not be had; the text tells why."""


class ClaimInformers(WatchedObjects):
    """Implements `devices.Objects`; `event(name, old, new)` hears what may help waiting Pods."""

    def __init__(self, informers: InformerFactory, event: Callable[[str, Any, Any], None]) -> None:
        super().__init__(informers, event)
        self.all_claims = self._watch(ResourceClaim)
        self._slices = self._watch(ResourceSlice)
        self._classes = self._watch(DeviceClass)

    def claim(self, namespace: str, name: str) -> ResourceClaim | None:
        return self.all_claims.get(namespace, name)

    def claims(self) -> Iterable[ResourceClaim]:
        return self.all_claims.list()

    def slices(self) -> Iterable[ResourceSlice]:
        return self._slices.list()

    def device_class(self, name: str) -> DeviceClass | None:
        return self._classes.get("", name)


class ClaimEffects:
    """Writes for claims; `claims` must be synced."""

    def __init__(self, client: Client, claims: Informer[ResourceClaim]) -> None:
        self._resource = client.resource(ResourceClaim)
        self._claims = claims

    async def carry_out(self, work: ClaimWork, pod: PodFacts) -> None:
        """Until all claims are reserved for the Pod. Raises ClaimsNotReserved, StatusError or Unavailable."""
        for claim, allocation in work.claims:
            await self._claims.caught_up(await self._reserve(claim, allocation, pod))

    async def _reserve(self, claim: ResourceClaim, allocation: AllocationResult | None, pod: PodFacts) -> ResourceClaim:
        current = claim
        for _ in range(_ATTEMPTS):
            if current.metadata.uid != claim.metadata.uid or current.metadata.deletion_timestamp is not None:
                raise ClaimsNotReserved(f'claim "{claim.metadata.name}" got deleted in the meantime')
            if allocation is None and current.status.allocation is None:
                raise ClaimsNotReserved(f'claim "{claim.metadata.name}" is not allocated any more')
            if allocation is not None and current.status.allocation not in (None, allocation):
                raise ClaimsNotReserved(f'claim "{claim.metadata.name}" got allocated elsewhere in the meantime')
            if is_reserved_for(current, pod.uid) and current.status.allocation is not None:
                return current
            try:
                return await self._write(current, allocation, pod)
            except StatusError as error:
                if error.code != 409:
                    raise
                current = await self._resource.get(claim.metadata.name, claim.metadata.namespace)
        raise ClaimsNotReserved(f'claim "{claim.metadata.name}" keeps changing')

    async def _write(self, claim: ResourceClaim, allocation: AllocationResult | None, pod: PodFacts) -> ResourceClaim:
        changed = codec.copy(claim)
        if FINALIZER not in (changed.metadata.finalizers or ()):
            changed.metadata.finalizers = [*(changed.metadata.finalizers or ()), FINALIZER]
            changed = codec.copy(await self._resource.update(changed))
        if allocation is not None:
            changed.status.allocation = allocation
        user = ResourceClaimConsumerReference(resource="pods", name=pod.name, uid=pod.uid)
        changed.status.reserved_for = [*(changed.status.reserved_for or ()), user]
        return await self._resource.update_status(changed)

    async def give_up(self, pod: PodFacts) -> None:
        """Take the allocation from one claim of the Pod that nobody else uses, so that it may be had elsewhere."""
        for entry in pod.pod.spec.resource_claims or ():
            name, _, _ = claim_name(pod.pod, entry)
            claim = self._claims.get(pod.namespace, name) if name else None
            if claim is None or claim.status.allocation is None or claim.status.allocation.node_selector is None:
                continue
            if all(user.uid == pod.uid for user in claim.status.reserved_for or ()):
                changed = codec.copy(claim)
                changed.status.allocation = changed.status.reserved_for = None
                await self._resource.update_status(changed)
                return
