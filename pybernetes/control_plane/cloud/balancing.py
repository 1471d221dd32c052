"""Which Services want a load balancer, what about them matters to it, and which nodes stand behind it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pybernetes.api.core_v1 import Node, Service
from pybernetes.api.discovery_v1 import EndpointSlice

FINALIZER = "service.kubernetes.io/load-balancer-cleanup"
EXCLUDE_LABEL = "node.kubernetes.io/exclude-from-external-load-balancers"
AUTOSCALER_TAINT = "ToBeDeletedByClusterAutoscaler"


def wants(service: Service) -> bool:
    """A Service with a class is another implementation's."""
    return service.spec.type == "LoadBalancer" and service.spec.load_balancer_class is None


def needs_cleanup(service: Service) -> bool:
    """It has our finalizer, and is being deleted or of another type now."""
    if FINALIZER not in (service.metadata.finalizers or ()):
        return False
    return service.metadata.deletion_timestamp is not None or service.spec.type != "LoadBalancer"


def changes(old: Service, new: Service) -> Iterator[tuple[str, str]]:
    """What changed that the load balancer must follow: reason and message of the Event, or "" for both."""
    was, now = old.spec, new.spec
    if not wants(old) and not wants(new):
        return
    if wants(old) != wants(new):
        yield "Type", f"{was.type} -> {now.type}"
    if was.load_balancer_source_ranges != now.load_balancer_source_ranges:
        ranges = [_listed(spec.load_balancer_source_ranges) for spec in (was, now)]
        yield "LoadBalancerSourceRanges", " -> ".join(ranges)
    if was.load_balancer_ip != now.load_balancer_ip:
        yield "LoadbalancerIP", f"{was.load_balancer_ip or ''} -> {now.load_balancer_ip or ''}"
    before, after = was.external_ips or [], now.external_ips or []
    if len(before) != len(after):
        yield "ExternalIP", f"Count: {len(before)} -> {len(after)}"
    else:
        for was_ip, now_ip in zip(before, after, strict=True):
            if was_ip != now_ip:
                yield "ExternalIP", f"Added: {now_ip}"
    if old.metadata.uid != new.metadata.uid:
        yield "UID", f"{old.metadata.uid} -> {new.metadata.uid}"
    if was.external_traffic_policy != now.external_traffic_policy:
        yield "ExternalTrafficPolicy", f"{was.external_traffic_policy or ''} -> {now.external_traffic_policy or ''}"
    if was.health_check_node_port != now.health_check_node_port:
        yield "HealthCheckNodePort", f"{was.health_check_node_port or 0} -> {now.health_check_node_port or 0}"
    quiet = (
        was.ports == now.ports
        and was.session_affinity == now.session_affinity
        and was.session_affinity_config == now.session_affinity_config
        and was.ip_families == now.ip_families
        and old.metadata.annotations == new.metadata.annotations
    )
    if not quiet:
        yield "", ""


def _listed(items: list[str] | None) -> str:
    return f"[{' '.join(items or ())}]"


def candidates(nodes: Iterable[Node]) -> list[Node]:
    """Nodes that may stand behind a load balancer, by name."""
    found = [
        node
        for node in nodes
        if node.metadata.deletion_timestamp is None
        and EXCLUDE_LABEL not in (node.metadata.labels or {})
        and all(taint.key != AUTOSCALER_TAINT for taint in node.spec.taints or ())
    ]
    return sorted(found, key=lambda node: node.metadata.name)


def serving(service: Service, nodes: Iterable[Node], slices: Iterable[EndpointSlice]) -> list[Node]:
    """Of those the ones whose own address can serve: Ready, and with policy Local those that have endpoints."""
    found = [node for node in nodes if is_ready(node)]
    if service.spec.external_traffic_policy != "Local":
        return found
    homes = {
        endpoint.node_name
        for one in slices
        for endpoint in one.endpoints or ()
        if endpoint.conditions is None or endpoint.conditions.ready is not False
    }
    return [node for node in found if node.metadata.name in homes]


def is_ready(node: Node) -> bool:
    """Its Ready condition is True."""
    return any(one.type == "Ready" and one.status == "True" for one in node.status.conditions or ())
