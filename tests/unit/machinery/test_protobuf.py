"""Protobuf bodies: every kind there and back, and bytes as other implementations write them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pybernetes.api.apiextensions_v1 import CustomResourceSubresources
from pybernetes.api.kinds import KINDS, Kind
from pybernetes.machinery import codec, protobuf
from pybernetes.machinery.schema import Schema, of_struct

KINDS_WITH_FORM = [k for k in KINDS if protobuf.supports(k.api_version, k.kind)]


def value_of(schema: Schema, depth: int) -> st.SearchStrategy[Any]:
    """Wire values that mean something: no zeros, which Go cannot tell from absence."""
    if schema.alternatives:
        return value_of(schema.alternatives[0], depth)
    if schema.int_or_string:
        return st.one_of(st.integers(-9, 9), st.sampled_from(["a", "10%"]))
    if schema.format:
        return st.sampled_from(
            {
                "quantity": ["1", "500m", "1Gi"],
                "date-time": ["2026-01-02T03:04:05Z", "1969-12-31T23:59:59Z"],
                "micro-time": ["2026-01-02T03:04:05.000006Z"],
                "byte": ["YWJj"],
            }[schema.format]
        )
    if schema.type == "object":
        if schema.additional is not None:
            if schema.additional.preserve_unknown_fields:
                return st.just({"a": {"b": [1, "x"]}})
            return st.dictionaries(
                st.sampled_from("ab"), value_of(schema.additional, depth - 1), min_size=1, max_size=2
            )
        return objects(schema, depth - 1)
    if schema.type == "array":
        assert schema.items is not None
        return st.lists(value_of(schema.items, depth - 1), min_size=1, max_size=2)
    simple = {
        "string": st.sampled_from(["x", "ünï", "a/b"]),
        "integer": st.sampled_from([1, -1, 2**31 - 1]),
        "boolean": st.just(True),
        "number": st.sampled_from([1.5, -2.0]),
    }
    return simple.get(schema.type, st.just({"any": [1]}))


def objects(schema: Schema, depth: int) -> st.SearchStrategy[dict[str, Any]]:
    if depth < 0:
        return st.just({})
    names = [n for n in schema.properties if n not in ("apiVersion", "kind") or schema.struct is None]
    if not names:
        return st.just({})

    @st.composite
    def build(draw: st.DrawFn) -> dict[str, Any]:
        chosen = draw(st.lists(st.sampled_from(names), max_size=4, unique=True))
        made = {name: draw(value_of(schema.properties[name], depth)) for name in chosen}
        if schema.struct is CustomResourceSubresources and "status" in made:
            made["status"] = {}  # a message without fields
        return made

    return build()


def test_every_built_in_kind_has_a_form() -> None:
    assert {k.kind for k in KINDS} - {k.kind for k in KINDS_WITH_FORM} == set()


@pytest.mark.parametrize("kind", KINDS_WITH_FORM, ids=lambda k: f"{k.api_version}.{k.kind}")
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_round_trip(kind: Kind, data: st.DataObject) -> None:
    obj = data.draw(objects(of_struct(kind.type), 5))
    obj = {"apiVersion": kind.api_version, "kind": kind.kind, **obj}
    wire = codec.to_dict(codec.from_dict(kind.type, obj))  # with the zero values that are always written
    again = protobuf.decode(protobuf.encode(wire))
    assert codec.to_dict(codec.from_dict(kind.type, again)) == wire


def test_a_zero_is_kept_of_pointers_alone() -> None:
    spec = {"storageClassName": "", "volumeMode": "", "dataSource": {"apiGroup": "", "kind": "PersistentVolumeClaim"}}
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "spec": spec | {"volumeName": ""}}
    assert protobuf.decode(protobuf.encode(claim))["spec"] == spec
    volume = {"name": "v", "fc": {"lun": 0, "readOnly": False}, "hostPath": {"type": "", "path": ""}}
    pod = {"apiVersion": "v1", "kind": "Pod", "spec": {"volumes": [volume], "hostNetwork": False}}
    assert protobuf.decode(protobuf.encode(pod))["spec"] == {
        "volumes": [{"name": "v", "fc": {"lun": 0}, "hostPath": {"type": ""}}]
    }


def test_every_field_of_every_struct_is_in_the_table() -> None:
    inlined = "ephemeralContainerCommon"
    missing: list[str] = []
    seen: set[type] = set()

    def walk(struct: type[msgspec.Struct], message: str) -> None:
        if struct in seen:
            return
        seen.add(struct)
        fields = names(message)
        for wire, schema in of_struct(struct).properties.items():
            if (wire in ("apiVersion", "kind") and "metadata" in fields) or wire == inlined:
                continue
            if wire not in fields:
                missing.append(f"{message}.{wire}")
                continue
            inner = schema.items or schema.additional or schema
            if inner.struct is not None and len(fields[wire]) > 1:
                walk(inner.struct, fields[wire])

    def names(message: str) -> dict[str, str]:
        found: dict[str, str] = {}
        for name, type_, *_ in protobuf._message(message).values():
            found.update({name: type_} if name else names(type_))
        return found

    for kind in KINDS:
        message = protobuf.message_of(kind.api_version, kind.kind)
        assert message is not None
        walk(kind.type, message)
    assert missing == []


def test_known_bytes() -> None:
    type_meta = b"\x0a\x02v1\x12\x09ConfigMap"
    metadata = b"\x0a\x01x\x1a\x01d\x42\x00"  # name, namespace, an empty creationTimestamp
    raw = b"\x0a" + bytes([len(metadata)]) + metadata + b"\x12\x06\x0a\x01k\x12\x01v"
    body = b"k8s\0\x0a" + bytes([len(type_meta)]) + type_meta + b"\x12" + bytes([len(raw)]) + raw + b"\x1a\x00\x22\x00"
    assert protobuf.decode(body) == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "x", "namespace": "d"},
        "data": {"k": "v"},
    }


@pytest.mark.parametrize("value", [0, False, "", [], {}], ids=str)
def test_json_that_is_empty_is_a_value(value: object) -> None:
    schema = {"type": "object", "properties": {"a": {"default": value, "x-kubernetes-preserve-unknown-fields": True}}}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "spec": {"versions": [version]},
    }
    decoded = protobuf.decode(protobuf.encode(definition))
    assert decoded["spec"]["versions"][0]["schema"]["openAPIV3Schema"] == schema


def test_lists_and_watch_frames() -> None:
    pods = {
        "apiVersion": "v1",
        "kind": "PodList",
        "metadata": {"resourceVersion": "7"},
        "items": [{"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c"}]}}],
    }
    assert protobuf.decode(protobuf.encode(pods)) == pods
    body = protobuf.encode({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}})
    framed = protobuf.watch_event("ADDED", body)
    assert int.from_bytes(framed[:4], "big") == len(framed) - 4
    assert framed[4:11] == b"\x0a\x05ADDED"
    assert framed.endswith(body)


@pytest.mark.parametrize("body", [b"", b"{}", b"k8s\x00\x0a\xff", b"k8s\x00\x12\x7f\x01", b"k8s\x00"])
def test_broken_bodies(body: bytes) -> None:
    with pytest.raises(protobuf.ProtobufError):
        protobuf.decode(body)


@given(st.binary(max_size=60))
def test_no_body_breaks_the_decoder(body: bytes) -> None:
    try:
        protobuf.decode(protobuf.PREFIX + body)
    except protobuf.ProtobufError:
        pass


def test_the_eviction_of_older_clients_is_still_taken() -> None:
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "web-0", "namespace": "default"}}
    older = eviction | {"apiVersion": "policy/v1beta1"}
    assert protobuf.decode(protobuf.encode(older))["metadata"] == {"name": "web-0", "namespace": "default"}
    assert protobuf.decode(protobuf.encode(older))["apiVersion"] == "policy/v1beta1"


def test_custom_resources_are_refused() -> None:
    with pytest.raises(protobuf.ProtobufError, match="has no protobuf form"):
        protobuf.encode({"apiVersion": "example.com/v1", "kind": "Widget"})
    assert not protobuf.supports("example.com/v1", "Widget")
