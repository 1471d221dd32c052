"""The controller manager: the ordered list of all controllers, and the process that runs them.

The garbage collector is last on purpose: it uses the informers the others have asked for, and starts its own only for
the rest. Which controllers run is a list of names, `*` for all that are on by default, `-name` to leave one out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pybernetes.aio.tasks import Ready
from pybernetes.client.client import Client
from pybernetes.client.controller import Controller
from pybernetes.client.events import EventRecorder
from pybernetes.client.factory import InformerFactory
from pybernetes.client.manager import Manager
from pybernetes.control_plane.controllers import node_lifecycle, root_ca
from pybernetes.control_plane.controllers.deployment import DeploymentController
from pybernetes.control_plane.controllers.garbage import GarbageCollector
from pybernetes.control_plane.controllers.namespace import NamespaceController
from pybernetes.control_plane.controllers.node_lifecycle import NodeLifecycleController
from pybernetes.control_plane.controllers.replicaset import ReplicaSetController
from pybernetes.control_plane.controllers.replication import ReplicationManager
from pybernetes.control_plane.controllers.root_ca import RootCAPublisher
from pybernetes.control_plane.controllers.serviceaccount import ServiceAccountController
from pybernetes.control_plane.controllers.taint_eviction import TaintEvictionController

#: Those without a configuration of their own, in the order they start.
PLAIN: tuple[type[Controller], ...] = (
    NamespaceController,
    ServiceAccountController,
    ReplicaSetController,
    ReplicationManager,
    DeploymentController,
    TaintEvictionController,
)


@dataclass(frozen=True)
class Config:
    """What the controllers need to know beside the API."""

    #: Which run: names, `*` for all, `-name` for not this one.
    controllers: Sequence[str] = ("*",)
    #: PEM of the authority that signed the API server's certificate; "" publishes none.
    root_ca: str = ""
    node_lifecycle: node_lifecycle.Config = field(default_factory=node_lifecycle.Config)


class ControllerManager:
    """`run()` until cancelled; `ready` is set when all caches are filled and the controllers run."""

    def __init__(self, config: Config, client: Client) -> None:
        self.config = config
        self.client = client.named("kube-controller-manager")
        self.informers = InformerFactory(self.client)
        self.events = EventRecorder(self.client, "controllermanager")
        self.manager = Manager(self.informers, self.events, self._controllers())

    @property
    def ready(self) -> Ready[None]:
        return self.manager.ready

    async def run(self) -> None:
        """See the class."""
        await self.manager.run()

    def _controllers(self) -> list[Controller]:
        config, client, informers = self.config, self.client, self.informers
        found: list[Controller] = [
            kind(client, informers, self.events.named(kind.name)) for kind in PLAIN if self._wanted(kind.name)
        ]
        if config.root_ca and self._wanted(RootCAPublisher.name):
            publisher = root_ca.Config(root_ca=config.root_ca)
            found.append(RootCAPublisher(publisher, client, informers, self.events.named(RootCAPublisher.name)))
        if self._wanted(NodeLifecycleController.name):
            events = self.events.named(NodeLifecycleController.name)
            found.append(NodeLifecycleController(config.node_lifecycle, client, informers, events))
        if self._wanted(GarbageCollector.name):
            found.append(GarbageCollector(client, informers, self.events.named(GarbageCollector.name)))
        return found

    def _wanted(self, name: str) -> bool:
        listed = self.config.controllers
        return f"-{name}" not in listed and (name in listed or "*" in listed)
