"""Making patches: what must be sent so that one object becomes another.

The three-way form is `kubectl apply`: what the user removed since the last time (`last` has it, `modified` has not) is
deleted, what differs from the live object is set, and what others added to the live object is left alone. The two-way
form is the same with the live object as the last one. Without a schema lists are atomic: a JSON merge patch.
"""

from __future__ import annotations

from typing import Any

from pybernetes.machinery.schema import ANY, Schema
from pybernetes.machinery.strategic import DELETE_FROM, DIRECTIVE, ORDER, RETAIN

__all__ = ["diff", "three_way"]


def diff(original: dict[str, Any], modified: dict[str, Any], schema: Schema = ANY) -> dict[str, Any]:
    """The patch from `original` to `modified`: strategic with a schema, else JSON merge. Empty when they are equal."""
    return _objects(original, modified, original, schema)


def three_way(
    last: dict[str, Any], modified: dict[str, Any], current: dict[str, Any], schema: Schema = ANY
) -> dict[str, Any]:
    """The patch for `current` so that it has all of `modified` and nothing that only `last` had."""
    return _objects(last, modified, current, schema)


def _objects(last: dict[str, Any], modified: dict[str, Any], current: dict[str, Any], schema: Schema) -> dict[str, Any]:
    patch: dict[str, Any] = {key: None for key in last if key not in modified}
    for key, value in modified.items():
        if value is None:
            if current.get(key) is not None:
                patch[key] = None
            continue
        live = current.get(key)
        before = last.get(key)
        child = schema.child(key) or ANY
        if isinstance(value, dict) and isinstance(live, dict):
            strategies = child.patch_strategy.split(",")
            inner = _objects(before if isinstance(before, dict) else {}, value, live, child)
            if inner:
                if "retainKeys" in strategies:
                    inner[RETAIN] = sorted(k for k in value if value[k] is not None)
                patch[key] = inner
        elif isinstance(value, list) and "merge" in child.patch_strategy.split(","):
            before = before if isinstance(before, list) else []
            live = live if isinstance(live, list) else []
            _lists(patch, key, before, value, live, child)
        elif live is None or not _same(value, live):
            patch[key] = value
    return patch


def _same(a: Any, b: Any) -> bool:
    return bool(a == b) and isinstance(a, bool) is isinstance(b, bool)


def _lists(
    patch: dict[str, Any], key: str, last: list[Any], modified: list[Any], current: list[Any], schema: Schema
) -> None:
    """Fill in the patch of one list that merges."""
    merge_key = schema.patch_merge_key
    if not merge_key:
        added = [item for item in modified if item not in current]
        removed = [item for item in last if item not in modified]
        if removed:
            patch[f"{DELETE_FROM}{key}"] = removed
        if added:
            patch[key] = added
        if added or removed or _moved(modified, current):
            patch[f"{ORDER}{key}"] = modified
        return
    names = [item[merge_key] for item in modified]
    live = {item.get(merge_key): item for item in current}
    before = {item.get(merge_key): item for item in last}
    items: list[Any] = []
    for item in modified:
        name = item[merge_key]
        if name not in live:
            items.append(item)
        elif inner := _objects(before.get(name, {}), item, live[name], schema.items or ANY):
            items.append({**inner, merge_key: name})
    items.extend({DIRECTIVE: "delete", merge_key: name} for name in before if name not in names)
    if items:
        patch[key] = items
    if items or _moved(names, [item.get(merge_key) for item in current]):
        patch[f"{ORDER}{key}"] = [{merge_key: name} for name in names]


def _moved(wanted: list[Any], live: list[Any]) -> bool:
    return [n for n in live if n in wanted] != [n for n in wanted if n in live]
