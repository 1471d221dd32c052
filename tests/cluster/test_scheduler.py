"""The scheduler against a real API server and fake nodes, under virtual time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from pybernetes.aio import clock
from pybernetes.aio.tasks import Nursery
from pybernetes.api.apps_v1 import Deployment, DeploymentSpec
from pybernetes.api.core_v1 import (
    Affinity,
    Container,
    ContainerPort,
    ContainerRestartRule,
    ContainerRestartRuleOnExitCodes,
    Event,
    Node,
    Pod,
    PodAffinityTerm,
    PodAntiAffinity,
    PodCondition,
    PodSchedulingGate,
    PodSpec,
    PodTemplateSpec,
    ResourceRequirements,
)
from pybernetes.api.policy_v1 import PodDisruptionBudget, PodDisruptionBudgetSpec
from pybernetes.api.scheduling_v1 import PriorityClass
from pybernetes.control_plane.scheduler import Config, ProfileConfig, Scheduler
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.meta import LabelSelector, ObjectMeta
from pybernetes.testing import LocalCluster


def a_pod(name: str, cpu: str = "100m", *, labels: dict[str, str] | None = None, **spec: Any) -> Pod:
    container = Container(name="c", image="web:1", resources=ResourceRequirements(requests={"cpu": cpu}))
    containers = spec.pop("containers", [container])
    return Pod(
        metadata=ObjectMeta(name=name, namespace="default", labels=labels),
        spec=PodSpec(containers=containers, **spec),
    )


def scheduled(pod: Pod) -> PodCondition | None:
    return next((c for c in pod.status.conditions or [] if c.type == "PodScheduled"), None)


async def eventually(cluster: LocalCluster, name: str, test: Callable[[Pod], Any], seconds: float = 60) -> Pod:
    """The Pod, once `test` holds of it."""
    pods = cluster.client.resource(Pod)
    until = clock.monotonic() + seconds
    while True:
        pod = await pods.get(name, "default")
        if test(pod):
            return pod
        if clock.monotonic() > until:
            raise AssertionError((pod.spec.node_name, pod.status.phase, scheduled(pod)))
        await clock.sleep(0.1)


async def make(cluster: LocalCluster, *pods: Pod) -> None:
    for pod in pods:
        await cluster.client.resource(Pod).create(pod)


async def label(cluster: LocalCluster, node: str, **labels: str | None) -> None:
    body = {"metadata": {"labels": {key.replace("__", "/"): value for key, value in labels.items()}}}
    await cluster.client.resource(Node).patch(node, "", body)


async def priority_class(cluster: LocalCluster, name: str, value: int, **fields: Any) -> None:
    await cluster.client.resource(PriorityClass).create(
        PriorityClass(metadata=ObjectMeta(name=name), value=value, **fields)
    )


async def test_a_pod_too_large_says_so_and_fits_when_there_is_room() -> None:
    async with LocalCluster(nodes=2) as cluster:
        await make(cluster, a_pod("big", "20"), a_pod("other", "20"))
        await eventually(cluster, "other", lambda p: p.spec.node_name)
        await make(cluster, a_pod("third", "20"))
        pod = await eventually(cluster, "third", scheduled)
        found = scheduled(pod)
        assert found is not None
        assert (found.status, found.reason) == ("False", "Unschedulable")
        assert found.message == (
            "0/2 nodes are available: 2 Insufficient cpu. "
            "no new claims to deallocate, "
            "preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod."
        )
        assert found.observed_generation == 1
        await clock.sleep(1)
        events = (await cluster.client.resource(Event).list("default")).items
        mine = [e for e in events if e.involved_object.name == "third"]
        assert [(e.type, e.reason, e.message) for e in mine] == [("Warning", "FailedScheduling", found.message)]
        assert mine[0].reporting_component == "default-scheduler"
        await cluster.client.resource(Pod).delete("big", "default", grace_period=0)
        pod = await eventually(cluster, "third", lambda p: p.spec.node_name)
        found = scheduled(pod)
        assert found is not None and found.status == "True"


async def test_the_event_of_a_success() -> None:
    async with LocalCluster(nodes=1) as cluster:
        await make(cluster, a_pod("one"))
        await eventually(cluster, "one", lambda p: p.status.phase == "Running")
        await clock.sleep(1)
        events = (await cluster.client.resource(Event).list("default")).items
        [event] = [e for e in events if e.reason == "Scheduled"]
        assert event.message == "Successfully assigned default/one to fake-0" and event.action == "Binding"
        assert event.event_time and event.reporting_instance and event.reporting_component == "default-scheduler"


async def test_a_label_put_on_a_node_lets_a_waiting_pod_go_there() -> None:
    async with LocalCluster(nodes=3) as cluster:
        await make(cluster, a_pod("picky", node_selector={"disk": "ssd"}))
        pod = await eventually(cluster, "picky", scheduled)
        assert (found := scheduled(pod)) is not None
        assert found.message == (
            "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector. "
            "no new claims to deallocate, "
            "preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
        )
        await label(cluster, "fake-1", disk="ssd")
        pod = await eventually(cluster, "picky", lambda p: p.spec.node_name)
        assert pod.spec.node_name == "fake-1"


async def test_a_host_port_is_taken_once() -> None:
    def with_port(name: str, address: str | None, protocol: str) -> Pod:
        port = ContainerPort(container_port=80, host_port=5321, host_ip=address, protocol=protocol)
        return a_pod(name, containers=[Container(name="c", image="web:1", ports=[port])])

    async with LocalCluster(nodes=1) as cluster:
        await make(cluster, with_port("all", "0.0.0.0", "TCP"))
        await eventually(cluster, "all", lambda p: p.spec.node_name)
        await make(cluster, with_port("udp", "0.0.0.0", "UDP"), with_port("local", "127.0.0.1", "TCP"))
        await eventually(cluster, "udp", lambda p: p.spec.node_name)
        await clock.sleep(600)
        pod = await eventually(cluster, "local", scheduled)
        assert not pod.spec.node_name
        assert (found := scheduled(pod)) is not None and found.message is not None
        assert "1 node(s) didn't have free ports for the requested pod ports" in found.message


async def test_anti_affinity_spreads_and_the_last_waits() -> None:
    term = PodAffinityTerm(
        label_selector=LabelSelector(match_labels={"app": "db"}), topology_key="kubernetes.io/hostname"
    )
    apart = Affinity(pod_anti_affinity=PodAntiAffinity(required_during_scheduling_ignored_during_execution=[term]))
    async with LocalCluster(nodes=2) as cluster:
        for name in ("a", "b", "c"):
            await make(cluster, a_pod(name, labels={"app": "db"}, affinity=apart))
        first = await eventually(cluster, "a", lambda p: p.spec.node_name)
        second = await eventually(cluster, "b", lambda p: p.spec.node_name)
        assert {first.spec.node_name, second.spec.node_name} == {"fake-0", "fake-1"}
        third = await eventually(cluster, "c", scheduled)
        assert (found := scheduled(third)) is not None and found.message is not None
        assert found.message.startswith("0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules.")
        await cluster.client.resource(Pod).delete("a", "default", grace_period=0)
        third = await eventually(cluster, "c", lambda p: p.spec.node_name)
        assert third.spec.node_name == first.spec.node_name


async def test_preemption_removes_the_least_important() -> None:
    async with LocalCluster(nodes=2) as cluster:
        await priority_class(cluster, "low", 1)
        await priority_class(cluster, "middle", 100)
        await priority_class(cluster, "high", 1000)
        await label(cluster, "fake-0", spot="a")
        await label(cluster, "fake-1", spot="b")
        await make(cluster, a_pod("low", "20", priority_class_name="low", node_selector={"spot": "a"}))
        await make(cluster, a_pod("middle", "20", priority_class_name="middle", node_selector={"spot": "b"}))
        for name in ("low", "middle"):
            await eventually(cluster, name, lambda p: p.status.phase == "Running")
        # A finalizer keeps the victim to be looked at.
        await cluster.client.resource(Pod).patch("low", "default", {"metadata": {"finalizers": ["example.com/keep"]}})
        await make(cluster, a_pod("high", "20", priority_class_name="high"))
        victim = await eventually(cluster, "low", lambda p: p.metadata.deletion_timestamp)
        disrupted = next(c for c in victim.status.conditions or [] if c.type == "DisruptionTarget")
        assert (disrupted.status, disrupted.reason) == ("True", "PreemptionByScheduler")
        assert disrupted.message == "default-scheduler: preempting to accommodate a higher priority pod"
        waiting = await eventually(cluster, "high", lambda p: p.status.nominated_node_name or p.spec.node_name)
        assert (waiting.status.nominated_node_name or waiting.spec.node_name) == "fake-0"
        await cluster.client.resource(Pod).patch("low", "default", {"metadata": {"finalizers": None}})
        placed = await eventually(cluster, "high", lambda p: p.spec.node_name)
        assert (placed.spec.node_name, placed.status.nominated_node_name) == ("fake-0", None)
        assert (await cluster.client.resource(Pod).get("middle", "default")).metadata.deletion_timestamp is None
        await clock.sleep(1)
        events = (await cluster.client.resource(Event).list("default")).items
        preempted = [e for e in events if e.reason == "Preempted"]
        assert [(e.involved_object.name, e.type) for e in preempted] == [("low", "Normal")]
        assert preempted[0].message == f"Preempted by pod {placed.metadata.uid} on node fake-0"


async def test_a_budget_protects_its_pods_from_preemption() -> None:
    async with LocalCluster(nodes=2) as cluster:
        await priority_class(cluster, "low", 1)
        await priority_class(cluster, "high", 1000)
        for name in ("guarded", "free"):
            await make(cluster, a_pod(name, "20", labels={"app": name}, priority_class_name="low"))
            await eventually(cluster, name, lambda p: p.status.phase == "Running")
        budget = PodDisruptionBudget(
            metadata=ObjectMeta(name="guard", namespace="default"),
            spec=PodDisruptionBudgetSpec(min_available=1, selector=LabelSelector(match_labels={"app": "guarded"})),
        )
        await cluster.client.resource(PodDisruptionBudget).create(budget)
        await clock.sleep(5)
        await make(cluster, a_pod("high", "20", priority_class_name="high"))
        await eventually(cluster, "high", lambda p: p.status.phase == "Running", 120)
        names = {p.metadata.name for p in (await cluster.client.resource(Pod).list("default")).items}
        assert names == {"guarded", "high"}


async def test_a_polite_pod_preempts_nobody() -> None:
    async with LocalCluster(nodes=1) as cluster:
        await priority_class(cluster, "low", 1)
        await priority_class(cluster, "polite", 1000, preemption_policy="Never")
        await make(cluster, a_pod("low", "20", priority_class_name="low"))
        await eventually(cluster, "low", lambda p: p.spec.node_name)
        await make(cluster, a_pod("polite", "20", priority_class_name="polite"))
        pod = await eventually(cluster, "polite", scheduled)
        assert (found := scheduled(pod)) is not None
        assert found.message == (
            "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, "
            "preemption: not eligible due to preemptionPolicy=Never."
        )
        await clock.sleep(60)
        assert (await cluster.client.resource(Pod).get("low", "default")).metadata.deletion_timestamp is None


async def test_a_gated_pod_waits_for_its_gates() -> None:
    async with LocalCluster(nodes=1) as cluster:
        gated = a_pod("gated")
        gated.spec.scheduling_gates = [PodSchedulingGate(name="example.com/wait")]
        await make(cluster, gated)
        await clock.sleep(600)
        pod = await cluster.client.resource(Pod).get("gated", "default")
        assert not pod.spec.node_name
        assert (found := scheduled(pod)) is not None and found.reason == "SchedulingGated"
        await cluster.client.resource(Pod).patch("gated", "default", {"spec": {"schedulingGates": None}})
        await eventually(cluster, "gated", lambda p: p.spec.node_name)


async def test_pods_of_another_scheduler_are_left_alone() -> None:
    async with LocalCluster(nodes=1) as cluster:
        await make(cluster, a_pod("theirs", scheduler_name="mine"))
        await clock.sleep(60)
        pod = await cluster.client.resource(Pod).get("theirs", "default")
        assert not pod.spec.node_name and scheduled(pod) is None


async def test_without_nodes() -> None:
    async with LocalCluster(nodes=0) as cluster:
        await make(cluster, a_pod("lonely"))
        pod = await eventually(cluster, "lonely", scheduled)
        assert (found := scheduled(pod)) is not None
        assert (found.reason, found.message) == ("Unschedulable", "no nodes available to schedule pods")


async def test_a_pod_deleted_while_it_waits_is_forgotten() -> None:
    async with LocalCluster(nodes=1) as cluster:
        await make(cluster, a_pod("huge", "1000"))
        await eventually(cluster, "huge", scheduled)
        await cluster.client.resource(Pod).delete("huge", "default")
        await clock.sleep(400)
        try:
            await cluster.client.resource(Pod).get("huge", "default")
        except StatusError as error:
            assert error.code == 404
        else:
            raise AssertionError("still there")


async def test_replicas_are_spread_without_being_asked() -> None:
    template = PodTemplateSpec(
        metadata=ObjectMeta(labels={"app": "web"}), spec=PodSpec(containers=[Container(name="c", image="web:1")])
    )
    selector = LabelSelector(match_labels={"app": "web"})
    deployment = Deployment(
        metadata=ObjectMeta(name="web", namespace="default"),
        spec=DeploymentSpec(replicas=9, selector=selector, template=template),
    )
    async with LocalCluster(nodes=3) as cluster:
        await cluster.client.resource(Deployment).create(deployment)
        await clock.sleep(10)
        pods = (await cluster.client.resource(Pod).list("default")).items
        assert Counter(pod.spec.node_name for pod in pods) == {"fake-0": 3, "fake-1": 3, "fake-2": 3}


async def test_a_second_scheduler_with_its_own_rules() -> None:
    packing = ProfileConfig(
        "packer",
        disabled=(("NodeResourcesBalancedAllocation", ""), ("PodTopologySpread", "score")),
        args={"NodeResourcesFit": {"scoringStrategy": {"type": "MostAllocated"}}},
    )
    async with LocalCluster(nodes=3) as cluster, Nursery("test") as nursery:
        nursery.start(Scheduler(Config(profiles=(packing,)), cluster.client).run(), "packer")
        await make(cluster, a_pod("first", "4", scheduler_name="packer"))
        first = await eventually(cluster, "first", lambda p: p.spec.node_name)
        for i in range(4):
            await make(cluster, a_pod(f"p{i}", "4", scheduler_name="packer"))
            pod = await eventually(cluster, f"p{i}", lambda p: p.spec.node_name)
            assert pod.spec.node_name == first.spec.node_name
        events = (await cluster.client.resource(Event).list("default")).items
        assert "packer" in {e.reporting_component for e in events if e.reason == "Scheduled"}


async def test_an_extended_resource_that_a_node_offers_later() -> None:
    async with LocalCluster(nodes=2) as cluster:
        asks = ResourceRequirements(requests={"example.com/gpu": "2"}, limits={"example.com/gpu": "2"})
        await make(cluster, a_pod("gpu", containers=[Container(name="c", image="web:1", resources=asks)]))
        pod = await eventually(cluster, "gpu", scheduled)
        assert (found := scheduled(pod)) is not None and found.message is not None
        assert found.message.startswith("0/2 nodes are available: 2 Insufficient example.com/gpu. no new claims")
        offers = {"status": {"capacity": {"example.com/gpu": "3"}, "allocatable": {"example.com/gpu": "3"}}}
        nodes = cluster.client.resource(Node)
        await nodes.patch("fake-1", "", offers, subresource="status")
        pod = await eventually(cluster, "gpu", lambda p: p.spec.node_name)
        assert pod.spec.node_name == "fake-1"
        taken_back = {"status": {"capacity": {"example.com/gpu": None}}}
        await nodes.patch("fake-1", "", taken_back, subresource="status")
        await clock.sleep(5)
        assert "example.com/gpu" not in ((await nodes.get("fake-1")).status.allocatable or {})


async def test_a_pod_goes_only_where_the_node_declares_what_it_needs() -> None:
    async with LocalCluster(nodes=1) as cluster:
        nodes = cluster.client.resource(Node)
        (node,) = (await nodes.list()).items
        declared = node.status.declared_features
        assert declared and "RestartAllContainersOnContainerExits" in declared
        body: dict[str, Any] = {"status": {"declaredFeatures": None}}
        await nodes.patch(node.metadata.name, "", body, subresource="status")
        rule = ContainerRestartRule(
            action="RestartAllContainers", exit_codes=ContainerRestartRuleOnExitCodes(operator="In", values=[42])
        )
        container = Container(name="c", image="web:1", restart_policy="Never", restart_policy_rules=[rule])
        await make(cluster, a_pod("p", containers=[container], restart_policy="Never"), a_pod("plain"))
        await eventually(cluster, "plain", lambda pod: pod.spec.node_name)
        refused = await eventually(cluster, "p", scheduled)
        condition = scheduled(refused)
        assert condition and condition.message == (
            "0/1 nodes are available: 1 node declared features check failed - unsatisfied requirements: "
            "RestartAllContainersOnContainerExits. no new claims to deallocate, preemption: 0/1 nodes are available: "
            "1 Preemption is not helpful for scheduling."
        )
        body = {"status": {"declaredFeatures": declared}}
        await nodes.patch(node.metadata.name, "", body, subresource="status")
        await eventually(cluster, "p", lambda pod: pod.spec.node_name)
