"""Managed fields: which author set which field of an object, kept in `metadata.managedFields`. KEP-555.

A create or update owns what it changed. `track` runs on every such write, so it works on structs: it finds what
changed, and only then touches the sets. It returns new entries and changes no set in place. Server-side apply is
beside, in `apply`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

import msgspec

from pybernetes.machinery import fieldset
from pybernetes.machinery.fieldset import Tree
from pybernetes.machinery.meta import ManagedFieldsEntry
from pybernetes.machinery.schema import Schema

__all__ = [
    "ANCIENT",
    "MAX_UPDATE_MANAGERS",
    "Elsewhere",
    "arranged",
    "client_entries",
    "identity_of",
    "new_entry",
    "seen_by",
    "share",
    "strip",
    "track",
    "tree_of",
    "with_set",
]

#: More managers by update than this are folded into one, the oldest first.
MAX_UPDATE_MANAGERS: Final = 10
ANCIENT: Final = "ancient-changes"

#: (changed, removed) as an apiVersion sees it; None: there is no such version.
Elsewhere: TypeAlias = Callable[[str], "tuple[Tree, Tree] | None"]

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


def identity_of(entry: ManagedFieldsEntry) -> tuple[str, str, str, str]:
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
    elsewhere: Elsewhere | None = None,
) -> list[ManagedFieldsEntry]:
    """The managed fields after a create (`old` None), update or patch that is no apply.

    `entries`: those so far; take `old`'s unless the client changed them (see `client_entries`). `schema`: for dicts.
    `reset`: fields that this endpoint does not write (`tree_of("status")` for the main resource). `time`: RFC 3339.
    `elsewhere(version)`: the same change as another version sees it, where versions differ.
    The sets of the entries become shared ones (see `share`).
    """
    share(entries)
    if old is not None:
        changed, removed = fieldset.compare(old, new, schema)
    elif isinstance(new, msgspec.Struct):
        changed, removed = fieldset.created(new), {}
    else:
        changed, removed = fieldset.compare({}, new, schema)
    changed = strip(changed)
    removed = strip(removed)
    if not changed and not removed:
        return list(entries)
    identity = (manager, "Update", api_version, subresource)
    found = False
    result: list[ManagedFieldsEntry] = []
    for entry in entries:
        tree = entry.fields_v1 or {}
        if identity_of(entry) == identity:
            found = True
            kept = fieldset.union(fieldset.difference(tree, removed), changed)
            if reset:
                kept = fieldset.without(kept, reset)
            if kept and (kept is tree or kept == tree):
                result.append(entry)
            elif kept:
                result.append(new_entry(manager, "Update", api_version, subresource, time, kept))
            continue
        seen = seen_by(entry, api_version, (changed, removed), elsewhere)
        if seen is None:
            continue
        left = fieldset.difference(fieldset.difference(tree, seen[0]), seen[1])
        if left is tree:
            result.append(entry)
        elif left:
            result.append(with_set(entry, left))
    if not found:
        own = fieldset.without(changed, reset) if reset else changed
        if own:
            result.append(new_entry(manager, "Update", api_version, subresource, time, own))
    return arranged(result)


def seen_by(
    entry: ManagedFieldsEntry, api_version: str, here: tuple[Tree, Tree], elsewhere: Elsewhere | None
) -> tuple[Tree, Tree] | None:
    """(changed, removed) in the version that an entry is told in; None when that version is gone, and so is its set."""
    version = entry.api_version or ""
    if elsewhere is None or version == api_version:
        return here
    found = elsewhere(version)
    return None if found is None else (strip(found[0]), strip(found[1]))


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


def strip(tree: Tree) -> Tree:
    if "f:metadata" in tree or "f:apiVersion" in tree or "f:kind" in tree:
        tree = fieldset.without(tree, _STRIPPED)
        metadata = tree.get("f:metadata")
        if metadata is not None and ("." in metadata or not metadata):
            metadata = {step: node for step, node in metadata.items() if step != "."}
            tree = {step: node for step, node in tree.items() if step != "f:metadata"}
            if metadata:
                tree["f:metadata"] = metadata
    return tree


def new_entry(
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


def with_set(entry: ManagedFieldsEntry, tree: Tree) -> ManagedFieldsEntry:
    return new_entry(
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


def arranged(entries: list[ManagedFieldsEntry]) -> list[ManagedFieldsEntry]:
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
        folded[version] = new_entry(ANCIENT, "Update", version, "", entry.time, tree)
    gone = {id(e) for e in oldest} | {id(e) for e in updaters if e.manager == ANCIENT}
    kept = [e for e in entries if id(e) not in gone]
    return sorted([*kept, *folded.values()], key=_order)
