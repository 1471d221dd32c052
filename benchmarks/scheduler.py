"""The scheduler's speed: plans alone, and end to end through an API server in the same process (memory store).

    python -m benchmarks.scheduler [plan] [cluster] [preemption] [--nodes 5000] [--pods 10000] [--kind KIND]

`plan` measures microseconds per Pod of planning and assuming; `cluster` Pods bound per second from the moment the
scheduler starts on a backlog, events and watches included. `preemption` is scheduler_perf's: every node is full of
four unimportant Pods, and each important one needs the place of three; they go at once, as no kubelet is there.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from pybernetes.aio import clock
from pybernetes.api.core_v1 import (
    Affinity,
    Container,
    Node,
    NodeStatus,
    Pod,
    PodAffinityTerm,
    PodAntiAffinity,
    PodSpec,
    PodStatus,
    ResourceRequirements,
    ServiceAccount,
    TopologySpreadConstraint,
)
from pybernetes.client.client import Client
from pybernetes.control_plane.apiserver.server import APIServer, Config
from pybernetes.machinery import codec
from pybernetes.machinery.meta import LabelSelector, ObjectMeta

ZONE = "topology.kubernetes.io/zone"
HOSTNAME = "kubernetes.io/hostname"


def node(i: int) -> Node:
    """As scheduler_perf's default node: 4 CPU, 32 GiB, 110 Pods; in one of ten zones."""
    name = f"node-{i}"
    allocatable = {"cpu": "4", "memory": "32Gi", "pods": "110"}
    labels = {HOSTNAME: name, ZONE: f"zone-{i % 10}"}
    return Node(metadata=ObjectMeta(name=name, labels=labels), status=NodeStatus(allocatable=allocatable))


def pod(i: int, kind: str) -> Pod:
    """100m CPU and 500 MiB; with a topology spread over zones, or apart from its own kind on nodes."""
    labels = {"app": f"{kind}-{i % 100}" if kind == "anti" else kind}
    resources = ResourceRequirements(requests={"cpu": "100m", "memory": "500Mi"})
    spec = PodSpec(
        containers=[Container(name="pause", image="pause:3.10", resources=resources)],
        scheduler_name="default-scheduler",
    )
    selector = LabelSelector(match_labels=labels)
    if kind == "spread":
        spec.topology_spread_constraints = [
            TopologySpreadConstraint(
                max_skew=5, topology_key=ZONE, when_unsatisfiable="DoNotSchedule", label_selector=selector
            )
        ]
    if kind == "anti":
        term = PodAffinityTerm(label_selector=selector, topology_key=HOSTNAME)
        spec.affinity = Affinity(
            pod_anti_affinity=PodAntiAffinity(required_during_scheduling_ignored_during_execution=[term])
        )
    return Pod(
        metadata=ObjectMeta(name=f"pod-{i}", namespace="default", uid=f"uid-{i}", labels=labels),
        spec=spec,
        status=PodStatus(phase="Pending"),
    )


def plan(nodes: int, pods: int, kind: str) -> None:
    """Planning and assuming, no API."""
    from pybernetes.control_plane.scheduler.plan import Planner
    from pybernetes.control_plane.scheduler.profiles import default_profile
    from pybernetes.control_plane.scheduler.snapshot import Snapshot

    snapshot = Snapshot()
    started = time.perf_counter()
    for i in range(nodes):
        snapshot.set_node(node(i))
    print(f"  {nodes} nodes taken in: {time.perf_counter() - started:.3f} s")
    planner = Planner(snapshot, default_profile("default-scheduler"), random.Random(1))
    todo = [pod(i, kind) for i in range(pods)]
    started = time.perf_counter()
    failed = 0
    for each in todo:
        facts = snapshot.facts(each)
        placement = planner.plan(facts)
        if placement.node:
            snapshot.place(facts, placement.node)
        else:
            failed += 1
    elapsed = time.perf_counter() - started
    print(f"  plan {kind}: {elapsed / pods * 1e6:.1f} us per Pod, {pods / elapsed:.0f} Pods/s, {failed} unplaced")


async def cluster(nodes: int, pods: int, kind: str, seconds: float) -> None:
    """A backlog, then the scheduler."""
    async with serving(nodes) as (server, client):
        started = time.perf_counter()
        for i in range(pods):
            await create(client, pod(i, kind))
        print(f"  {pods} Pods created: {pods / (time.perf_counter() - started):.0f}/s")
        await drain(server, kind, pods, seconds)


