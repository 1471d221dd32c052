"""CRI messages on the wire: a protobuf codec driven by one table of field numbers.

`wire.tsv` lists the published field numbers of the CRI v1 and of containerd's events. `encode()` writes our own
structs (or a plain mapping, for requests that are only a few arguments) and `decode()` reads straight back into
them. Messages for which `register()` named a struct become that struct, all others a dict of the fields present.

Not the protobuf library: it would put a second set of classes, a copy of every message and 40 ms of import
before each kubelet for the sake of a loop over tags that fits on a page. It is the oracle of this module's tests
instead.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

import msgspec

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MASK64 = (1 << 64) - 1
_SIGNED = frozenset({"int32", "int64", "enum"})
_UNSIGNED = frozenset({"uint32", "uint64"})
#: One-field messages that exist to tell "absent" from zero; here an optional plain value.
_WRAPPERS = {
    "Int64Value": "int64",
    "UInt64Value": "uint64",
    "PodSandboxStateValue": "enum",
    "ContainerStateValue": "enum",
}


class WireError(ValueError):
    """Bytes that are no protobuf message, or a value that does not fit its field."""


class Method(NamedTuple):
    """One remote procedure: its HTTP/2 path, message names, and whether the answer is a stream."""

    path: str
    request: str
    response: str
    streams: bool


class _Field(NamedTuple):
    number: int
    name: str
    type: str
    repeated: bool


_structs: dict[str, type[msgspec.Struct]] = {}


def register(*classes: type[msgspec.Struct]) -> None:
    """Decode the messages of these names into these classes (attributes named as the fields)."""
    for cls in classes:
        _structs[cls.__name__] = cls


@cache
def _table() -> tuple[dict[str, Method], dict[str, list[_Field]]]:
    methods: dict[str, Method] = {}
    fields: dict[str, list[_Field]] = {}
    for line in resources.files(__package__).joinpath("wire.tsv").read_text("utf-8").splitlines():
        if line.startswith("#"):
            continue
        kind, first, second, third, fourth = line.split("\t")
        if kind == "rpc":
            response = fourth.removeprefix("stream ")
            methods[first] = Method(f"/{second}/{first.rpartition('.')[2]}", third, response, response != fourth)
        else:
            fields.setdefault(first, []).append(
                _Field(int(second), third, fourth.removesuffix("[]"), fourth.endswith("[]"))
            )
    return methods, fields


def method(name: str) -> Method:
    """The remote procedure of this name. Raises KeyError."""
    return _table()[0][name]


def fields(message: str) -> dict[str, str]:
    """Field names of a message with their types (`string`, `int64[]`, `<>` for a map of strings ...)."""
    return {f.name: f.type + ("[]" if f.repeated else "") for f in _table()[1].get(message, [])}


# --- encoding ---------------------------------------------------------------------------------------------------

_Writer = Callable[[bytearray, Any], None]


def _varint(out: bytearray, value: int) -> None:
    value &= _MASK64
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def _chunk(out: bytearray, tag: bytes, data: bytes | bytearray) -> None:
    out += tag
    _varint(out, len(data))
    out += data


def _tag(number: int, wire_type: int) -> bytes:
    out = bytearray()
    _varint(out, number << 3 | wire_type)
    return bytes(out)


def _writer(field: _Field) -> _Writer:
    """A function that appends one field's value; it is only called for values that are not the field's zero."""
    kind, tag = field.type, _tag(field.number, _BYTES)
    if kind == "string":

        def one(out: bytearray, value: Any) -> None:
            _chunk(out, tag, value.encode())
    elif kind == "bytes":

        def one(out: bytearray, value: Any) -> None:
            _chunk(out, tag, value)
    elif kind == "<>":

        def one(out: bytearray, value: Any) -> None:
            for key, text in value.items():
                entry = bytearray()
                _chunk(entry, b"\x0a", key.encode())
                _chunk(entry, b"\x12", text.encode())
                _chunk(out, tag, entry)

        return one
    elif kind in _SIGNED or kind in _UNSIGNED or kind == "bool":
        number = _tag(field.number, _VARINT)
        if field.repeated:  # proto3 packs repeated numbers

            def packed(out: bytearray, value: Any) -> None:
                entry = bytearray()
                for item in value:
                    _varint(entry, item)
                _chunk(out, tag, entry)

            return packed

        def one(out: bytearray, value: Any) -> None:
            out += number
            _varint(out, value)
    elif kind == "double":
        number = _tag(field.number, _FIXED64)

        def one(out: bytearray, value: Any) -> None:
            out += number
            out += struct.pack("<d", value)
    elif kind in _WRAPPERS:

        def one(out: bytearray, value: Any) -> None:
            entry = bytearray()
            if value:
                entry.append(0x08)
                _varint(entry, value)
            _chunk(out, tag, entry)
    else:

        def one(out: bytearray, value: Any) -> None:
            _chunk(out, tag, encode(kind, value))

    if not field.repeated:
        return one

    def many(out: bytearray, value: Any) -> None:
        for item in value:
            one(out, item)

    return many


@cache
def _writers(message: str) -> list[tuple[str, bool, _Writer]]:
    """(name, whether an empty value is written as well, writer), in the table's order."""
    scalar = {"string", "bytes", "<>", "bool", "double"} | _SIGNED | _UNSIGNED
    return [(f.name, not f.repeated and f.type not in scalar, _writer(f)) for f in _table()[1].get(message, [])]


