"""Objects as the server handles them: structs of built-in kinds, `Custom` for everything defined at run time.

Generic code (verbs, cache, admission) touches `api_version`, `kind` and `metadata` only, which both have; the rest of
a custom object stays a dict in wire form (`content`). That is why custom resources are not plain dicts here: one
verb serves all kinds, and metadata is checked by its type. A `Codec` turns objects into bytes and wire dicts and
back; each resource has one.

The revision is not part of what is encoded for the store: `stamp` writes it into the bytes when it is known.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, Protocol, TypeAlias, cast

import msgspec

from pybernetes.machinery import codec, schema
from pybernetes.machinery.meta import Object, ObjectMeta
from pybernetes.machinery.schema import Schema
from pybernetes.machinery.unset import holds_zeros, unset_zeros

_META = b'"metadata":{'
_REVISION = b'"resourceVersion":"'


class Custom:
    """An object of a kind that is not built in. `content` is everything beside apiVersion, kind and metadata."""

    __slots__ = ("api_version", "content", "kind", "metadata")

    def __init__(self, api_version: str, kind: str, metadata: ObjectMeta, content: dict[str, Any]) -> None:
        self.api_version = api_version
        self.kind = kind
        self.metadata = metadata
        self.content = content

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Custom)
            and self.api_version == other.api_version
            and self.kind == other.kind
            and self.metadata == other.metadata
            and self.content == other.content
        )

    __hash__ = None  # type: ignore[assignment]

    def to_wire(self) -> dict[str, Any]:
        """The whole object as a wire dict; shares `content`."""
        return {
            "apiVersion": self.api_version,
            "kind": self.kind,
            "metadata": msgspec.to_builtins(self.metadata),
            **self.content,
        }


#: What verbs handle.
AnyObject: TypeAlias = Object | Custom


def stamp(value: bytes, revision: int) -> bytes:
    """Write `revision` as metadata.resourceVersion into an encoded object (replacing the one it bears)."""
    start = value.index(_META) + 12
    rest = start
    if value.startswith(_REVISION, start):
        rest = value.index(b'"', start + 19) + 2  # the closing quote and the comma: there always is a name behind
    return b'%b"resourceVersion":"%d",%b' % (value[:start], revision, value[rest:])


class Codec(Protocol):
    """Bytes and wire dicts of one kind. What is stored is trusted; `read` and `convert` are for what clients send."""

    @property
    def schema(self) -> Schema:
        """The shape, for patches and apply."""

    def decode(self, data: bytes) -> AnyObject:
        """Stored JSON to an object, resourceVersion included."""

    def encode(self, obj: AnyObject) -> bytes:
        """An object to JSON; apiVersion, kind and metadata come first."""

    def copy(self, obj: AnyObject) -> AnyObject:
        """A deep copy."""

    def to_wire(self, obj: AnyObject) -> dict[str, Any]:
        """The object as a new wire dict that the caller may change."""

    def read(self, data: bytes, problems: list[str] | None, duplicates: bool) -> AnyObject:
        """A client's JSON to an object; unknown (and repeated) fields go into `problems`. Raises StatusError (400)."""

    def convert(self, wire: dict[str, Any], problems: list[str] | None) -> AnyObject:
        """The same for a wire dict, which may be changed."""


class StructCodec:
    """Codec of a struct type, given as itself or as a function that imports it.

    msgspec takes a millisecond to look at a type, and a server is asked for few of its seventy kinds at the start.
    """

    def __init__(self, type_: type[Object] | Callable[[], type[Object]]) -> None:
        self._given = type_

    @cached_property
    def type(self) -> type[Object]:
        """The struct class."""
        given = self._given
        return given if isinstance(given, type) else given()

    @cached_property
    def _decoder(self) -> msgspec.json.Decoder[Object]:
        return msgspec.json.Decoder(self.type)

    @cached_property
    def schema(self) -> Schema:
        return schema.of_struct(self.type)

    def decode(self, data: bytes) -> AnyObject:
        return self._decoder.decode(data)

    def encode(self, obj: AnyObject) -> bytes:
        return codec.encode(cast(Object, obj))

    def copy(self, obj: AnyObject) -> AnyObject:
        return cast(AnyObject, codec.copy(obj))

    def to_wire(self, obj: AnyObject) -> dict[str, Any]:
        return cast("dict[str, Any]", codec.to_dict(obj))

    def read(self, data: bytes, problems: list[str] | None, duplicates: bool) -> AnyObject:
        obj = codec.decode(self.type, data, problems, duplicates=duplicates)
        codec.normalise(obj)
        if holds_zeros(data):
            unset_zeros(obj)
        return obj

    def convert(self, wire: dict[str, Any], problems: list[str] | None) -> AnyObject:
        obj = codec.from_dict(self.type, wire, problems)
        codec.normalise(obj)
        unset_zeros(obj)
        return obj


class CustomCodec:
    """Codec of `Custom` objects: prunes by a schema what clients send."""

    def __init__(self, shape: Schema = schema.ANY) -> None:
        self.schema = shape

    def decode(self, data: bytes) -> AnyObject:
        return _custom(msgspec.json.decode(data))

    def encode(self, obj: AnyObject) -> bytes:
        custom = cast(Custom, obj)
        return msgspec.json.encode(
            {"apiVersion": custom.api_version, "kind": custom.kind, "metadata": custom.metadata, **custom.content}
        )

    def copy(self, obj: AnyObject) -> AnyObject:
        custom = cast(Custom, obj)
        return Custom(custom.api_version, custom.kind, codec.copy(custom.metadata), codec.copy(custom.content))

    def to_wire(self, obj: AnyObject) -> dict[str, Any]:
        return cast("dict[str, Any]", codec.copy(cast(Custom, obj).to_wire()))

    def read(self, data: bytes, problems: list[str] | None, duplicates: bool) -> AnyObject:
        wire = codec.decode_dict(data)
        if duplicates and problems is not None:
            problems.extend(codec.duplicate_fields(data))
        return self.convert(wire, problems)

    def convert(self, wire: dict[str, Any], problems: list[str] | None) -> AnyObject:
        def unknown(path: str) -> None:
            if problems is not None:
                problems.append(f'unknown field "{path}"')

        codec.packed(wire)  # numbers that nobody can read again are refused here
        metadata = wire.pop("metadata", None)
        schema.prune(wire, self.schema, unknown)
        wire["metadata"] = metadata
        return _custom(wire, problems)


def _custom(wire: dict[str, Any], problems: list[str] | None = None) -> Custom:
    content = {key: value for key, value in wire.items() if key not in ("apiVersion", "kind", "metadata")}
    mine: list[str] = []
    metadata = codec.from_dict(ObjectMeta, wire.get("metadata") or {}, mine)
    if mine and problems is not None:
        problems.extend(text.replace('"', '"metadata.', 1) for text in mine)
    return Custom(wire.get("apiVersion") or "", wire.get("kind") or "", metadata, content)
