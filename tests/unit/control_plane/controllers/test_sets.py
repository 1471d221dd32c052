"""StatefulSets and DaemonSets against the real API server."""

from __future__ import annotations

from typing import Any

from pybernetes.api.apps_v1 import ControllerRevision, DaemonSet, StatefulSet
from pybernetes.api.core_v1 import Node, PersistentVolumeClaim, Pod
from pybernetes.control_plane.controllers import daemonset_plan
from pybernetes.control_plane.controllers.revisions import POD_HASH, template_of
from pybernetes.machinery import codec

from .world import World, template, wire

LABELS = {"app": "db"}
SELECTOR = {"matchLabels": LABELS}


def stateful(replicas: int = 3, **spec: Any) -> StatefulSet:
    return wire(
        StatefulSet,
        "db",
        {"replicas": replicas, "serviceName": "db", "selector": SELECTOR, "template": template(LABELS), **spec},
    )


async def names(world: World) -> list[str]:
    return sorted(pod.metadata.name for pod in await world.list(Pod))


async def image(world: World, kind: Any, name: str, value: str) -> None:
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": value}]}}}}
    await world.client.resource(kind).patch(name, "default", patch, type="strategic")


async def test_pods_start_in_order_with_their_identity() -> None:
    async with World("statefulset-controller") as world:
        world.ready = lambda pod: pod.metadata.name == "db-0"
        await world.create(
            stateful(
                volumeClaimTemplates=[
                    {
                        "metadata": {"name": "data"},
                        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
                    }
                ]
            )
        )
        await world.until(Pod, "db-1", lambda p: p.status.phase == "Running")
        await world.settle(10)
        assert await names(world) == ["db-0", "db-1"]  # db-2 waits for db-1
        pod = await world.get(Pod, "db-1")
        assert (pod.spec.hostname, pod.spec.subdomain) == ("db-1", "db")
        assert (pod.metadata.labels or {})["statefulset.kubernetes.io/pod-name"] == "db-1"
        assert (pod.metadata.labels or {})["apps.kubernetes.io/pod-index"] == "1"
        volumes = {v.name: v.persistent_volume_claim for v in pod.spec.volumes or ()}
        assert volumes["data"] is not None and volumes["data"].claim_name == "data-db-1"
        claims = {c.metadata.name for c in await world.list(PersistentVolumeClaim)}
        assert claims == {"data-db-0", "data-db-1"}
        await world.set_pod(pod, "Running", True)
        await world.until(Pod, "db-2", lambda p: True)


async def three_ready(world: World) -> list[str]:
    """Bring up "db"; returns the names of its Pods that are gone, which grows."""
    await world.create(stateful())
    await world.until(StatefulSet, "db", lambda s: s.status.ready_replicas == 3)
    gone: list[str] = []
    world.informers.informer(Pod).on(deleted=lambda pod: gone.append(pod.metadata.name))
    return gone


async def test_scaling_down_takes_the_last_first() -> None:
    async with World("statefulset-controller") as world:
        gone = await three_ready(world)
        await world.client.resource(StatefulSet).patch("db", "default", {"spec": {"replicas": 1}})
        await world.until(StatefulSet, "db", lambda s: s.status.replicas == 1)
        assert gone == ["db-2", "db-1"]


async def test_scaling_down_waits_while_lower_pods_ail() -> None:
    async with World("statefulset-controller") as world:
        gone = await three_ready(world)

        async def set_ready(ready: bool, *pods: str) -> None:
            for name in pods:
                await world.set_pod(await world.get(Pod, name), "Running", ready)

        await set_ready(False, "db-0", "db-1", "db-2")
        await world.until(StatefulSet, "db", lambda s: not s.status.ready_replicas)
        await world.client.resource(StatefulSet).patch("db", "default", {"spec": {"replicas": 0}})
        await world.settle(20)
        assert await names(world) == ["db-0", "db-1", "db-2"] and not gone
        await set_ready(True, "db-0", "db-1")  # the only one that ails may go
        await world.until(StatefulSet, "db", lambda s: not s.status.replicas)
        assert gone == ["db-2", "db-1", "db-0"]


