"""Managed fields: who wrote which field, kept by `machinery.apply`. See KEP-555."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from pybernetes.aio import clock
from pybernetes.control_plane.apiserver.objects import Custom
from pybernetes.machinery import apply

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.call import Call
    from pybernetes.control_plane.apiserver.objects import AnyObject
    from pybernetes.control_plane.apiserver.resource import Resource
    from pybernetes.machinery.managed_fields import Elsewhere

_STATUS = apply.tree_of("status")
_SPEC = apply.tree_of("spec")


def manager_of(call: Call) -> str:
    """`fieldManager`, or the client's name from its user agent."""
    manager = call.param("fieldManager") if call.params else ""
    return manager or _agent(call.headers.get(b"user-agent", b""))


@cache
def _agent(agent: bytes) -> str:
    name = agent.decode("utf-8", "replace").partition("/")[0]
    name = "".join(c for c in name if c.isprintable())
    return name[:128] or "unknown"


def reset_of(resource: Resource, subresource: str) -> Any:
    """The fields that writers of this endpoint cannot own."""
    if subresource == "status":
        return _SPEC
    return _STATUS if resource.strategy.has_status and not subresource else None


_trees: dict[bytes, Any] = {}
_parts: dict[int, Any] = {}  # those whose trees are shared already
_MAX_TREES = 2048
_LEAF: dict[str, Any] = {}
_pack = msgspec.msgpack.Encoder().encode


def shared(entries: list[Any]) -> list[Any] | None:
    """The entries, with parts of their field sets replaced by equal ones that other objects use.

    Pods of one Deployment own nearly the same fields, and the sets take more memory than the rest of a Pod. Parts, and
    not whole sets, because parts are alike more often. Nobody changes a set in place.
    """
    for entry in entries:
        for part in (entry.fields_v1 or {}).values():
            if _parts.get(id(part)) is part:
                continue
            if len(_parts) >= _MAX_TREES:
                _parts.clear()
            _parts[id(part)] = part
            for key, tree in part.items():
                part[key] = _shared(tree) if tree else _LEAF
    return entries or None


def _shared(tree: Any) -> Any:
    key = _pack(tree)
    known = _trees.get(key)
    if known is None:
        if len(_trees) >= _MAX_TREES:
            _trees.clear()
        known = _trees[key] = tree
    return known


def created(call: Call, resource: Resource, obj: AnyObject) -> None:
    """Own the fields of a new object."""
    obj.metadata.managed_fields = None
    obj.metadata.managed_fields = shared(
        apply.track(
            None,
            _value(obj),
            (),
            manager=manager_of(call),
            api_version=obj.api_version,
            time=clock.rfc3339(),
            schema=_schema(resource, obj),
            reset=reset_of(resource, ""),
        )
    )


def updated(call: Call, resource: Resource, new: AnyObject, old: AnyObject, subresource: str) -> None:
    """Own what an update changed. `managedFields: [{}]` in the request forgets all owners."""
    before = old.metadata.managed_fields
    given = new.metadata.managed_fields
    if subresource or not given:
        given = before
    elif _is_reset(given):
        new.metadata.managed_fields = None
        return
    new.metadata.managed_fields = given
    if not given:
        new.metadata.managed_fields = None
        return
    if new == old:
        return
    new.metadata.managed_fields = shared(
        apply.track(
            _value(old),
            _value(new),
            given,
            manager=manager_of(call),
            api_version=new.api_version,
            time=clock.rfc3339(),
            schema=_schema(resource, new),
            subresource=subresource,
            reset=reset_of(resource, subresource),
            elsewhere=_elsewhere(resource, new, old),
        )
    )


def _elsewhere(resource: Resource, new: AnyObject, old: AnyObject) -> Elsewhere | None:
    """How other versions see the change; None where all see the same."""
    views = resource.views
    if views is None or not isinstance(new, Custom) or not isinstance(old, Custom):
        return None
    before, after = old.to_wire(), new.to_wire()
    return lambda version: views.changes(version, before, after)


def _is_reset(entries: list[Any]) -> bool:
    return len(entries) == 1 and not msgspec.to_builtins(entries[0])


def _value(obj: AnyObject) -> Any:
    return obj.to_wire() if isinstance(obj, Custom) else obj


def _schema(resource: Resource, obj: AnyObject) -> Any:
    return resource.codec.schema if isinstance(obj, Custom) else None
