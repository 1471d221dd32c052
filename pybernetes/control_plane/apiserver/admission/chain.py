"""Admission: all mutating plugins in order, later all validating ones in order."""

from __future__ import annotations

from collections.abc import Sequence

from pybernetes.control_plane.apiserver.admission.attributes import Attributes, Plugin


class Admission:
    """The ordered list of plugins. Order of reading = order of running."""

    def __init__(self, plugins: Sequence[Plugin]) -> None:
        self.plugins = tuple(plugins)
        self._mutating = tuple(p for p in plugins if p.mutates)
        self._validating = tuple(p for p in plugins if p.validates)

    async def admit(self, attributes: Attributes) -> None:
        """Run the mutating half. Raises what a plugin raises."""
        for plugin in self._mutating:
            if plugin.handles(attributes):
                await plugin.admit(attributes)

    async def validate(self, attributes: Attributes) -> None:
        """Run the validating half. Raises what a plugin raises."""
        for plugin in self._validating:
            if plugin.handles(attributes):
                await plugin.validate(attributes)
