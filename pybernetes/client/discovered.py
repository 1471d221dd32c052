"""What the server serves, kept current: for controllers that work on every resource there is.

Discovery is asked again only when something that changes it has changed: a custom resource definition or an API
service.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from pybernetes.api.apiextensions_v1 import CustomResourceDefinition
from pybernetes.api.apiregistration_v1 import APIService
from pybernetes.api.kinds import Kind
from pybernetes.client.client import Client
from pybernetes.client.factory import InformerFactory


class DiscoveredResources:
    """`await get()` gives all kinds in their preferred version; `on_change` says when to ask again."""

    def __init__(self, client: Client, informers: InformerFactory) -> None:
        self._client = client
        self._callbacks: list[Callable[[], object]] = []
        self._kinds: Sequence[Kind] | None = None
        self._generation = 0
        self._lock = asyncio.Lock()
        self.failed: Mapping[str, Exception] = {}  #: group versions that did not answer last time
        definitions = informers.informer(CustomResourceDefinition)
        services = informers.informer(APIService)
        definitions.on(lambda crd: self._changed(), self._definition_updated, lambda crd: self._changed())
        services.on(lambda service: self._changed(), self._service_updated, lambda service: self._changed())

    def on_change(self, callback: Callable[[], object]) -> None:
        """Be told, synchronously, that the answer of `get` may have changed."""
        self._callbacks.append(callback)

    async def get(self) -> Sequence[Kind]:
        """All kinds. A partly failed discovery is not remembered, but told: see `failed`."""
        async with self._lock:
            if self._kinds is None:
                generation = self._generation
                found, self.failed = await self._client.discover_all()
                if self.failed or generation != self._generation:
                    return found
                self._kinds = found
            return self._kinds

    def _definition_updated(self, old: CustomResourceDefinition, new: CustomResourceDefinition) -> None:
        if old.spec != new.spec or old.status.conditions != new.status.conditions:
            self._changed()

    def _service_updated(self, old: APIService, new: APIService) -> None:
        if old.spec != new.spec or old.status != new.status:
            self._changed()

    def _changed(self) -> None:
        self._generation += 1
        self._kinds = None
        for callback in self._callbacks:
            callback()