async def test_an_update_goes_from_the_top_down_to_the_partition() -> None:
    async with World("statefulset-controller") as world:
        strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}
        await world.create(stateful(updateStrategy=strategy))
        before = await world.until(StatefulSet, "db", lambda s: s.status.ready_replicas == 3)
        gone: list[str] = []
        world.informers.informer(Pod).on(deleted=lambda pod: gone.append(pod.metadata.name))
        await image(world, StatefulSet, "db", "i:2")
        after = await world.until(
            StatefulSet, "db", lambda s: s.status.updated_replicas == 2 and s.status.ready_replicas == 3
        )
        assert gone == ["db-2", "db-1"]
        assert after.status.current_revision == before.status.update_revision != after.status.update_revision
        assert {p.metadata.name: p.spec.containers[0].image for p in await world.list(Pod)} == {
            "db-0": "i:1",
            "db-1": "i:2",
            "db-2": "i:2",
        }
        revision = await world.get(ControllerRevision, after.status.update_revision or "")
        assert revision.revision == 2 and template_of(revision).spec.containers[0].image == "i:2"  # type: ignore[union-attr]
        await world.client.resource(Pod).delete("db-0", "default")
        kept = await world.until(
            Pod, "db-0", lambda p: p.status.phase == "Running" and p.metadata.uid and not p.metadata.deletion_timestamp
        )
        assert kept.spec.containers[0].image == "i:1"  # below the partition the old template holds


async def test_a_template_without_pods_is_current_at_once() -> None:
    async with World("statefulset-controller") as world:
        await world.create(stateful(replicas=0))
        before = await world.until(StatefulSet, "db", lambda s: s.status.current_revision is not None)
        await image(world, StatefulSet, "db", "two")
        after = await world.until(
            StatefulSet, "db", lambda s: s.status.update_revision != before.status.update_revision
        )
        assert after.status.current_revision == after.status.update_revision


async def test_parallel_sets_do_not_wait() -> None:
    async with World("statefulset-controller") as world:
        world.ready = lambda pod: False
        await world.create(stateful(podManagementPolicy="Parallel"))
        await world.until(StatefulSet, "db", lambda s: s.status.replicas == 3)
        assert await names(world) == ["db-0", "db-1", "db-2"]


async def test_an_ended_pod_is_made_again_under_its_name() -> None:
    async with World("statefulset-controller") as world:
        await world.create(stateful(1))
        first = await world.until(Pod, "db-0", lambda p: p.status.phase == "Running")
        await world.set_pod(first, "Failed", False)
        await world.until(Pod, "db-0", lambda p: p.metadata.uid != first.metadata.uid)


async def test_an_adopted_pod_gets_its_identity_and_a_lost_claim_comes_back() -> None:
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    async with World("statefulset-controller") as world:
        world.phase = lambda pod: "Pending" if pod.metadata.name == "db-1" else "Running"
        await world.create(wire(Pod, "db-0", template(LABELS)["spec"], labels=LABELS))
        await world.until(Pod, "db-0", lambda p: p.status.phase == "Running")
        await world.create(stateful(2, volumeClaimTemplates=[claim]))
        adopted = await world.until(Pod, "db-0", lambda p: "apps.kubernetes.io/pod-index" in p.metadata.labels)
        assert (adopted.metadata.labels or {})["statefulset.kubernetes.io/pod-name"] == "db-0"
        assert "update Pod db-0 in StatefulSet db successful" in await world.events("SuccessfulUpdate")
        lost = await world.until(PersistentVolumeClaim, "data-db-1", lambda c: c)
        told = "create Claim data-db-1 Pod db-1 in StatefulSet db success"
        assert told in await world.events("SuccessfulCreate")
        await world.client.resource(PersistentVolumeClaim).patch(
            "data-db-1", "default", {"metadata": {"finalizers": None}}
        )
        await world.client.resource(PersistentVolumeClaim).delete("data-db-1", "default")
        await world.gone(PersistentVolumeClaim, "data-db-1")
        await world.client.resource(Pod).patch("db-1", "default", {"metadata": {"annotations": {"a": "b"}}})
        found = await world.until(PersistentVolumeClaim, "data-db-1", lambda c: c)
        assert found.metadata.uid != lost.metadata.uid


