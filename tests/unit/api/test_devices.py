"""Devices, claims for them and slices of them: what is wrong, in upstream's words."""

from __future__ import annotations

from typing import Any

import pytest

from pybernetes.api import resource_v1_device_validation as judge
from pybernetes.api import resource_v1_validation as kinds
from pybernetes.api.resource_v1 import Device, DeviceClass, ResourceClaim, ResourceSlice
from pybernetes.machinery import codec
from pybernetes.machinery.field import FieldError, Path


def findings(chooses: bool = False, **wire: Any) -> list[str]:
    errors: list[FieldError] = []
    judge.device(codec.from_dict(Device, {"name": "d", **wire}), Path("d"), errors, None, chooses)
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


def shared(**policy: Any) -> dict[str, Any]:
    return {"allowMultipleAllocations": True, "capacity": {"m": {"value": "10Gi", "requestPolicy": policy}}}


@pytest.mark.parametrize(
    ("wire", "wrong"),
    [
        (shared(default="1Gi", validValues=["1Gi", "2Gi"]), ""),
        (shared(default="1Gi", validRange={"min": "1Gi", "max": "9Gi", "step": "2Gi"}), ""),
        ({**shared(default="1Gi", validValues=["1Gi"]), "allowMultipleAllocations": None},
         "d.capacity[m].requestPolicy: Forbidden: allowMultipleAllocations must be true"),
        (shared(default="1Gi", validValues=["1Gi"], validRange={"min": "1Gi"}),
         'Forbidden: exactly one policy can be specified, cannot specify "validValues" and "validRange"'),
        (shared(validValues=["1Gi"]), "requestPolicy.default: Required value: required when validValues is defined"),
        (shared(default="3Gi", validValues=["1Gi"]), 'validValues: Invalid value: "3Gi": default value is not valid'),
        (shared(default="1Gi", validValues=["1Gi", "3Gi", "2Gi"]), "validValues[2]: Invalid value: "),
        (shared(default="1Gi", validValues=["1Gi", "1Gi"]), "validValues[1]: Duplicate value"),
        (shared(default="1Gi", validValues=["1Gi", "11Gi"]), "option is larger than capacity value: 10Gi"),
        (shared(default="1Gi", validRange={"max": "1Gi"}), "validRange.min: Required value"),
        (shared(default="1Gi", validRange={"min": "2Gi"}),
         'default: Invalid value: "1Gi": default is less than min: 2Gi'),
        (shared(default="2Gi", validRange={"min": "1Gi", "max": "11Gi"}), "max is larger than capacity value: 10Gi"),
        (shared(default="2Gi", validRange={"min": "1Gi", "step": "2Gi"}),
         'step: Invalid value: "2Gi": value is not a multiple of a given step (2Gi) from (1Gi)'),
        (shared(default="1Gi", validRange={"min": "1Gi", "step": "0"}), "step: Invalid value: "),
        ({"consumesCounters": [{"counterSet": "a", "counters": {"m": {"value": "1"}}}]}, ""),
        ({"consumesCounters": [{"counters": {"m": {"value": "1"}}}]}, "consumesCounters[0].counterSet: Required value"),
        ({"consumesCounters": [{"counterSet": "a", "counters": {}}]}, "consumesCounters[0].counters: Required value"),
        ({"consumesCounters": [{"counterSet": "a", "counters": {"m": {"value": "1"}}}] * 2}, "Duplicate value"),
        ({"consumesCounters": [{"counterSet": str(i), "counters": {"m": {"value": "1"}}} for i in range(3)]},
         "d.consumesCounters: Too many: 3: must have at most 2 items"),
        ({"bindingConditions": ["a"], "bindingFailureConditions": ["b"]}, ""),
        ({"bindingConditions": ["a"]}, "bindingFailureConditions are required to use bindingConditions"),
        ({"bindingConditions": ["a"], "bindingFailureConditions": ["a"]}, "must not overlap with bindingConditions"),
        ({"bindingConditions": ["a", "a"], "bindingFailureConditions": ["b"]},
         "d.bindingConditions[1]: Duplicate value"),
        ({"nodeName": "n"}, "can only be set if `perDeviceNodeSelection` is set to true in the ResourceSlice spec"),
        ({"chooses": True, "nodeName": "n"}, ""),
        ({"chooses": True}, "d: Required value: exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required"),
        ({"chooses": True, "nodeName": "n", "allNodes": True}, 'd: Invalid value: "{`nodeName`, `allNodes`}"'),
        ({"chooses": True, "nodeName": "n", "allNodes": False}, "d.allNodes: Invalid value: false"),
    ],
)  # fmt: skip
def test_what_devices_share_and_where_they_are(wire: dict[str, Any], wrong: str) -> None:
    test_devices(wire, wrong)


