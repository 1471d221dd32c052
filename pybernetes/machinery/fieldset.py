"""Sets of fields in the wire form of managed fields (FieldsV1), and the sets that objects and changes make.

A set is a tree of dicts, exactly as it is stored: `{"f:spec": {"f:replicas": {}}}`. A step is `f:name`,
`k:{"name":"x"}` for an item of a keyed list or `v:"x"` for a value of a set. A node without entries is a member; a node
with entries is one only if it has `"."`. So nothing is converted when a set is read or written, and taking a small
change out of a big set touches only the change: sets are on the path of every write. Trees are never changed in place;
what a function does not touch is shared. Rules as in sigs.k8s.io/structured-merge-diff.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any, Final

import msgspec

from pybernetes.machinery.schema import ANY, Schema, of_struct

__all__ = [
    "Tree",
    "compare",
    "created",
    "difference",
    "interned",
    "intersection",
    "item_step",
    "of_applied",
    "paths",
    "union",
    "without",
]

Tree = dict[str, Any]

_encode = msgspec.json.Encoder(order="deterministic").encode
_DOT: Final[Tree] = {}


# Algebra


def union(a: Tree, b: Tree) -> Tree:
    """Members of either. The root itself is never a member."""
    if not a or not b:
        return a or b
    return _union(a, b)


def _union(a: Tree, b: Tree) -> Tree:
    if not a or not b:
        other = a or b
        return {".": _DOT, **other} if other else other
    result: Tree | None = None
    for step, node in b.items():
        old = a.get(step)
        if old is None:
            new = node
        elif step == ".":
            continue
        else:
            new = _union(old, node)
            if new is old:
                continue
        if result is None:
            result = dict(a)
        result[step] = new
    return a if result is None else result


def difference(a: Tree, b: Tree) -> Tree:
    """Members of `a` that are none of `b`; `a` itself when nothing changes."""
    if not a or not b:
        return a
    return _difference(a, b) or {}


def _difference(a: Tree, b: Tree) -> Tree | None:
    if not a:
        return None if not b or "." in b else a
    result: Tree | None = None
    if not b:
        if "." not in a:
            return a
        b = {".": _DOT}
    for step, node in b.items():
        old = a.get(step)
        if old is None:
            continue
        new = None if step == "." else _difference(old, node)
        if new is old:
            continue
        if result is None:
            result = dict(a)
        if new is None:
            del result[step]
        else:
            result[step] = new
    if result is None:
        return a
    return ({} if len(result) == 1 and "." in result else result) if result else None


def intersection(a: Tree, b: Tree) -> Tree:
    """Members of both."""
    return _intersection(a, b) or {} if a and b else {}


def _intersection(a: Tree, b: Tree) -> Tree | None:
    if not a or not b:
        other = a or b
        return {} if not other or "." in other else None
    result: Tree = {}
    for step, node in b.items():
        old = a.get(step)
        if old is not None:
            if step == ".":
                result["."] = _DOT
            elif (new := _intersection(old, node)) is not None:
                result[step] = new
    return ({} if len(result) == 1 and "." in result else result) if result else None


def without(a: Tree, b: Tree) -> Tree:
    """`a` without the members of `b` and all below them."""
    result: Tree | None = None
    for step, node in b.items():
        old = a.get(step)
        if old is None or step == ".":
            continue
        if not node or "." in node:
            new = None
        else:
            new = (without(old, node) or None) if old else old
        if new is old:
            continue
        if result is None:
            result = dict(a)
        if new is None:
            del result[step]
        else:
            result[step] = new
    return a if result is None else result


_known: dict[bytes, Tree] = {}
_encode_plain = msgspec.json.Encoder().encode


def interned(tree: Tree) -> Tree:
    """The same set as one shared object: a tree takes 10 KB, and a thousand Pods of one template have the same few."""
    key = _encode_plain(tree)
    found = _known.get(key)
    if found is None:
        if len(_known) >= 4096:
            _known.clear()
        found = _known[key] = tree
    return found


def paths(tree: Tree, prefix: str = "") -> list[str]:
    """The members as text, `.spec.containers[name="web"].image`: on each level members first, then what is below."""
    steps = sorted(step for step in tree if step != ".")
    found = [prefix + step_text(step) for step in steps if not tree[step] or "." in tree[step]]
    for step in steps:
        if tree[step]:
            found.extend(paths(tree[step], prefix + step_text(step)))
    return found


def step_text(step: str) -> str:
    kind, rest = step[:2], step[2:]
    if kind == "f:":
        return f".{rest}"
    if kind == "v:":
        return f"[={rest}]"
    if kind == "k:":
        keys = msgspec.json.decode(rest)
        return f"[{','.join(f'{k}={msgspec.json.encode(v).decode()}' for k, v in keys.items())}]"
    return f"[{rest}]"


# Steps


#: Keys of lists whose missing value stands for another one: the only defaults among the keys of built-in lists.
_KEY_DEFAULTS: Final = {"protocol": "TCP"}


@lru_cache(maxsize=16384)
def _key_step(names: tuple[str, ...], values: tuple[Any, ...]) -> str:
    return "k:" + _encode(dict(zip(names, values, strict=True))).decode()


@lru_cache(maxsize=16384)
def _value_step(value: Any) -> str:
    return "v:" + msgspec.json.encode(value).decode()


def item_step(item: Any, schema: Schema) -> str | None:
    """The step to an item of a keyed list or set; None when the item lacks a key."""
    if schema.list_type != "map":
        return _value_step(item) if isinstance(item, str | int | float) else f"v:{_encode(item).decode()}"
    values = []
    for key in schema.list_map_keys:
        value = item.get(key) if isinstance(item, dict) else None
        if value is None:
            child = schema.items.properties.get(key) if schema.items is not None else None
            if child is not None and isinstance(child.default, str | int | bool):
                value = child.default
            elif (value := _KEY_DEFAULTS.get(key)) is None or child is None or schema.items is None:
                return None
        values.append(value)
    return _key_step(schema.list_map_keys, tuple(values))


def is_leaf(value: Any, schema: Schema) -> bool:
    """True when a value is owned as a whole."""
    if isinstance(value, dict):
        return schema.map_type == "atomic"
    if isinstance(value, list):
        return schema.list_type not in ("map", "set")
    return True


# The set of an applied object


def of_applied(value: dict[str, Any], schema: Schema) -> Tree:
    """All fields that an applied object sets: its leaves, list items and map entries."""
    return _applied_map(value, schema)


def _applied_map(value: dict[str, Any], schema: Schema) -> Tree:
    tree: Tree = {}
    for key, item in value.items():
        child = schema.properties.get(key)
        named = child is not None
        child = child or schema.additional or ANY
        node = _applied_value(item, child)
        if not named and node:
            node = {".": _DOT, **node}
        if node is not None:
            tree[f"f:{key}"] = node
    return tree


def _applied_value(value: Any, schema: Schema) -> Tree | None:
    if schema.alternatives:
        schema = schema.for_value(value)
    if is_leaf(value, schema):
        return {}
    if isinstance(value, dict):
        return _applied_map(value, schema)
    if not value:
        return None  # an empty list that merges says nothing
    tree: Tree = {}
    items = schema.items or ANY
    for item in value:
        step = item_step(item, schema)
        if step is not None:
            node = _applied_value(item, items) if isinstance(item, dict) else None
            tree[step] = {".": _DOT, **node} if node else {}
    return tree


# The set of everything in a value that is new


def _all(value: Any, schema: Schema) -> Tree:
    """A value that was not there before: itself and all below it."""
    if not value or not isinstance(value, dict | list):
        return _DOT
    if schema.alternatives:
        schema = schema.for_value(value)
    if is_leaf(value, schema):
        return _DOT
    tree: Tree = {".": _DOT}
    if isinstance(value, dict):
        properties, additional = schema.properties, schema.additional or ANY
        for key, item in value.items():
            # most values are scalars, which need no schema
            deeper = item.__class__ is dict or item.__class__ is list
            tree[f"f:{key}"] = _all(item, properties.get(key) or additional) if deeper else _DOT
        return tree
    for item in value:
        step, below = _item(item, schema)
        if step is not None:
            tree[step] = below
    return tree


_items: dict[tuple[int, bytes], tuple[str | None, Tree]] = {}
_schemas: list[Schema] = []  # those named by identity in `_items`: kept, so that no other gets their place
_MAX_ITEMS: Final = 4096
_MAX_ITEM: Final = 2048  # bytes
_pack = msgspec.msgpack.Encoder().encode


def _item(item: Any, schema: Schema) -> tuple[str | None, Tree]:
    """(step, set) of a list's entry. Remembered: Pods are made by the thousand with the same containers and volumes."""
    if item.__class__ is not dict:
        return item_step(item, schema), _all(item, schema.items or ANY)
    packed = _pack(item)
    key = (id(schema), packed)
    known = _items.get(key)
    if known is None:
        if len(packed) > _MAX_ITEM:
            return item_step(item, schema), _all(item, schema.items or ANY)
        if len(_items) >= _MAX_ITEMS:
            _items.clear()
            _schemas.clear()
        known = _items[key] = item_step(item, schema), _all(item, schema.items or ANY)
        _schemas.append(schema)
    return known


