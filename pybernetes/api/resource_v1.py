"""Types of resource/v1: resource_v1."""

from __future__ import annotations

from typing import Annotated, Any

from pybernetes.api.core_v1.references import NodeSelector
from pybernetes.machinery.meta import Condition, Object, ObjectMeta
from pybernetes.machinery.types import (
    ATOMIC,
    BY_UID,
    Merge,
    Quantity,
    Struct,
    Time,
    constant,
    empty_dict,
    field,
    null,
    zero_int,
    zero_str,
)


class NetworkDeviceData(Struct):
    interface_name: str | None = None
    ips: Annotated[list[str], ATOMIC] | None = None
    hardware_address: str | None = None


class AllocatedDeviceStatus(Struct):
    driver: str = field(default_factory=zero_str)
    pool: str = field(default_factory=zero_str)
    device: str = field(default_factory=zero_str)
    share_id: str | None = field(name="shareID", default=None)
    conditions: Annotated[list[Condition], Merge(keys=("type",))] | None = field(default_factory=null)
    data: dict[str, Any] | None = None
    network_data: NetworkDeviceData | None = None


class OpaqueDeviceConfiguration(Struct):
    driver: str = field(default_factory=zero_str)
    parameters: dict[str, Any] | None = field(default_factory=null)


class DeviceAllocationConfiguration(Struct):
    source: str = field(default_factory=zero_str)
    requests: Annotated[list[str], ATOMIC] | None = None
    opaque: OpaqueDeviceConfiguration | None = None


class DeviceToleration(Struct):
    key: str | None = None
    operator: str | None = None
    value: str | None = None
    effect: str | None = None
    toleration_seconds: int | None = None


class DeviceRequestAllocationResult(Struct):
    request: str = field(default_factory=zero_str)
    driver: str = field(default_factory=zero_str)
    pool: str = field(default_factory=zero_str)
    device: str = field(default_factory=zero_str)
    admin_access: bool | None = None
    tolerations: Annotated[list[DeviceToleration], ATOMIC] | None = None
    binding_conditions: Annotated[list[str], ATOMIC] | None = None
    binding_failure_conditions: Annotated[list[str], ATOMIC] | None = None
    share_id: str | None = field(name="shareID", default=None)
    consumed_capacity: dict[str, Quantity] | None = None


class DeviceAllocationResult(Struct):
    results: Annotated[list[DeviceRequestAllocationResult], ATOMIC] | None = None
    config: Annotated[list[DeviceAllocationConfiguration], ATOMIC] | None = None


class AllocationResult(Struct):
    devices: DeviceAllocationResult = field(default_factory=DeviceAllocationResult)
    node_selector: NodeSelector | None = None
    allocation_timestamp: Time | None = None


class CELDeviceSelector(Struct):
    expression: str = field(default_factory=zero_str)


class CapacityRequestPolicyRange(Struct):
    min: Quantity | None = None
    max: Quantity | None = None
    step: Quantity | None = None


class CapacityRequestPolicy(Struct):
    default: Quantity | None = field(default_factory=null)
    valid_values: Annotated[list[Quantity], ATOMIC] | None = None
    valid_range: CapacityRequestPolicyRange | None = None


class CapacityRequirements(Struct):
    requests: dict[str, Quantity] | None = None


class Counter(Struct):
    value: Quantity | None = None


class CounterSet(Struct):
    name: str = field(default_factory=zero_str)
    counters: dict[str, Counter] = field(default_factory=empty_dict)


class DeviceAttribute(Struct):
    int_: int | None = field(name="int", default=None)
    bool_: bool | None = field(name="bool", default=None)
    string: str | None = None
    version: str | None = None
    ints: Annotated[list[int], ATOMIC] | None = None
    bools: Annotated[list[bool], ATOMIC] | None = None
    strings: Annotated[list[str], ATOMIC] | None = None
    versions: Annotated[list[str], ATOMIC] | None = None


class DeviceCapacity(Struct):
    value: Quantity | None = None
    request_policy: CapacityRequestPolicy | None = None


class DeviceCounterConsumption(Struct):
    counter_set: str = field(default_factory=zero_str)
    counters: dict[str, Counter] = field(default_factory=empty_dict)


class NodeAllocatableResourceMapping(Struct):
    capacity_key: str | None = None
    allocation_multiplier: Quantity | None = None


class DeviceTaint(Struct):
    key: str = field(default_factory=zero_str)
    value: str | None = None
    effect: str = field(default_factory=zero_str)
    time_added: Time | None = None


class Device(Struct):
    name: str = field(default_factory=zero_str)
    attributes: dict[str, DeviceAttribute] | None = None
    capacity: dict[str, DeviceCapacity] | None = None
    consumes_counters: Annotated[list[DeviceCounterConsumption], ATOMIC] | None = None
    node_name: str | None = None
    node_selector: NodeSelector | None = None
    all_nodes: bool | None = None
    taints: Annotated[list[DeviceTaint], ATOMIC] | None = None
    binds_to_node: bool | None = None
    binding_conditions: Annotated[list[str], ATOMIC] | None = None
    binding_failure_conditions: Annotated[list[str], ATOMIC] | None = None
    allow_multiple_allocations: bool | None = None
    node_allocatable_resource_mappings: dict[str, NodeAllocatableResourceMapping] | None = None


