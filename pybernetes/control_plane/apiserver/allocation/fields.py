"""What of a Service follows from its type, and what an update carries over from before. Pure."""

from __future__ import annotations

from pybernetes.api.core_v1 import Service, ServiceSpec


def needs_cluster_ip(spec: ServiceSpec) -> bool:
    return spec.type in ("ClusterIP", "NodePort", "LoadBalancer")


def takes_node_ports(spec: ServiceSpec) -> bool:
    """Whether node ports may be set at all."""
    return spec.type in ("NodePort", "LoadBalancer")


def wants_node_ports(spec: ServiceSpec) -> bool:
    """Whether ports without a node port get one."""
    return spec.type == "NodePort" or (
        spec.type == "LoadBalancer" and spec.allocate_load_balancer_node_ports is not False
    )


def needs_health_check_port(spec: ServiceSpec) -> bool:
    return spec.type == "LoadBalancer" and spec.external_traffic_policy == "Local"


def addresses(spec: ServiceSpec) -> list[str]:
    """The cluster IPs that are addresses."""
    listed = spec.cluster_ips or ([spec.cluster_ip] if spec.cluster_ip else [])
    return [address for address in listed if address and address != "None"]


def ports(spec: ServiceSpec) -> list[int]:
    """All numbers out of the range of node ports, the one for health checks included."""
    found = {port.node_port for port in spec.ports or () if port.node_port}
    if spec.health_check_node_port:
        found.add(spec.health_check_node_port)
    return [*found]


def normalise(service: Service, old: Service | None) -> None:
    """Keep clusterIP and clusterIPs[0] in step: clients older than the list know only the first."""
    spec = service.spec
    if old is None:
        if spec.cluster_ip and not spec.cluster_ips:
            spec.cluster_ips = [spec.cluster_ip]
        return
    before = old.spec
    same_one = (spec.cluster_ip or "") == (before.cluster_ip or "")
    same_list = (spec.cluster_ips or []) == (before.cluster_ips or [])
    if before.cluster_ip and not spec.cluster_ip and same_list:
        spec.cluster_ips = None
    elif before.cluster_ips and not spec.cluster_ips and same_one:
        spec.cluster_ip = None
    if not same_one and same_list:
        spec.cluster_ips = [spec.cluster_ip, *(spec.cluster_ips or [])[1:]] if spec.cluster_ip else None


def carry_over(service: Service, old: Service) -> None:
    """An update that says nothing about what was allocated keeps it."""
    spec, before = service.spec, old.spec
    if needs_cluster_ip(before) and needs_cluster_ip(spec):
        if not spec.cluster_ip:
            spec.cluster_ip = before.cluster_ip
        if not spec.cluster_ips and spec.cluster_ip == before.cluster_ip:
            spec.cluster_ips = [*before.cluster_ips] if before.cluster_ips else None
    if takes_node_ports(before) and takes_node_ports(spec):
        given = {port.node_port for port in spec.ports or () if port.node_port}
        known = {(port.protocol, port.port): port.node_port for port in before.ports or () if port.node_port}
        for port in spec.ports or ():
            earlier = known.get((port.protocol, port.port))
            if not port.node_port and earlier and earlier not in given:
                port.node_port = earlier
    if needs_health_check_port(before) and needs_health_check_port(spec) and not spec.health_check_node_port:
        spec.health_check_node_port = before.health_check_node_port


def drop_by_type(service: Service, old: Service) -> None:
    """A change of type takes away what only the old type has, where the update left that alone."""
    spec, before = service.spec, old.spec
    if needs_cluster_ip(before) and not needs_cluster_ip(spec):
        if (spec.cluster_ip, spec.cluster_ips) == (before.cluster_ip, before.cluster_ips):
            spec.cluster_ip = spec.cluster_ips = None
        if spec.ip_families == before.ip_families:
            spec.ip_families = None
        if spec.ip_family_policy == before.ip_family_policy:
            spec.ip_family_policy = None
    if takes_node_ports(before) and not takes_node_ports(spec):
        numbers = {port.node_port for port in before.ports or () if port.node_port}
        if {port.node_port for port in spec.ports or () if port.node_port} <= numbers:
            for port in spec.ports or ():
                port.node_port = None
    if (
        needs_health_check_port(before)
        and not needs_health_check_port(spec)
        and spec.health_check_node_port == before.health_check_node_port
    ):
        spec.health_check_node_port = None
    if before.type == "LoadBalancer" and spec.type != "LoadBalancer":
        if spec.allocate_load_balancer_node_ports == before.allocate_load_balancer_node_ports:
            spec.allocate_load_balancer_node_ports = None
        if spec.load_balancer_class == before.load_balancer_class:
            spec.load_balancer_class = None
    if _external(before) and not _external(spec) and spec.external_traffic_policy == before.external_traffic_policy:
        spec.external_traffic_policy = None


def _external(spec: ServiceSpec) -> bool:
    return spec.type in ("NodePort", "LoadBalancer") or (spec.type == "ClusterIP" and bool(spec.external_ips))