def judged(found: list[FieldError], wrong: str) -> None:
    texts = [str(error) for error in found]
    assert len(texts) == (1 if wrong else 0), texts
    assert all(wrong in text for text in texts)


R = {"name": "r", "exactly": {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 1}}
PART = {"name": "a", "deviceClassName": "gpu", "allocationMode": "All"}


def tolerating(**toleration: Any) -> dict[str, Any]:
    return {"requests": [{**R, "exactly": {**R["exactly"], "tolerations": [toleration]}}]}  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("devices", "wrong"),
    [
        ({"requests": [R, {"name": "s", "firstAvailable": [PART]}],
          "constraints": [{"requests": ["r", "s/a"], "matchAttribute": "example.com/a"}],
          "config": [{"requests": ["s"], "opaque": {"driver": "d", "parameters": {}}}]}, ""),
        ({"requests": [R, R]}, 'spec.devices.requests[1]: Duplicate value: "r"'),
        ({"requests": [{"name": "r"}]}, "requests[0]: Required value: exactly one of `exactly` or `firstAvailable`"),
        ({"requests": [{**R, "firstAvailable": [PART]}]}, "is required, but multiple fields are set"),
        ({"requests": [{"name": "s", "firstAvailable": [PART, PART]}]}, "firstAvailable[1]: Duplicate value"),
        ({"requests": [R], "constraints": [{"requests": ["x"], "matchAttribute": "example.com/a"}]},
         "constraints[0].requests[0]: Invalid value: \"x\": must be the name of a request in the claim"),
        ({"requests": [R], "constraints": [{"matchAttribute": "a"}]},
         "must be a domain and a name separated by a slash"),
        ({"requests": [R], "constraints": [{}]}, 'exactly one of "matchAttribute" or "distinctAttribute" is required'),
        ({"requests": [R], "config": [{}]}, "spec.devices.config[0].opaque: Required value"),
        ({"requests": [R], "config": [{"opaque": {"driver": "d"}}]}, "opaque.parameters: Required value"),
        ({"requests": [R], "config": [{"opaque": {"driver": "d", "parameters": {"a": "x" * 10240}}}]},
         "config[0].opaque.parameters: Too long"),
        (tolerating(operator="Exists", effect="NoSchedule"), ""),
        (tolerating(operator="Exists", value="v"), "value: Invalid value: \"v\": must be empty for operator `Exists`"),
        (tolerating(operator="Gt"), 'operator: Unsupported value: "Gt": supported values: "Equal", "Exists"'),
        (tolerating(operator="Exists", effect="Never"), 'effect: Unsupported value: "Never"'),
    ],
)  # fmt: skip
def test_claims(devices: dict[str, Any], wrong: str) -> None:
    wire = {"metadata": {"name": "c", "namespace": "n"}, "spec": {"devices": devices}}
    judged(kinds.validate_resource_claim(codec.from_dict(ResourceClaim, wire)), wrong)


RESULT = {"request": "r", "driver": "d", "pool": "p", "device": "x"}
GIVEN = {"devices": {"results": [RESULT]}}
USER = {"resource": "pods", "name": "p", "uid": "u"}
OPAQUE = {"driver": "d", "parameters": {}}
TOLD = {"driver": "d", "pool": "p", "device": "x"}


def network(**data: Any) -> dict[str, Any]:
    return {"allocation": GIVEN, "devices": [{**TOLD, "networkData": data}]}


