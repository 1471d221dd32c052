"""Server-side apply, and who manages which field.

Every write leaves in `metadata.managedFields` which fields its author set: a create or update owns what it changed, an
apply owns what it names, and takes away what it named last time and nobody else owns. KEP-555.

`track` runs on every write, so it works on structs: it finds what changed, and only then touches the sets. `apply`
works on wire dicts. Both return new values and change none of their arguments.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from pybernetes.machinery import errors, fieldset
from pybernetes.machinery.fieldset import Tree
from pybernetes.machinery.meta import ManagedFieldsEntry, StatusCause
from pybernetes.machinery.schema import ANY, Schema
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
]

#: More managers by update than this are folded into one, the oldest first.
MAX_UPDATE_MANAGERS: Final = 10
ANCIENT: Final = "ancient-changes"
BEFORE_FIRST_APPLY: Final = "before-first-apply"

_LEAF: Final[Tree] = {}
#: Fields that belong to nobody.
_STRIPPED: Final[Tree] = {
    "f:apiVersion": _LEAF,
    "f:kind": _LEAF,
    "f:metadata": {
        f"f:{name}": _LEAF
        for name in (
            "name",
            "namespace",
            "creationTimestamp",
            "selfLink",
            "uid",
            "resourceVersion",
            "generation",
            "managedFields",
        )
    },
}


def tree_of(*paths: str) -> Tree:
    """The set of some plain fields, as `reset` below wants it: `tree_of("status")`, `tree_of("spec.x", "status")`."""
    tree: Tree = {}
    for path in paths:
        node = tree
        *head, last = path.split(".")
        for name in head:
            node = node.setdefault(f"f:{name}", {})
        node[f"f:{last}"] = {}
    return tree


def _identity(entry: ManagedFieldsEntry) -> tuple[str, str, str, str]:
    """Who an entry is of: an applier is the same one in every version."""
    version = entry.api_version or "" if entry.operation != "Apply" else ""
    return entry.manager or "", entry.operation or "", version, entry.subresource or ""


def track(
    old: msgspec.Struct | dict[str, Any] | None,
    new: msgspec.Struct | dict[str, Any],
    entries: Sequence[ManagedFieldsEntry],
    *,
    manager: str,
    api_version: str,
    time: str,
    schema: Schema | None = None,
    subresource: str = "",
    reset: Tree | None = None,
) -> list[ManagedFieldsEntry]:
    """The managed fields after a create (`old` None), update or patch that is no apply.

    `entries`: those so far; take `old`'s unless the client changed them (see `client_entries`). `schema`: for dicts.
    `reset`: fields that this endpoint does not write (`tree_of("status")` for the main resource). `time`: now, RFC 3339.
    The sets of the entries become shared ones (see `share`).
    """
    share(entries)
    if old is None:
        old = type(new)() if isinstance(new, msgspec.Struct) else {}
    changed, removed = fieldset.compare(old, new, schema)
    changed = _strip(changed)
    removed = _strip(removed)
    if not changed and not removed:
        return list(entries)
    identity = (manager, "Update", api_version, subresource)
    found = False
    result: list[ManagedFieldsEntry] = []
    for entry in entries:
        tree = entry.fields_v1 or {}
        if _identity(entry) == identity:
            found = True
            kept = fieldset.union(fieldset.difference(tree, removed), changed)
            if reset:
                kept = fieldset.without(kept, reset)
            if kept and (kept is tree or kept == tree):
                result.append(entry)
            elif kept:
                result.append(_entry(manager, "Update", api_version, subresource, time, kept))
            continue
        left = fieldset.difference(fieldset.difference(tree, changed), removed)
        if left is tree:
            result.append(entry)
        elif left:
            result.append(_with(entry, left))
    if not found:
        own = fieldset.without(changed, reset) if reset else changed
        if own:
            result.append(_entry(manager, "Update", api_version, subresource, time, own))
    return _arranged(result)


def client_entries(
    old: Sequence[ManagedFieldsEntry] | None, new: Sequence[ManagedFieldsEntry] | None
) -> list[ManagedFieldsEntry]:
    """The entries an update starts from: the client's when it sent any, `old`'s when it sent none.

    One empty entry (`[{}]`) wipes them, and so does an explicit empty list, but the caller has to see that one itself:
    it looks like none here.
    """
    if not new:
        return list(old or ())
    if len(new) == 1 and not new[0].manager and not new[0].operation and not new[0].fields_v1:
        return []
    if old is not None and list(new) == list(old):
        return list(old)
    return [entry for entry in new if entry.operation in ("Apply", "Update")]


def _strip(tree: Tree) -> Tree:
    if "f:metadata" in tree or "f:apiVersion" in tree or "f:kind" in tree:
        tree = fieldset.without(tree, _STRIPPED)
        metadata = tree.get("f:metadata")
        if metadata is not None and ("." in metadata or not metadata):
            metadata = {step: node for step, node in metadata.items() if step != "."}
            tree = {step: node for step, node in tree.items() if step != "f:metadata"}
            if metadata:
                tree["f:metadata"] = metadata
    return tree


def _entry(
    manager: str, operation: str, api_version: str, subresource: str, time: str | None, tree: Tree
) -> ManagedFieldsEntry:
    return ManagedFieldsEntry(
        manager=manager,
        operation=operation,
        api_version=api_version,
        time=time,
        fields_type="FieldsV1",
        fields_v1=fieldset.interned(tree),
        subresource=subresource or None,
    )


def share(entries: Sequence[ManagedFieldsEntry] | None) -> None:
    """Make the sets of freshly decoded entries shared ones; for objects that will be kept."""
    for entry in entries or ():
        if entry.fields_v1:
            entry.fields_v1 = fieldset.interned(entry.fields_v1)


def _with(entry: ManagedFieldsEntry, tree: Tree) -> ManagedFieldsEntry:
    return _entry(
        entry.manager or "", entry.operation or "", entry.api_version or "", entry.subresource or "", entry.time, tree
    )


def _order(entry: ManagedFieldsEntry) -> tuple[str, str, str, str, str]:
    return (
        entry.operation or "",
        entry.time or "",
        entry.manager or "",
        entry.api_version or "",
        entry.subresource or "",
    )


def _arranged(entries: list[ManagedFieldsEntry]) -> list[ManagedFieldsEntry]:
    """Appliers first, then by time; too many updaters folded together."""
    if len(entries) < 2:
        return entries
    entries.sort(key=_order)
    updaters = [e for e in entries if e.operation == "Update" and not e.subresource]
    excess = len(updaters) - MAX_UPDATE_MANAGERS
    if excess <= 0:
        return entries
    folded: dict[str, ManagedFieldsEntry] = {}
    for entry in [e for e in updaters if e.manager == ANCIENT]:
        folded[entry.api_version or ""] = entry
    oldest = [e for e in updaters if e.manager != ANCIENT][: excess + 1]
    for entry in oldest:
        version = entry.api_version or ""
        before = folded.get(version)
        tree = fieldset.union(before.fields_v1 or {}, entry.fields_v1 or {}) if before else entry.fields_v1 or {}
        folded[version] = _entry(ANCIENT, "Update", version, "", entry.time, tree)
    gone = {id(e) for e in oldest} | {id(e) for e in updaters if e.manager == ANCIENT}
    kept = [e for e in entries if id(e) not in gone]
    return sorted([*kept, *folded.values()], key=_order)


# Apply


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
) -> dict[str, Any]:
    """The object that results from applying `applied` to `live` (None: create), with `metadata.managedFields`.

    Wire dicts. `reset` fields of `applied` are ignored. Raises StatusError: 400 for an object that cannot be merged,
    409 for fields with another value that somebody else manages, unless `force`.
    """
    api_version = str(applied.get("apiVersion") or "")
    applied = _prepare(applied)
    if reset:
        applied = _drop(applied, reset)
    base: dict[str, Any] = (
        live if live is not None else {k: v for k, v in applied.items() if k in ("apiVersion", "kind")}
    )
    entries = _entries(base)
    tree = _strip(fieldset.of_applied(applied, schema))
    bare = _without_managed(base)
    merged = _merge_maps(bare, applied, schema, "")
    if live is not None and not entries:  # written before anybody kept track: somebody has to own what is there
        changed, _ = fieldset.compare({}, bare, schema)
        if before := _strip(changed):
            entries = [_entry(BEFORE_FIRST_APPLY, "Update", api_version, "", time, before)]
    identity = (manager, "Apply", "", subresource)
    mine = next((e for e in entries if _identity(e) == identity), None)
    others = [e for e in entries if e is not mine]
    if mine is not None and mine.fields_v1:
        owned = tree
        for entry in others:
            owned = fieldset.union(owned, entry.fields_v1 or {})
        merged = _prune(merged, mine.fields_v1, owned, schema, root=True)
    changed, removed = fieldset.compare(bare, merged, schema)
    kept = _taken(others, _strip(changed), _strip(removed), force)
    if tree:
        same = mine is not None and mine.fields_v1 == tree and mine.api_version == api_version
        stamp = mine.time if mine is not None and same else time
        kept.append(_entry(manager, "Apply", api_version, subresource, stamp, tree))
    metadata = dict(merged.get("metadata") or {})
    metadata["managedFields"] = [msgspec.to_builtins(e) for e in _arranged(kept)]
    return {**merged, "metadata": metadata}


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


def _taken(others: list[ManagedFieldsEntry], changed: Tree, removed: Tree, force: bool) -> list[ManagedFieldsEntry]:
    """The other managers after the change. Raises StatusError when it touches theirs and is not forced."""
    conflicts: list[tuple[ManagedFieldsEntry, list[str]]] = []
    kept: list[ManagedFieldsEntry] = []
    for entry in others:
        tree = entry.fields_v1 or {}
        if not force and (clash := fieldset.intersection(tree, changed)):
            conflicts.append((entry, fieldset.paths(clash)))
        left = fieldset.difference(fieldset.difference(tree, changed), removed)
        if left is tree:
            kept.append(entry)
        elif left:
            kept.append(_with(entry, left))
    if conflicts:
        raise _conflict(conflicts)
    return kept


def _manager_text(entry: ManagedFieldsEntry) -> str:
    text = quote(entry.manager or "")
    if entry.subresource:
        text = f"{text} with subresource {quote(entry.subresource)}"
    return f"{text} using {entry.api_version}" if entry.operation == "Update" else text


def _conflict(conflicts: list[tuple[ManagedFieldsEntry, list[str]]]) -> errors.StatusError:
    conflicts.sort(key=lambda c: _identity(c[0]))
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
            raise errors.bad_request(f"{path}: element {i}: {text} (and doesn't have default value)")
        if step in wanted:
            text = f"duplicate entries for key {fieldset.step_text(step)}"
            raise errors.bad_request(f"failed to create typed patch object: {path}: {text}")
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
