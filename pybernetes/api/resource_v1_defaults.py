"""Defaults of dynamic resource allocation: how a request counts devices, which operator a toleration has."""

from __future__ import annotations

from pybernetes.aio import clock
from pybernetes.api.resource_v1 import (
    DeviceToleration,
    ResourceClaim,
    ResourceClaimSpec,
    ResourceClaimTemplate,
    ResourceSlice,
)


def _spec(spec: ResourceClaimSpec) -> None:
    if spec.devices is None:
        return
    for request in spec.devices.requests or ():
        for part in (*([request.exactly] if request.exactly else ()), *(request.first_available or ())):
            if not part.allocation_mode:
                part.allocation_mode = "ExactCount"
            if part.allocation_mode == "ExactCount" and not part.count:
                part.count = 1
            _tolerations(part.tolerations)


def _tolerations(tolerations: list[DeviceToleration] | None) -> None:
    for toleration in tolerations or ():
        if not toleration.operator:
            toleration.operator = "Equal"


def default_resource_claim(claim: ResourceClaim) -> None:
    _spec(claim.spec)
    if claim.status.allocation is not None and claim.status.allocation.devices is not None:
        for result in claim.status.allocation.devices.results or ():
            _tolerations(result.tolerations)


def default_resource_claim_template(template: ResourceClaimTemplate) -> None:
    _spec(template.spec.spec)


def default_resource_slice(resource_slice: ResourceSlice) -> None:
    for device in resource_slice.spec.devices or ():
        for taint in device.taints or ():
            if taint.time_added is None:
                taint.time_added = clock.rfc3339()
