"""Canonical scalars: quantities, times and base64, as upstream writes them after it has read them.

For each struct type a function is generated that visits only the fields below which such a scalar can be. A Pod has a
thousand possible fields and a handful of these; the generated code looks at nothing else.
"""

from __future__ import annotations

import binascii
import datetime
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

import msgspec

from pybernetes.machinery import errors, quantity, schema
from pybernetes.machinery.text import quote

__all__ = ["base64_text", "micro_time", "normalise", "time"]

_RFC3339: Final = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:[.,](\d+))?(Z|[+-]\d\d:\d\d)", re.ASCII)
_LAYOUT: Final = "2006-01-02T15:04:05Z07:00"
_MICRO_LAYOUT: Final = "2006-01-02T15:04:05.000000Z07:00"


def _parse_time(text: str, layout: str) -> datetime.datetime:
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError(f'parsing time {quote(text)} as {quote(layout)}: cannot parse {quote(text)} as "2006"')
    day, clock, fraction, zone = match.groups()
    try:
        value = datetime.datetime.fromisoformat(f"{day}T{clock}{'+00:00' if zone == 'Z' else zone}")
        return value.astimezone(datetime.UTC).replace(microsecond=int(((fraction or "") + "000000")[:6]))
    except (ValueError, OverflowError):
        raise ValueError(f"parsing time {quote(text)}: value out of range") from None


@lru_cache(maxsize=16384)
def time(text: str) -> str:
    """A metav1.Time: whole seconds in UTC, with `Z`. Raises ValueError."""
    value = _parse_time(text, _LAYOUT)
    return f"{value.year:04d}{value.strftime('-%m-%dT%H:%M:%SZ')}"


@lru_cache(maxsize=16384)
def micro_time(text: str) -> str:
    """A metav1.MicroTime: six digits of fraction in UTC. Raises ValueError."""
    value = _parse_time(text, _MICRO_LAYOUT)
    return f"{value.year:04d}{value.strftime('-%m-%dT%H:%M:%S.%fZ')}"


_NOT_BASE64: Final = re.compile(r"[^A-Za-z0-9+/]", re.ASCII)


def base64_text(text: str) -> str:
    """Base64 that decodes, without line breaks. Raises ValueError with the position of the first bad byte."""
    if _is_base64(text):
        return text
    plain = text.replace("\n", "").replace("\r", "")
    if _is_base64(plain):
        return plain
    bad = _NOT_BASE64.search(plain.rstrip("="))
    at = bad.start() if bad else len(plain) // 4 * 4
    raise ValueError(f"illegal base64 data at input byte {at}")


def _is_base64(text: str) -> bool:
    if len(text) % 4:  # the library takes superfluous padding
        return False
    try:
        binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        return False
    return True


_SCALARS: Final[dict[str, Callable[[Any], str]]] = {
    "quantity": quantity.canonical,
    "date-time": time,
    "micro-time": micro_time,
    "byte": base64_text,
}

Walker = Callable[[Any], None]


def normalise(obj: msgspec.Struct) -> None:
    """Bring a struct's scalars into canonical form, in place. Raises StatusError (400) for one that is none."""
    walker = _walkers.get(type(obj))
    if walker is None:
        walker = _walkers[type(obj)] = _compile(type(obj))
    try:
        walker(obj)
    except ValueError as error:
        raise errors.bad_request(_located(obj, error)) from None


def _located(obj: Any, error: ValueError) -> str:
    kind, version = getattr(obj, "kind", ""), getattr(obj, "api_version", "")
    if not kind or not version:
        return str(error)
    number = quote(version.rpartition("/")[2])
    return f"{kind} in version {number} cannot be handled as a {type(obj).__name__}: {error}"


_walkers: dict[type, Walker] = {}
_needed: dict[type, bool] = {}


def _needs(shape: schema.Schema) -> bool:
    """True when a scalar to normalise is reachable."""
    if shape.format in _SCALARS:
        return True
    if shape.struct is not None:
        known = _needed.get(shape.struct)
        if known is None:
            _needed[shape.struct] = False  # for a type that contains itself
            known = _needed[shape.struct] = any(_needs(child) for child in shape.properties.values())
        return known
    return any(child is not None and _needs(child) for child in (shape.items, shape.additional))


def _compile(struct: type[msgspec.Struct]) -> Walker:
    """The function for a struct type, and those for the types below it."""
    namespace: dict[str, Any] = {f"scalar_{i}": f for i, f in enumerate(_SCALARS.values())}
    made: set[type] = set()
    source: list[str] = []
    _emit(struct, made, source)
    exec("\n".join(source), namespace)  # our own text, made of our own attribute names
    walker: Walker = namespace[_function(struct)]
    return walker


def _function(struct: type) -> str:
    return f"walk_{struct.__name__}_{id(struct)}"


_SCALAR_NAMES: Final = {name: f"scalar_{i}" for i, name in enumerate(_SCALARS)}


def _emit(struct: type[msgspec.Struct], made: set[type], source: list[str]) -> None:
    if struct in made:
        return
    made.add(struct)
    lines = [f"def {_function(struct)}(o):"]
    shape = schema.of_struct(struct)
    pairs = zip(struct.__struct_fields__, struct.__struct_encode_fields__, strict=True)
    for attribute, wire in pairs:
        child = shape.properties[wire]
        if _needs(child):
            lines.append(f"    x = o.{attribute}")
            lines.extend(_visit(child, attribute, made, source))
    lines.append("    return None")
    source.extend(lines)


def _visit(shape: schema.Schema, attribute: str, made: set[type], source: list[str]) -> list[str]:
    if shape.struct is not None:
        _emit(shape.struct, made, source)
        return ["    if x is not None:", f"        {_function(shape.struct)}(x)"]
    if shape.format in _SCALARS:
        return ["    if x is not None:", f"        o.{attribute} = {_SCALAR_NAMES[shape.format]}(x)"]
    inner = shape.items if shape.items is not None else shape.additional
    assert inner is not None
    if inner.struct is not None:
        _emit(inner.struct, made, source)
        values = "x" if shape.items is not None else "x.values()"
        return ["    if x:", f"        for y in {values}:", f"            {_function(inner.struct)}(y)"]
    if inner.format in _SCALARS:
        pairs = "enumerate(x)" if shape.items is not None else "x.items()"
        call = _SCALAR_NAMES[inner.format]
        return ["    if x:", f"        for k, v in {pairs}:", f"            x[k] = {call}(v)"]
    raise TypeError(f"{attribute}: a list or map inside a list or map cannot be normalised")
