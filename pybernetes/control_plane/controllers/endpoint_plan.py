"""Which addresses a Service has: pure functions from Service and Pods to Endpoints and EndpointSlices.

Pods are grouped by what the Service's ports resolve to in them (a named port may differ from Pod to Pod), and each
group is laid into slices of at most 100. What is in a slice already stays in it, so that a change of one Pod writes
one slice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pybernetes.api.core_v1 import Node, ObjectReference, Pod, Service
from pybernetes.api.discovery_v1 import (
    Endpoint,
    EndpointConditions,
    EndpointHints,
    EndpointPort,
    EndpointSlice,
    ForNode,
    ForZone,
)
from pybernetes.control_plane.controllers import pods as pod_state
from pybernetes.control_plane.controllers import topology_hints

SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
HEADLESS = "service.kubernetes.io/headless"
TRIGGER = "endpoints.kubernetes.io/last-change-trigger-time"
MAX_ENDPOINTS = 100

#: (name, protocol, port, app protocol) of each port, in the Service's order.
Ports = tuple[tuple[str, str, int, str | None], ...]


def selects(service: Service, labels: Mapping[str, str] | None) -> bool:
    """Whether the Service's selector matches; one without a selector selects nothing."""
    selector = service.spec.selector
    return bool(selector) and (selector or {}).items() <= (labels or {}).items()


def is_headless(service: Service) -> bool:
    """Whether it has no virtual address by its own wish."""
    return service.spec.cluster_ip == "None"


def has_endpoints(service: Service) -> bool:
    """Whether controllers keep its endpoints: it selects Pods, and is not just a name."""
    return bool(service.spec.selector) and service.spec.type != "ExternalName"


def port_of(pod: Pod, target: int | str | None, port: int, protocol: str) -> int | None:
    """The number a Service port's target has in a Pod; None when the Pod has no port of that name."""
    if target is None or target in (0, ""):
        return port
    if isinstance(target, int):
        return target
    sidecars = [c for c in pod.spec.init_containers or () if c.restart_policy == "Always"]
    for container in (*pod.spec.containers, *sidecars):
        for candidate in container.ports or ():
            if candidate.name == target and (candidate.protocol or "TCP") == protocol:
                return candidate.container_port
    return None


def ports_of(service: Service, pod: Pod) -> Ports:
    """The Service's ports as they are in the Pod; those it does not have are left out."""
    found = []
    for port in service.spec.ports or ():
        protocol = port.protocol or "TCP"
        number = port_of(pod, port.target_port, port.port, protocol)
        if number is not None:
            found.append((port.name or "", protocol, number, port.app_protocol))
    return tuple(found)


def belongs(pod: Pod, *, terminating: bool) -> bool:
    """Whether a selected Pod is an endpoint: it has an address and has not ended."""
    if pod_state.is_terminal(pod) or not (pod.status.pod_ip or pod.status.pod_ips):
        return False
    return terminating or pod.metadata.deletion_timestamp is None


def address(pod: Pod, family: str) -> str | None:
    """The Pod's address of `IPv4` or `IPv6`."""
    listed = [ip.ip for ip in pod.status.pod_ips or ()] or [pod.status.pod_ip or ""]
    return next((ip for ip in listed if ip and (":" in ip) == (family == "IPv6")), None)


def hostname(service: Service, pod: Pod) -> str | None:
    """The name under which DNS knows a Pod of a headless Service."""
    same = pod.spec.hostname and pod.spec.subdomain == service.metadata.name
    return pod.spec.hostname if same and pod.metadata.namespace == service.metadata.namespace else None


def target(pod: Pod) -> ObjectReference:
    """The reference to the Pod behind an address."""
    metadata = pod.metadata
    return ObjectReference(kind="Pod", namespace=metadata.namespace, name=metadata.name, uid=metadata.uid)


def endpoint(service: Service, pod: Pod, ip: str, node: Node | None) -> Endpoint:
    """The Pod as an endpoint."""
    serving = pod_state.is_ready(pod)
    terminating = pod.metadata.deletion_timestamp is not None
    ready = bool(service.spec.publish_not_ready_addresses) or (serving and not terminating)
    zone = (node.metadata.labels or {}).get(topology_hints.ZONE) if node is not None else None
    return Endpoint(
        addresses=[ip],
        conditions=EndpointConditions(ready=ready, serving=serving, terminating=terminating),
        hostname=hostname(service, pod),
        target_ref=target(pod),
        node_name=pod.spec.node_name,
        zone=zone,
        hints=hints(service, pod.spec.node_name, zone) if ready else None,
    )


def hints(service: Service, node: str | None, zone: str | None) -> EndpointHints | None:
    """Whose traffic a ready endpoint is for, by the Service's trafficDistribution: its node's, or its zone's."""
    if topology_hints.wanted(service.metadata.annotations):
        return None  # see `share_out`
    distribution = service.spec.traffic_distribution
    zones = [ForZone(name=zone)] if zone else None
    if distribution in ("PreferClose", "PreferSameZone") and zones:
        return EndpointHints(for_zones=zones)
    if distribution == "PreferSameNode" and node:
        return EndpointHints(for_nodes=[ForNode(name=node)], for_zones=zones)
    return None


