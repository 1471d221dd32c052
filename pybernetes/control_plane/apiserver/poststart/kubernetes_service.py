"""Service default/kubernetes with its Endpoints and EndpointSlice: how Pods find this server."""

from __future__ import annotations

import ipaddress

from pybernetes.api.core_v1 import EndpointAddress, EndpointPort, Endpoints, EndpointSubset, Service, ServicePort
from pybernetes.api.core_v1 import ServiceSpec as Spec
from pybernetes.api.discovery_v1 import Endpoint, EndpointConditions, EndpointSlice
from pybernetes.api.discovery_v1 import EndpointPort as SlicePort
from pybernetes.control_plane.apiserver.poststart.setup import Setup
from pybernetes.machinery import codec
from pybernetes.machinery.meta import ObjectMeta

_NAME, _NAMESPACE = "kubernetes", "default"


async def run(setup: Setup) -> None:
    first = str(next(ipaddress.ip_network(setup.service_cidrs[0]).hosts()))
    family = "IPv6" if ":" in first else "IPv4"
    service = Service(
        metadata=_meta({"component": "apiserver", "provider": "kubernetes"}),
        spec=Spec(
            cluster_ip=first,
            cluster_ips=[first],
            ip_families=[family],
            ip_family_policy="SingleStack",
            session_affinity="None",
            type="ClusterIP",
            ports=[ServicePort(name="https", protocol="TCP", port=443, target_port=setup.port)],
        ),
    )
    await setup.ensure([service])
    if setup.advertise and not ipaddress.ip_address(setup.advertise).is_loopback and not setup.shared:
        await publish(setup, [setup.advertise])


async def publish(setup: Setup, addresses: list[str]) -> None:
    """Let the Service lead to the API servers at these addresses, sorted, and to no others."""
    mirror = {"endpointslice.kubernetes.io/skip-mirror": "true"}
    endpoints = Endpoints(
        metadata=_meta(mirror),
        subsets=[
            EndpointSubset(
                addresses=[EndpointAddress(ip=address) for address in addresses],
                ports=[EndpointPort(name="https", port=setup.port, protocol="TCP")],
            )
        ],
    )
    slice_ = EndpointSlice(
        metadata=_meta({"kubernetes.io/service-name": _NAME}),
        address_type="IPv6" if ":" in setup.advertise else "IPv4",
        endpoints=[Endpoint(addresses=[address], conditions=EndpointConditions(ready=True)) for address in addresses],
        ports=[SlicePort(name="https", port=setup.port, protocol="TCP")],
    )
    await setup.ensure([endpoints, slice_])
    present = setup.find(endpoints)
    if isinstance(present, Endpoints) and present.subsets != endpoints.subsets:
        changed: Endpoints = codec.copy(present)
        changed.subsets = endpoints.subsets
        await setup.write("PUT", changed)
    other = setup.find(slice_)
    if isinstance(other, EndpointSlice) and (other.endpoints, other.ports) != (slice_.endpoints, slice_.ports):
        replaced: EndpointSlice = codec.copy(other)
        replaced.endpoints, replaced.ports = slice_.endpoints, slice_.ports
        await setup.write("PUT", replaced)


def _meta(labels: dict[str, str]) -> ObjectMeta:
    return ObjectMeta(name=_NAME, namespace=_NAMESPACE, labels=labels)
