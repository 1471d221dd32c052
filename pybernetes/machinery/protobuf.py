"""The protobuf form of built-in kinds: `k8s\\0` and a `runtime.Unknown` around the object.

Clients written in Go prefer it. Here it is only a transport: objects are turned into wire dicts and back by a table of
field numbers (`protobuf.tsv`), so no generated classes and no library are needed, and custom resources, which have no
protobuf form, are refused. The table is read when it is first needed.

Go writes plain fields even when they are zero and cannot tell "zero" from "unset", except for pointers (`*` in the
table). Reading, zero values are dropped but for pointers (`replicas: 0`), and but for JSON (`default: false`).
"""

from __future__ import annotations

import base64
import struct
from functools import cache
from importlib import resources
from typing import Any, Final

import msgspec

from pybernetes.machinery import normalise

__all__ = [
    "MEDIA_TYPE",
    "PREFIX",
    "ProtobufError",
    "decode",
    "encode",
    "fields",
    "frame",
    "message_of",
    "supports",
    "watch_event",
]

MEDIA_TYPE: Final = "application/vnd.kubernetes.protobuf"
PREFIX: Final = b"k8s\x00"


class ProtobufError(ValueError):
    """A body that cannot be read, or an object that has no protobuf form."""


# A field: (JSON name or "" when its message is inlined, type letter or message name, repeated, map, pointer)
_Field = tuple[str, str, bool, bool, bool]
_Message = dict[int, _Field]


@cache
def _table() -> dict[str, str]:
    """Each message's line of the table, by `core/v1.Pod`. Lines are parsed when they are asked for."""
    lines: dict[str, str] = {}
    package = ""
    text = resources.files("pybernetes.machinery").joinpath("protobuf.tsv").read_text()
    for line in text.splitlines():
        if line[0] == "@":
            package = line[1:]
        else:
            name, _, fields = line.partition("\t")
            lines[f"{package}.{name}"] = fields
    return lines


@cache
def _message(name: str) -> _Message:
    made: _Message = {}
    line = _table().get(name, "")
    package = name.partition(".")[0]
    for part in line.split("\t") if line else ():
        number, _, rest = part.partition("=")
        json_name, _, type_ = rest.rpartition(":")
        repeated, mapping, pointer = type_.startswith("[]"), type_.startswith("{}"), type_.endswith("*")
        type_ = type_.removesuffix("*")
        type_ = type_[2:] if repeated or mapping else type_
        if len(type_) > 1 and "." not in type_:
            type_ = f"{package}.{type_}"
        made[int(number)] = (json_name, type_, repeated, mapping, pointer)
    return made


@cache
def fields(name: str) -> dict[str, tuple[str, bool]]:
    """Of each JSON name of a message: its type letter or message name; whether zero is the same as absence there.

    It is for plain fields, lists and maps; not for pointers, messages and what stands for any JSON.
    """
    found: dict[str, tuple[str, bool]] = {}
    for json_name, type_, repeated, mapping, pointer in _message(name).values():
        plain = repeated or mapping or (type_ in "sibdy" and not pointer)
        found.update({json_name: (type_, plain)} if json_name else fields(type_))
    return found


@cache
def _by_name(name: str) -> tuple[tuple[int, str, str, bool, bool, bool], ...]:
    return tuple((number, *field) for number, field in _message(name).items())


#: Versions that are gone, but whose messages subresources go on to take: older clients evict with this one.
_STILL_TAKEN = {"policy/v1beta1.Eviction": "policy/v1.Eviction"}


@cache
def message_of(api_version: str, kind: str) -> str | None:
    """The message of a kind; the meta kinds (DeleteOptions, Status ...) exist in every group."""
    group, slash, version = api_version.rpartition("/")
    package = f"{group.partition('.')[0]}/{version}" if slash else f"core/{version}"
    for candidate in (f"{package}.{kind}", f"meta/v1.{kind}"):
        if candidate in _table():
            return candidate
    return _STILL_TAKEN.get(f"{package}.{kind}")


def supports(api_version: str, kind: str) -> bool:
    """True when objects of this kind have a protobuf form."""
    return message_of(api_version, kind) is not None


# Reading


