"""What the server does with each kind: one module per group, collected here into served resources."""

from __future__ import annotations

from importlib import import_module

from pybernetes.api.kinds import KINDS, Kind
from pybernetes.control_plane.apiserver.core import Core
from pybernetes.control_plane.apiserver.objects import StructCodec
from pybernetes.control_plane.apiserver.resource import Resource, Strategy, Subresource
from pybernetes.control_plane.apiserver.subresources.status import Status

#: Modules with a `STRATEGIES` dict (kind name -> Strategy class), by the kinds table's module name.
_MODULES: tuple[str, ...] = ()


class StatusStrategy(Strategy):
    has_status = True


def build(core: Core) -> list[Resource]:
    """All built-in resources, in the order of discovery."""
    strategies: dict[tuple[str, str], type[Strategy]] = {}
    for name in _MODULES:
        module = import_module(f"{__name__}.{name}")
        strategies.update({(name, kind): strategy for kind, strategy in module.STRATEGIES.items()})
    return [_resource(core, kind, strategies.get((kind.module, kind.kind))) for kind in KINDS]


def _resource(core: Core, kind: Kind, strategy: type[Strategy] | None) -> Resource:
    if strategy is None:
        strategy = StatusStrategy if "status" in kind.subresources else Strategy
    made = strategy(kind)
    codec = StructCodec(kind.type)
    resource = Resource(kind, codec, made)
    if "list" in kind.verbs:
        group, _, name = kind.storage.partition("/") if kind.storage else (kind.group, "", kind.resource)
        storage = core.cache.storage(group, name)
        resource.storage = storage
        if not kind.storage:
            storage.use(codec, made.fields.get(made.indexed_field))
    subresources: dict[str, Subresource] = {}
    if "status" in kind.subresources:
        subresources["status"] = Status(core)
    resource.subresources = subresources
    return resource
