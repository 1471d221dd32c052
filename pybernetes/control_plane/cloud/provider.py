"""What a cloud must be able to do: machines, load balancers and routes, in ten calls.

One protocol and a set of features instead of upstream's six interfaces found by asking: a provider says what it has, a
controller whose feature is missing does not run, and the manager's log says so by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from pybernetes.api.core_v1 import LoadBalancerStatus, Node, NodeAddress, Service

Feature = Literal["instances", "load-balancers", "routes"]
INSTANCES: Final[Feature] = "instances"
LOAD_BALANCERS: Final[Feature] = "load-balancers"
ROUTES: Final[Feature] = "routes"


class CloudError(Exception):
    """The cloud could not do it; the text goes into an Event. The controller tries again with back-off."""


@dataclass(frozen=True)
class Instance:
    """A machine as the cloud knows it. Texts are "" when unknown."""

    #: `<provider>://<...>`, unique and for ever.
    provider_id: str
    addresses: tuple[NodeAddress, ...] = ()
    type: str = ""
    zone: str = ""
    region: str = ""
    #: It exists, but is switched off.
    shutdown: bool = False
    #: More labels for its Node; those of kubernetes.io and k8s.io are ignored.
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Route:
    """Packets for `destination` (a node's Pod range, CIDR) go to the node. node "": to a machine that is no more."""

    destination: str
    node: str
    #: The cloud's own name of it; "" when it is to be created.
    name: str = ""


class Provider(Protocol):
    """A cloud.

    Ownership: objects handed in are shared and never changed; what is returned belongs to the caller. Everything that
    is made carries the cluster's name, and a provider touches nothing that does not carry it.

    Order: `start` comes first and once, `close` last. Calls for one Service, or one node's route, never overlap; calls
    for different ones do. `ensure_load_balancer` may come any number of times, also for what exists already (each start
    of the controller does that); `delete_load_balancer` and `delete_route` for what is gone succeed.

    Errors: CloudError with a text for people when the cloud refuses or cannot be reached. A call whose feature is not
    in `features` is never made. Cancelling a call may leave its work half done; the next one mends it.
    """

    #: For provider ids, messages and logs.
    name: str
    features: frozenset[Feature]
    #: Load balancers are addresses of the nodes themselves: only nodes that can serve are handed in (Ready ones; with
    #: external traffic policy Local those with endpoints), and `update_load_balancer` follows each change of that set.
    by_node: bool

    def start(self, again: Callable[[], None]) -> None:
        """No I/O. `again` asks for another try of every Service that has no load balancer yet."""

    async def close(self) -> None:
        """Let go of connections. What was made in the cloud stays."""

    async def instance(self, node: Node) -> Instance | None:
        """The machine of a node, by `spec.providerID`, else by name; None: it does not exist any more."""

    async def load_balancer(self, service: Service) -> LoadBalancerStatus | None:
        """What a Service has in the cloud; None: nothing."""

    async def ensure_load_balancer(self, service: Service, nodes: Sequence[Node]) -> LoadBalancerStatus:
        """Make the load balancer as the Service wants it, over these nodes."""

    async def update_load_balancer(self, service: Service, nodes: Sequence[Node]) -> LoadBalancerStatus:
        """Only the nodes changed."""

    async def delete_load_balancer(self, service: Service) -> None:
        """Nothing of the Service is left in the cloud."""

    async def routes(self) -> Sequence[Route]:
        """The cluster's routes."""

    async def create_route(self, route: Route, node: Node) -> None:
        """Make it; the node says which machine and which addresses."""

    async def delete_route(self, route: Route) -> None:
        """Remove one that `routes` gave."""
