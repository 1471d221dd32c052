"""Claims for devices, as the plugin that allocates them and the writer of its decisions both know them. No numpy here:
most schedulers never see a claim.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from pybernetes.api.core_v1 import Pod, PodResourceClaim
from pybernetes.api.resource_v1 import AllocationResult, DeviceClass, ResourceClaim, ResourceSlice
from pybernetes.control_plane.scheduler.extended_resources import Extended

#: Why a Pod cannot go where its claims are not allocated.
ELSEWHERE = "resourceclaim not available on the node"


class Objects(Protocol):
    """Where the objects come from: informers, or a test."""

    def claim(self, namespace: str, name: str) -> ResourceClaim | None: ...
    def claims(self) -> Iterable[ResourceClaim]: ...
    def slices(self) -> Iterable[ResourceSlice]: ...
    def device_class(self, name: str) -> DeviceClass | None: ...
    def device_classes(self) -> Iterable[DeviceClass]: ...


@dataclass(frozen=True, slots=True)
class ClaimWork:
    """What must be written before the Pod is bound: each claim with its new allocation, None when it has one."""

    claims: tuple[tuple[ResourceClaim, AllocationResult | None], ...]
    #: Seconds that drivers may take to get the devices ready.
    timeout: float = 600.0
    #: The claim for extended resources, which is among `claims` and must be made first.
    extended: Extended | None = None


class NotReady(Exception):
    """A device will not be usable; the text tells why."""


def awaited(claim: ResourceClaim) -> bool:
    """Whether a device allocated to the claim is not ready yet for Pods to be bound. Raises NotReady."""
    allocation = claim.status.allocation
    results = (allocation.devices.results if allocation is not None and allocation.devices is not None else None) or ()
    waits = False
    for result in results:
        if not result.binding_conditions:
            continue
        known = {
            condition.type: condition
            for device in claim.status.devices or ()
            if (device.driver, device.pool, device.device, device.share_id)
            == (result.driver, result.pool, result.device, result.share_id)
            for condition in device.conditions or ()
            if condition.status == "True"
        }
        for type_ in result.binding_failure_conditions or ():
            if (failed := known.get(type_)) is not None:
                text = f'reason={failed.reason}, message="{failed.message}"'
                raise NotReady(f"claim {claim.metadata.name} binding failed: {text}")
        waits = waits or not all(type_ in known for type_ in result.binding_conditions)
    return waits


def claim_name(pod: Pod, entry: PodResourceClaim) -> tuple[str, bool, bool]:
    """(name of the claim that stands for an entry of a Pod, whether it is known, whether it must be the Pod's own).
    Known and "": there need not be one."""
    if entry.resource_claim_name is not None:
        return entry.resource_claim_name, True, False
    for status in pod.status.resource_claim_statuses or ():
        if status.name == entry.name:
            return status.resource_claim_name or "", True, True
    return "", False, True


def is_reserved_for(claim: ResourceClaim, uid: str) -> bool:
    return any(reference.uid == uid for reference in claim.status.reserved_for or ())
