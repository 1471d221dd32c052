"""Built-in resources: each row of the kinds table with its strategy, storage and subresources."""

from __future__ import annotations

from pybernetes.api.kinds import KINDS, Kind
from pybernetes.control_plane.apiserver.core import Core
from pybernetes.control_plane.apiserver.objects import StructCodec
from pybernetes.control_plane.apiserver.resource import Resource, Strategy
from pybernetes.control_plane.apiserver.resources import apps_v1, autoscaling, batch_v1, claims, core_v1, others, pods
from pybernetes.control_plane.apiserver.subresources import special_of, subresources_of

_STRATEGIES: dict[str, dict[str, type[Strategy]]] = {
    "core_v1": {**core_v1.STRATEGIES, **pods.STRATEGIES},
    "apps_v1": apps_v1.STRATEGIES,
    "batch_v1": batch_v1.STRATEGIES,
    "events_v1": {"Event": core_v1.NewEventStrategy},
    **others.STRATEGIES_BY_MODULE,
    "resource_v1": {**others.STRATEGIES_BY_MODULE["resource_v1"], **claims.STRATEGIES},
}


class StatusStrategy(Strategy):
    """Kinds with a status and nothing else of their own."""

    has_status = True


def build(core: Core) -> list[Resource]:
    """All built-in resources, in the order of discovery."""
    return [built_in(core, kind) for kind in KINDS]


def built_in(core: Core, kind: Kind) -> Resource:
    """The resource of a row of the kinds table."""
    strategy = _STRATEGIES.get(kind.module, {}).get(kind.kind)
    if strategy is None:
        strategy = StatusStrategy if "status" in kind.subresources else Strategy
    made = strategy(kind)
    made.core = core
    resource = Resource(kind, StructCodec(lambda: kind.type), made)
    if "list" in kind.verbs and kind.resource != "componentstatuses":
        group, _, name = kind.storage.partition("/") if kind.storage else (kind.group, "", kind.resource)
        resource.storage = core.cache.storage(group, name)
        if not kind.storage:
            resource.storage.use(resource.codec, made.fields.get(made.indexed_field))
        elif kind.group == "events.k8s.io":
            resource.served, resource.stored = core_v1.event_served, core_v1.event_stored
        elif kind.module == "autoscaling_v1":
            resource.served, resource.stored = autoscaling.served, autoscaling.stored
    resource.subresources = subresources_of(core, resource)
    resource.special = special_of(core, resource)
    return resource
