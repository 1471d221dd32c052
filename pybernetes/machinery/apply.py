"""Server-side apply: an object is merged into the live one by its author's name. KEP-555.

An apply owns what it names, conflicts with others who manage the same fields, and takes away what it named last time
and nobody else owns. Works on wire dicts, returns new ones. Who owns what is in `managed_fields`, whose `track` is the
other half: every write that is no apply.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from pybernetes.machinery import errors, fieldset
from pybernetes.machinery.fieldset import Tree
from pybernetes.machinery.managed_fields import (
    ANCIENT,
    MAX_UPDATE_MANAGERS,
    Elsewhere,
    arranged,
    client_entries,
    identity_of,
    new_entry,
    seen_by,
    share,
    strip,
    track,
    tree_of,
    with_set,
)
from pybernetes.machinery.meta import ManagedFieldsEntry, ObjectMeta, StatusCause
from pybernetes.machinery.schema import ANY, Schema, of_struct
from pybernetes.machinery.text import quote

__all__ = [
    "ANCIENT",
    "BEFORE_FIRST_APPLY",
    "MAX_UPDATE_MANAGERS",
    "apply",
    "client_entries",
    "share",
    "track",
    "tree_of",
    "undeclared",
]

BEFORE_FIRST_APPLY: Final = "before-first-apply"


def apply(
    live: dict[str, Any] | None,
    applied: dict[str, Any],
    schema: Schema,
    *,
    manager: str,
    time: str,
    force: bool = False,
    subresource: str = "",
    reset: Tree | None = None,
    elsewhere: Callable[[str, dict[str, Any], dict[str, Any]], tuple[Tree, Tree] | None] | None = None,
) -> dict[str, Any]:
    """The object that results from applying `applied` to `live` (None: create), with `metadata.managedFields`.

    Wire dicts. `reset` fields of `applied` are ignored. `elsewhere(version, before, after)`: the change as another
    version sees it, where versions differ. Raises StatusError: 500 for an object that does not fit its
    schema (as upstream has it), 409 for fields with another value that somebody else manages, unless `force`.
    """
    api_version = str(applied.get("apiVersion") or "")
    applied = _prepare(applied)
    if reset:
        applied = _drop(applied, reset)
    base: dict[str, Any] = (
        live if live is not None else {k: v for k, v in applied.items() if k in ("apiVersion", "kind")}
    )
    entries = _entries(base)
    tree = strip(fieldset.of_applied(applied, schema))
    bare = _without_managed(base)
    try:
        if unknown := undeclared(applied, schema):
            raise _Untyped(unknown)
        merged = _merge_maps(bare, applied, schema, "")
    except _Untyped as error:
        text = f"failed to create typed patch object ({_described(applied)}): {error}"
        raise errors.StatusError(500, "", text) from None  # upstream gives this no reason either
    if live is not None and not entries:  # written before anybody kept track: somebody has to own what is there
        changed, _ = fieldset.compare({}, bare, schema)
        if before := strip(changed):
            entries = [new_entry(BEFORE_FIRST_APPLY, "Update", api_version, "", time, before)]
    identity = (manager, "Apply", "", subresource)
    mine = next((e for e in entries if identity_of(e) == identity), None)
    others = [e for e in entries if e is not mine]
    if mine is not None and mine.fields_v1:
        owned = tree
        for entry in others:
            owned = fieldset.union(owned, entry.fields_v1 or {})
        merged = _prune(merged, mine.fields_v1, owned, schema, root=True)
    changed, removed = fieldset.compare(bare, merged, schema)
    views = None if elsewhere is None else lambda version: elsewhere(version, bare, merged)
    kept = _taken(others, api_version, (strip(changed), strip(removed)), force, views)
    if tree:
        same = mine is not None and mine.fields_v1 == tree and mine.api_version == api_version
        stamp = mine.time if mine is not None and same else time
        kept.append(new_entry(manager, "Apply", api_version, subresource, stamp, tree))
    metadata = dict(merged.get("metadata") or {})
    metadata["managedFields"] = [msgspec.to_builtins(e) for e in arranged(kept)]
    return {**merged, "metadata": metadata}


class _Untyped(ValueError):
    """The applied object is not what the schema says."""


def _described(obj: dict[str, Any]) -> str:
    """`default/web; apps/v1, Kind=Deployment`."""
    metadata = obj.get("metadata") or {}
    namespace, name = metadata.get("namespace"), metadata.get("name") or ""
    version = str(obj.get("apiVersion") or "")
    shown = version if "/" in version else f"/{version}"
    return (
        f"{namespace}/{name}; {shown}, Kind={obj.get('kind')}"
        if namespace
        else f"{name}; {shown}, Kind={obj.get('kind')}"
    )


def undeclared(obj: dict[str, Any], schema: Schema) -> str:
    """`.spec.foo: field not declared in schema` for each field that the schema does not know; "" if there is none."""
    found: list[str] = []
    for key, value in obj.items():
        if key == "metadata":
            _find_undeclared(value, of_struct(ObjectMeta), ".metadata", found)
        elif key not in ("apiVersion", "kind"):
            child = schema.child(key)
            if child is not None:
                _find_undeclared(value, child, f".{key}", found)
            elif not schema.preserve_unknown_fields:
                found.append(f".{key}: field not declared in schema")
    return "\n  ".join(["errors:", *found]) if len(found) > 1 else "".join(found)


def _find_undeclared(value: Any, schema: Schema, path: str, found: list[str]) -> None:
    if schema.alternatives:
        schema = schema.for_value(value)
    if isinstance(value, dict):
        for key, item in value.items():
            child = schema.child(key)
            if child is None and schema.embedded_resource and key in ("apiVersion", "kind", "metadata"):
                child = of_struct(ObjectMeta) if key == "metadata" else ANY
            if child is not None:
                if isinstance(item, dict | list):
                    _find_undeclared(item, child, f"{path}.{key}", found)
            elif not schema.preserve_unknown_fields:
                found.append(f"{path}.{key}: field not declared in schema")
    elif isinstance(value, list) and schema.items is not None:
        for i, item in enumerate(value):
            if isinstance(item, dict | list):
                step = fieldset.item_step(item, schema) if schema.list_type == "map" else None
                at = fieldset.step_text(step) if step else f"[{i}]"
                _find_undeclared(item, schema.items, path + at, found)


def _prepare(applied: dict[str, Any]) -> dict[str, Any]:
    metadata = applied.get("metadata")
    if isinstance(metadata, dict):
        if metadata.get("managedFields"):
            raise errors.bad_request("metadata.managedFields must be nil")
        if "managedFields" in metadata:
            metadata = {k: v for k, v in metadata.items() if k != "managedFields"}
            return {**applied, "metadata": metadata}
    return applied


def _entries(obj: dict[str, Any]) -> list[ManagedFieldsEntry]:
    raw = (obj.get("metadata") or {}).get("managedFields") or []
    return msgspec.convert([e for e in raw if e], list[ManagedFieldsEntry])


def _without_managed(obj: dict[str, Any]) -> dict[str, Any]:
    metadata = obj.get("metadata")
    if not metadata or "managedFields" not in metadata:
        return obj
    return {**obj, "metadata": {k: v for k, v in metadata.items() if k != "managedFields"}}


def _drop(value: dict[str, Any], tree: Tree) -> dict[str, Any]:
    """A value without the plain fields of a set."""
    result = dict(value)
    for step, node in tree.items():
        name = step[2:]
        if name in result:
            if not node:
                del result[name]
            elif isinstance(result[name], dict):
                result[name] = _drop(result[name], node)
    return result


def _taken(
    others: list[ManagedFieldsEntry],
    api_version: str,
    here: tuple[Tree, Tree],
    force: bool,
    elsewhere: Elsewhere | None,
) -> list[ManagedFieldsEntry]:
    """The other managers after the change. Raises StatusError when it touches theirs and is not forced."""
    conflicts: list[tuple[ManagedFieldsEntry, list[str]]] = []
    kept: list[ManagedFieldsEntry] = []
    for entry in others:
        tree = entry.fields_v1 or {}
        seen = seen_by(entry, api_version, here, elsewhere)
        if seen is None:
            continue
        changed, removed = seen
        if not force and (clash := fieldset.intersection(tree, changed)):
            conflicts.append((entry, fieldset.paths(clash)))
        left = fieldset.difference(fieldset.difference(tree, changed), removed)
        if left is tree:
            kept.append(entry)
        elif left:
            kept.append(with_set(entry, left))
    if conflicts:
        raise _conflict(conflicts)
    return kept


def _manager_text(entry: ManagedFieldsEntry) -> str:
    text = quote(entry.manager or "")
    if entry.subresource:
        text = f"{text} with subresource {quote(entry.subresource)}"
    return f"{text} using {entry.api_version}" if entry.operation == "Update" else text


def _conflict(conflicts: list[tuple[ManagedFieldsEntry, list[str]]]) -> errors.StatusError:
    conflicts.sort(key=lambda c: identity_of(c[0]))
    causes = [
        StatusCause(reason="FieldManagerConflict", message=f"conflict with {_manager_text(entry)}", field_=path)
        for entry, found in conflicts
        for path in found
    ]
    if len(causes) == 1:
        text = f"Apply failed with 1 conflict: {causes[0].message}: {causes[0].field_}"
    else:
        lines = []
        for entry, found in conflicts:
            lines.append(f"conflicts with {_manager_text(entry)}:")
            lines.extend(f"- {path}" for path in found)
        text = f"Apply failed with {len(causes)} conflicts: " + "\n".join(lines)
    return errors.apply_conflict(causes, text)


def _merge_maps(old: dict[str, Any], new: dict[str, Any], schema: Schema, path: str) -> dict[str, Any]:
    result = dict(old)
    for key, value in new.items():
        child = schema.child(key) or ANY
        result[key] = _merge(old.get(key), value, child, f"{path}.{key}")
    return result


def _merge(old: Any, new: Any, schema: Schema, path: str) -> Any:
    if schema.alternatives:
        schema = schema.for_value(new)
    if fieldset.is_leaf(new, schema):
        return new
    if isinstance(new, dict):
        return _merge_maps(old if isinstance(old, dict) else {}, new, schema, path)
    return _merge_lists(old if isinstance(old, list) else [], new, schema, path)


def _merge_lists(old: list[Any], new: list[Any], schema: Schema, path: str) -> list[Any]:
    """Items in the applied order; those that only the live object has stay before the item they preceded."""
    items = schema.items or ANY
    live = {fieldset.item_step(item, schema) or f"#{i}": item for i, item in enumerate(old)}
    wanted: dict[str, Any] = {}
    for i, item in enumerate(new):
        step = fieldset.item_step(item, schema)
        if step is None:
            missing = next((k for k in schema.list_map_keys if not isinstance(item, dict) or item.get(k) is None), "")
            text = f"associative list with keys has an element that omits key field {quote(missing)}"
            raise _Untyped(f"{path}: element {i}: {text} (and doesn't have default value)")
        if step in wanted:
            raise _Untyped(f"{path}: duplicate entries for key {fieldset.step_text(step)}")
        wanted[step] = item
    order = iter(live.items())
    result: list[Any] = []
    done: set[str] = set()
    for step, item in wanted.items():
        if step in live and step not in done:
            for other, kept in order:
                done.add(other)
                if other == step:
                    break
                if other not in wanted:
                    result.append(kept)
        result.append(_merge(live.get(step), item, items, f"{path}{fieldset.step_text(step)}"))
    result.extend(kept for other, kept in order if other not in wanted)
    return result


def _prune(value: Any, last: Tree, owned: Tree, schema: Schema, root: bool = False) -> Any:
    """The value without what the last apply named (`last`) and now nobody owns."""
    if isinstance(value, dict):
        result = dict(value)
        for step, node in last.items():
            name = step[2:]
            if step[:2] != "f:" or name not in result:
                continue
            mine = owned.get(step)
            if mine is None and not (root and name == "metadata"):
                del result[name]
            elif node:
                result[name] = _prune(result[name], node, mine or {}, schema.child(name) or ANY)
        return result
    if isinstance(value, list):
        kept = []
        for item in value:
            step_ = fieldset.item_step(item, schema)
            node = last.get(step_) if step_ is not None else None
            if node is not None and step_ is not None:
                mine = owned.get(step_)
                if mine is None:
                    continue
                if node:
                    item = _prune(item, node, mine, schema.items or ANY)
            kept.append(item)
        return kept
    return value
