"""What packets for Services are to become: Services and EndpointSlices, seen from one node. Pure.

The result is data that says nothing about the mechanism: `PortRules` for each port of each Service, with the endpoints
for traffic inside the cluster and for traffic from outside, each already chosen for this node (readiness, topology
hints, traffic policies). Backends translate it; `service_rules` is called again for a Service that changed, and for
nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from pybernetes.api.core_v1 import Service
from pybernetes.api.discovery_v1 import Endpoint, EndpointSlice

#: A Service or slice with one of these belongs to another proxy, or to nobody.
PROXY_NAME_LABEL = "service.kubernetes.io/service-proxy-name"
HEADLESS_LABEL = "service.kubernetes.io/headless"
SERVICE_LABEL = "kubernetes.io/service-name"
AFFINITY_SECONDS = 10800

#: An endpoint: address and port.
Target = tuple[str, int]


@dataclass(frozen=True)
class NodeView:
    """Where the rules are for. zone: of label topology.kubernetes.io/zone, "" if unknown."""

    name: str
    zone: str = ""


@dataclass(frozen=True, slots=True)
class PortRules:
    """One port of a Service in one address family.

    inside, outside: where traffic to the cluster IP, and to external addresses and node ports, goes on this node.
    cluster: where traffic from Pods to external addresses goes: the same as `inside` but for internal policy Local.
    elsewhere: there are endpoints on other nodes; with an empty list here packets are dropped, else refused.
    """

    namespace: str
    service: str
    port_name: str
    protocol: str
    port: int
    cluster_ip: str
    external_ips: tuple[str, ...]
    node_port: int
    inside: tuple[Target, ...]
    outside: tuple[Target, ...]
    cluster: tuple[Target, ...]
    outside_local: bool
    elsewhere: bool
    affinity_seconds: int
    source_ranges: tuple[str, ...]
    guarded_ips: tuple[str, ...]

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.service}:{self.port_name}/{self.protocol}"


@dataclass(frozen=True, slots=True)
class ServiceRules:
    """All of a Service's rules in one family.

    local: endpoints on this node, or on one that nobody names: they may call themselves through the Service here.
    """

    ports: tuple[PortRules, ...]
    local: frozenset[str]
    health_check_port: int = 0
    local_count: int = 0


NOTHING = ServiceRules((), frozenset())


@dataclass(frozen=True, slots=True)
class _Candidate:
    target: Target
    ready: bool
    serving: bool
    terminating: bool
    local: bool
    elsewhere: bool
    zones: frozenset[str] | None
    nodes: frozenset[str] | None


def proxied(service: Service) -> bool:
    """Whether a Service is this proxy's business."""
    spec = service.spec
    if _left_alone(service.metadata.labels):
        return False
    return spec.type != "ExternalName" and spec.cluster_ip not in (None, "", "None")


def _left_alone(labels: Mapping[str, str] | None) -> bool:
    return labels is not None and (PROXY_NAME_LABEL in labels or HEADLESS_LABEL in labels)