@pytest.mark.parametrize(
    ("status", "wrong"),
    [
        ({"allocation": GIVEN, "reservedFor": [USER], "devices": [{**TOLD, "data": {"a": 1}}]}, ""),
        ({"allocation": {"devices": {"results": [{**RESULT, "request": "q"}]}}}, "results[0].request: Invalid value"),
        ({"allocation": {"devices": {"results": [{**RESULT, "pool": ""}]}}}, "results[0].pool: Required value"),
        ({"allocation": {"devices": {"results": [{**RESULT, "shareID": "1"}]}}},
         "error validating uid: invalid UUID length: 1"),
        ({"allocation": {"devices": {"results": [RESULT], "config": [{"source": "x", "opaque": OPAQUE}]}}},
         'config[0].source: Unsupported value: "x": supported values: "FromClaim", "FromClass"'),
        ({"allocation": GIVEN, "reservedFor": [USER, USER]}, 'status.reservedFor[1]: Duplicate value: "u"'),
        ({"allocation": GIVEN, "reservedFor": [{**USER, "uid": ""}]}, "status.reservedFor[0].uid: Required value"),
        ({"reservedFor": [USER]}, "may not be specified when `allocated` is not set"),
        ({"devices": [TOLD]}, "status.devices[0]: Invalid value: \"d/p/x\": must be an allocated device in the claim"),
        ({"allocation": GIVEN, "devices": [TOLD, TOLD]}, "status.devices[1]: Duplicate value"),
        (network(ips=["10.9.8.7/24", "2001:db8::1/64"], interfaceName="eth0"), ""),
        (network(ips=["10.9.8.7"]),
         "networkData.ips[0]: Invalid value: \"10.9.8.7\": must be a valid address in CIDR form"),
        (network(ips=["2001:db8:0::1/64"]), 'must be in canonical form ("2001:db8::1/64")'),
        (network(interfaceName="e" * 257), "networkData.interfaceName: Too long"),
    ],
)  # fmt: skip
def test_statuses_of_claims(status: dict[str, Any], wrong: str) -> None:
    wire = {"metadata": {"name": "c", "namespace": "n", "resourceVersion": "1"}, "spec": {"devices": {"requests": [R]}}}
    old, new = codec.from_dict(ResourceClaim, wire), codec.from_dict(ResourceClaim, {**wire, "status": status})
    judged(kinds.validate_resource_claim_status_update(new, old), wrong)


POOL = {"name": "a/b", "generation": 1, "resourceSliceCount": 1}
SET = {"name": "s", "counters": {"m": {"value": "1"}}}


@pytest.mark.parametrize(
    ("spec", "wrong"),
    [
        ({"nodeName": "n", "devices": [{"name": "x"}]}, ""),
        ({"allNodes": True, "sharedCounters": [SET]}, ""),
        ({"nodeName": ""}, "spec.nodeName: Invalid value: \"\": must be either unset or set to a non-empty string"),
        ({"nodeName": "n", "allNodes": False},
         "spec.allNodes: Invalid value: false: must be either unset or set to true"),
        ({"nodeName": "n", "allNodes": True}, 'spec: Invalid value: "{`nodeName`, `allNodes`}": exactly one of'),
        ({}, "spec: Required value: exactly one of `nodeName`"),
        ({"nodeName": "n", "pool": {**POOL, "name": "A"}}, "spec.pool.name: Invalid value"),
        ({"nodeName": "n", "devices": [], "sharedCounters": [SET]},
         "only one of `sharedCounters` or `devices` is allowed"),
        ({"nodeName": "n", "sharedCounters": [SET, SET]}, 'spec.sharedCounters[1]: Duplicate value: "s"'),
        ({"nodeName": "n", "devices": [{"name": "x"}, {"name": "x"}]}, 'spec.devices[1]: Duplicate value: "x"'),
        ({"nodeName": "n", "devices": [{"name": f"x{i}"} for i in range(129)]}, "must have at most 128 items"),
        ({"nodeName": "n", "devices": [{"name": f"x{i}", "taints": [{"key": "k",
         "effect": "None"}]} for i in range(65)]},
         "must have at most 64 items"),
    ],
)  # fmt: skip
def test_slices(spec: dict[str, Any], wrong: str) -> None:
    wire = {"metadata": {"name": "s"}, "spec": {"driver": "d", "pool": POOL, **spec}}
    found = kinds.validate_resource_slice(codec.from_dict(ResourceSlice, wire))
    if spec.get("nodeName") == "":
        found = [error for error in found if error.field != "spec"]
    judged(found, wrong)


@pytest.mark.parametrize(
    ("name", "wrong"), [("example.com/gpu", ""), ("gpu", "must be a valid extended resource name")]
)
def test_extended_resources_of_classes(name: str, wrong: str) -> None:
    wire = {"metadata": {"name": "c"}, "spec": {"extendedResourceName": name}}
    judged(kinds.validate_device_class(codec.from_dict(DeviceClass, wire)), wrong)


def test_what_a_class_has_already_is_not_judged_again() -> None:
    selector = {"cel": {"expression": "no longer an expression"}}
    config = {"opaque": {"driver": "d", "parameters": {"a": "x" * 10240}}}
    wire = {"metadata": {"name": "c", "resourceVersion": "1"}, "spec": {"selectors": [selector], "config": [config]}}
    old = codec.from_dict(DeviceClass, wire)
    new = codec.from_dict(DeviceClass, {**wire, "spec": {**wire["spec"], "extendedResourceName": "example.com/gpu"}})
    judged(kinds.validate_device_class_update(new, old), "")
    new.spec.selectors = [*(new.spec.selectors or ()), *(new.spec.selectors or ())]
    wrong = {error.field for error in kinds.validate_device_class_update(new, old)}
    assert wrong == {f"spec.selectors[{i}].cel.expression" for i in range(2)}
