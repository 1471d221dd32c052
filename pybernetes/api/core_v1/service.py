"""Types of v1: service."""

from __future__ import annotations

from typing import Annotated

from pybernetes.api.core_v1.references import ObjectReference
from pybernetes.machinery.meta import Condition, Object, ObjectMeta
from pybernetes.machinery.types import (
    ATOMIC,
    BY_TYPE,
    Int32,
    IntOrString,
    Merge,
    Struct,
    constant,
    field,
    zero_int,
    zero_str,
)


class ClientIPConfig(Struct):
    timeout_seconds: Int32 | None = None


class EndpointAddress(Struct):
    ip: str = field(default_factory=zero_str)
    hostname: str | None = None
    node_name: str | None = None
    target_ref: ObjectReference | None = None


class EndpointPort(Struct):
    name: str | None = None
    port: Int32 = field(default_factory=zero_int)
    protocol: str | None = None
    app_protocol: str | None = None


class EndpointSubset(Struct):
    addresses: Annotated[list[EndpointAddress], ATOMIC] | None = None
    not_ready_addresses: Annotated[list[EndpointAddress], ATOMIC] | None = None
    ports: Annotated[list[EndpointPort], ATOMIC] | None = None


class Endpoints(Object):
    api_version: str = field(default_factory=constant("v1"))
    kind: str = field(default_factory=constant("Endpoints"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    subsets: Annotated[list[EndpointSubset], ATOMIC] | None = None


class PortStatus(Struct):
    port: Int32 = field(default_factory=zero_int)
    protocol: str = field(default_factory=zero_str)
    error: str | None = None


class LoadBalancerIngress(Struct):
    ip: str | None = None
    hostname: str | None = None
    ip_mode: str | None = None
    ports: Annotated[list[PortStatus], ATOMIC] | None = None


class LoadBalancerStatus(Struct):
    ingress: Annotated[list[LoadBalancerIngress], ATOMIC] | None = None


class ServicePort(Struct):
    name: str | None = None
    protocol: str | None = None
    app_protocol: str | None = None
    port: Int32 = field(default_factory=zero_int)
    target_port: IntOrString | None = None
    node_port: Int32 | None = None


class SessionAffinityConfig(Struct):
    client_ip: ClientIPConfig | None = field(name="clientIP", default=None)


class ServiceSpec(Struct):
    ports: Annotated[list[ServicePort], Merge(keys=("port", "protocol"), patch="merge", merge_key="port")] | None = None
    selector: Annotated[dict[str, str], ATOMIC] | None = None
    cluster_ip: str | None = field(name="clusterIP", default=None)
    cluster_ips: Annotated[list[str], ATOMIC] | None = field(name="clusterIPs", default=None)
    type: str | None = None
    external_ips: Annotated[list[str], ATOMIC] | None = field(name="externalIPs", default=None)
    session_affinity: str | None = None
    load_balancer_ip: str | None = field(name="loadBalancerIP", default=None)
    load_balancer_source_ranges: Annotated[list[str], ATOMIC] | None = None
    external_name: str | None = None
    external_traffic_policy: str | None = None
    health_check_node_port: Int32 | None = None
    publish_not_ready_addresses: bool | None = None
    session_affinity_config: SessionAffinityConfig | None = None
    ip_families: Annotated[list[str], ATOMIC] | None = None
    ip_family_policy: str | None = None
    allocate_load_balancer_node_ports: bool | None = None
    load_balancer_class: str | None = None
    internal_traffic_policy: str | None = None
    traffic_distribution: str | None = None


class ServiceStatus(Struct):
    load_balancer: LoadBalancerStatus | None = field(default_factory=LoadBalancerStatus)
    conditions: Annotated[list[Condition], BY_TYPE] | None = None


class Service(Object):
    api_version: str = field(default_factory=constant("v1"))
    kind: str = field(default_factory=constant("Service"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    spec: ServiceSpec = field(default_factory=ServiceSpec)
    status: ServiceStatus = field(default_factory=ServiceStatus)
