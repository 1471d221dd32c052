"""Objects beside Pods and nodes that plugins ask about, from informers that start with the first Pod that needs them.

Most clusters in tests have no volumes and no devices; they shall not pay for watching either.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from pybernetes.client.factory import InformerFactory
from pybernetes.client.informer import Informer
from pybernetes.machinery.meta import Object

O = TypeVar("O", bound=Object)  # noqa: E741 - an object kind


class WatchedObjects:
    """What the informers of several kinds share; `event(name, old, new)` hears what may help waiting Pods."""

    def __init__(self, informers: InformerFactory, event: Callable[[str, Any, Any], None]) -> None:
        self._informers = informers
        self._event = event

    def _watch(self, kind: type[O]) -> Informer[O]:
        informer = self._informers.informer(kind)
        name = kind.__name__
        informer.on(
            added=lambda new: self._event(name, None, new),
            updated=lambda old, new: self._event(name, old, new),
            deleted=lambda old: self._event(name + "/removed", old, None),
        )
        return informer

    async def synced(self) -> None:
        """Wait for all first lists."""
        await self._informers.synced()
