"""What becomes of a DaemonSet's Pods on each node: the decisions, and the revisions against the real API server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from pybernetes.aio import clock
from pybernetes.api.apps_v1 import ControllerRevision, DaemonSet
from pybernetes.api.core_v1 import Node, Pod
from pybernetes.control_plane.controllers import daemonset_plan as plan
from pybernetes.control_plane.controllers.revisions import POD_HASH
from pybernetes.machinery import codec

from .test_sets import LABELS, SELECTOR, add_node, daemon, image
from .world import World, template

NOW = clock.parse_rfc3339("2026-01-01T01:00:00Z")


def owner(minReadySeconds: int = 0, **rolling: Any) -> DaemonSet:
    spec = {"selector": SELECTOR, "template": template(LABELS), "minReadySeconds": minReadySeconds}
    spec["updateStrategy"] = {"type": "RollingUpdate", "rollingUpdate": rolling}
    return codec.from_dict(DaemonSet, {"metadata": {"name": "ds"}, "spec": spec})


def node(name: str, *taints: str) -> Node:
    found = [{"key": key, "effect": "NoSchedule"} for key in taints]
    return codec.from_dict(Node, {"metadata": {"name": name}, "spec": {"taints": found}})


def pods(text: str) -> dict[str, list[Pod]]:
    """`a:new,old b:old-unready`: nodes and their Pods; unready, failed, late (ready since a moment) or gone."""
    found: dict[str, list[Pod]] = {}
    for part in text.split():
        name, _, kinds = part.partition(":")
        for i, kind in enumerate(kinds.split(",") if kinds else ()):
            age, _, state = kind.partition("-")
            since = "2026-01-01T00:59:55Z" if state == "late" else "2026-01-01T00:00:00Z"
            ready = {"type": "Ready", "status": str(state in ("", "late")), "lastTransitionTime": since}
            metadata: dict[str, Any] = {"name": f"{name}-{kind}", "labels": {POD_HASH: age}}
            metadata["creationTimestamp"] = f"2026-01-01T00:00:0{i}Z"
            if state == "gone":
                metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
            status = {"phase": "Failed" if state == "failed" else "Running", "conditions": [ready]}
            body = {"metadata": metadata, "spec": {"nodeName": name}, "status": status}
            found.setdefault(name, []).append(codec.from_dict(Pod, body))
    return found


def told(step: plan.Step) -> str:
    return " ".join([*(f"+{name}" for name in step.create), *(f"-{pod.metadata.name}" for pod in step.delete)])


SURGE = {"maxSurge": 1, "maxUnavailable": 0}


@pytest.mark.parametrize(
    ("rolling", "present", "expected"),
    [
        ({}, "a:old b:old", "+c"),
        ({}, "a:old-gone b:new,new-2 c:new", "-b-new-2"),
        (SURGE, "a:old-gone b:new c:new", "+a"),  # beside the one that ends
        (SURGE, "a:old,new b:new c:new", "-a-old"),
        (SURGE, "a:old,new-unready b:new c:new", ""),  # the old one serves until the new one does
        (SURGE, "a:old-unready,new-unready b:new c:new", "-a-old-unready"),
        (SURGE, "a:old-late,new-late b:new c:new", ""),
        ({}, "a:old-failed b:new c:new", "-a-old-failed"),
    ],
)
def test_each_node_has_its_pod(rolling: dict[str, Any], present: str, expected: str) -> None:
    nodes = [node(name) for name in "abc"]
    assert told(plan.manage(owner(10 if "late" in present else 0, **rolling), nodes, pods(present), "new", NOW)) == (
        expected
    )


@pytest.mark.parametrize(
    ("rolling", "present", "expected"),
    [
        ({"maxUnavailable": 1}, "a:old b:old c:old", "-a-old"),
        ({"maxUnavailable": 1}, "b:old c:old", "-b-old"),  # no Pod at all does not hold it up
        ({"maxUnavailable": 1}, "a:old-gone b:old c:old", ""),
        ({"maxUnavailable": 1}, "a:new-unready b:old c:old", ""),
        ({"maxUnavailable": 1}, "a:old-unready b:old c:old", "-a-old-unready"),
        ({"maxUnavailable": 2}, "a:old-failed b:old c:old", "-a-old-failed -b-old"),
        ({"maxUnavailable": 1}, "a:new b:new c:new tainted:old", "-tainted-old"),
        (SURGE, "a:old b:old c:old", "+a"),
        (SURGE, "a:old,new-unready b:old c:old", ""),
        (SURGE, "a:old,new-unready b:old-unready c:old", "+b"),
        (SURGE, "a:old,new b:old c:old", "+b -a-old"),
        (SURGE, "a:new b:new c:new tainted:old", "-tainted-old"),
        (SURGE, "a:new b:new c:new-unready tainted:old", ""),  # it is needed as long as another is missing
        (SURGE, "a:new b:new c:new-unready tainted:old-unready", "-tainted-old-unready"),
    ],
)
def test_an_update_moves_on(rolling: dict[str, Any], present: str, expected: str) -> None:
    nodes: Sequence[Node] = [*(node(name) for name in "abc"), node("tainted", "k")]
    assert told(plan.roll(owner(**rolling), nodes, pods(present), "new", NOW)) == expected


async def test_revisions_of_one_template_become_one() -> None:
    async with World("daemonset-controller") as world:
        await add_node(world, "a")
        await world.create(daemon())
        await world.until(DaemonSet, "ds", lambda d: d.status.number_available == 1)
        [first] = await world.list(ControllerRevision)
        copy: ControllerRevision = codec.copy(first)
        copy.metadata.name, copy.metadata.uid, copy.metadata.resource_version = "twin", "", ""
        copy.metadata.labels = {**(first.metadata.labels or {}), POD_HASH: "twin"}
        copy.revision = 7
        await world.create(copy)
        [pod] = await world.list(Pod)
        await world.client.resource(DaemonSet).patch("ds", "default", {"spec": {"minReadySeconds": 1}})
        await world.gone(ControllerRevision, first.metadata.name)
        [now] = await world.list(Pod)
        assert (now.metadata.uid, (now.metadata.labels or {})[POD_HASH]) == (pod.metadata.uid, "twin")


async def test_revisions_in_use_count_for_the_limit() -> None:
    async with World("daemonset-controller") as world:
        await add_node(world, "a")
        await world.create(daemon(revisionHistoryLimit=1, updateStrategy={"type": "OnDelete"}))
        await world.until(DaemonSet, "ds", lambda d: d.status.number_available == 1)
        for number in (2, 3):
            await image(world, DaemonSet, "ds", f"i:{number}")
            await world.until(
                DaemonSet,
                "ds",
                lambda d, n=number: d.status.observed_generation == n,  # type: ignore[misc]
            )
        await world.settle(5)
        assert sorted(r.revision for r in await world.list(ControllerRevision)) == [1, 3]  # the Pod is of the first


async def test_a_pod_that_fails_again_and_again_is_replaced_ever_later() -> None:
    async with World("daemonset-controller") as world:
        world.phase = lambda pod: "Failed"
        await add_node(world, "a")
        await world.create(daemon())
        await world.settle(40)
        assert len(await world.events("FailedDaemonPod")) <= 7  # 1, 2, 4 ... seconds apart
        await world.client.resource(DaemonSet).delete("ds", "default")


async def test_a_pod_that_is_over_but_kept_does_not_keep_its_node() -> None:
    async with World("daemonset-controller") as world:
        await add_node(world, "a")
        keep = template(LABELS)
        keep["metadata"]["finalizers"] = ["example.com/keep"]
        await world.create(daemon(template=keep))
        await world.until(DaemonSet, "ds", lambda d: d.status.number_available == 1)
        [pod] = await world.list(Pod)
        await world.set_pod(pod, "Failed", False)
        await world.until(Pod, pod.metadata.name, lambda p: p.metadata.deletion_timestamp)
        await world.until(DaemonSet, "ds", lambda d: d.status.number_available == 1)
        for each in await world.list(Pod):
            await world.client.resource(Pod).patch(each.metadata.name, "default", {"metadata": {"finalizers": None}})
