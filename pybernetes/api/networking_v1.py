"""Types of networking/v1: networking_v1."""

from __future__ import annotations

from typing import Annotated

from pybernetes.api.core_v1.references import TypedLocalObjectReference
from pybernetes.machinery.meta import Condition, LabelSelector, Object, ObjectMeta
from pybernetes.machinery.types import (
    ATOMIC,
    BY_TYPE,
    Int32,
    IntOrString,
    Struct,
    constant,
    empty_list,
    field,
    zero_int,
    zero_str,
)


class ServiceBackendPort(Struct):
    name: str | None = None
    number: Int32 | None = None


class IngressServiceBackend(Struct):
    name: str = field(default_factory=zero_str)
    port: ServiceBackendPort = field(default_factory=ServiceBackendPort)


class IngressBackend(Struct):
    service: IngressServiceBackend | None = None
    resource: TypedLocalObjectReference | None = None


class HTTPIngressPath(Struct):
    path: str | None = None
    path_type: str = field(default_factory=zero_str)
    backend: IngressBackend = field(default_factory=IngressBackend)


class HTTPIngressRuleValue(Struct):
    paths: Annotated[list[HTTPIngressPath], ATOMIC] = field(default_factory=empty_list)


class ParentReference(Struct):
    group: str | None = None
    resource: str = field(default_factory=zero_str)
    namespace: str | None = None
    name: str = field(default_factory=zero_str)


class IPAddressSpec(Struct):
    parent_ref: ParentReference = field(default_factory=ParentReference)


class IPAddress(Object):
    api_version: str = field(default_factory=constant("networking.k8s.io/v1"))
    kind: str = field(default_factory=constant("IPAddress"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    spec: IPAddressSpec = field(default_factory=IPAddressSpec)


class IPBlock(Struct):
    cidr: str = field(default_factory=zero_str)
    except_: Annotated[list[str], ATOMIC] | None = field(name="except", default=None)


class IngressRule(Struct):
    host: str | None = None
    http: HTTPIngressRuleValue | None = None


class IngressTLS(Struct):
    hosts: Annotated[list[str], ATOMIC] | None = None
    secret_name: str | None = None


class IngressSpec(Struct):
    ingress_class_name: str | None = None
    default_backend: IngressBackend | None = None
    tls: Annotated[list[IngressTLS], ATOMIC] | None = None
    rules: Annotated[list[IngressRule], ATOMIC] | None = None


class IngressPortStatus(Struct):
    port: Int32 = field(default_factory=zero_int)
    protocol: str = field(default_factory=zero_str)
    error: str | None = None


class IngressLoadBalancerIngress(Struct):
    ip: str | None = None
    hostname: str | None = None
    ports: Annotated[list[IngressPortStatus], ATOMIC] | None = None


class IngressLoadBalancerStatus(Struct):
    ingress: Annotated[list[IngressLoadBalancerIngress], ATOMIC] | None = None


class IngressStatus(Struct):
    load_balancer: IngressLoadBalancerStatus | None = field(default_factory=IngressLoadBalancerStatus)


class Ingress(Object):
    api_version: str = field(default_factory=constant("networking.k8s.io/v1"))
    kind: str = field(default_factory=constant("Ingress"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    spec: IngressSpec = field(default_factory=IngressSpec)
    status: IngressStatus = field(default_factory=IngressStatus)


class IngressClassParametersReference(Struct):
    kind: str = field(default_factory=zero_str)
    name: str = field(default_factory=zero_str)
    scope: str | None = None
    namespace: str | None = None
    api_group: str | None = None


class IngressClassSpec(Struct):
    controller: str | None = None
    parameters: IngressClassParametersReference | None = None


class IngressClass(Object):
    api_version: str = field(default_factory=constant("networking.k8s.io/v1"))
    kind: str = field(default_factory=constant("IngressClass"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    spec: IngressClassSpec = field(default_factory=IngressClassSpec)


class NetworkPolicyPort(Struct):
    protocol: str | None = None
    port: IntOrString | None = None
    end_port: Int32 | None = None


class NetworkPolicyPeer(Struct):
    pod_selector: LabelSelector | None = None
    namespace_selector: LabelSelector | None = None
    ip_block: IPBlock | None = None


class NetworkPolicyEgressRule(Struct):
    ports: Annotated[list[NetworkPolicyPort], ATOMIC] | None = None
    to: Annotated[list[NetworkPolicyPeer], ATOMIC] | None = None


class NetworkPolicyIngressRule(Struct):
    ports: Annotated[list[NetworkPolicyPort], ATOMIC] | None = None
    from_: Annotated[list[NetworkPolicyPeer], ATOMIC] | None = field(name="from", default=None)


class NetworkPolicySpec(Struct):
    pod_selector: LabelSelector = field(default_factory=LabelSelector)
    ingress: Annotated[list[NetworkPolicyIngressRule], ATOMIC] | None = None
    egress: Annotated[list[NetworkPolicyEgressRule], ATOMIC] | None = None
    policy_types: Annotated[list[str], ATOMIC] | None = None


class NetworkPolicy(Object):
    api_version: str = field(default_factory=constant("networking.k8s.io/v1"))
    kind: str = field(default_factory=constant("NetworkPolicy"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    spec: NetworkPolicySpec = field(default_factory=NetworkPolicySpec)


class ServiceCIDRSpec(Struct):
    cidrs: Annotated[list[str], ATOMIC] | None = None


class ServiceCIDRStatus(Struct):
    conditions: Annotated[list[Condition], BY_TYPE] | None = None


class ServiceCIDR(Object):
    api_version: str = field(default_factory=constant("networking.k8s.io/v1"))
    kind: str = field(default_factory=constant("ServiceCIDR"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    spec: ServiceCIDRSpec = field(default_factory=ServiceCIDRSpec)
    status: ServiceCIDRStatus = field(default_factory=ServiceCIDRStatus)
