"""Devices of a ResourceSlice: names, values and taints, in upstream's words."""

from __future__ import annotations

from typing import Any

import pytest

from pybernetes.api import resource_v1_device_validation as judge
from pybernetes.api.resource_v1 import Device
from pybernetes.machinery import codec
from pybernetes.machinery.field import FieldError, Path


def findings(**wire: Any) -> list[str]:
    errors: list[FieldError] = []
    judge.device(codec.from_dict(Device, {"name": "d", **wire}), Path("d"), errors)
    return [str(error) for error in errors]


ONE = "exactly one value must be specified"


@pytest.mark.parametrize(
    ("wire", "wrong"),
    [
        ({"attributes": {"a": {"int": 0}, "example.com/b": {"bool": False}, "c": {"version": "1.0.0-a+b"}}}, ""),
        ({"attributes": {"a": {}}}, f"d.attributes[a]: Required value: {ONE}"),
        ({"attributes": {"a": {"int": 1, "bool": True}}}, ONE),
        ({"attributes": {"a": {"string": "x" * 65}}}, "d.attributes[a].string: Too long"),
        ({"attributes": {"a": {"version": "1.0"}}}, "must be a string compatible with semver.org spec 2.0.0"),
        ({"attributes": {"a-b": {"int": 1}}}, "a valid C identifier must start with alphabetic character"),
        ({"attributes": {"/b": {"int": 1}}}, "the prefix must not be empty"),
        ({"attributes": {"example.com/": {"int": 1}}}, "the name must not be empty"),
        ({"capacity": {"x" * 33: {"value": "1"}}}, "Too long: may not be more than 32"),
        ({"attributes": {f"a{i}": {"int": 1} for i in range(33)}}, "must not exceed 32"),
        ({"taints": [{"key": "example.com/k", "effect": "NoSchedule"}]}, ""),
        ({"taints": [{"key": "k", "effect": "Never"}]}, 'd.taints[0].effect: Unsupported value: "Never"'),
        ({"taints": [{"key": "k"}]}, "d.taints[0].effect: Required value"),
        ({"taints": [{"effect": "None"}]}, "d.taints[0].key: Required value"),
    ],
)
def test_devices(wire: dict[str, Any], wrong: str) -> None:
    found = findings(**wire)
    assert len(found) == (1 if wrong else 0), found
    assert all(wrong in text for text in found)