def service_rules(
    service: Service | None, slices: Iterable[EndpointSlice], node: NodeView, family: str = "IPv4"
) -> ServiceRules:
    """The rules of one Service. slices: those of the Service; family: "IPv4" or "IPv6"."""
    if service is None or not proxied(service):
        return NOTHING
    spec = service.spec
    cluster_ip = next((ip for ip in spec.cluster_ips or [spec.cluster_ip or ""] if family_of(ip) == family), "")
    if not cluster_ip:
        return NOTHING
    mine = [s for s in slices if s.address_type == family and not _left_alone(s.metadata.labels)]
    external = [ip for ip in spec.external_ips or () if family_of(ip) == family]
    balanced = [
        ingress.ip
        for ingress in ((service.status.load_balancer and service.status.load_balancer.ingress) or ())
        if ingress.ip and ingress.ip_mode != "Proxy" and family_of(ingress.ip) == family
    ]
    ranges = tuple(block.strip() for block in spec.load_balancer_source_ranges or () if family_of(block) == family)
    affinity = 0
    if spec.session_affinity == "ClientIP":
        config = spec.session_affinity_config
        timeout = config.client_ip.timeout_seconds if config and config.client_ip else None
        affinity = timeout or AFFINITY_SECONDS
    inside_local = spec.internal_traffic_policy == "Local"
    outside_local = spec.external_traffic_policy == "Local"
    found: list[PortRules] = []
    local_addresses: set[str] = set()
    local_ready: set[str] = set()
    for port in spec.ports or ():
        candidates = _candidates(mine, port.name or "", port.protocol or "TCP", node)
        everywhere = _spread(candidates, node)
        here = _usable([c for c in candidates if c.local])
        local_addresses.update(c.target[0] for c in candidates if not c.elsewhere)
        local_ready.update(c.target[0] for c in candidates if c.local and c.ready)
        found.append(
            PortRules(
                namespace=service.metadata.namespace,
                service=service.metadata.name,
                port_name=port.name or "",
                protocol=port.protocol or "TCP",
                port=port.port,
                cluster_ip=cluster_ip,
                external_ips=tuple(dict.fromkeys([*external, *balanced])),
                node_port=port.node_port or 0,
                inside=here if inside_local else everywhere,
                outside=here if outside_local else everywhere,
                cluster=everywhere,
                outside_local=outside_local,
                elsewhere=bool(everywhere),
                affinity_seconds=affinity,
                source_ranges=ranges,
                guarded_ips=tuple(balanced) if ranges else (),
            )
        )
    health = spec.health_check_node_port or 0
    return ServiceRules(tuple(found), frozenset(local_addresses), health if outside_local else 0, len(local_ready))


def answered_here(slice_: EndpointSlice, address: str, node: str) -> EndpointSlice:
    """The slice as if this node's address were its only endpoint."""
    endpoint = Endpoint(addresses=[address], node_name=node)
    return msgspec.structs.replace(slice_, endpoints=[endpoint])


def family_of(address: str) -> str:
    return "IPv6" if ":" in address else "IPv4"


def _candidates(slices: list[EndpointSlice], name: str, protocol: str, node: NodeView) -> list[_Candidate]:
    found: dict[Target, _Candidate] = {}
    for slice_ in slices:
        number = next(
            (p.port for p in slice_.ports or () if (p.name or "") == name and (p.protocol or "TCP") == protocol), None
        )
        if number is None:
            continue
        for endpoint in slice_.endpoints or ():
            for address in endpoint.addresses[:1]:
                candidate = _candidate(endpoint, (address, number), node)
                known = found.get(candidate.target)
                if known is None or (candidate.ready and not known.ready):
                    found[candidate.target] = candidate
    return [found[target] for target in sorted(found)]


def _candidate(endpoint: Endpoint, target: Target, node: NodeView) -> _Candidate:
    conditions = endpoint.conditions
    ready = conditions is None or conditions.ready is not False
    serving = ready if conditions is None or conditions.serving is None else conditions.serving
    hints = endpoint.hints
    return _Candidate(
        target,
        ready,
        serving,
        bool(conditions and conditions.terminating),
        bool(endpoint.node_name) and endpoint.node_name == node.name,
        bool(endpoint.node_name) and endpoint.node_name != node.name,
        frozenset(zone.name for zone in hints.for_zones) if hints and hints.for_zones else None,
        frozenset(other.name for other in hints.for_nodes) if hints and hints.for_nodes else None,
    )


def _usable(candidates: list[_Candidate]) -> tuple[Target, ...]:
    """Those that are ready, or if none is, those that still serve while they terminate (KEP-1669)."""
    ready = tuple(c.target for c in candidates if c.ready)
    return ready or tuple(c.target for c in candidates if c.serving and c.terminating)


def _spread(candidates: list[_Candidate], node: NodeView) -> tuple[Target, ...]:
    """Endpoints for cluster-wide traffic: by hints if every ready endpoint has them and one is meant for us."""
    ready = [c for c in candidates if c.ready]
    if ready and all(c.nodes is not None for c in ready):
        near = tuple(c.target for c in ready if c.nodes is not None and node.name in c.nodes)
        if near:
            return near
    if ready and node.zone and all(c.zones is not None for c in ready):
        near = tuple(c.target for c in ready if c.zones is not None and node.zone in c.zones)
        if near:
            return near
    return _usable(candidates)