Groups = dict[tuple[str, Ports], list[Endpoint]]


def groups(service: Service, pods: Iterable[Pod], node: Callable[[str], Node | None]) -> Groups:
    """Endpoints by address family and ports; every family of the Service has at least one, maybe empty, group."""
    found: Groups = {}
    families = service.spec.ip_families or ["IPv4"]
    for pod in pods:
        if not belongs(pod, terminating=True):
            continue
        ports = ports_of(service, pod)
        for family in families:
            if (ip := address(pod, family)) is not None:
                at = node(pod.spec.node_name) if pod.spec.node_name else None
                found.setdefault((family, ports), []).append(endpoint(service, pod, ip, at))
    for family in families:
        if not any(key[0] == family for key in found):
            found[family, ()] = []
    return found


def share_out(wanted: Groups, present: Sequence[EndpointSlice], shares: topology_hints.Shares) -> dict[str, str]:
    """Give all ready endpoints hints by the zones' shares; why a family has none, by family."""
    given = {
        (one.address_type, _identity(e)): e.hints.for_zones[0].name
        for one in present
        for e in one.endpoints or ()
        if e.hints is not None and e.hints.for_zones
    }
    refused: dict[str, str] = {}
    for family in dict.fromkeys(family for family, _ in wanted):
        ready = [
            e
            for key, listed in wanted.items()
            if key[0] == family
            for e in listed
            if e.conditions and e.conditions.ready
        ]
        places = [topology_hints.Place(e.zone or "", given.get((family, _identity(e)), "")) for e in ready]
        try:
            zones = topology_hints.share_out(places, shares)
        except topology_hints.Refused as error:
            refused[family] = str(error)
            continue
        for e, zone in zip(ready, zones, strict=True):
            e.hints = EndpointHints(for_zones=[ForZone(name=zone)])
    return refused


@dataclass
class Changes:
    """Slices to write: new ones by (family, ports), present ones with their new endpoints, and those to delete."""

    create: list[tuple[str, Ports, list[Endpoint]]] = field(default_factory=list)
    update: list[tuple[EndpointSlice, list[Endpoint]]] = field(default_factory=list)
    delete: list[EndpointSlice] = field(default_factory=list)


def arrange(wanted: Groups, present: Sequence[EndpointSlice], limit: int = MAX_ENDPOINTS) -> Changes:
    """How to get from the slices that are there to the endpoints that should be."""
    changes = Changes()
    by_group: dict[tuple[str, Ports], list[EndpointSlice]] = {}
    for one in present:
        by_group.setdefault((one.address_type, slice_ports(one)), []).append(one)
    for key, slices in by_group.items():
        if key not in wanted:
            changes.delete += slices
    for (family, ports), endpoints in wanted.items():
        missing = {_identity(e): e for e in endpoints}
        kept: list[tuple[EndpointSlice, list[Endpoint]]] = []
        for one in by_group.get((family, ports), ()):
            stay = [e for old in one.endpoints or () if (e := missing.pop(_identity(old), None)) is not None]
            kept.append((one, stay))
        rest = list(missing.values())
        for one, stay in sorted(kept, key=lambda pair: -len(pair[1])):
            room = limit - len(stay)
            stay += rest[:room]
            rest = rest[room:]
            if not stay and (len(kept) > 1 or endpoints):
                changes.delete.append(one)
            elif stay != list(one.endpoints or ()):
                changes.update.append((one, stay))
        for start in range(0, len(rest), limit):
            changes.create.append((family, ports, rest[start : start + limit]))
        if not endpoints and not kept:
            changes.create.append((family, ports, []))
    return changes


def slice_ports(one: EndpointSlice) -> Ports:
    """The ports of a slice, for comparison."""
    return tuple((p.name or "", p.protocol or "TCP", p.port or 0, p.app_protocol) for p in one.ports or ())


def wire_ports(ports: Ports) -> list[EndpointPort]:
    """The ports as a slice has them."""
    return [
        EndpointPort(name=name, protocol=protocol, port=port, app_protocol=app) for name, protocol, port, app in ports
    ]


def _identity(endpoint: Endpoint) -> tuple[str, str]:
    reference = endpoint.target_ref
    return (reference.uid or reference.name or "" if reference is not None else "", endpoint.addresses[0])


def trigger(service: Service, pods: Sequence[Pod]) -> str:
    """When the newest change happened that these endpoints answer to."""
    times = [service.metadata.creation_timestamp or ""]
    for pod in pods:
        ready = pod_state.condition(pod, "Ready")
        times.append((ready.last_transition_time if ready else None) or "")
    return max(times)
