"""Node lifecycle, taint eviction and Pod garbage against the real API server."""

from __future__ import annotations

from typing import Any

from pybernetes.aio import clock
from pybernetes.api.coordination_v1 import Lease
from pybernetes.api.core_v1 import Namespace, Node, Pod
from pybernetes.control_plane.controllers import node_plan as plan
from pybernetes.control_plane.controllers.eviction import tolerated_until
from pybernetes.machinery import codec

from .world import World, template, wire

ALL = ("node-controller", "taint-eviction-controller", "pod-garbage-collector-controller")


def node(name: str) -> Node:
    return codec.from_dict(Node, {"metadata": {"name": name}})


async def live(world: World, name: str) -> None:
    """A Ready node with a lease."""
    created = codec.copy(await world.create(node(name)))
    at = clock.rfc3339()
    ready = {
        "type": "Ready",
        "status": "True",
        "lastHeartbeatTime": at,
        "lastTransitionTime": at,
        "reason": "KubeletReady",
    }
    created.status.conditions = [codec.from_dict(type_of_condition(), ready)]
    await world.client.resource(Node).update_status(created)
    await world.create(wire(Lease, name, {"renewTime": clock.rfc3339_micro()}, namespace="kube-node-lease"))


def type_of_condition() -> Any:
    from pybernetes.api.core_v1 import NodeCondition

    return NodeCondition


async def keep_alive(world: World, name: str, seconds: float) -> None:
    for _ in range(int(seconds / 10)):
        await clock.sleep(10)
        patch = {"spec": {"renewTime": clock.rfc3339_micro()}}
        await world.client.resource(Lease).patch(name, "kube-node-lease", patch)


async def ensure_leases(world: World) -> None:
    if "kube-node-lease" not in {n.metadata.name for n in (await world.client.resource(Namespace).list()).items}:
        await world.client.resource(Namespace).create(
            codec.from_dict(Namespace, {"metadata": {"name": "kube-node-lease"}})
        )


def taints(n: Node) -> set[tuple[str, str]]:
    return {(t.key.rpartition("/")[2], t.effect) for t in n.spec.taints or ()}


async def test_a_silent_node_is_unknown_tainted_and_left_by_its_pods() -> None:
    async with World(*ALL) as world:
        await ensure_leases(world)
        await live(world, "a")
        await live(world, "b")
        body = template({}, nodeName="a")["spec"]
        pod = await world.create(wire(Pod, "p", body))
        assert any(t.key == "node.kubernetes.io/unreachable" for t in pod.spec.tolerations or ())
        await world.until(Pod, "p", lambda p: p.status.phase == "Running")
        started = clock.monotonic()
        await keep_alive(world, "b", 70)
        silent = await world.until(Node, "a", lambda n: plan.ready_status(n) == "Unknown")
        assert silent.status.conditions and silent.status.conditions[0].reason == "NodeStatusUnknown"
        await world.until(Node, "a", lambda n: ("unreachable", "NoExecute") in taints(n))
        assert ("unreachable", "NoSchedule") in taints(await world.get(Node, "a"))
        unready = await world.until(Pod, "p", lambda p: (p.status.conditions or ())[-1].status == "False")
        assert unready.metadata.deletion_timestamp is None
        assert plan.ready_status(await world.get(Node, "b")) == "True"
        await keep_alive(world, "b", 310)
        await world.gone(Pod, "p")
        assert clock.monotonic() - started > 340  # 50 s of silence, and 300 s that every Pod tolerates it
        assert await world.events("NodeNotReady")
        assert await world.events("TaintManagerEviction") == ["Marking for deletion Pod default/p"]


async def test_when_all_nodes_are_silent_nobody_is_evicted() -> None:
    async with World(*ALL) as world:
        await ensure_leases(world)
        await live(world, "a")
        await world.until(Node, "a", lambda n: plan.ready_status(n) == "Unknown")
        await world.settle(60)
        assert taints(await world.get(Node, "a")) == {("unreachable", "NoSchedule")}


async def test_cordoned_nodes_bear_the_taint() -> None:
    async with World(*ALL) as world:
        await ensure_leases(world)
        await live(world, "a")
        await world.client.resource(Node).patch("a", "", {"spec": {"unschedulable": True}})
        await world.until(Node, "a", lambda n: taints(n) == {("unschedulable", "NoSchedule")})
        await world.client.resource(Node).patch("a", "", {"spec": {"unschedulable": None}})
        await world.until(Node, "a", lambda n: taints(n) == set())


async def test_pods_of_a_deleted_node_are_collected() -> None:
    async with World(*ALL) as world:
        await ensure_leases(world)
        await live(world, "a")
        await world.create(wire(Pod, "p", template({}, nodeName="a")["spec"]))
        await world.until(Pod, "p", lambda p: p.status.phase == "Running")
        last: list[Pod] = []
        world.informers.informer(Pod).on(updated=lambda old, new: last.append(new))
        await world.client.resource(Node).delete("a")
        await world.gone(Pod, "p")
        final = last[-1].status
        assert final.phase == "Failed"
        assert [c.reason for c in final.conditions or () if c.type == "DisruptionTarget"] == ["DeletionByPodGC"]


def test_tolerations_end_with_the_shortest() -> None:
    taint = codec.from_dict(node_taint(), {"key": "k", "effect": "NoExecute", "timeAdded": clock.format_rfc3339(1000)})
    wire_tolerations = [
        {"key": "k", "operator": "Exists", "tolerationSeconds": 30},
        {"operator": "Exists", "tolerationSeconds": 10},
    ]
    tolerations = [codec.from_dict(toleration(), t) for t in wire_tolerations]
    assert tolerated_until([taint], tolerations, 1005.0) == 1010.0
    assert tolerated_until([taint], [], 1005.0) == 1005.0
    assert tolerated_until([], [], 1005.0) is None


def node_taint() -> Any:
    from pybernetes.api.core_v1 import Taint

    return Taint


def toleration() -> Any:
    from pybernetes.api.core_v1 import Toleration

    return Toleration


def test_zones() -> None:
    census, rates = plan.Census(), plan.Rates()
    names = iter("abcdefghij")

    def put(zone: str, ready: str, name: str = "") -> None:
        n = node(name or next(names))
        n.metadata.labels = {"topology.kubernetes.io/zone": zone}
        n.status.conditions = [codec.from_dict(type_of_condition(), {"type": "Ready", "status": ready})]
        census.put(n)

    put("a", "True")
    for _ in range(3):
        put("a", "Unknown")
    put("b", "False", "only-b")
    put("c", "True", "moves")
    put("c", "False")
    states = census.states(rates)
    assert [states[f":\0:{z}"] for z in "abc"] == ["PartialDisruption", "FullDisruption", "Normal"]
    assert (census.size(":\0:a"), census.size("nowhere")) == (4, 0)
    put("b", "True", "only-b")
    put("b", "True", "moves")
    put("b", "True", "moves")
    states = census.states(rates)
    assert [states[f":\0:{z}"] for z in "abc"] == ["PartialDisruption", "Normal", "FullDisruption"]
    assert census.size(":\0:b") == 2
    census.remove("only-b")
    census.remove("moves")
    census.remove("never was")
    assert set(census.states(rates)) == {":\0:a", ":\0:c"}
    assert plan.zone_rate("PartialDisruption", 100, plan.Rates()) == 0.01
    assert plan.zone_rate("PartialDisruption", 10, plan.Rates()) == 0.0
