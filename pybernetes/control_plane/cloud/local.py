"""The cloud of whoever has none: a Service of type LoadBalancer gets the addresses of the nodes themselves.

Nothing runs for it. Each node's proxy already sends what arrives for a load balancer's address and port to endpoints,
and that the address is the node's own makes packets arrive. (k3s needs a DaemonSet of Pods with host ports for it, as
its proxy is not its own.) What is left to decide is who may have a port: a port of the nodes belongs to one Service at
a time, the first that has it; and some belong to the nodes' own servers.

Who has what is read from the Services each time, never remembered, so a restart changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pybernetes.api.core_v1 import LoadBalancerIngress, LoadBalancerStatus, Node, Service
from pybernetes.api.networking_v1 import Ingress, IngressClass
from pybernetes.client.factory import InformerFactory
from pybernetes.control_plane.cloud import balancing
from pybernetes.control_plane.cloud.provider import LOAD_BALANCERS, CloudError, Feature, Instance, Route

#: Protocol and number, on the addresses of all nodes.
Port = tuple[str, int]


@dataclass(frozen=True)
class Config:
    """What is taken on the nodes' addresses before any Service."""

    #: Port -> who has it, in the words of the Event.
    reserved: Mapping[Port, str] = field(default_factory=dict)
    #: Ports that the Ingress controller takes as soon as there is an Ingress for it.
    ingress_ports: tuple[int, ...] = ()
    #: `spec.controller` of its IngressClasses.
    ingress_controller: str = ""


class LocalLoadBalancers:
    """A Provider with nothing but load balancers."""

    name = "local"
    features: frozenset[Feature] = frozenset((LOAD_BALANCERS,))
    by_node = True

    def __init__(self, config: Config, informers: InformerFactory) -> None:
        self.config = config
        self._services = informers.informer(Service)
        self._ingresses = informers.informer(Ingress) if config.ingress_ports else None
        self._classes = informers.informer(IngressClass) if config.ingress_ports else None

    def start(self, again: Callable[[], None]) -> None:
        """See Provider: a port may be free once its Service is gone, or wants something else."""
        self._services.on(updated=lambda old, _: again() if _held(old) else None, deleted=lambda _: again())
        if self._ingresses is not None:
            self._ingresses.on(updated=lambda old, new: again(), deleted=lambda _: again())

    async def close(self) -> None:
        """See Provider."""

    async def load_balancer(self, service: Service) -> LoadBalancerStatus | None:
        """See Provider."""
        return service.status.load_balancer if _held(service) else None

    async def ensure_load_balancer(self, service: Service, nodes: Sequence[Node]) -> LoadBalancerStatus:
        """See Provider. Raises CloudError for a port that is somebody else's."""
        refused = conflict(service, self._services.list(), self._taken())
        if refused:
            raise CloudError(refused)
        return LoadBalancerStatus(ingress=ingress(service, nodes) or None)

    async def update_load_balancer(self, service: Service, nodes: Sequence[Node]) -> LoadBalancerStatus:
        """See Provider."""
        return await self.ensure_load_balancer(service, nodes)

    async def delete_load_balancer(self, service: Service) -> None:
        """See Provider: with the status its rules go."""

    def _taken(self) -> Mapping[Port, str]:
        if self._ingresses is None or self._classes is None or not self._has_ingress():
            return self.config.reserved
        mine = {("TCP", port): "the Ingress controller" for port in self.config.ingress_ports}
        return {**mine, **self.config.reserved}

    def _has_ingress(self) -> bool:
        assert self._ingresses is not None and self._classes is not None
        mine = {
            one.metadata.name for one in self._classes.list() if one.spec.controller == self.config.ingress_controller
        }
        return any(one.spec.ingress_class_name in mine for one in self._ingresses.list())

    # -- not of this cloud ---------------------------------------------------------------------------------------------

    async def instance(self, node: Node) -> Instance | None:
        """Never called."""
        raise CloudError("the local provider has no instances")

    async def routes(self) -> Sequence[Route]:
        """Never called."""
        raise CloudError("the local provider has no routes")

    async def create_route(self, route: Route, node: Node) -> None:
        """Never called."""
        raise CloudError("the local provider has no routes")

    async def delete_route(self, route: Route) -> None:
        """Never called."""
        raise CloudError("the local provider has no routes")


def conflict(service: Service, services: Iterable[Service], taken: Mapping[Port, str]) -> str:
    """Why the Service cannot have its ports: "" if it can. taken: what no Service may have.

    Among Services the one whose status already tells an address goes first, then the older, then by name. A Service
    that has its ports keeps them from the Ingress controller, but not from the nodes' own servers.
    """
    wanted = ports(service)
    others = [one for one in services if one.metadata.uid != service.metadata.uid]
    for port in wanted:
        owner = taken.get(port)
        if owner and not (_held(service) and owner == "the Ingress controller"):
            return _sentence(port, owner)
        for other in others:
            name = f"Service {other.metadata.namespace}/{other.metadata.name}"
            if port in _node_ports(other):
                return _sentence(port, f"a node port of {name}")
            contender = balancing.wants(other) and other.metadata.deletion_timestamp is None
            if (_held(other) or contender) and port in ports(other) and _rank(other) < _rank(service):
                return _sentence(port, name)
    return ""


def ingress(service: Service, nodes: Sequence[Node]) -> list[LoadBalancerIngress]:
    """The nodes' addresses of the Service's families. Raises CloudError for a loadBalancerIP that none of them has."""
    families = service.spec.ip_families or ["IPv4"]
    found = [
        one.address
        for family in families
        for node in nodes
        for one in node.status.addresses or ()
        if one.type == "InternalIP" and (":" in one.address) == (family == "IPv6")
    ]
    asked = service.spec.load_balancer_ip
    if asked:
        if found and asked not in found:
            raise CloudError(f"spec.loadBalancerIP {asked} is not the address of a node that can serve")
        found = [address for address in found if address == asked]
    return [LoadBalancerIngress(ip=address, ip_mode="VIP") for address in dict.fromkeys(found)]


def ports(service: Service) -> list[Port]:
    """The ports a load balancer of the Service listens on."""
    return [(port.protocol or "TCP", port.port) for port in service.spec.ports or ()]


def _node_ports(service: Service) -> list[Port]:
    if service.spec.type not in ("NodePort", "LoadBalancer"):
        return []
    return [(port.protocol or "TCP", port.node_port) for port in service.spec.ports or () if port.node_port]


def _held(service: Service) -> bool:
    """It has an address from us."""
    status = service.status.load_balancer
    return service.spec.load_balancer_class is None and bool(status and status.ingress)


def _rank(service: Service) -> tuple[bool, str, str, str]:
    meta = service.metadata
    return not _held(service), meta.creation_timestamp or "", meta.namespace, meta.name


def _sentence(port: Port, owner: str) -> str:
    return f"port {port[1]}/{port[0]} of the node addresses is taken by {owner}"
