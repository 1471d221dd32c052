"""Extended resources that devices stand for (KEP-5004): a Pod asks for `example.com/gpu: 2` as ever, and where no node
agent counts such things a claim for devices of the class of that name is made for it. Pure.

A Pod gets one claim for all its resources of that kind, made when its node is known, for what a node offers by itself
needs no devices. Containers that run together have requests of their own; what an init container needs it takes from
the requests of those that start after it has ended, and only what is missing then is asked for beside them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pybernetes.api.core_v1 import Container, Pod
from pybernetes.api.core_v1.container import ContainerExtendedResourceRequest
from pybernetes.api.core_v1.resource_validation import is_extended
from pybernetes.api.resource_v1 import (
    DeviceClaim,
    DeviceClass,
    DeviceRequest,
    ExactDeviceRequest,
    ResourceClaim,
    ResourceClaimSpec,
)
from pybernetes.machinery import quantity
from pybernetes.machinery.meta import ObjectMeta, OwnerReference

ANNOTATION = "resource.kubernetes.io/extended-resource-claim"
#: Before the name of a class: the resource that stands for its devices without having a name of its own.
PREFIX = "deviceclass.resource.kubernetes.io/"
#: Why a Pod goes nowhere while a claim is left from an attempt that was interrupted.
LEFT_OVER = "cannot schedule extended resource claim"
#: Of a claim that is not made yet; no name that one could have.
UNNAMED = "<extended-resources>"


@dataclass(frozen=True, slots=True)
class Extended:
    """A Pod's claim for extended resources, not made yet, and which container's resource each request is for."""

    claim: ResourceClaim
    mappings: tuple[ContainerExtendedResourceRequest, ...]


def may_be_devices(name: str) -> bool:
    """Whether a resource of that name may be had as devices."""
    return "/" in name and (is_extended(name) or name.startswith(PREFIX))


def by_resource(classes: Iterable[DeviceClass]) -> dict[str, DeviceClass]:
    """The class for each resource. Of several of one name the newest counts, then the first by its own name."""
    found: dict[str, DeviceClass] = {}
    for one in sorted(classes, key=lambda c: c.metadata.name, reverse=True):
        found[PREFIX + one.metadata.name] = one
        name = one.spec.extended_resource_name
        if name and (name not in found or _born(one) >= _born(found[name])):
            found[name] = one
    return found


def _born(one: DeviceClass) -> str:
    return one.metadata.creation_timestamp or ""


def claim_for(pod: Pod, classes: Mapping[str, DeviceClass]) -> Extended:
    """The claim of a Pod for the resources that are to be had as devices of these classes."""
    requests, mappings = _requests(pod, classes)
    owner = OwnerReference(api_version="v1", kind="Pod", name=pod.metadata.name, uid=pod.metadata.uid, controller=True)
    metadata = ObjectMeta(
        name=UNNAMED,
        generate_name=f"{pod.metadata.name}-extended-resources-",
        namespace=pod.metadata.namespace,
        uid=f"{pod.metadata.uid}/extended",
        annotations={ANNOTATION: "true"},
        owner_references=[owner],
    )
    spec = ResourceClaimSpec(devices=DeviceClaim(requests=requests))
    return Extended(ResourceClaim(metadata=metadata, spec=spec), tuple(mappings))


def made_for(pod: Pod, claims: Iterable[ResourceClaim]) -> ResourceClaim | None:
    """The claim that was made for a Pod's extended resources."""
    for claim in claims:
        if (claim.metadata.annotations or {}).get(ANNOTATION) != "true":
            continue
        if any(o.controller and o.uid == pod.metadata.uid for o in claim.metadata.owner_references or ()):
            return claim
    return None


def _requests(
    pod: Pod, classes: Mapping[str, DeviceClass]
) -> tuple[list[DeviceRequest], list[ContainerExtendedResourceRequest]]:
    inits = pod.spec.init_containers or []
    containers = [*inits, *pod.spec.containers]
    lasting = [i >= len(inits) or c.restart_policy == "Always" for i, c in enumerate(containers)]
    requests: list[DeviceRequest] = []
    mappings: list[ContainerExtendedResourceRequest] = []
    for resource in sorted(classes):
        name = classes[resource].metadata.name
        own: list[DeviceRequest | None] = []
        for i, container in enumerate(containers):
            request, used = _request(i, container, resource, name, ()) if lasting[i] else (None, [])
            own.append(request)
            mappings += used
        brief: list[DeviceRequest] = []
        of_brief: list[ContainerExtendedResourceRequest] = []
        for i, container in enumerate(containers):
            if not lasting[i]:
                request, used = _request(i, container, resource, name, own[i:])
                brief += [request] if request is not None else []
                of_brief += used
        if brief:  # they run one after the other: the largest does for all
            largest = max(brief, key=_count)
            names = {request.name for request in brief}
            for mapping in of_brief:
                if mapping.request_name in names:
                    mapping.request_name = largest.name
            requests.append(largest)
        requests += [request for request in own if request is not None]
        mappings += of_brief
    return sorted(requests, key=lambda request: request.name), mappings


def _request(
    number: int, container: Container, resource: str, class_name: str, others: Sequence[DeviceRequest | None]
) -> tuple[DeviceRequest | None, list[ContainerExtendedResourceRequest]]:
    """What a container asks for beside what it may use of `others`, and all that it uses."""
    wanted = (container.resources.requests if container.resources else None) or {}
    left = quantity.value(wanted[resource]) if resource in wanted else 0
    used: list[ContainerExtendedResourceRequest] = []

    def uses(request: str) -> None:
        used.append(
            ContainerExtendedResourceRequest(
                container_name=container.name, resource_name=resource, request_name=request
            )
        )

    for other in others:
        if left > 0 and other is not None:
            uses(other.name)
            left -= _count(other)
    if left <= 0:
        return None, used
    name = f"container-{number}-request-{sorted(wanted).index(resource)}"
    uses(name)
    exactly = ExactDeviceRequest(device_class_name=class_name, allocation_mode="ExactCount", count=left)
    return DeviceRequest(name=name, exactly=exactly), used


def _count(request: DeviceRequest) -> int:
    return (request.exactly.count if request.exactly else None) or 0
