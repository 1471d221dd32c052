"""The route controller: packets for a node's Pod range find its machine, where the cloud's own network carries them.

The cloud has no watch, so all routes are compared every ten seconds and whenever a node comes, goes or changes its
ranges. A node whose routes are not there yet has the condition NetworkUnavailable, which keeps Pods away.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from pybernetes.aio import clock
from pybernetes.api.core_v1 import Node, NodeCondition
from pybernetes.client.client import Client
from pybernetes.client.controller import Controller, RequeueAfter, Retry
from pybernetes.client.events import EventRecorder
from pybernetes.client.factory import InformerFactory
from pybernetes.control_plane.cloud import node_plan as plan
from pybernetes.control_plane.cloud.provider import CloudError, Provider, Route
from pybernetes.machinery import codec

CONDITION = "NetworkUnavailable"
_ALL = "routes"
_PERIOD = 10.0  # seconds; upstream's --route-reconciliation-period


@dataclass(frozen=True)
class Config:
    """Which routes are the cluster's."""

    #: Ranges of all Pods; routes outside of them are left alone.
    cluster_cidrs: tuple[str, ...] = ("10.244.0.0/16",)


class RouteController(Controller):
    """One key: all routes."""

    name = "route-controller"
    workers = 1

    def __init__(
        self, config: Config, provider: Provider, client: Client, informers: InformerFactory, events: EventRecorder
    ) -> None:
        super().__init__(client, informers, events)
        self.config = config
        self.provider = provider
        self._ranges = [ipaddress.ip_network(cidr) for cidr in config.cluster_cidrs]

    def setup(self) -> None:
        """Nodes."""
        self.nodes = self.informers.informer(Node)
        self.nodes.on(self._look, self._changed, self._look)

    def _look(self, node: Node) -> None:
        self.queue.add(_ALL)

    def _changed(self, old: Node, new: Node) -> None:
        if old.spec.pod_cidrs != new.spec.pod_cidrs or old.spec.provider_id != new.spec.provider_id:
            self.queue.add(_ALL)

    async def reconcile(self, key: str) -> RequeueAfter:
        """Routes, then what the nodes say about them."""
        try:
            existing = [route for route in await self.provider.routes() if self._is_ours(route)]
        except CloudError as error:
            raise Retry(f"error listing routes: {error}") from error
        nodes = {node.metadata.name: node for node in self.nodes.list() if node.spec.pod_cidrs}
        by_place = {(route.node, route.destination): route for route in existing}
        wanted = {name: node.spec.pod_cidrs or () for name, node in nodes.items()}
        missing, superfluous = plan.routes(wanted, by_place)
        for place in sorted(superfluous):
            try:
                await self.provider.delete_route(by_place[place])
            except CloudError as error:
                raise Retry(f"could not delete route {place[1]}: {error}") from error
        failed = [place for place in sorted(missing) if not await self._create(nodes[place[0]], place[1])]
        unavailable = {name for name, _ in failed}
        for node in self.nodes.list():
            name = node.metadata.name
            await self._tell(node, reachable=name in nodes and name not in unavailable)
        return RequeueAfter(_PERIOD)

    async def _create(self, node: Node, cidr: str) -> bool:
        try:
            await self.provider.create_route(Route(cidr, node.metadata.name), node)
        except CloudError as error:
            name, hint = node.metadata.name, node.metadata.uid
            message = f"Could not create route {hint} {cidr} for node {name}: {error}"
            self.events.event(node, "Warning", "FailedToCreateRoute", message)
            return False
        return True

    async def _tell(self, node: Node, *, reachable: bool) -> None:
        status = "False" if reachable else "True"
        others = [one for one in node.status.conditions or () if one.type != CONDITION]
        present = next((one for one in node.status.conditions or () if one.type == CONDITION), None)
        if present is not None and present.status == status:
            return
        now = clock.rfc3339()
        condition = NodeCondition(
            type=CONDITION,
            status=status,
            reason="RouteCreated" if reachable else "NoRouteCreated",
            message="RouteController created a route" if reachable else "RouteController failed to create a route",
            last_heartbeat_time=now,
            last_transition_time=now,
        )
        body = {
            "metadata": {"resourceVersion": node.metadata.resource_version},
            "status": {"conditions": [codec.to_dict(one) for one in [*others, condition]]},
        }
        written = await self.client.resource(Node).patch(node.metadata.name, "", body, subresource="status")
        await self.nodes.caught_up(written)

    def _is_ours(self, route: Route) -> bool:
        try:
            network = ipaddress.ip_network(route.destination)
        except ValueError:
            return False
        return _within(network, self._ranges)


def _within(
    network: ipaddress.IPv4Network | ipaddress.IPv6Network,
    ranges: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network],
) -> bool:
    return any(network.version == one.version and network.overlaps(one) for one in ranges)
