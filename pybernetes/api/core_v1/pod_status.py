"""Types of v1: pod_status."""

from __future__ import annotations

from typing import Annotated

from pybernetes.api.core_v1.container import ContainerExtendedResourceRequest, ResourceRequirements
from pybernetes.api.core_v1.node import NodeAllocatableResourceClaimStatus
from pybernetes.machinery.types import (
    ATOMIC,
    BY_NAME,
    BY_TYPE,
    Int32,
    Merge,
    Quantity,
    Struct,
    Time,
    empty_list,
    field,
    null,
    zero_bool,
    zero_int,
    zero_str,
)


class ContainerStateRunning(Struct):
    started_at: Time | None = field(default_factory=null)


class ContainerStateTerminated(Struct):
    exit_code: Int32 = field(default_factory=zero_int)
    signal: Int32 | None = None
    reason: str | None = None
    message: str | None = None
    started_at: Time | None = field(default_factory=null)
    finished_at: Time | None = field(default_factory=null)
    container_id: str | None = field(name="containerID", default=None)


class ContainerStateWaiting(Struct):
    reason: str | None = None
    message: str | None = None


class ContainerState(Struct):
    waiting: ContainerStateWaiting | None = None
    running: ContainerStateRunning | None = None
    terminated: ContainerStateTerminated | None = None


class ResourceHealth(Struct):
    resource_id: str = field(name="resourceID", default_factory=zero_str)
    health: str | None = None
    message: str | None = None


class ResourceStatus(Struct):
    name: str = field(default_factory=zero_str)
    resources: Annotated[list[ResourceHealth], Merge(keys=("resourceID",))] | None = None


class LinuxContainerUser(Struct):
    uid: int = field(default_factory=zero_int)
    gid: int = field(default_factory=zero_int)
    supplemental_groups: Annotated[list[int], ATOMIC] | None = None


class ContainerUser(Struct):
    linux: LinuxContainerUser | None = None


class ImageVolumeStatus(Struct):
    image_ref: str = field(default_factory=zero_str)


class VolumeStatus(Struct):
    image: ImageVolumeStatus | None = None


class VolumeMountStatus(Struct):
    name: str = field(default_factory=zero_str)
    mount_path: str = field(default_factory=zero_str)
    read_only: bool | None = None
    recursive_read_only: str | None = None
    volume_status: VolumeStatus | None = None


class ContainerStatus(Struct):
    name: str = field(default_factory=zero_str)
    state: ContainerState = field(default_factory=ContainerState)
    last_state: ContainerState = field(default_factory=ContainerState)
    ready: bool = field(default_factory=zero_bool)
    restart_count: Int32 = field(default_factory=zero_int)
    image: str = field(default_factory=zero_str)
    image_id: str = field(name="imageID", default_factory=zero_str)
    container_id: str | None = field(name="containerID", default=None)
    started: bool | None = None
    allocated_resources: dict[str, Quantity] | None = None
    resources: ResourceRequirements | None = None
    volume_mounts: (
        Annotated[list[VolumeMountStatus], Merge(keys=("mountPath",), patch="merge", merge_key="mountPath")] | None
    ) = None
    user: ContainerUser | None = None
    allocated_resources_status: Annotated[list[ResourceStatus], BY_NAME] | None = None
    stop_signal: str | None = None


class HostIP(Struct):
    ip: str = field(default_factory=zero_str)


class PodCondition(Struct):
    type: str = field(default_factory=zero_str)
    observed_generation: int | None = None
    status: str = field(default_factory=zero_str)
    last_probe_time: Time | None = field(default_factory=null)
    last_transition_time: Time | None = field(default_factory=null)
    reason: str | None = None
    message: str | None = None


class PodExtendedResourceClaimStatus(Struct):
    request_mappings: Annotated[list[ContainerExtendedResourceRequest], ATOMIC] = field(default_factory=empty_list)
    resource_claim_name: str = field(default_factory=zero_str)


class PodIP(Struct):
    ip: str = field(default_factory=zero_str)


class PodResourceClaimStatus(Struct):
    name: str = field(default_factory=zero_str)
    resource_claim_name: str | None = None


class PodStatus(Struct):
    observed_generation: int | None = None
    phase: str | None = None
    conditions: Annotated[list[PodCondition], BY_TYPE] | None = None
    message: str | None = None
    reason: str | None = None
    nominated_node_name: str | None = None
    host_ip: str | None = field(name="hostIP", default=None)
    host_ips: Annotated[list[HostIP], Merge(atomic=True, patch="merge", merge_key="ip")] | None = field(
        name="hostIPs", default=None
    )
    pod_ip: str | None = field(name="podIP", default=None)
    pod_ips: Annotated[list[PodIP], Merge(keys=("ip",), patch="merge", merge_key="ip")] | None = field(
        name="podIPs", default=None
    )
    start_time: Time | None = None
    init_container_statuses: Annotated[list[ContainerStatus], ATOMIC] | None = None
    container_statuses: Annotated[list[ContainerStatus], ATOMIC] | None = None
    qos_class: str | None = None
    ephemeral_container_statuses: Annotated[list[ContainerStatus], ATOMIC] | None = None
    resize: str | None = None
    resource_claim_statuses: (
        Annotated[list[PodResourceClaimStatus], Merge(keys=("name",), patch="merge,retainKeys", merge_key="name")]
        | None
    ) = None
    extended_resource_claim_status: PodExtendedResourceClaimStatus | None = None
    allocated_resources: dict[str, Quantity] | None = None
    resources: ResourceRequirements | None = None
    node_allocatable_resource_claim_statuses: Annotated[list[NodeAllocatableResourceClaimStatus], ATOMIC] | None = None
