"""The cloud controller manager: the list of its controllers, each with the feature of the provider it needs.

A process of its own where several control planes share a cloud (`pybernetes cloud-controller-manager`); on one machine
it runs beside the other controllers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pybernetes.aio.tasks import Ready
from pybernetes.client import leader
from pybernetes.client.client import Client
from pybernetes.client.controller import Controller
from pybernetes.client.events import EventRecorder
from pybernetes.client.factory import InformerFactory
from pybernetes.client.manager import Manager
from pybernetes.control_plane.cloud import routes
from pybernetes.control_plane.cloud.node import CloudNodeController
from pybernetes.control_plane.cloud.node_lifecycle import CloudNodeLifecycleController
from pybernetes.control_plane.cloud.provider import INSTANCES, LOAD_BALANCERS, ROUTES, Feature, Provider
from pybernetes.control_plane.cloud.routes import RouteController
from pybernetes.control_plane.cloud.service import ServiceController

log = logging.getLogger(__name__)

#: Those without a configuration of their own, in the order they start, and what of the provider they need.
PLAIN: tuple[
    tuple[
        type[CloudNodeController] | type[CloudNodeLifecycleController] | type[ServiceController],
        Feature,
    ],
    ...,
] = (
    (CloudNodeController, INSTANCES),
    (CloudNodeLifecycleController, INSTANCES),
    (ServiceController, LOAD_BALANCERS),
)


@dataclass(frozen=True)
class Config:
    """Which cloud, and what runs."""

    #: Makes the provider; it may ask for informers, which are filled before its first call.
    provider: Callable[[InformerFactory], Provider]
    #: Which run: names, `*` for all, `-name` for not this one.
    controllers: Sequence[str] = ("*",)
    #: Which lease to hold while working. None: there is no other copy of this process.
    leader_election: leader.Config | None = None
    routes: routes.Config = field(default_factory=routes.Config)


class CloudControllerManager:
    """`run()` until cancelled; `ready` is set when all caches are filled and the controllers run."""

    def __init__(self, config: Config, client: Client) -> None:
        self.config = config
        self.client = client.named("cloud-controller-manager")
        self.informers = InformerFactory(self.client)
        self.events = EventRecorder(self.client, "cloud-controller-manager")
        self.provider = config.provider(self.informers)
        self.manager = Manager(self.informers, self.events, self._controllers())

    @property
    def ready(self) -> Ready[None]:
        return self.manager.ready

    async def run(self) -> None:
        """See the class. With leader election: stand by until elected; raises LeadershipLost when the lease is lost."""
        try:
            if self.config.leader_election is None:
                await self.manager.run()
            else:
                await leader.LeaderElector(self.config.leader_election, self.client).run(self.manager.run)
        finally:
            await self.provider.close()

    def _controllers(self) -> list[Controller]:
        provider, client, informers = self.provider, self.client, self.informers
        found: list[Controller] = []
        for kind, feature in PLAIN:
            if self._wanted(kind.name, feature):
                found.append(kind(provider, client, informers, self.events.named(kind.name)))
        if self._wanted(RouteController.name, ROUTES):
            events = self.events.named("route_controller")
            found.append(RouteController(self.config.routes, provider, client, informers, events))
        return found

    def _wanted(self, name: str, feature: Feature) -> bool:
        listed = self.config.controllers
        if f"-{name}" in listed or not (name in listed or "*" in listed):
            return False
        if feature not in self.provider.features:
            log.info("%s does not run: the provider %s has no %s", name, self.provider.name, feature)
            return False
        return True