def _plain(value: Any) -> Any:
    return msgspec.to_builtins(value) if isinstance(value, msgspec.Struct | list | dict) else value


# Differences between objects


def compare(old: Any, new: Any, schema: Schema | None = None) -> tuple[Tree, Tree]:
    """(changed, removed): the fields that differ or are new, and those that are gone.

    `old` and `new` are structs of one type, or wire dicts with their schema. Equal parts are skipped by comparing them
    as a whole, which for structs happens at C speed.
    """
    changed: Tree = {}
    removed: Tree = {}
    if isinstance(new, msgspec.Struct):
        _compare_structs(old, new, changed, removed)
    else:
        _compare_dicts(old, new, schema or ANY, changed, removed)
    return changed, removed


@cache
def _empty(struct: type[msgspec.Struct]) -> dict[str, Any]:
    return dict(msgspec.to_builtins(struct()))


def created(new: msgspec.Struct) -> Tree:
    """The fields that a new object has beyond an empty one of its type.

    On wire dicts, because they hold only what is set: of a struct's many fields all would have to be looked at.
    """
    struct = type(new)
    return _created(_empty(struct), msgspec.to_builtins(new), of_struct(struct), True)


_parts: dict[tuple[int, bytes], Tree] = {}
_MAX_PARTS: Final = 1024


