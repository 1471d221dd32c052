"""Types of v1: node."""

from __future__ import annotations

from typing import Annotated

from pybernetes.machinery.meta import Object, ObjectMeta
from pybernetes.machinery.types import (
    ATOMIC,
    BY_TYPE,
    SET,
    Int32,
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


class AttachedVolume(Struct):
    name: str = field(default_factory=zero_str)
    device_path: str = field(default_factory=zero_str)


class ConfigMapNodeConfigSource(Struct):
    namespace: str = field(default_factory=zero_str)
    name: str = field(default_factory=zero_str)
    uid: str | None = None
    resource_version: str | None = None
    kubelet_config_key: str = field(default_factory=zero_str)


class ContainerImage(Struct):
    names: Annotated[list[str], ATOMIC] | None = field(default_factory=null)
    size_bytes: int | None = None


class DaemonEndpoint(Struct):
    port: Int32 = field(name="Port", default_factory=zero_int)


class NodeConfigSource(Struct):
    config_map: ConfigMapNodeConfigSource | None = None


class Taint(Struct):
    key: str = field(default_factory=zero_str)
    value: str | None = None
    effect: str = field(default_factory=zero_str)
    time_added: Time | None = None


class NodeSpec(Struct):
    pod_cidr: str | None = field(name="podCIDR", default=None)
    pod_cidrs: Annotated[list[str], Merge(set_=True, patch="merge")] | None = field(name="podCIDRs", default=None)
    provider_id: str | None = field(name="providerID", default=None)
    unschedulable: bool | None = None
    taints: Annotated[list[Taint], ATOMIC] | None = None
    config_source: NodeConfigSource | None = None
    external_id: str | None = field(name="externalID", default=None)


class NodeAddress(Struct):
    type: str = field(default_factory=zero_str)
    address: str = field(default_factory=zero_str)


class NodeCondition(Struct):
    type: str = field(default_factory=zero_str)
    status: str = field(default_factory=zero_str)
    last_heartbeat_time: Time | None = field(default_factory=null)
    last_transition_time: Time | None = field(default_factory=null)
    reason: str | None = None
    message: str | None = None


class NodeConfigStatus(Struct):
    assigned: NodeConfigSource | None = None
    active: NodeConfigSource | None = None
    last_known_good: NodeConfigSource | None = None
    error: str | None = None


class NodeDaemonEndpoints(Struct):
    kubelet_endpoint: DaemonEndpoint | None = None


class NodeFeatures(Struct):
    supplemental_groups_policy: bool | None = None


class NodeSwapStatus(Struct):
    capacity: int | None = None


class NodeSystemInfo(Struct):
    machine_id: str = field(name="machineID", default_factory=zero_str)
    system_uuid: str = field(name="systemUUID", default_factory=zero_str)
    boot_id: str = field(name="bootID", default_factory=zero_str)
    kernel_version: str = field(default_factory=zero_str)
    os_image: str = field(default_factory=zero_str)
    container_runtime_version: str = field(default_factory=zero_str)
    kubelet_version: str = field(default_factory=zero_str)
    kube_proxy_version: str = field(default_factory=zero_str)
    operating_system: str = field(default_factory=zero_str)
    architecture: str = field(default_factory=zero_str)
    swap: NodeSwapStatus | None = None


class NodeRuntimeHandlerFeatures(Struct):
    recursive_read_only_mounts: bool | None = None
    user_namespaces: bool | None = None


class NodeRuntimeHandler(Struct):
    name: str = field(default_factory=zero_str)
    features: NodeRuntimeHandlerFeatures | None = None


class NodeStatus(Struct):
    capacity: dict[str, Quantity] | None = None
    allocatable: dict[str, Quantity] | None = None
    phase: str | None = None
    conditions: Annotated[list[NodeCondition], BY_TYPE] | None = None
    addresses: Annotated[list[NodeAddress], BY_TYPE] | None = None
    daemon_endpoints: NodeDaemonEndpoints | None = None
    node_info: NodeSystemInfo | None = None
    images: Annotated[list[ContainerImage], ATOMIC] | None = None
    volumes_in_use: Annotated[list[str], ATOMIC] | None = None
    volumes_attached: Annotated[list[AttachedVolume], ATOMIC] | None = None
    config: NodeConfigStatus | None = None
    runtime_handlers: Annotated[list[NodeRuntimeHandler], ATOMIC] | None = None
    features: NodeFeatures | None = None
    declared_features: Annotated[list[str], ATOMIC] | None = None


class Node(Object):
    api_version: str = field(default_factory=constant("v1"))
    kind: str = field(default_factory=constant("Node"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    spec: NodeSpec = field(default_factory=NodeSpec)
    status: NodeStatus = field(default_factory=NodeStatus)


class NodeAllocatableResourceClaimStatus(Struct):
    resource_claim_name: str = field(default_factory=zero_str)
    containers: Annotated[list[str], SET] | None = None
    resources: dict[str, Quantity] = field(default_factory=empty_dict)
