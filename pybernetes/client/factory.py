"""Informers shared within a process: one per resource and selector, however many controllers ask."""

from __future__ import annotations

import asyncio
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar, cast

from pybernetes.aio.tasks import Nursery
from pybernetes.api.kinds import Kind
from pybernetes.client.client import Client, Resource
from pybernetes.client.informer import Informer
from pybernetes.machinery.meta import Object

if TYPE_CHECKING:
    from pybernetes.client.discovered import DiscoveredResources

O = TypeVar("O", bound=Object)  # noqa: E741 - an object kind


class InformerFactory:
    """`informer(Pod)` gives the shared informer; `run()` runs all of them, also those asked for later."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._informers: dict[tuple[Any, ...], Informer[Any]] = {}
        self._tasks: dict[tuple[Any, ...], asyncio.Task[None]] = {}
        self._nursery: Nursery | None = None

    @cached_property
    def discovered(self) -> DiscoveredResources:
        """What the server serves, kept current; shared like the informers."""
        from pybernetes.client.discovered import DiscoveredResources

        return DiscoveredResources(self.client, self)

    def informer(
        self, kind: type[O], *, namespace: str = "", label_selector: str = "", field_selector: str = ""
    ) -> Informer[O]:
        """The informer of a built-in kind, as structs."""
        key = (kind, namespace, label_selector, field_selector)
        if (found := self._informers.get(key)) is None:
            resource = self.client.resource(kind)
            found = self._add(key, Informer(resource, namespace, label_selector, field_selector))
        return cast("Informer[O]", found)

    def dynamic(self, api_version: str, kind_or_resource: str, *, namespace: str = "") -> Informer[dict[str, Any]]:
        """The informer of any resource, as wire dicts."""
        key = ("dynamic", api_version, kind_or_resource, namespace)
        if (found := self._informers.get(key)) is None:
            found = self._add(key, Informer(self.client.dynamic(api_version, kind_or_resource), namespace))
        return found

    def metadata(self, kind: Kind) -> Informer[Object]:
        """The metadata of all objects of a kind: through the informer of the whole objects if there is one already."""
        if kind.module and (found := self._informers.get((kind.type, "", "", ""))) is not None:
            return found
        key = ("metadata", kind.group, kind.resource)
        if (found := self._informers.get(key)) is None:
            resource: Resource[Object] = self.client.metadata(kind)
            found = self._add(key, Informer(resource))
        return found

    async def forget_metadata(self, kind: Kind) -> None:
        """Stop and drop the metadata informer of a resource that is no longer served."""
        key = ("metadata", kind.group, kind.resource)
        self._informers.pop(key, None)
        if task := self._tasks.pop(key, None):
            task.cancel()
            await asyncio.wait([task])

    async def synced(self) -> None:
        """Wait until every informer asked for so far has its first list."""
        for informer in [*self._informers.values()]:
            await informer.synced()

    async def run(self) -> None:
        """Run the informers until cancelled."""
        async with Nursery("informers") as nursery:
            self._nursery = nursery
            try:
                for key, informer in self._informers.items():
                    self._start(key, informer)
                await asyncio.get_running_loop().create_future()
            finally:
                self._nursery = None
                self._tasks.clear()

    def _add(self, key: tuple[Any, ...], informer: Informer[Any]) -> Informer[Any]:
        self._informers[key] = informer
        if self._nursery is not None:
            self._start(key, informer)
        return informer

    def _start(self, key: tuple[Any, ...], informer: Informer[Any]) -> None:
        assert self._nursery is not None
        name = key[0] if isinstance(key[0], str) else key[0].__name__
        self._tasks[key] = self._nursery.start(informer.run(), f"{name} {' '.join(map(str, key[1:]))}".strip())