async def preemption(pods: int, seconds: float) -> None:
    """As many full nodes as important Pods."""
    from pybernetes.api.scheduling_v1 import PriorityClass

    async with serving(pods) as (server, client):
        await client.resource(PriorityClass).create(PriorityClass(metadata=ObjectMeta(name="high"), value=10))
        for i in range(pods):
            for j in range(4):
                await create(client, sized(f"low-{i}-{j}", "900m", node_name=f"node-{i}"))
            await create(client, sized(f"high-{i}", "3", priority_class_name="high"))
        await drain(server, "preemption", pods, seconds)
        left = len((await client.resource(Pod).list("default")).items)
        print(f"  {5 * pods - left} Pods had to go for them, {3 * pods} at least")


def sized(name: str, cpu: str, **spec: Any) -> Pod:
    """A Pod that asks for CPU alone and ends at once."""
    containers = [Container(name="pause", image="pause:3.10", resources=ResourceRequirements(requests={"cpu": cpu}))]
    return Pod(
        metadata=ObjectMeta(name=name, namespace="default"),
        spec=PodSpec(containers=containers, termination_grace_period_seconds=0, **spec),
    )


async def create(client: Client, fresh: Pod) -> None:
    """Have the API server make it, with its own idea of status and uid."""
    fresh.metadata.uid = ""
    await client.resource(Pod).create(msgspec.structs.replace(fresh, status=PodStatus()))


@asynccontextmanager
async def serving(nodes: int) -> AsyncIterator[tuple[APIServer, Client]]:
    """An API server that has nodes."""
    from pybernetes.bootstrap.control_plane import ADMIN

    server = APIServer(Config(store="memory:", listen=False))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(server.run(), name="apiserver")
        await server.ready.wait()
        client = Client(server.transport(ADMIN))
        metadata = ObjectMeta(name="default", namespace="default")
        await client.resource(ServiceAccount).create(ServiceAccount(metadata=metadata))
        for i in range(nodes):
            created = codec.copy(await client.resource(Node).create(node(i)))
            created.spec.taints = None  # admission takes new nodes for not ready
            await client.resource(Node).update(created)
        yield server, client
        running.cancel()


async def drain(server: APIServer, what: str, pods: int, seconds: float) -> None:
    """Start the scheduler and wait until it has bound that many."""
    from pybernetes.bootstrap.control_plane import SCHEDULER
    from pybernetes.control_plane.scheduler import Config as SchedulerConfig
    from pybernetes.control_plane.scheduler import Scheduler

    scheduler = Scheduler(SchedulerConfig(), Client(server.transport(SCHEDULER)))
    async with asyncio.TaskGroup() as group:
        started = time.perf_counter()
        running = group.create_task(scheduler.run(), name="scheduler")
        while scheduler.bound < pods and time.perf_counter() - started < seconds:
            await clock.sleep(0.05)
        elapsed = time.perf_counter() - started
        print(
            f"  cluster {what}: {scheduler.bound} bound in {elapsed:.2f} s, {scheduler.bound / elapsed:.0f} Pods/s, "
            f"{scheduler.events.dropped} Events dropped"
        )
        running.cancel()


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", nargs="*", default=["plan", "cluster", "preemption"])
    parser.add_argument("--nodes", type=int, default=5000)
    parser.add_argument("--pods", type=int, default=10000)
    parser.add_argument("--kind", action="append", choices=["basic", "spread", "anti"])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--profile", action="store_true", help="run under cProfile")
    options = parser.parse_args()
    if options.profile:
        import cProfile

        profile = cProfile.Profile()
        profile.enable()
    for kind in options.kind or ["basic", "spread", "anti"]:
        if "plan" in options.what:
            plan(options.nodes, options.pods, kind)
        if "cluster" in options.what:
            import uvloop

            uvloop.run(cluster(options.nodes, options.pods, kind, options.seconds))
    if "preemption" in options.what:
        import uvloop

        uvloop.run(preemption(min(options.pods, 1000), options.seconds))
    if options.profile:
        import pstats

        profile.disable()
        pstats.Stats(profile).sort_stats("tottime").print_stats(30)


if __name__ == "__main__":
    main()
