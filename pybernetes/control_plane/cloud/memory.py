"""A cloud that is only remembered: for tests, and to try what an operator or chart does with load balancers.

Machines are what the owner puts into `machines`; load balancers get addresses out of a range; routes are a list.
`failing` lets a named call fail, as clouds do.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence

from pybernetes.api.core_v1 import LoadBalancerIngress, LoadBalancerStatus, Node, Service
from pybernetes.control_plane.cloud.provider import (
    INSTANCES,
    LOAD_BALANCERS,
    ROUTES,
    CloudError,
    Feature,
    Instance,
    Route,
)


class MemoryCloud:
    """A Provider. addresses: the range of the load balancers."""

    name = "memory"
    by_node = False

    def __init__(
        self,
        addresses: str = "198.51.100.0/24",
        features: frozenset[Feature] = frozenset((INSTANCES, LOAD_BALANCERS, ROUTES)),
    ) -> None:
        self.features = features
        #: Node name -> machine.
        self.machines: dict[str, Instance] = {}
        #: Uid of the Service -> address, names of the nodes behind it.
        self.balancers: dict[str, tuple[str, tuple[str, ...]]] = {}
        self.table: list[Route] = []
        #: Name of a call -> the text it fails with.
        self.failing: dict[str, str] = {}
        self._free = [str(address) for address in ipaddress.ip_network(addresses).hosts()]

    def start(self, again: Callable[[], None]) -> None:
        """See Provider."""

    async def close(self) -> None:
        """See Provider."""

    async def instance(self, node: Node) -> Instance | None:
        """See Provider."""
        self._may_fail("instance")
        identity = node.spec.provider_id
        if not identity:
            return self.machines.get(node.metadata.name)
        return next((machine for machine in self.machines.values() if machine.provider_id == identity), None)

    async def load_balancer(self, service: Service) -> LoadBalancerStatus | None:
        """See Provider."""
        self._may_fail("load_balancer")
        found = self.balancers.get(service.metadata.uid)
        return _status(found[0]) if found else None

    async def ensure_load_balancer(self, service: Service, nodes: Sequence[Node]) -> LoadBalancerStatus:
        """See Provider."""
        self._may_fail("ensure_load_balancer")
        known = self.balancers.get(service.metadata.uid)
        if known is None and not self._free:
            raise CloudError("no address is left")
        address = known[0] if known else self._free.pop(0)
        self.balancers[service.metadata.uid] = address, tuple(node.metadata.name for node in nodes)
        return _status(address)

    async def update_load_balancer(self, service: Service, nodes: Sequence[Node]) -> LoadBalancerStatus:
        """See Provider."""
        self._may_fail("update_load_balancer")
        return await self.ensure_load_balancer(service, nodes)

    async def delete_load_balancer(self, service: Service) -> None:
        """See Provider."""
        self._may_fail("delete_load_balancer")
        found = self.balancers.pop(service.metadata.uid, None)
        if found:
            self._free.append(found[0])

    async def routes(self) -> Sequence[Route]:
        """See Provider."""
        self._may_fail("routes")
        return [*self.table]

    async def create_route(self, route: Route, node: Node) -> None:
        """See Provider."""
        self._may_fail("create_route")
        self.table.append(Route(route.destination, route.node, f"{node.metadata.name}-{route.destination}"))

    async def delete_route(self, route: Route) -> None:
        """See Provider."""
        self._may_fail("delete_route")
        if route in self.table:
            self.table.remove(route)

    def _may_fail(self, call: str) -> None:
        if text := self.failing.get(call):
            raise CloudError(text)


def _status(address: str) -> LoadBalancerStatus:
    return LoadBalancerStatus(ingress=[LoadBalancerIngress(ip=address, ip_mode="VIP")])
