"""Zeros that mean nothing: `readOnly: false`, `hostPort: 0`, `args: []` in what a client sends.

Upstream's plain fields cannot tell zero from absence and leave both out; only pointers can. If such zeros were kept, a
client that speaks protobuf, which has no way to send them, would change an object by writing back what it read: a
Deployment would roll out because a label of it was set. Which fields are pointers is known from the protobuf table.

As in `machinery.normalise` a function is generated for each type. A body without any zero is told by one search.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import msgspec

from pybernetes.machinery import protobuf, schema
from pybernetes.machinery.types import null

__all__ = ["holds_zeros", "unset_zeros"]

_ZERO: Final = re.compile(rb':\s*(?:false|""|0[,}\s]|\[\s*\]|\{\s*\})')
_PLAIN: Final = ("string", "integer", "number", "boolean")
_MEANS_SOMETHING: Final = ("quantity", "date-time", "micro-time", "int-or-string", "duration")

Walker = Callable[[Any], None]
_walkers: dict[type, Walker] = {}


def holds_zeros(body: bytes) -> bool:
    """Whether a JSON body may hold something to unset."""
    return _ZERO.search(body) is not None


def unset_zeros(obj: Any) -> None:
    """Unset, in place, the plain fields of an object of a built-in kind that are zero or empty."""
    walker = _walkers.get(type(obj))
    if walker is None:
        walker = _walkers[type(obj)] = _compile(type(obj))
    walker(obj)


def _compile(struct: type[msgspec.Struct]) -> Walker:
    made: dict[tuple[type, str], str] = {}
    source: list[str] = []
    new: Any = struct()
    message = protobuf.message_of(new.api_version, new.kind)
    if message is None:
        return lambda obj: None
    name = _emit(struct, message, made, source)
    namespace: dict[str, Any] = {}
    exec("\n".join(source), namespace)  # our own text, made of our own attribute names
    walker: Walker = namespace[name]
    return walker


def _emit(struct: type[msgspec.Struct], message: str, made: dict[tuple[type, str], str], source: list[str]) -> str:
    place = (struct, message)
    if place in made:
        return made[place]
    made[place] = name = f"unset_{len(made)}"
    lines = [f"def {name}(o):"]
    shape, known = schema.of_struct(struct), protobuf.fields(message)
    for one in msgspec.structs.fields(struct):
        if one.encode_name not in known:
            continue
        type_, plain = known[one.encode_name]
        child = shape.properties[one.encode_name]
        optional = one.default is None or one.default_factory is null
        inner = child.items or child.additional or child
        walked = inner.struct is not None and len(type_) > 1
        if walked and inner is child:
            lines += [f"    x = o.{one.name}", "    if x is not None:"]
            lines.append(f"        {_emit(inner.struct, type_, made, source)}(x)")  # type: ignore[arg-type]
        elif walked:
            values = "x" if child.items is not None else "x.values()"
            lines += [f"    x = o.{one.name}", "    if x:", f"        for y in {values}:"]
            lines.append(f"            {_emit(inner.struct, type_, made, source)}(y)")  # type: ignore[arg-type]
        gone = optional and plain and child.format not in _MEANS_SOMETHING
        if gone and (inner is not child or (child.type in _PLAIN and not child.int_or_string)):
            lines += [f"    if not o.{one.name}:", f"        o.{one.name} = None"]
    lines.append("    return None")
    source.extend(lines)
    return name
