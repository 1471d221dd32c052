"""Which requests for devices stand for what the containers of a Pod ask for."""

from __future__ import annotations

from typing import Any

import pytest

from pybernetes.api.core_v1 import Pod
from pybernetes.api.resource_v1 import DeviceClass
from pybernetes.control_plane.scheduler.extended_resources import PREFIX, by_resource, claim_for, may_be_devices
from pybernetes.machinery import codec

GPU, NIC = "example.com/gpu", "example.com/nic"


def a_class(name: str, resource: str | None = None, created: str = "2026-01-01T00:00:00Z") -> DeviceClass:
    body = {"metadata": {"name": name, "creationTimestamp": created}, "spec": {"extendedResourceName": resource}}
    return codec.from_dict(DeviceClass, body)


CLASSES = {GPU: a_class("gpu", GPU), NIC: a_class("nic", NIC)}


def container(name: str, restart: str | None = None, **amounts: int) -> dict[str, Any]:
    wanted = {f"example.com/{key}": str(value) for key, value in amounts.items()}
    return {"name": name, "restartPolicy": restart, "resources": {"requests": {"cpu": "1", **wanted}}}


@pytest.mark.parametrize(
    ("inits", "mains", "requests", "mappings"),
    [
        ([], [container("a", gpu=2)], {"container-0-request-1": 2}, ["a gpu container-0-request-1"]),
        (
            [],
            [container("a", gpu=1, nic=3), container("b", gpu=1)],
            {"container-0-request-1": 1, "container-0-request-2": 3, "container-1-request-1": 1},
            ["a gpu container-0-request-1", "b gpu container-1-request-1", "a nic container-0-request-2"],
        ),
        (  # what starts later lends its devices to what has ended by then
            [container("i", gpu=1)],
            [container("a", gpu=2)],
            {"container-1-request-1": 2},
            ["a gpu container-1-request-1", "i gpu container-1-request-1"],
        ),
        (  # of those that come first the largest does for all
            [container("i", gpu=2), container("j", gpu=4)],
            [container("a", gpu=1)],
            {"container-1-request-1": 3, "container-2-request-1": 1},
            [
                "a gpu container-2-request-1", "i gpu container-2-request-1", "i gpu container-1-request-1",
                "j gpu container-2-request-1", "j gpu container-1-request-1",
            ],
        ),
        (  # a sidecar that started before keeps what it has
            [container("s", "Always", gpu=1), container("i", gpu=1)],
            [container("a")],
            {"container-0-request-1": 1, "container-1-request-1": 1},
            ["s gpu container-0-request-1", "i gpu container-1-request-1"],
        ),
    ],
)  # fmt: skip
def test_requests(
    inits: list[dict[str, Any]], mains: list[dict[str, Any]], requests: dict[str, int], mappings: list[str]
) -> None:
    body = {"metadata": {"name": "p", "uid": "u"}, "spec": {"initContainers": inits, "containers": mains}}
    made = claim_for(codec.from_dict(Pod, body), CLASSES)
    devices = made.claim.spec.devices
    assert devices is not None
    assert {r.name: r.exactly.count for r in devices.requests or () if r.exactly} == requests
    told = [f"{m.container_name} {m.resource_name.partition('/')[2]} {m.request_name}" for m in made.mappings]
    assert told == mappings


def test_the_newest_class_of_a_name_counts() -> None:
    later = "2026-01-02T00:00:00Z"
    found = by_resource([a_class("a", GPU), a_class("c", GPU, later), a_class("b", GPU, later), a_class("d")])
    assert {name: one.metadata.name for name, one in found.items()} == {
        GPU: "b", **{PREFIX + name: name for name in "abcd"},
    }  # fmt: skip


def test_names_that_devices_may_stand_for() -> None:
    assert may_be_devices(GPU) and may_be_devices(PREFIX + "gpu")
    assert not any(map(may_be_devices, ("cpu", "hugepages-2Mi", "kubernetes.io/other")))