def _varint(data: bytes, at: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        byte = data[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, at
        shift += 7
        if shift > 63:
            raise ProtobufError("proto: integer overflow")


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


#: What the parsing of a body that ends early, nests for ever or has a field in another wire type comes to. Each field
#: could be checked for its wire type instead; all good bodies would pay for it.
_BROKEN: Final = (
    AssertionError,
    AttributeError,
    LookupError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
    msgspec.DecodeError,
)


def decode(data: bytes) -> dict[str, Any]:
    """The wire dict of a body. Raises ProtobufError."""
    if data[:4] != PREFIX:
        raise ProtobufError("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    try:
        unknown = _raw_fields(data[4:])
        type_meta = _raw_fields(unknown.get(1, b""))
        api_version, kind = type_meta.get(1, b"").decode(), type_meta.get(2, b"").decode()
        raw = unknown.get(2, b"")
        content_type = unknown.get(4, b"").decode()
        if content_type == "application/json":
            return dict(msgspec.json.decode(raw))
        name = message_of(api_version, kind)
        if name is None:
            raise ProtobufError(f'no kind "{kind}" is registered for version "{api_version}" in protobuf')
        return {"apiVersion": api_version, "kind": kind, **_decode_message(raw, name)}
    except ProtobufError:
        raise
    except _BROKEN as error:
        raise ProtobufError(f"proto: cannot parse the body: {error}") from None


def _raw_fields(data: bytes) -> dict[int, bytes]:
    """The length-delimited fields of a message."""
    found: dict[int, bytes] = {}
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        value, at = _wire_value(data, at, key & 7)
        if isinstance(value, bytes):
            found[key >> 3] = value
    return found


def _wire_value(data: bytes, at: int, wire: int) -> tuple[int | bytes, int]:
    if wire == 2:
        size, at = _varint(data, at)
        if at + size > len(data):
            raise ProtobufError("unexpected EOF")
        return data[at : at + size], at + size
    if wire == 0:
        return _varint(data, at)
    if wire == 1:
        return data[at : at + 8], at + 8
    if wire == 5:
        return data[at : at + 4], at + 4
    raise ProtobufError(f"proto: illegal wireType {wire}")


def _decode_message(data: bytes, name: str) -> dict[str, Any]:
    result: dict[str, Any] = {}
    _decode_into(result, data, name)
    return result


def _decode_into(result: dict[str, Any], data: bytes, name: str) -> None:
    known = _message(name)
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at)
        raw, at = _wire_value(data, at, key & 7)
        field = known.get(key >> 3)
        if field is None:
            continue
        json_name, type_, repeated, mapping, pointer = field
        if not json_name:
            assert isinstance(raw, bytes)
            _decode_into(result, raw, type_)
        elif mapping:
            assert isinstance(raw, bytes)
            entry_key, entry_value = _decode_entry(raw, type_)
            result.setdefault(json_name, {})[entry_key] = entry_value
        elif repeated:
            items = result.setdefault(json_name, [])
            if type_ in "ib" and isinstance(raw, bytes):  # packed
                position = 0
                while position < len(raw):
                    number, position = _varint(raw, position)
                    items.append(_decode_value(number, type_))
            else:
                items.append(_decode_value(raw, type_))
        else:
            value = _decode_value(raw, type_)
            counts = pointer or type_ in "JX"
            if value or type_ in "IQ" or len(type_) > 1 or (value is not None and counts):
                result[json_name] = value


def _decode_entry(raw: bytes, type_: str) -> tuple[str, Any]:
    key, value = "", None
    at = 0
    while at < len(raw):
        tag, at = _varint(raw, at)
        item, at = _wire_value(raw, at, tag & 7)
        if tag >> 3 == 1 and isinstance(item, bytes):
            key = item.decode()
        elif tag >> 3 == 2:
            value = _decode_value(item, type_)
    return key, _decode_value(b"", type_) if value is None else value


def _decode_value(raw: Any, type_: str) -> Any:
    if type_ == "s":
        return raw.decode()
    if len(type_) > 1:
        return _decode_message(raw, type_)
    if type_ == "i":
        return _signed(raw)
    if type_ == "b":
        return bool(raw)
    if type_ == "y":
        return base64.b64encode(raw).decode()
    if type_ == "d":
        return struct.unpack("<d", raw)[0] if raw else 0.0
    return _SPECIAL[type_][0](raw)


def _scalars(raw: bytes) -> dict[int, Any]:
    found: dict[int, Any] = {}
    at = 0
    while at < len(raw):
        tag, at = _varint(raw, at)
        found[tag >> 3], at = _wire_value(raw, at, tag & 7)
    return found


def _read_time(raw: bytes) -> str | None:
    if not raw:
        return None
    return _clock_text(_signed(_scalars(raw).get(1, 0))) + "Z"


def _read_micro_time(raw: bytes) -> str | None:
    if not raw:
        return None
    fields = _scalars(raw)
    return f"{_clock_text(_signed(fields.get(1, 0)))}.{fields.get(2, 0) // 1000:06d}Z"


def _clock_text(seconds: int) -> str:
    import datetime

    moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=seconds)
    return moment.isoformat(timespec="seconds")


def _read_quantity(raw: bytes) -> str:
    return _raw_fields(raw).get(1, b"0").decode() or "0"


def _read_int_or_string(raw: bytes) -> int | str:
    fields = _scalars(raw)
    return fields.get(3, b"").decode() if fields.get(1, 0) else _signed(fields.get(2, 0))


def _read_json(raw: bytes) -> Any:
    body = _raw_fields(raw).get(1, b"")
    if body[:4] == PREFIX:  # an object inside a RawExtension
        return decode(body)
    return msgspec.json.decode(body) if body else None


def _read_strings(raw: bytes) -> list[str]:
    return [item.decode() for item in _read_numbered(raw, 1)]


def _read_duration(raw: bytes) -> str:
    return f"{_signed(_scalars(raw).get(1, 0)) / 1e9:g}s"


_PROPS: Final = "apiextensions/v1.JSONSchemaProps"


def _read_props_or_bool(raw: bytes) -> Any:
    fields = _scalars(raw)
    return _decode_message(fields[2], _PROPS) if 2 in fields else bool(fields.get(1, 0))


def _read_props_or_list(raw: bytes) -> Any:
    fields, items = _scalars(raw), _read_numbered(raw, 2)
    return [_decode_message(item, _PROPS) for item in items] if items else _decode_message(fields.get(1, b""), _PROPS)


def _read_props_or_strings(raw: bytes) -> Any:
    fields, items = _scalars(raw), _read_numbered(raw, 2)
    return [item.decode() for item in items] if items else _decode_message(fields.get(1, b""), _PROPS)


def _read_numbered(raw: bytes, wanted: int) -> list[bytes]:
    found: list[bytes] = []
    at = 0
    while at < len(raw):
        tag, at = _varint(raw, at)
        item, at = _wire_value(raw, at, tag & 7)
        if tag >> 3 == wanted and isinstance(item, bytes):
            found.append(item)
    return found


# Writing


def _put_varint(out: bytearray, value: int) -> None:
    if value < 0:
        value += 1 << 64
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def _put_bytes(out: bytearray, number: int, value: bytes | bytearray) -> None:
    _put_varint(out, number << 3 | 2)
    _put_varint(out, len(value))
    out += value


def _put_int(out: bytearray, number: int, value: int) -> None:
    _put_varint(out, number << 3)
    _put_varint(out, value)


def encode(obj: dict[str, Any] | msgspec.Struct) -> bytes:
    """The body of an object or list (struct or wire dict). Raises ProtobufError for a kind without protobuf form."""
    if isinstance(obj, msgspec.Struct):
        obj = msgspec.to_builtins(obj)
    assert isinstance(obj, dict)
    api_version, kind = obj.get("apiVersion") or "", obj.get("kind") or ""
    name = message_of(api_version, kind)
    if name is None:
        raise ProtobufError(f"{api_version}, Kind={kind} has no protobuf form")
    type_meta = bytearray()
    _put_bytes(type_meta, 1, api_version.encode())
    _put_bytes(type_meta, 2, kind.encode())
    out = bytearray(PREFIX)
    _put_bytes(out, 1, type_meta)
    _put_bytes(out, 2, _encode_message(obj, name))
    _put_bytes(out, 3, b"")
    _put_bytes(out, 4, b"")
    return bytes(out)


def watch_event(type_: str, obj: bytes) -> bytes:
    """One event of a watch stream, framed; `obj` is an encoded body."""
    out, extension = bytearray(), bytearray()
    _put_bytes(extension, 1, obj)
    _put_bytes(out, 1, type_.encode())
    _put_bytes(out, 2, extension)
    return frame(bytes(out))


def frame(data: bytes) -> bytes:
    """Length-delimited framing of streams: four bytes, big-endian, then the message."""
    return struct.pack(">I", len(data)) + data


def _encode_message(obj: dict[str, Any], name: str) -> bytearray:
    out = bytearray()
    for number, json_name, type_, repeated, mapping, _ in _by_name(name):
        if not json_name:
            inner = _encode_message(obj, type_)
            if inner:
                _put_bytes(out, number, inner)
            continue
        value = obj.get(json_name)
        if value is None:
            continue
        if repeated:
            for item in value:
                _put_value(out, number, item, type_)
        elif mapping:
            for key, item in value.items():
                entry = bytearray()
                _put_bytes(entry, 1, key.encode())
                if item is not None:
                    _put_value(entry, 2, item, type_)
                _put_bytes(out, number, entry)
        else:
            _put_value(out, number, value, type_)
    return out


def _put_value(out: bytearray, number: int, value: Any, type_: str) -> None:
    if type_ == "s":
        _put_bytes(out, number, str(value).encode())
    elif len(type_) > 1:
        _put_bytes(out, number, _encode_message(value, type_))
    elif type_ in "ib":
        _put_int(out, number, int(value))
    elif type_ == "y":
        _put_bytes(out, number, base64.b64decode(value))
    elif type_ == "d":
        _put_varint(out, number << 3 | 1)
        out += struct.pack("<d", value)
    else:
        inner = bytearray()
        _SPECIAL[type_][1](inner, value)
        _put_bytes(out, number, inner)


def _write_time(out: bytearray, value: str) -> None:
    seconds, _ = _unix(value)
    _put_int(out, 1, seconds)
    _put_int(out, 2, 0)


def _write_micro_time(out: bytearray, value: str) -> None:
    seconds, micros = _unix(value)
    _put_int(out, 1, seconds)
    _put_int(out, 2, micros * 1000)


def _unix(text: str) -> tuple[int, int]:
    import datetime

    moment = datetime.datetime.fromisoformat(normalise.micro_time(text))
    delta = moment - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    return delta.days * 86400 + delta.seconds, delta.microseconds


def _write_quantity(out: bytearray, value: Any) -> None:
    _put_bytes(out, 1, str(value).encode())


def _write_int_or_string(out: bytearray, value: int | str) -> None:
    text = isinstance(value, str)
    _put_int(out, 1, int(text))
    _put_int(out, 2, 0 if isinstance(value, str) else value)
    _put_bytes(out, 3, value.encode() if isinstance(value, str) else b"")


def _write_json(out: bytearray, value: Any) -> None:
    _put_bytes(out, 1, msgspec.json.encode(value))


def _write_strings(out: bytearray, value: list[str]) -> None:
    for item in value:
        _put_bytes(out, 1, item.encode())


def _write_duration(out: bytearray, value: str) -> None:
    """Seconds are all that is ever shown: `15.003s`."""
    _put_int(out, 1, round(float(value.removesuffix("s")) * 1e9))


def _write_props_or_bool(out: bytearray, value: Any) -> None:
    _put_int(out, 1, 1 if value is not False else 0)
    if isinstance(value, dict):
        _put_bytes(out, 2, _encode_message(value, _PROPS))


def _write_props_or_list(out: bytearray, value: Any) -> None:
    if isinstance(value, dict):
        _put_bytes(out, 1, _encode_message(value, _PROPS))
    else:
        for item in value:
            _put_bytes(out, 2, _encode_message(item, _PROPS) if isinstance(item, dict) else item.encode())


_SPECIAL: Final[dict[str, tuple[Any, Any]]] = {
    "T": (_read_time, _write_time),
    "U": (_read_micro_time, _write_micro_time),
    "Q": (_read_quantity, _write_quantity),
    "I": (_read_int_or_string, _write_int_or_string),
    "J": (_read_json, _write_json),
    "L": (_read_strings, _write_strings),
    "D": (_read_duration, _write_duration),
    "X": (_read_props_or_bool, _write_props_or_bool),
    "Y": (_read_props_or_list, _write_props_or_list),
    "Z": (_read_props_or_strings, _write_props_or_list),
}