def encode(message: str, value: Any) -> bytes:
    """The bytes of `message` for a struct or a mapping of field names. Unknown names in a mapping raise WireError."""
    out = bytearray()
    writers = _writers(message)
    if isinstance(value, Mapping):
        if unknown := value.keys() - {name for name, _, _ in writers}:
            raise WireError(f"{message} has no field {', '.join(sorted(unknown))}")
        get: Callable[[str], Any] = value.get
    else:

        def get(name: str) -> Any:
            return getattr(value, name, None)

    for name, keep_zero, write in writers:
        item = get(name)
        if item or (keep_zero and item is not None):
            write(out, item)
    return bytes(out)


# --- decoding ---------------------------------------------------------------------------------------------------

_Reader = Callable[[Any], Any]  # raw (int for numbers, bytes for the rest) -> value


def _signed(raw: int) -> int:
    return raw - (1 << 64) if raw >> 63 else raw


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _pair(raw: bytes) -> tuple[str, str]:
    key = value = ""
    for number, _, item in _items(raw):
        if number == 1:
            key = _text(item)
        elif number == 2:
            value = _text(item)
    return key, value


def _wrapped(read: _Reader) -> _Reader:
    def wrapped(raw: bytes) -> Any:
        value = 0
        for number, _, item in _items(raw):
            if number == 1:
                value = read(item)
        return value

    return wrapped


def _reader(kind: str) -> _Reader:
    if kind == "string":
        return _text
    if kind == "bytes":
        return bytes
    if kind == "<>":
        return _pair
    if kind == "bool":
        return bool
    if kind in _UNSIGNED:
        return int
    if kind in _SIGNED:
        return _signed
    if kind == "double":
        return lambda raw: struct.unpack("<d", raw)[0]
    if kind in _WRAPPERS:
        return _wrapped(_reader(_WRAPPERS[kind]))
    return lambda raw: decode(kind, raw)


def _wire_type(kind: str) -> int:
    if kind == "double":
        return _FIXED64
    return _VARINT if kind == "bool" or kind in _SIGNED or kind in _UNSIGNED else _BYTES


@cache
def _readers(message: str) -> dict[int, tuple[str, int, str, _Reader]]:
    """number -> (name, wire type, how it collects: "one", "list", "map", reader)."""
    return {
        f.number: (
            f.name,
            _wire_type(f.type),
            "list" if f.repeated else "map" if f.type == "<>" else "one",
            _reader(f.type),
        )
        for f in _table()[1].get(message, [])
    }


@cache
def _enums(cls: type[msgspec.Struct]) -> dict[str, Callable[[int], Any]]:
    """Enum fields of a struct: a number the enum does not know stays a number."""
    found: dict[str, Callable[[int], Any]] = {}
    for field in msgspec.structs.fields(cls):
        kinds = getattr(field.type, "__args__", (field.type,))
        for kind in kinds:
            if isinstance(kind, type) and hasattr(kind, "_value2member_map_"):
                known = kind._value2member_map_
                found[field.name] = lambda raw, known=known: known.get(raw, raw)  # type: ignore[misc]
    return found


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    byte = data[position]
    if byte < 0x80:
        return byte, position + 1
    value, shift = byte & 0x7F, 7
    while True:
        position += 1
        byte = data[position]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & _MASK64, position + 1
        shift += 7
        if shift > 63:
            raise WireError("a number of more than ten bytes")


def _items(data: bytes) -> list[tuple[int, int, Any]]:
    """(field number, wire type, raw value) of each field, in order."""
    found: list[tuple[int, int, Any]] = []
    position, end = 0, len(data)
    raw: Any
    try:
        while position < end:
            tag, position = _read_varint(data, position)
            wire_type = tag & 7
            if wire_type == _BYTES:
                size, start = _read_varint(data, position)
                position = start + size
                raw = data[start:position]
            elif wire_type == _VARINT:
                raw, position = _read_varint(data, position)
            elif wire_type in (_FIXED64, _FIXED32):
                start = position
                position += 8 if wire_type == _FIXED64 else 4
                raw = data[start:position]
            else:
                raise WireError(f"wire type {wire_type}")
            found.append((tag >> 3, wire_type, raw))
    except IndexError:
        raise WireError("the message ends in the middle of a field") from None
    if position != end:
        raise WireError("the message ends in the middle of a field")
    return found


def decode(message: str, data: bytes) -> Any:
    """The registered struct of `message`, or a dict of the fields present. Raises WireError."""
    readers = _readers(message)
    values: dict[str, Any] = {}
    for number, wire_type, raw in _items(data):
        entry = readers.get(number)
        if entry is None:  # a newer server's field
            continue
        name, expected, collect, read = entry
        if wire_type != expected:
            if collect == "list" and wire_type == _BYTES:  # packed numbers
                numbers = values.setdefault(name, [])
                position = 0
                while position < len(raw):
                    item, position = _read_varint(raw, position)
                    numbers.append(read(item))
                continue
            raise WireError(f"{message}.{name} has wire type {wire_type}")
        if collect == "one":
            values[name] = read(raw)
        elif collect == "list":
            values.setdefault(name, []).append(read(raw))
        else:
            key, text = read(raw)
            values.setdefault(name, {})[key] = text
    cls = _structs.get(message)
    if cls is None:
        return values
    for name, convert in _enums(cls).items():
        if name in values:
            values[name] = convert(values[name])
    known = cls.__struct_fields__
    if len(values) > len(known) or not values.keys() <= set(known):
        values = {name: value for name, value in values.items() if name in known}
    return cls(**values)
