"""Zeros of plain fields are as good as absent; those of pointers are choices."""

from __future__ import annotations

from typing import Any

import pytest

from pybernetes.api.kinds import KINDS, Kind
from pybernetes.machinery import codec, protobuf
from pybernetes.machinery.schema import Schema, of_struct
from pybernetes.machinery.unset import holds_zeros, unset_zeros

POD = {(k.api_version, k.kind): k for k in KINDS}["v1", "Pod"]


def told(kind: Kind, body: dict[str, Any]) -> dict[str, Any]:
    obj = codec.from_dict(kind.type, {"apiVersion": kind.api_version, "kind": kind.kind, **body})
    unset_zeros(obj)
    return codec.to_dict(obj)


def test_plain_zeros_go_and_choices_stay() -> None:
    mount = {"name": "v", "mountPath": "/x", "readOnly": False, "subPath": ""}
    container = {
        "name": "c", "image": "i", "args": [], "tty": False, "volumeMounts": [mount],
        "env": [{"name": "A", "value": ""}], "ports": [{"containerPort": 80, "hostPort": 0}],
        "securityContext": {"privileged": False, "runAsUser": 0},
        "resources": {"limits": {}},
    }  # fmt: skip
    spec = {
        "containers": [container], "hostNetwork": False, "priority": 0, "nodeSelector": {}, "nodeName": "",
        "terminationGracePeriodSeconds": 0, "volumes": [{"name": "v", "emptyDir": {"medium": ""}}],
    }  # fmt: skip
    assert told(POD, {"metadata": {"annotations": {}, "labels": {"a": ""}}, "spec": spec}) | {"status": None} == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"labels": {"a": ""}},
        "spec": {
            "containers": [
                {
                    "name": "c",
                    "image": "i",
                    "volumeMounts": [{"name": "v", "mountPath": "/x"}],
                    "env": [{"name": "A"}],
                    "ports": [{"containerPort": 80}],
                    "securityContext": {"privileged": False, "runAsUser": 0},
                    "resources": {},
                }
            ],
            "priority": 0,
            "terminationGracePeriodSeconds": 0,
            "volumes": [{"name": "v", "emptyDir": {}}],
        },
        "status": None,
    }


def test_empty_messages_and_json_stay() -> None:
    by_kind = {k.kind: k for k in KINDS}
    version = {"name": "v1", "served": True, "subresources": {"status": {}}}
    definition = told(by_kind["CustomResourceDefinition"], {"spec": {"versions": [version]}})
    assert definition["spec"]["versions"][0]["subresources"] == {"status": {}}
    assert told(by_kind["ControllerRevision"], {"data": {}, "revision": 0})["data"] == {}


def zeros(shape: Schema, depth: int = 5) -> Any:
    """Everything there is in a type, zero where it can be."""
    if shape.struct is not None:
        names = [n for n in shape.properties if n not in ("apiVersion", "kind")] if depth else []
        return {name: zeros(shape.properties[name], depth - 1) for name in names}
    if shape.items is not None:
        return [zeros(shape.items, depth - 1)] if shape.items.struct is not None else []
    if shape.additional is not None:
        return {}
    values = {"string": "", "integer": 0, "number": 0.0, "boolean": False}
    return values.get(shape.type) if not shape.format and not shape.int_or_string else None


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: f"{k.api_version}.{k.kind}")
def test_json_keeps_what_protobuf_can_tell(kind: Kind) -> None:
    body = zeros(of_struct(kind.type))
    wire = told(kind, body)
    again = protobuf.decode(protobuf.encode(wire))
    assert told(kind, again) == wire


@pytest.mark.parametrize("body", [b'{"a": false}', b'{"a":""}', b'{"a":0,"b":1}', b'{"a": [ ]}', b'{"a":{}}'])
def test_a_body_with_zeros_is_known(body: bytes) -> None:
    assert holds_zeros(body)
    assert not holds_zeros(b'{"a": "x", "b": [0], "c": 0.5, "d": 10, "e": true}')
