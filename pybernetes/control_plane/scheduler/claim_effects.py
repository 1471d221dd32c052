"""Carrying out what DynamicResources decided: allocations and reservations are written to the claims.

A finalizer comes first, for an allocated claim must not vanish under its Pod. The claims are watched from the first Pod
that has some; most clusters have none. Devices with binding conditions are got ready by their driver once they are
allocated: the Pod waits for that here, and when it fails the allocation is given up, so that the next attempt may find
another device.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Container, Iterable
from dataclasses import replace
from typing import Any

from pybernetes.aio import clock
from pybernetes.api.core_v1 import Pod
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
from pybernetes.control_plane.scheduler.claims import (
    ELSEWHERE,
    ClaimWork,
    NotReady,
    awaited,
    claim_name,
    is_reserved_for,
)
from pybernetes.control_plane.scheduler.extended_resources import Extended, made_for
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

    def device_classes(self) -> Iterable[DeviceClass]:
        return self._classes.list()


class ClaimEffects:
    """Writes for claims; `claims` must be synced."""

    def __init__(self, client: Client, claims: Informer[ResourceClaim]) -> None:
        self._resource = client.resource(ResourceClaim)
        self._pods = client.resource(Pod)
        self._claims = claims
        self._waiting: set[asyncio.Future[None]] = set()
        claims.on(updated=self._changed, deleted=lambda claim: self._changed(claim, claim))

    def _changed(self, old: ResourceClaim, new: ResourceClaim) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_result(None)

    async def carry_out(self, work: ClaimWork, pod: PodFacts) -> ClaimWork:
        """Until all claims are reserved for the Pod; the work with the claim for extended resources as it was made.

        Raises ClaimsNotReserved, StatusError or Unavailable.
        """
        claims: list[tuple[ResourceClaim, AllocationResult | None]] = []
        for claim, allocation in work.claims:
            allocation = _dated(allocation) if allocation is not None else None
            if work.extended is not None and claim is work.extended.claim:
                claim = await self._make(work.extended)
                await self._claims.caught_up(await self._reserve(claim, allocation, pod))
                await self._note(work.extended, claim, pod)
            else:
                await self._claims.caught_up(await self._reserve(claim, allocation, pod))
            claims.append((claim, allocation))
        return replace(work, claims=tuple(claims))

    async def undo(self, work: ClaimWork, pod: PodFacts) -> None:
        """The Pod is not bound after all: its claim for extended resources goes, another node may need another one."""
        if work.extended is not None:
            await self.remove_extended(pod)

    async def remove_extended(self, pod: PodFacts) -> None:
        """Delete the claim for extended resources that was made for the Pod."""
        claim = made_for(pod.pod, self._claims.list())
        if claim is None:
            return
        changed = codec.copy(claim)
        changed.metadata.finalizers = [f for f in changed.metadata.finalizers or () if f != FINALIZER] or None
        if changed.metadata.finalizers != claim.metadata.finalizers:
            await self._resource.update(changed)
        await self._resource.delete(claim.metadata.name, claim.metadata.namespace, uid=claim.metadata.uid)
        await self._claims.terminating(claim)

    async def _make(self, extended: Extended) -> ResourceClaim:
        made: ResourceClaim = codec.copy(extended.claim)
        made.metadata.name = made.metadata.uid = ""
        created = await self._resource.create(made)
        await self._claims.caught_up(created)
        return created

    async def _note(self, extended: Extended, claim: ResourceClaim, pod: PodFacts) -> None:
        """Tell the node in the Pod's status which container gets which devices."""
        mappings = [codec.to_dict(mapping) for mapping in extended.mappings]
        status = {"resourceClaimName": claim.metadata.name, "requestMappings": mappings}
        body = {"metadata": {"uid": pod.uid}, "status": {"extendedResourceClaimStatus": status}}
        await self._pods.patch(pod.name, pod.namespace, body, type="strategic", subresource="status")

    async def ready(self, work: ClaimWork, pod: PodFacts, waiting: Callable[[], None]) -> None:
        """Until the devices fulfil their binding conditions; tells `waiting` if they do not yet. Raises
        ClaimsNotReserved.
        """
        try:
            async with asyncio.timeout(self._left(work)):
                told = False
                while sum(map(awaited, self._current(work))):  # all are asked: a later one may have failed
                    if not told:
                        waiting()
                        told = True
                    change = asyncio.get_running_loop().create_future()
                    self._waiting.add(change)
                    try:
                        await change
                    finally:
                        self._waiting.discard(change)
        except (NotReady, TimeoutError) as error:
            for claim in self._current(work):
                await self._free(claim, pod)
            raise ClaimsNotReserved(str(error) or "device binding timeout") from None

    def _left(self, work: ClaimWork) -> float:
        """Seconds for the drivers: their time runs since the allocation of what is not ready, whoever has waited since.
        Raises NotReady.
        """
        allocations = [claim.status.allocation for claim in self._current(work) if awaited(claim)]
        dates = [a.allocation_timestamp for a in allocations if a is not None and a.allocation_timestamp]
        since = min(map(clock.parse_rfc3339, dates), default=clock.timestamp())
        return max(0.0, since + work.timeout - clock.timestamp())

    def _current(self, work: ClaimWork) -> list[ResourceClaim]:
        """The claims as they are known. Raises ClaimsNotReserved when one has lost what it had."""
        found = []
        for claim, _ in work.claims:
            current = self._claims.get(claim.metadata.namespace, claim.metadata.name)
            if current is None or current.metadata.uid != claim.metadata.uid or current.status.allocation is None:
                raise ClaimsNotReserved(f'claim "{claim.metadata.name}" is not allocated any more')
            found.append(current)
        return found

    async def _free(self, claim: ResourceClaim, pod: PodFacts) -> None:
        """Take a claim's allocation, if nobody else uses it."""
        if any(user.uid != pod.uid for user in claim.status.reserved_for or ()):
            return
        changed = codec.copy(claim)
        changed.status.allocation = changed.status.reserved_for = changed.status.devices = None
        await self._claims.caught_up(await self._resource.update_status(changed))

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

    def superfluous(self, pod: PodFacts, reasons: Container[str]) -> ResourceClaim | None:
        """A claim of the Pod whose allocation ties it to other nodes and that nobody else uses, if it was refused for
        that.
        """
        if ELSEWHERE not in reasons:
            return None
        for entry in pod.pod.spec.resource_claims or ():
            name, _, _ = claim_name(pod.pod, entry)
            claim = self._claims.get(pod.namespace, name) if name else None
            if claim is None or claim.status.allocation is None or claim.status.allocation.node_selector is None:
                continue
            if all(user.uid == pod.uid for user in claim.status.reserved_for or ()):
                return claim
        return None

    async def give_up(self, claim: ResourceClaim, pod: PodFacts) -> None:
        """Take the allocation from such a claim, so that it may be had elsewhere."""
        await self._free(claim, pod)


def _dated(allocation: AllocationResult) -> AllocationResult:
    """With what is decided at the time of writing: names of shares, and since when a driver has had to act."""
    allocation = codec.copy(allocation)
    for result in (allocation.devices.results if allocation.devices is not None else None) or ():
        if result.share_id is not None:
            result.share_id = str(uuid.UUID(bytes=clock.rng.randbytes(16), version=4))
        if result.binding_conditions:
            allocation.allocation_timestamp = clock.rfc3339()
    return allocation
