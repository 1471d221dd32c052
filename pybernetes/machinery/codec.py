"""Objects to bytes and back.

Decoding is optimistic: one pass of msgspec straight into the struct, which also checks every shape. Only if that fails
is the body parsed into a dict, rid of what upstream ignores (unknown fields, nulls) and tried again, and only then is
an error phrased. So a good object costs microseconds and a bad one gets a good message.

`normalise` brings the scalars that msgspec takes for plain text into canonical form (quantities, times, base64). It is
code generated per type that visits only the paths which hold such fields; a generic walk would cost ten times more.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any, Final, TypeVar

import msgspec

from pybernetes.machinery import errors, schema
from pybernetes.machinery.meta import ObjectMeta
from pybernetes.machinery.normalise import normalise
from pybernetes.machinery.text import quote

__all__ = [
    "convert",
    "copy",
    "decode",
    "decode_dict",
    "duplicate_fields",
    "encode",
    "from_dict",
    "normalise",
    "packed",
    "strict_error",
    "to_dict",
]

T = TypeVar("T", bound=msgspec.Struct)

_encoder: Final = msgspec.json.Encoder()
_encode_struct = _encoder.encode
_pack = msgspec.msgpack.Encoder().encode
_unpack_any = msgspec.msgpack.Decoder().decode
_decode_any = msgspec.json.Decoder().decode
to_dict = msgspec.to_builtins  #: A struct as a wire dict (new containers all the way down).


@cache
def _decoder(type_: type[T]) -> Callable[[bytes], T]:
    return msgspec.json.Decoder(type_).decode


@cache
def _unpacker(type_: type[T]) -> Callable[[bytes], T]:
    return msgspec.msgpack.Decoder(type_).decode


def encode(obj: msgspec.Struct | dict[str, Any]) -> bytes:
    """JSON of a struct or wire dict; a dict's `apiVersion`, `kind` and `metadata` come first, as a struct's do."""
    if type(obj) is dict:
        return _encode_struct(head_first(obj))
    return _encode_struct(obj)


def head_first(obj: dict[str, Any]) -> dict[str, Any]:
    """The same object with `apiVersion`, `kind`, `metadata` in front; itself when they are already."""
    keys = list(obj)[:3]
    if keys == ["apiVersion", "kind", "metadata"] or "metadata" not in obj:
        return obj
    front: dict[str, Any] = {key: obj[key] for key in ("apiVersion", "kind", "metadata") if key in obj}
    front.update(obj)
    return front


def copy(obj: Any) -> Any:
    """A deep copy of a struct or wire dict, safe to change.

    One exception: the entries of a struct's managed fields are shared. They are replaced, never changed, and their
    trees are by far the largest part of many objects.
    """
    if not isinstance(obj, msgspec.Struct):
        return _unpack_any(packed(obj))
    metadata = getattr(obj, "metadata", None)
    if not isinstance(metadata, ObjectMeta) or not metadata.managed_fields:
        return _unpacker(type(obj))(_pack(obj))
    bare, bare_metadata = _shallow(obj), _shallow(metadata)
    bare.metadata, bare_metadata.managed_fields = bare_metadata, None
    made = _unpacker(type(obj))(_pack(bare))
    made.metadata.managed_fields = list(metadata.managed_fields)
    return made


def packed(value: Any) -> bytes:
    """A wire value in a compact form that equal values share. Raises StatusError (400) for an integer too large."""
    try:
        return _pack(value)
    except OverflowError:
        raise errors.bad_request("json: cannot unmarshal number into Go value of type int64") from None


def _shallow(obj: Any) -> Any:
    return obj.__copy__()


def decode(type_: type[T], data: bytes, problems: list[str] | None = None, *, duplicates: bool = False) -> T:
    """The struct of a JSON body.

    Unknown fields are dropped and, when `problems` is given, named there (`unknown field "spec.foo"`); with
    `duplicates` so are repeated ones (`duplicate field "spec.replicas"`), which costs a second parse.
    Raises StatusError (400) for anything that is not such an object.
    """
    try:
        obj: T = _decoder(type_)(data)
    except msgspec.MsgspecError:
        obj = convert(type_, decode_dict(data, type_), problems)
    if duplicates and problems is not None:
        problems.extend(duplicate_fields(data))
    return obj


def decode_dict(data: bytes, type_: type[msgspec.Struct] | None = None) -> dict[str, Any]:
    """The wire dict of a JSON body that holds an object. Raises StatusError (400)."""
    try:
        value = _decode_any(data)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise _unreadable(data, error, type_) from None
    if not isinstance(value, dict):
        name = type_.__name__ if type_ is not None else "map[string]interface {}"
        raise errors.bad_request(f"json: cannot unmarshal {_json_type(value)} into Go value of type {name}")
    return value


def _unreadable(data: bytes, error: Exception, type_: type[msgspec.Struct] | None) -> errors.StatusError:
    if not data.strip():
        text = "unexpected end of JSON input" if data else "EOF"
    elif "truncated" in str(error):
        text = "unexpected EOF"
    else:
        text = f"invalid JSON: {error}"
    if type_ is None:
        return errors.bad_request(text)
    shown = data[:30].decode(errors="replace") + (" ..." if len(data) > 30 else "")
    name = type_.__name__
    return errors.bad_request(f"the object provided is unrecognized (must be of type {name}): {text} ({quote(shown)})")


def from_dict(type_: type[T], value: dict[str, Any], problems: list[str] | None = None) -> T:
    """The struct of a wire dict, which is not changed. Unknown fields are handled as by `decode`."""
    try:
        return msgspec.convert(value, type_)
    except msgspec.ValidationError:
        return convert(type_, copy(value), problems)


def convert(type_: type[T], value: dict[str, Any], problems: list[str] | None = None) -> T:
    """As `from_dict`, for a dict that may be changed: the slow path, which prunes and explains."""
    shape = schema.of_struct(type_)

    def unknown(path: str) -> None:
        if problems is not None:
            problems.append(f"unknown field {quote(path)}")

    schema.prune(value, shape, unknown, drop_nulls=True)
    try:
        return msgspec.convert(value, type_)
    except msgspec.ValidationError as error:
        raise errors.bad_request(_prefix(value, type_) + _explain(str(error), value, shape)) from None


def strict_error(value: Any, type_: type[msgspec.Struct], problems: list[str]) -> errors.StatusError:
    """The answer to `fieldValidation=Strict` when there are problems. `value`: the struct or dict that was decoded."""
    return errors.bad_request(f"{_prefix(value, type_)}strict decoding error: {', '.join(problems)}")


def _prefix(value: Any, type_: type[msgspec.Struct]) -> str:
    if isinstance(value, dict):
        kind, version = value.get("kind"), value.get("apiVersion")
    else:
        kind, version = getattr(value, "kind", ""), getattr(value, "api_version", "")
    if not isinstance(kind, str) or not kind or not isinstance(version, str):
        return ""
    return f"{kind} in version {quote(version.rpartition('/')[2])} cannot be handled as a {type_.__name__}: "


_AT: Final = re.compile(r" - at `(key in )?\$?(.*)`$")
_STEP: Final = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")


def _explain(message: str, value: Any, shape: schema.Schema) -> str:
    """msgspec's message as Go's: `json: cannot unmarshal string into Go struct field PodSpec.spec.nodeName ...`."""
    match = _AT.search(message)
    where = match.group(2) if match else ""
    names: list[str] = []
    found: Any = value
    at: schema.Schema | None = shape
    owner = shape
    steps = _STEP.findall(where)
    for position, (name, index) in enumerate(steps):
        if at is not None and at.alternatives:
            at = at.for_value(found)
        if name:
            if at is not None and at.struct is not None:
                owner = at
            names.append(name)
            at = at.child(name) if at is not None else None
            found = found.get(name) if isinstance(found, dict) else None
        elif index.isdigit():
            at = at.items if at is not None else None
            found = found[int(index)] if isinstance(found, list) else None
        else:  # "[...]": some entry of a map; the one that does not fit is found by its type
            child = at.additional if at is not None else None
            last = position == len(steps) - 1
            found = next((v for v in _values(found) if not (last and child and _fits(v, child))), None)
            at = child
    wanted = _go_type(at)
    text = f"json: cannot unmarshal {_json_type(found)} into Go "
    if not names:
        return f"{text}value of type {wanted}"
    holder = owner.struct.__name__ if owner.struct is not None else ""
    return f"{text}struct field {holder}.{'.'.join(names)} of type {wanted}"


def _values(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else []


def _fits(value: Any, shape: schema.Schema) -> bool:
    return {"string": str, "object": dict, "array": list, "boolean": bool, "integer": int}.get(shape.type) is type(
        value
    )


def _go_type(shape: schema.Schema | None) -> str:
    if shape is None or not (shape.type or shape.format):
        return "interface {}"
    if shape.format == "quantity":
        return "resource.Quantity"
    if shape.format in ("date-time", "micro-time"):
        return "v1.Time" if shape.format == "date-time" else "v1.MicroTime"
    if shape.int_or_string:
        return "intstr.IntOrString"
    if shape.struct is not None:
        return f"v1.{shape.struct.__name__}"
    if shape.type == "array":
        return f"[]{_go_type(shape.items)}"
    if shape.type == "object":
        return f"map[string]{_go_type(shape.additional)}"
    if shape.type == "integer":
        return "int32" if shape.int32 else "int64"
    return {"string": "string", "boolean": "bool", "number": "float64"}[shape.type]


def _json_type(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return f"number {value}" if not -(2**31) <= value < 2**31 else "number"
    if isinstance(value, float):
        return f"number {value}"
    return (
        "string"
        if isinstance(value, str)
        else "object"
        if isinstance(value, dict)
        else "array"
        if value is not None
        else "null"
    )


class _Repeated(dict[str, Any]):
    """An object in which keys were repeated."""

    keys_twice: list[str]


def duplicate_fields(data: bytes) -> list[str]:
    """`duplicate field "spec.replicas"` for each key that an object has twice."""
    try:
        if _encode_struct(_decode_any(data)) == data:  # compact JSON that says nothing twice: nearly all of it
            return []
    except (msgspec.MsgspecError, RecursionError, OverflowError):
        pass
    any_found = False

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal any_found
        made = dict(pairs)
        if len(made) == len(pairs):
            return made
        any_found = True
        marked = _Repeated(made)
        seen: set[str] = set()
        marked.keys_twice = []
        for key, _ in pairs:
            if key in seen and key not in marked.keys_twice:
                marked.keys_twice.append(key)
            seen.add(key)
        return marked

    import json  # only here: strict writes

    try:
        tree = json.loads(data, object_pairs_hook=collect)
    except (ValueError, RecursionError):
        return []
    found: list[str] = []
    if any_found:
        _collect_repeated(tree, "", found)
    return found


def _collect_repeated(value: Any, path: str, found: list[str]) -> None:
    if isinstance(value, dict):
        if isinstance(value, _Repeated):
            found.extend(f"duplicate field {quote(f'{path}.{key}' if path else key)}" for key in value.keys_twice)
        for key, item in value.items():
            _collect_repeated(item, f"{path}.{key}" if path else key, found)
    elif isinstance(value, list):
        for i, item in enumerate(value):
            _collect_repeated(item, f"{path}[{i}]", found)
