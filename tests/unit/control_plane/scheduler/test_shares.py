"""How much of a device a request gets."""

from __future__ import annotations

from typing import Any

import pytest

from pybernetes.api.resource_v1 import Device, ExactDeviceRequest
from pybernetes.control_plane.scheduler.shares import share
from pybernetes.machinery import codec

STEPS = {"default": "2", "validRange": {"min": "2", "step": "3", "max": "8"}}
RANGE = {"validRange": {"min": "2"}}
VALUES = {"default": "4", "validValues": ["4", "8"]}


def got(policy: dict[str, Any] | None, asked: str | None, several: bool = True, name: str = "m") -> str | None:
    capacity = {"value": "10", **({"requestPolicy": policy} if policy else {})}
    device = codec.from_dict(Device, {"name": "d", "capacity": {"m": capacity}, "allowMultipleAllocations": several})
    wanted = {"capacity": {"requests": {name: asked}}} if asked else {}
    found = share(device, codec.from_dict(ExactDeviceRequest, wanted))
    return None if found is None else str(found["m"]) if found else ""


@pytest.mark.parametrize(
    ("policy", "asked", "amount"),
    [
        (None, None, "10"),
        (None, "3", "3"),
        (None, "11", None),
        (STEPS, None, "2"),
        (STEPS, "1", "2"),
        (STEPS, "2", "2"),
        (STEPS, "2500m", "5"),
        (STEPS, "6", "8"),
        (STEPS, "8500m", None),
        (RANGE, None, "10"),
        (RANGE, "1", "2"),
        (RANGE, "7", "7"),
        (VALUES, None, "4"),
        (VALUES, "5", "8"),
        (VALUES, "9", None),
    ],
)
def test_policies(policy: dict[str, Any] | None, asked: str | None, amount: str | None) -> None:
    assert got(policy, asked) == amount


def test_a_device_that_is_not_shared() -> None:
    assert got(None, "10", several=False) == ""
    assert got(None, "11", several=False) is None
    assert got(None, "1", name="other") is None
