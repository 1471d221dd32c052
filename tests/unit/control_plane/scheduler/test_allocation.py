"""Which devices a request gets; whole Pods with claims are in tests/cluster/test_devices.py."""

from __future__ import annotations

from pybernetes.api.resource_v1 import DeviceClass, ResourceClaim, ResourceSlice
from pybernetes.control_plane.scheduler.allocation import Offer, allocate
from pybernetes.control_plane.scheduler.devices import _inventory
from pybernetes.machinery import codec


def devices_for(count: int, *, admin: bool) -> list[str] | None:
    """The devices that a request for `count` gets of a single one that may be shared."""
    device = {"name": "d", "allowMultipleAllocations": True}
    pool = {"name": "p", "generation": 1, "resourceSliceCount": 1}
    spec = {"driver": "x", "pool": pool, "nodeName": "n", "devices": [device]}
    known = _inventory([codec.from_dict(ResourceSlice, {"metadata": {"name": "s"}, "spec": spec})])
    exactly = {"deviceClassName": "c", "allocationMode": "ExactCount", "count": count, "adminAccess": admin}
    requests = [{"name": "r", "exactly": exactly}]
    claim = codec.from_dict(ResourceClaim, {"metadata": {"name": "a"}, "spec": {"devices": {"requests": requests}}})
    one = codec.from_dict(DeviceClass, {"metadata": {"name": "c"}, "spec": {}})
    found = allocate([claim], Offer([*known.by_id.values()], set(), known.counters), lambda name: one, "n")
    if found is None:
        return None
    assert found[0].devices is not None
    return [result.device for result in found[0].devices.results or ()]


def test_who_only_looks_gets_a_device_once() -> None:
    assert devices_for(1, admin=True) == ["d"]
    assert devices_for(2, admin=True) is None
    assert devices_for(2, admin=False) == ["d", "d"]