def daemon(**spec: Any) -> DaemonSet:
    return wire(DaemonSet, "ds", {"selector": SELECTOR, "template": template(LABELS), **spec})


async def add_node(world: World, name: str, **spec: Any) -> None:
    await world.create(codec.from_dict(Node, {"metadata": {"name": name, "labels": {"n": name}}}))
    await world.client.resource(Node).patch(
        name, "", {"spec": {"taints": spec.get("taints")}}
    )  # not "not-ready" any more


async def test_one_pod_on_each_node_that_fits() -> None:
    async with World("daemonset-controller") as world:
        await add_node(world, "a")
        await add_node(world, "b", taints=[{"key": "k", "effect": "NoSchedule"}])
        await world.create(daemon())
        done = await world.until(DaemonSet, "ds", lambda d: d.status.number_available == 1)
        assert done.status.desired_number_scheduled == 1
        [pod] = await world.list(Pod)
        assert daemonset_plan.node_of(pod) == "a"
        assert {t.key for t in pod.spec.tolerations or ()} >= {
            "node.kubernetes.io/not-ready",
            "node.kubernetes.io/unschedulable",
        }
        await add_node(world, "c")
        await world.until(DaemonSet, "ds", lambda d: d.status.number_available == 2)
        await world.client.resource(Node).patch("b", "", {"spec": {"taints": None}})
        await world.until(DaemonSet, "ds", lambda d: d.status.number_available == 3)
        selector = {"spec": {"template": {"spec": {"nodeSelector": {"n": "a"}}}}}
        await world.client.resource(DaemonSet).patch("ds", "default", selector)
        await world.until(
            DaemonSet, "ds", lambda d: d.status.desired_number_scheduled == 1 == d.status.updated_number_scheduled
        )


async def test_a_daemon_set_updates_one_node_at_a_time() -> None:
    async with World("daemonset-controller") as world:
        for name in "abc":
            await add_node(world, name)
        await world.create(daemon())
        await world.until(DaemonSet, "ds", lambda d: d.status.number_available == 3)
        pods = world.informers.informer(Pod)
        lowest = 3

        def seen(old: Pod, new: Pod) -> None:
            nonlocal lowest
            ready = [p for p in pods.list() if not p.metadata.deletion_timestamp and p.status.phase == "Running"]
            lowest = min(lowest, len(ready))

        pods.on(updated=seen, deleted=lambda pod: seen(pod, pod))
        await image(world, DaemonSet, "ds", "i:2")
        await world.until(
            DaemonSet,
            "ds",
            lambda d: (
                d.status.observed_generation == 2
                and d.status.updated_number_scheduled == 3 == d.status.number_available
            ),
        )
        assert lowest == 2
        assert len({(p.metadata.labels or {})[POD_HASH] for p in await world.list(Pod)}) == 1
        assert len(await world.list(ControllerRevision)) == 2


async def test_a_failed_daemon_pod_is_replaced() -> None:
    async with World("daemonset-controller") as world:
        await add_node(world, "a")
        await world.create(daemon())
        await world.until(DaemonSet, "ds", lambda d: d.status.number_available == 1)
        [pod] = await world.list(Pod)
        await world.set_pod(pod, "Failed", False)
        await world.gone(Pod, pod.metadata.name)
        await world.until(DaemonSet, "ds", lambda d: d.status.number_available == 1)
        assert len(await world.events("FailedDaemonPod")) == 1