def _part(empty: dict[str, Any], new: dict[str, Any], schema: Schema) -> Tree:
    """`_created` of a spec, remembered: the Pods of a workload have equal ones. Struct schemas live for ever."""
    key = (id(schema), _pack(new))
    known = _parts.get(key)
    if known is None:
        if len(_parts) >= _MAX_PARTS:
            _parts.clear()
        known = _created(empty, new, schema)
        if len(key[1]) <= _MAX_ITEM:
            _parts[key] = known
    return known


def _created(empty: dict[str, Any], new: dict[str, Any], schema: Schema, top: bool = False) -> Tree:
    tree: Tree = {}
    properties = schema.properties
    for key, value in new.items():
        before = empty.get(key)
        if value.__class__ is not dict and value.__class__ is not list:
            if before != value:
                tree[f"f:{key}"] = _DOT
            continue
        if before == value:
            continue
        child = properties.get(key) or ANY
        if before is not None and value.__class__ is dict and child.map_type != "atomic":
            node = _part(before, value, child) if top and key == "spec" else _created(before, value, child)
        else:
            node = _all(value, child)
            if before is not None and node:
                del node["."]  # the list itself was there, empty
        if node or before is None or is_leaf(value, child):
            tree[f"f:{key}"] = node
    return tree


@cache
def _fields(struct: type[msgspec.Struct]) -> tuple[tuple[str, str, Any, Schema], ...]:
    """(attribute, step, value that stands for absent, schema) of each field."""
    properties = of_struct(struct).properties
    return tuple(
        (attribute, f"f:{wire}", default if isinstance(default, str) else None, properties[wire])
        for attribute, wire, default in zip(
            struct.__struct_fields__, struct.__struct_encode_fields__, struct.__struct_defaults__, strict=True
        )
    )


