"""The OpenAPI v2 document as protobuf: the only form in which kubectl asks for it.

The messages are gnostic's `openapi.v2`. Only what clients read is written: definitions whole, and of each operation its
id, media types, query parameters and extensions; answers and path parameters are left to the JSON form. Extensions and
enums are YAML text in this format, for which JSON does.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import msgspec

MEDIA_TYPE = b"application/com.github.proto-openapi.spec.v2.v1.0+protobuf"

_METHODS = {"get": 2, "put": 3, "post": 4, "delete": 5, "options": 6, "head": 7, "patch": 8}
#: Fields of Schema by JSON name: (number, how it is written).
_SCHEMA: dict[str, tuple[int, str]] = {
    "$ref": (1, "text"),
    "format": (2, "text"),
    "title": (3, "text"),
    "description": (4, "text"),
    "default": (5, "any"),
    "multipleOf": (6, "double"),
    "maximum": (7, "double"),
    "exclusiveMaximum": (8, "int"),
    "minimum": (9, "double"),
    "exclusiveMinimum": (10, "int"),
    "maxLength": (11, "int"),
    "minLength": (12, "int"),
    "pattern": (13, "text"),
    "maxItems": (14, "int"),
    "minItems": (15, "int"),
    "uniqueItems": (16, "int"),
    "maxProperties": (17, "int"),
    "minProperties": (18, "int"),
}
_EXTENSION_OF_SCHEMA = 31


def document(value: Mapping[str, Any]) -> bytes:
    """An `openapi.v2.Document` of the document in JSON form."""
    info = _text(1, value["info"]["title"]) + _text(2, value["info"]["version"])
    paths = b"".join(_message(2, _text(1, name) + _message(2, _path(item))) for name, item in value["paths"].items())
    definitions = _named(value["definitions"])
    return _text(1, value["swagger"]) + _message(2, info) + _message(8, paths) + _message(9, definitions)


def _path(item: Mapping[str, Any]) -> bytes:
    return b"".join(_message(number, _operation(item[method])) for method, number in _METHODS.items() if method in item)


def _operation(value: Mapping[str, Any]) -> bytes:
    parts = [_text(3, value.get("description", "")), _text(5, value.get("operationId", ""))]
    parts += [_text(6, item) for item in value.get("produces", ())]
    parts += [_text(7, item) for item in value.get("consumes", ())]
    for parameter in value.get("parameters", ()):
        if parameter.get("in") == "query":
            query = _text(2, "query") + _text(4, parameter["name"]) + _text(6, parameter.get("type", "string"))
            parts.append(_message(8, _message(1, _message(2, _message(3, query)))))
    parts += _extensions(13, value)
    return b"".join(parts)


def _schema(value: Mapping[str, Any]) -> bytes:
    parts: list[bytes] = []
    for name, (number, form) in _SCHEMA.items():
        if (found := value.get(name)) is None:
            continue
        if form == "text":
            parts.append(_text(number, found))
        elif form == "int":
            parts.append(_number(number, int(found)))
        elif form == "double":
            parts.append(_varint(number << 3 | 1) + struct.pack("<d", found))
        else:
            parts.append(_message(number, _any(found)))
    parts += [_text(19, item) for item in value.get("required", ())]
    parts += [_message(20, _any(item)) for item in value.get("enum", ())]
    more = value.get("additionalProperties")
    if isinstance(more, bool):
        parts.append(_message(21, _number(2, int(more))))
    elif more is not None:
        parts.append(_message(21, _message(1, _schema(more))))
    if kind := value.get("type"):
        parts.append(_message(22, b"".join(_text(1, item) for item in ([kind] if isinstance(kind, str) else kind))))
    if (items := value.get("items")) is not None:
        parts.append(_message(23, _message(1, _schema(items))))
    parts += [_message(24, _schema(item)) for item in value.get("allOf", ())]
    if properties := value.get("properties"):
        parts.append(_message(25, _named(properties)))
    parts += _extensions(_EXTENSION_OF_SCHEMA, value)
    return b"".join(parts)


def _named(schemas: Mapping[str, Any]) -> bytes:
    return b"".join(_message(1, _text(1, name) + _message(2, _schema(schema))) for name, schema in schemas.items())


def _extensions(number: int, value: Mapping[str, Any]) -> list[bytes]:
    return [
        _message(number, _text(1, name) + _message(2, _any(found)))
        for name, found in value.items()
        if name.startswith("x-")
    ]


def _any(value: Any) -> bytes:
    return _text(2, msgspec.json.encode(value).decode())


def _text(number: int, value: str) -> bytes:
    return _message(number, value.encode()) if value else b""


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value & 0xFFFFFFFFFFFFFFFF)


def _message(number: int, body: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(body)) + body


def _varint(value: int) -> bytes:
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
