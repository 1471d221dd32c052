"""Managed fields of a custom object whose managers write different versions of it.

A manager's set of fields is told in the version that it wrote, and stays so: instead, a change is looked at in each of
these versions, which takes the object before and after it in that version. With a conversion webhook that has to be
asked for; what is not known yet is raised as `Unconverted`, awaited by the verb, and found here the next time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import msgspec

from pybernetes.control_plane.apiserver.objects import Custom
from pybernetes.machinery import fieldset
from pybernetes.machinery.fieldset import Tree

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.crd.conversion import Converter
    from pybernetes.machinery.schema import Schema

_CACHED = 512
_pack = msgspec.msgpack.Encoder().encode


class Unconverted(Exception):
    """Objects have to be converted first: `await fetch()`, then do it again."""

    def __init__(self, views: Views, wanted: str, objects: list[Custom]) -> None:
        super().__init__(f"not converted to {wanted} yet")
        self._views, self._wanted, self._objects = views, wanted, objects

    async def fetch(self) -> None:
        """Ask the webhook, and remember."""
        await self._views.fetch(self._wanted, self._objects)


class Views:
    """A definition's objects in its other versions. shapes: the schema of each, by apiVersion."""

    def __init__(self, converter: Converter, shapes: Mapping[str, Schema]) -> None:
        self._converter = converter
        self._shapes = shapes
        self._known: OrderedDict[tuple[str, bytes], Custom] = OrderedDict()

    def changes(self, wanted: str, old: dict[str, Any], new: dict[str, Any]) -> tuple[Tree, Tree] | None:
        """(changed, removed) between two objects in wire form, as apiVersion `wanted` sees it. None: there is no such
        version any more. Raises Unconverted."""
        shape = self._shapes.get(wanted)
        if shape is None:
            return None
        pair = [_custom(old), _custom(new)]
        missing = [each for each in pair if each.api_version != wanted and _key(wanted, each) not in self._known]
        if missing:
            raise Unconverted(self, wanted, missing)
        before, after = (each if each.api_version == wanted else self._known[_key(wanted, each)] for each in pair)
        return fieldset.compare(_bare(before), _bare(after), shape)

    async def fetch(self, wanted: str, objects: list[Custom]) -> None:
        """See Unconverted."""
        for source, found in zip(objects, await self._converter.ask(objects, wanted), strict=True):
            self._known[_key(wanted, source)] = found
            if len(self._known) > _CACHED:
                self._known.popitem(last=False)


def _custom(wire: dict[str, Any]) -> Custom:
    from pybernetes.control_plane.apiserver.objects import CustomCodec

    found = cast(Custom, CustomCodec().convert(wire, None))
    found.metadata.managed_fields = None
    return found


def _bare(obj: Custom) -> dict[str, Any]:
    wire = obj.to_wire()
    return {**wire, "metadata": {k: v for k, v in wire["metadata"].items() if k != "managedFields"}}


def _key(wanted: str, obj: Custom) -> tuple[str, bytes]:
    metadata = obj.metadata
    seen = [obj.api_version, obj.content, metadata.labels, metadata.annotations, metadata.finalizers]
    return wanted, _pack([*seen, metadata.owner_references, metadata.namespace, metadata.name])
