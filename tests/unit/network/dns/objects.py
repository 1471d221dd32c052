"""A small cluster to ask about, and a lookup over plain lists."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pybernetes.api.core_v1 import Service, ServicePort, ServiceSpec
from pybernetes.api.discovery_v1 import Endpoint, EndpointConditions, EndpointPort, EndpointSlice
from pybernetes.machinery.meta import ObjectMeta
from pybernetes.network.dns.answers import Zone

ZONE = Zone(
    nameservers=("10.96.0.10",),
    ranges=(ipaddress.ip_network("10.244.0.0/16"), ipaddress.ip_network("10.96.0.0/16")),
)


@dataclass
class Lists:
    """`answers.Lookup`, the plain way."""

    namespaces: set[str] = field(default_factory=set)
    services: list[Service] = field(default_factory=list)
    pieces: list[EndpointSlice] = field(default_factory=list)

    def namespace(self, name: str) -> bool:
        return name in self.namespaces

    def service(self, namespace: str, name: str) -> Service | None:
        found = (s for s in self.services if (s.metadata.namespace, s.metadata.name) == (namespace, name))
        return next(found, None)

    def slices(self, namespace: str, service: str) -> Iterable[EndpointSlice]:
        label = "kubernetes.io/service-name"
        return [p for p in self.pieces if p.metadata.namespace == namespace and p.metadata.labels == {label: service}]

    def services_by_address(self, address: str) -> Iterable[Service]:
        return [s for s in self.services if address in (s.spec.cluster_ips or [s.spec.cluster_ip or ""])]

    def slices_by_address(self, address: str) -> Iterable[EndpointSlice]:
        return [p for p in self.pieces if any(address in e.addresses for e in p.endpoints or ())]


def service(name: str, *addresses: str, ports: Sequence[tuple[str, str, int]] = (("http", "TCP", 80),)) -> Service:
    """A Service in `shop`; without addresses it is headless."""
    cluster_ips = list(addresses) or ["None"]
    return Service(
        metadata=ObjectMeta(name=name, namespace="shop"),
        spec=ServiceSpec(
            type="ClusterIP",
            cluster_ip=cluster_ips[0],
            cluster_ips=cluster_ips,
            ports=[ServicePort(name=n or None, protocol=protocol, port=port) for n, protocol, port in ports],
        ),
    )


def external(name: str, target: str) -> Service:
    return Service(
        metadata=ObjectMeta(name=name, namespace="shop"), spec=ServiceSpec(type="ExternalName", external_name=target)
    )


def piece(
    service: str,
    *endpoints: tuple[str, str | None, bool | None],
    ports: Sequence[tuple[str, str, int]] = (("http", "TCP", 8080),),
) -> EndpointSlice:
    """A slice of a Service in `shop`; an endpoint is (address, hostname, ready)."""
    version = 6 if endpoints and ":" in endpoints[0][0] else 4
    return EndpointSlice(
        metadata=ObjectMeta(
            name=f"{service}-{version}", namespace="shop", labels={"kubernetes.io/service-name": service}
        ),
        address_type=f"IPv{version}",
        endpoints=[
            Endpoint(addresses=[address], hostname=hostname, conditions=EndpointConditions(ready=ready))
            for address, hostname, ready in endpoints
        ],
        ports=[EndpointPort(name=name, protocol=protocol, port=port) for name, protocol, port in ports] or None,
    )


def shop() -> Lists:
    """The cluster most tests ask about."""
    return Lists(
        {"default", "shop", "empty"},
        [
            service("web", "10.96.0.7", ports=(("http", "TCP", 80), ("metrics", "TCP", 9090), ("", "UDP", 53))),
            service("dual", "10.96.0.8", "fd00::8"),
            service("db"),
            service("idle"),
            service("portless", ports=()),
            external("outside", "www.Example.org."),
            external("inside", "web.shop.svc.cluster.local"),
            external("address", "192.0.2.1"),
            external("circle", "circle.shop.svc.cluster.local"),
            external("broken", "a..b"),
        ],
        [
            piece("web", ("10.244.0.5", None, True)),
            piece(
                "db",
                ("10.244.0.21", "db-0", True),
                ("10.244.0.22", "db-1", None),
                ("10.244.0.23", "db-2", False),
                ("10.244.0.24", None, True),
                ports=(("sql", "TCP", 5432), ("Metrics", "TCP", 9187)),
            ),
            piece("db", ("fd00::21", "db-0", True), ports=(("sql", "TCP", 5432),)),
            piece("idle", ("10.244.0.30", "idle-0", False)),
            piece("portless", ("10.244.0.40", "only", True), ports=()),
        ],
    )
