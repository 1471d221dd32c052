"""metrics.k8s.io/v1beta1: what nodes and Pods use, for `kubectl top` and autoscalers.

Upstream has it from metrics-server, which everybody installs; here it is built in, as nothing but the kubelets' own
figures is needed. Who installs metrics-server nevertheless gets it: an APIService of that version that names a Service
takes the place of ours, as long as it is there.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from pybernetes.api.apiregistration_v1 import APIService
from pybernetes.control_plane.apiserver.objects import StructCodec
from pybernetes.control_plane.apiserver.resource import Resource, Strategy
from pybernetes.control_plane.apiserver.resource_metrics.samples import Samples
from pybernetes.control_plane.apiserver.resource_metrics.served import GROUP, KINDS, VERSION, NodesUsage, PodsUsage

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.cache import Change
    from pybernetes.control_plane.apiserver.server import APIServer

_NAME = f"{VERSION}.{GROUP}"


class ResourceMetrics:
    """The group version, while nobody else serves it."""

    def __init__(self, server: APIServer) -> None:
        self._registry = server.registry
        self._services = server.cache.storage("apiregistration.k8s.io", "apiservices")
        self._samples = Samples(server.core)
        self._resources = []
        for kind, answers in zip(KINDS, (NodesUsage, PodsUsage), strict=True):
            strategy = Strategy(kind)
            strategy.core = server.core
            resource = Resource(kind, StructCodec(lambda kind=kind: kind.type), strategy)  # type: ignore[misc]
            resource.special = answers(server.core, resource, self._samples)
            self._resources.append(resource)

    def start(self) -> None:
        """Serve, unless an APIService names another server."""
        item = self._services.items.get(self._services.prefix + _NAME)
        self._serve(item is None or cast(APIService, item.obj).spec.service is None)
        self._services.listeners.append(self._seen)

    async def run(self) -> None:
        """Until cancelled."""
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await self._samples.close()

    def _seen(self, change: Change) -> None:
        if change.item.name == _NAME:
            self._serve(change.deleted or cast(APIService, change.item.obj).spec.service is None)

    def _serve(self, ours: bool) -> None:
        served = self._registry.get(GROUP, VERSION, "nodes") is not None
        if ours and not served:
            self._registry.extend(self._resources)
        elif served and not ours:
            for resource in self._resources:
                self._registry.remove(GROUP, VERSION, resource.kind.resource)


def install(server: APIServer) -> None:
    """Add the part to a server."""
    server.parts["resource_metrics"] = ResourceMetrics(server)