class DeviceClaimConfiguration(Struct):
    requests: Annotated[list[str], ATOMIC] | None = None
    opaque: OpaqueDeviceConfiguration | None = None


class DeviceConstraint(Struct):
    requests: Annotated[list[str], ATOMIC] | None = None
    match_attribute: str | None = None
    distinct_attribute: str | None = None


class DeviceSelector(Struct):
    cel: CELDeviceSelector | None = None


class ExactDeviceRequest(Struct):
    device_class_name: str = field(default_factory=zero_str)
    selectors: Annotated[list[DeviceSelector], ATOMIC] | None = None
    allocation_mode: str | None = None
    count: int | None = None
    admin_access: bool | None = None
    tolerations: Annotated[list[DeviceToleration], ATOMIC] | None = None
    capacity: CapacityRequirements | None = None


class DeviceSubRequest(Struct):
    name: str = field(default_factory=zero_str)
    device_class_name: str = field(default_factory=zero_str)
    selectors: Annotated[list[DeviceSelector], ATOMIC] | None = None
    allocation_mode: str | None = None
    count: int | None = None
    tolerations: Annotated[list[DeviceToleration], ATOMIC] | None = None
    capacity: CapacityRequirements | None = None


class DeviceRequest(Struct):
    name: str = field(default_factory=zero_str)
    exactly: ExactDeviceRequest | None = None
    first_available: Annotated[list[DeviceSubRequest], ATOMIC] | None = None


class DeviceClaim(Struct):
    requests: Annotated[list[DeviceRequest], ATOMIC] | None = field(default_factory=null)
    constraints: Annotated[list[DeviceConstraint], ATOMIC] | None = None
    config: Annotated[list[DeviceClaimConfiguration], ATOMIC] | None = None


class DeviceClassConfiguration(Struct):
    opaque: OpaqueDeviceConfiguration | None = None


class DeviceClassSpec(Struct):
    selectors: Annotated[list[DeviceSelector], ATOMIC] | None = None
    config: Annotated[list[DeviceClassConfiguration], ATOMIC] | None = None
    extended_resource_name: str | None = None


class DeviceClass(Object):
    api_version: str = field(default_factory=constant("resource.k8s.io/v1"))
    kind: str = field(default_factory=constant("DeviceClass"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    spec: DeviceClassSpec = field(default_factory=DeviceClassSpec)


class ResourceClaimSpec(Struct):
    devices: DeviceClaim = field(default_factory=DeviceClaim)


class ResourceClaimConsumerReference(Struct):
    api_group: str | None = None
    resource: str = field(default_factory=zero_str)
    name: str = field(default_factory=zero_str)
    uid: str = field(default_factory=zero_str)


class ResourceClaimStatus(Struct):
    allocation: AllocationResult | None = None
    reserved_for: Annotated[list[ResourceClaimConsumerReference], BY_UID] | None = None
    devices: Annotated[list[AllocatedDeviceStatus], Merge(keys=("driver", "device", "pool", "shareID"))] | None = None


class ResourceClaim(Object):
    api_version: str = field(default_factory=constant("resource.k8s.io/v1"))
    kind: str = field(default_factory=constant("ResourceClaim"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    spec: ResourceClaimSpec = field(default_factory=ResourceClaimSpec)
    status: ResourceClaimStatus = field(default_factory=ResourceClaimStatus)


class ResourceClaimTemplateSpec(Struct):
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    spec: ResourceClaimSpec = field(default_factory=ResourceClaimSpec)


class ResourceClaimTemplate(Object):
    api_version: str = field(default_factory=constant("resource.k8s.io/v1"))
    kind: str = field(default_factory=constant("ResourceClaimTemplate"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    spec: ResourceClaimTemplateSpec = field(default_factory=ResourceClaimTemplateSpec)


class ResourcePool(Struct):
    name: str = field(default_factory=zero_str)
    generation: int = field(default_factory=zero_int)
    resource_slice_count: int = field(default_factory=zero_int)


class ResourceSliceSpec(Struct):
    driver: str = field(default_factory=zero_str)
    pool: ResourcePool = field(default_factory=ResourcePool)
    node_name: str | None = None
    node_selector: NodeSelector | None = None
    all_nodes: bool | None = None
    devices: Annotated[list[Device], ATOMIC] | None = None
    per_device_node_selection: bool | None = None
    shared_counters: Annotated[list[CounterSet], ATOMIC] | None = None


class ResourceSlice(Object):
    api_version: str = field(default_factory=constant("resource.k8s.io/v1"))
    kind: str = field(default_factory=constant("ResourceSlice"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    spec: ResourceSliceSpec = field(default_factory=ResourceSliceSpec)
