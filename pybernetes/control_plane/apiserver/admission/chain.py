"""Admission: all mutating plugins in order, later all validating ones in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from pybernetes.control_plane.apiserver.admission.attributes import Attributes, Plugin

#: The kind (kept, so that its identity stays its own), the mutating and the validating plugins.
Chosen: TypeAlias = tuple[object, tuple[Plugin, ...], tuple[Plugin, ...]]
_MAX_CHOSEN = 4096


class Admission:
    """The ordered list of plugins. Order of reading = order of running."""

    def __init__(self, plugins: Sequence[Plugin]) -> None:
        self.plugins = tuple(plugins)
        self._mutating = tuple(p for p in plugins if p.mutates)
        self._validating = tuple(p for p in plugins if p.validates)

        self._chosen: dict[tuple[str, int, str], Chosen] = {}

    async def admit(self, attributes: Attributes) -> None:
        """Run the mutating half; twice, when a webhook or a policy changed the object. Raises what a plugin raises."""
        await self._mutate(attributes)
        if attributes.mutated:
            attributes.again = True
            await self._mutate(attributes)

    async def _mutate(self, attributes: Attributes) -> None:
        for plugin in self._for(attributes)[1]:
            if plugin.fixed or plugin.handles(attributes):
                await plugin.admit(attributes)

    async def validate(self, attributes: Attributes) -> None:
        """Run the validating half. Raises what a plugin raises."""
        for plugin in self._for(attributes)[2]:
            if plugin.fixed or plugin.handles(attributes):
                await plugin.validate(attributes)

    def _for(self, attributes: Attributes) -> Chosen:
        """The plugins that may look at such requests: most handle one kind, and every write passes here twice."""
        kind = attributes.resource.kind
        key = (attributes.operation, id(kind), attributes.subresource)
        chosen = self._chosen.get(key)
        if chosen is None:
            if len(self._chosen) >= _MAX_CHOSEN:
                self._chosen.clear()
            mutating, validating = (
                tuple(plugin for plugin in half if not plugin.fixed or plugin.handles(attributes))
                for half in (self._mutating, self._validating)
            )
            chosen = self._chosen[key] = kind, mutating, validating
        return chosen
