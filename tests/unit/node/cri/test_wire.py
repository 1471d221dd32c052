"""The codec against the protobuf library, which builds its messages from the same table."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given, settings
from hypothesis import strategies as st

from pybernetes.node.cri import client, wire  # `client` registers the structs
from pybernetes.node.cri import types as t

F = descriptor_pb2.FieldDescriptorProto
_PLAIN = {
    "string": F.TYPE_STRING, "bytes": F.TYPE_BYTES, "bool": F.TYPE_BOOL, "int32": F.TYPE_INT32, "int64": F.TYPE_INT64,
    "uint32": F.TYPE_UINT32, "uint64": F.TYPE_UINT64, "double": F.TYPE_DOUBLE, "enum": F.TYPE_INT32,
}  # fmt: skip


@cache
def oracle() -> Any:
    """Protobuf classes of every message of the table, by name."""
    file = descriptor_pb2.FileDescriptorProto(name="cri.proto", package="x", syntax="proto3")
    table = wire._table()[1]
    names = {*table, *wire._WRAPPERS} | {f.type for fs in table.values() for f in fs if f.type[0].isupper()}
    for name in sorted(names):
        message = file.message_type.add(name=name)
        if name in wire._WRAPPERS and name not in table:
            message.field.add(name="value", number=1, type=_PLAIN[wire._WRAPPERS[name]], label=F.LABEL_OPTIONAL)
        for field in table.get(name, []):
            label = F.LABEL_REPEATED if field.repeated or field.type == "<>" else F.LABEL_OPTIONAL
            entry = message.field.add(name=field.name, number=field.number, label=label)
            if field.type == "<>":
                nested = f"{''.join(p.capitalize() for p in field.name.split('_'))}Entry"
                pair = message.nested_type.add(name=nested)
                pair.options.map_entry = True
                pair.field.add(name="key", number=1, type=F.TYPE_STRING, label=F.LABEL_OPTIONAL)
                pair.field.add(name="value", number=2, type=F.TYPE_STRING, label=F.LABEL_OPTIONAL)
                entry.type, entry.type_name = F.TYPE_MESSAGE, f".x.{name}.{nested}"
            elif field.type in _PLAIN:
                entry.type = _PLAIN[field.type]
            else:
                entry.type, entry.type_name = F.TYPE_MESSAGE, f".x.{field.type}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"x.{name}")) for name in names}


def fill(message: Any, value: Any) -> None:
    """Set a protobuf message from one of our structs."""
    for field in wire._table()[1].get(message.DESCRIPTOR.name, []):
        item = getattr(value, field.name, None)
        if item is None:
            continue
        target = getattr(message, field.name)
        if field.type == "<>":
            target.update(item)
        elif field.type in _PLAIN:
            if field.repeated:
                target.extend(item)
            else:
                setattr(message, field.name, item)
        elif field.type in wire._WRAPPERS:
            target.value = item
            target.SetInParent()
        elif field.repeated:
            for one in item:
                fill(target.add(), one)
        else:
            target.SetInParent()
            fill(target, item)


STRUCTS = list(wire._structs.values())


@pytest.mark.parametrize("cls", STRUCTS, ids=lambda cls: cls.__name__)
def test_every_attribute_is_a_field_of_the_table(cls: type[msgspec.Struct]) -> None:
    assert set(cls.__struct_fields__) <= set(wire.fields(cls.__name__))


CONFIGS = [t.PodSandboxConfig, t.ContainerConfig, t.AuthConfig, t.LinuxContainerConfig]


def values(cls: Any) -> st.SearchStrategy[Any]:
    """Random structs: any text, negative and large numbers, absent and empty messages."""
    table = wire.fields(cls.__name__)
    parts = {}
    for field in msgspec.structs.fields(cls):
        parts[field.name] = value_of(field.type, table[field.name])
    return st.builds(cls, **parts)


def value_of(kind: Any, wire_type: str) -> st.SearchStrategy[Any]:
    arguments = [a for a in getattr(kind, "__args__", ()) if a is not type(None)]
    if getattr(kind, "__origin__", None) is dict:
        return st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=2)
    if getattr(kind, "__origin__", None) is list:
        return st.lists(value_of(arguments[0], wire_type.removesuffix("[]")), max_size=2)
    if arguments:
        return st.none() | value_of(arguments[0], wire_type)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return st.deferred(lambda: values(kind))
    if hasattr(kind, "_value2member_map_"):
        return st.sampled_from(list(kind))
    if kind is int:
        bits = 31 if "32" in wire_type or wire_type == "enum" else 63
        return st.integers(0 if wire_type.lower().startswith("u") else -(1 << bits), (1 << bits) - 1)
    return {
        str: st.text(max_size=5),
        bytes: st.binary(max_size=5),
        bool: st.booleans(),
        float: st.floats(allow_nan=False),
    }[kind]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([*STRUCTS, t.ContainerConfig, t.PodSandboxConfig]).flatmap(values))
def test_encoding_is_what_protobuf_reads(value: Any) -> None:
    expected = oracle()[type(value).__name__]()
    fill(expected, value)
    read = oracle()[type(value).__name__].FromString(wire.encode(type(value).__name__, value))
    assert read == expected


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(STRUCTS).flatmap(values))
def test_decoding_reads_what_protobuf_writes(value: Any) -> None:
    name = type(value).__name__
    message = oracle()[name]()
    fill(message, value)
    assert wire.decode(name, message.SerializeToString()) == value


def test_requests_are_mappings_and_wrong_names_are_refused() -> None:
    data = wire.encode("StopContainerRequest", {"container_id": "abc", "timeout": 300})
    assert wire.decode("StopContainerRequest", data) == {"container_id": "abc", "timeout": 300}
    with pytest.raises(wire.WireError, match="has no field timeuot"):
        wire.encode("StopContainerRequest", {"timeuot": 1})


def test_absent_is_not_zero() -> None:
    """run_as_user 0 is root; left out, it is the image's user."""
    zero = wire.encode("LinuxContainerSecurityContext", t.LinuxContainerSecurityContext(run_as_user=0))
    assert zero == b"\x2a\x00"
    assert wire.encode("LinuxContainerSecurityContext", t.LinuxContainerSecurityContext()) == b""
    assert wire.encode("ContainerFilter", {"state": t.ContainerState.CREATED}) == b"\x12\x00"


def test_unknown_fields_and_values_are_passed_over() -> None:
    data = wire.encode("VersionResponse", {"version": "1"}) + b"\xfa\x07\x03abc" + b"\xf5\x07\x00\x00\x00\x00"
    assert wire.decode("VersionResponse", data) == {"version": "1"}
    assert wire.decode("ContainerStatus", b"\x18\x09").state == 9


@pytest.mark.parametrize("data", [b"\x0a", b"\x0a\x05ab", b"\x80", b"\x0b", b"\x08\x01", b"\x08" + b"\xff" * 11])
def test_broken_bytes_are_an_error(data: bytes) -> None:
    with pytest.raises(wire.WireError):
        wire.decode("VersionResponse", data)


def test_every_method_of_the_client_is_in_the_table() -> None:
    assert wire.method("RunPodSandbox").path == "/runtime.v1.RuntimeService/RunPodSandbox"
    assert wire.method("PullImage").path == "/runtime.v1.ImageService/PullImage"
    assert wire.method("Subscribe").streams
    assert client.CRIClient("/nowhere").socket == "/nowhere"