def _compare_structs(old: Any, new: Any, changed: Tree, removed: Tree) -> None:
    struct: type[msgspec.Struct] = type(new)
    for attribute, step, absent, schema in _fields(struct):
        a, b = getattr(old, attribute), getattr(new, attribute)
        if a is b or a == b:
            continue
        if a is None or a == absent:
            changed[step] = _all(_plain(b), schema)
        elif b is None or b == absent:
            removed[step] = _all(_plain(a), schema)
        else:
            _compare_values(step, a, b, schema, changed, removed)


def _compare_dicts(old: dict[str, Any], new: dict[str, Any], schema: Schema, changed: Tree, removed: Tree) -> None:
    for key, b in new.items():
        a = old.get(key)
        if a == b and (a is not None or key in old):
            continue
        child = schema.child(key) or ANY
        if a is None:
            changed[f"f:{key}"] = _all(_plain(b), child)
        else:
            _compare_values(f"f:{key}", a, b, child, changed, removed)
    for key, a in old.items():
        if key not in new:
            removed[f"f:{key}"] = _all(_plain(a), schema.child(key) or ANY)


def _compare_values(step: str, a: Any, b: Any, schema: Schema, changed: Tree, removed: Tree) -> None:
    """Both are there and differ."""
    inner_changed: Tree = {}
    inner_removed: Tree = {}
    if isinstance(a, msgspec.Struct) and schema.map_type != "atomic":
        _compare_structs(a, b, inner_changed, inner_removed)
    elif isinstance(a, dict) and isinstance(b, dict) and schema.map_type != "atomic":
        if schema.alternatives:
            schema = schema.for_value(b)
        _compare_dicts(a, b, schema, inner_changed, inner_removed)
    elif isinstance(a, list) and isinstance(b, list) and schema.list_type in ("map", "set"):
        _compare_lists(a, b, schema, inner_changed, inner_removed)
    else:
        changed[step] = {}
        return
    if inner_changed:
        changed[step] = inner_changed
    if inner_removed:
        removed[step] = inner_removed


def _compare_lists(old: list[Any], new: list[Any], schema: Schema, changed: Tree, removed: Tree) -> None:
    before = {_step_of(item, schema): item for item in old}
    items = schema.items or ANY
    after = set()
    for item in new:
        step = _step_of(item, schema)
        after.add(step)
        if step is None:
            continue
        previous = before.get(step)
        if previous is None:
            changed[step] = _all(_plain(item), items)
        elif previous != item:
            _compare_values(step, previous, item, items, changed, removed)
    for step, item in before.items():
        if step is not None and step not in after:
            removed[step] = _all(_plain(item), items)


def _step_of(item: Any, schema: Schema) -> str | None:
    if isinstance(item, msgspec.Struct):
        return _struct_step(item, schema)
    return item_step(item, schema)


def _struct_step(item: msgspec.Struct, schema: Schema) -> str | None:
    values = []
    for attribute, key in _attributes(type(item), schema.list_map_keys):
        value = getattr(item, attribute)
        if value is None and (value := _KEY_DEFAULTS.get(key)) is None:
            return None
        values.append(value)
    return _key_step(schema.list_map_keys, tuple(values))


@cache
def _attributes(struct: type[msgspec.Struct], keys: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    names = dict(zip(struct.__struct_encode_fields__, struct.__struct_fields__, strict=True))
    return tuple((names[key], key) for key in keys)
