"""Chaos from a seed, under virtual time: whatever happens in between, the cluster comes to rest as it was asked to be.

For a quarter of an hour of cluster life, users change workloads, delete and evict Pods while the controllers are
cancelled and started anew at any await and between any two of their writes, their requests fail before or after they
were carried out, and nodes fall silent and come back. Meanwhile no budget may be overdrawn, and no Pod of a StatefulSet
may be replaced while its node might still run it. Then the trouble stops, and after a while all must be as declared. A
failing seed fails again when run again, and bugs planted into controllers must be found.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from pybernetes.aio import clock
from pybernetes.aio.tasks import Nursery
from pybernetes.api.core_v1 import Pod
from pybernetes.api.policy_v1 import PodDisruptionBudget
from pybernetes.bootstrap.control_plane import ADMIN, CONTROLLER_MANAGER
from pybernetes.client.client import Client
from pybernetes.client.controller import controller_of
from pybernetes.client.errors import Unavailable
from pybernetes.client.informer import Informer
from pybernetes.client.transport import Request, Response, Transport, WatchStream
from pybernetes.control_plane.controllers.manager import Config, ControllerManager
from pybernetes.control_plane.controllers.pods import is_ready
from pybernetes.machinery import errors
from pybernetes.machinery.errors import StatusError
from pybernetes.node.kubelet import fake_nodes
from pybernetes.testing import LocalCluster

from .place import Place, Wire, condition, owner, workload
from .test_disruption import evict
from .test_sets_and_jobs import job

NODES = 4
TROUBLE = 900.0  # seconds of virtual time
REST = 1800.0  # longer than evictions, back-offs and resyncs


class Faulty:
    """A transport whose requests fail with a probability: before they reach the server, or after (the answer is
    lost), or with an error of the server's."""

    def __init__(self, inner: Transport, chance: random.Random) -> None:
        self._inner, self._chance = inner, chance
        self.rate = 0.0
        #: Writes until the client is killed, and how.
        self.writes_left = 0
        self.kill: Callable[[], None] = lambda: None

    async def request(self, request: Request) -> Response:
        answer = await self._request(request)
        if request.method != "GET" and self.writes_left:
            self.writes_left -= 1
            if not self.writes_left:
                self.kill()  # whoever asked gets the answer and no further
        return answer

    async def _request(self, request: Request) -> Response:
        if self._chance.random() < self.rate:
            kind = self._chance.randrange(3)
            if kind == 0:
                raise Unavailable("no connection")
            if kind == 1:
                raise errors.internal("chaos")
            await self._inner.request(request)
            raise Unavailable("the answer was lost")
        return await self._inner.request(request)

    async def watch(self, request: Request) -> WatchStream:
        if self._chance.random() < self.rate:
            raise Unavailable("no connection")
        return await self._inner.watch(request)

    async def stream(self, request: Request) -> Any:
        return await self._inner.stream(request)

    async def upgrade(self, request: Request, subprotocols: Sequence[str]) -> Any:
        return await self._inner.upgrade(request, subprotocols)

    async def close(self) -> None:
        await self._inner.close()


class Chaos:
    """One run from one seed."""

    def __init__(self, seed: int, place: Place, nursery: Nursery) -> None:
        self.chance = random.Random(seed)
        self.place, self.nursery = place, nursery
        self.faulty = Faulty(place.cluster.control_plane.apiserver.transport(CONTROLLER_MANAGER), self.chance)
        self.faulty.kill = self.killed
        self.controllers: asyncio.Task[Any] | None = None
        self.nodes: dict[str, asyncio.Task[Any]] = {}
        self.made: dict[tuple[str, str], Wire] = {}
        self.log: list[str] = []
        #: Invariants that were broken on the way.
        self.broken: list[str] = []

    # What can happen

    def killed(self) -> None:
        if self.controllers is not None:
            self.controllers.cancel()
            self.nursery.start(self.restart_controllers(), "restart")

    async def kill_between_writes(self) -> None:
        self.faulty.writes_left = self.chance.randrange(1, 40)

    async def restart_controllers(self) -> None:
        await self.stop(self.controllers)
        manager = ControllerManager(Config(), Client(self.faulty))
        self.controllers = self.nursery.start(manager.run(), "controllers")

    async def lose_node(self) -> None:
        alive = [name for name, task in self.nodes.items() if not task.done()]
        if len(alive) > 1:
            await self.stop(self.nodes[self.chance.choice(alive)])

    async def return_node(self) -> None:
        silent = [name for name, task in self.nodes.items() if task.done()]
        if silent:
            self.start_node(self.chance.choice(silent))

    def start_node(self, prefix: str) -> None:
        i = int(prefix[1:])
        config = fake_nodes.Config(
            count=1, prefix=prefix, pod_cidr=f"10.{100 + i}.0.0/16", node_cidr=f"172.{16 + i}.0.0/16", writers=4
        )
        client = self.place.cluster.control_plane.client(ADMIN)
        self.nodes[prefix] = self.nursery.start(fake_nodes.FakeNodes(config, client).run(), prefix)

    async def stop(self, task: asyncio.Task[Any] | None) -> None:
        if task is not None and not task.done():
            task.cancel()
            await asyncio.wait({task})

    async def create(self) -> None:
        kind = self.chance.choice(["Deployment", "StatefulSet", "DaemonSet", "Job", "ReplicaSet"])
        name = f"{kind.lower()}-{len(self.made)}"
        count = self.chance.randrange(1, 6)
        spec: Wire
        if kind == "Job":
            more = {"completionMode": self.chance.choice(["NonIndexed", "Indexed"]), "backoffLimit": 100}
            spec = job(["sleep", str(self.chance.randrange(1, 90))], parallelism=2, completions=count, **more)
        elif kind == "DaemonSet":
            spec = workload(app=name)
        else:
            spec = workload(app=name, replicas=count)
        if kind == "StatefulSet":
            spec["podManagementPolicy"] = self.chance.choice(["OrderedReady", "Parallel"])
        self.made[kind, name] = await self.place.create(kind, name, spec=spec)
        if kind in ("Deployment", "StatefulSet") and self.chance.random() < 0.5:
            budget = {"minAvailable": self.chance.choice([1, 2, "50%"]), "selector": {"matchLabels": {"app": name}}}
            await self.place.create("PodDisruptionBudget", name, spec=budget)

    def some(self, *kinds: str) -> tuple[str, str] | None:
        found = [key for key in self.made if not kinds or key[0] in kinds]
        return self.chance.choice(found) if found else None

    async def scale(self) -> None:
        if key := self.some("Deployment", "StatefulSet", "ReplicaSet"):
            await self.place.scale(*key, self.chance.randrange(0, 7))

    async def change_image(self) -> None:
        if key := self.some("Deployment", "StatefulSet", "DaemonSet"):
            containers = [{"name": "c", "image": f"web:{self.chance.randrange(2, 9)}"}]
            await self.place.patch(*key, {"spec": {"template": {"spec": {"containers": containers}}}})

    async def delete(self) -> None:
        if (key := self.some()) and len(self.made) > 2:
            await self.place.delete(*key, propagation=self.chance.choice(["Background", "Foreground"]))
            del self.made[key]
            if key[1] in await self.place.names("PodDisruptionBudget"):
                await self.place.delete("PodDisruptionBudget", key[1])

    async def delete_pod(self) -> None:
        if pods := sorted(await self.place.names("Pod")):
            await self.place.delete("Pod", self.chance.choice(pods))

    async def evict(self) -> None:
        """All Pods of a budget at once: those that are left must be enough, if the budget knew how many there were."""
        names = sorted(await self.place.names("PodDisruptionBudget"))
        if not names:
            return
        name = self.chance.choice(names)

        async def one(pod: str) -> None:
            budget, before = self.budget(name), self.healthy(name)
            try:
                await evict(self.place, pod)
            except StatusError as error:
                assert error.code in (404, 409, 429), error
                return
            left = len(self.healthy(name))
            if budget is None or pod not in before or (now := self.budget(name)) is None:
                return
            wanted = min(budget.status.desired_healthy or 0, now.status.desired_healthy or 0)
            if (budget.status.current_healthy or 0) <= len(before) and left < wanted:
                self.broken.append(f"{pod} evicted: {left} are left, {wanted} are wanted")

        async with asyncio.TaskGroup() as group:
            for pod in self.healthy(name):
                group.create_task(one(pod), name="evict")

    def healthy(self, app: str) -> list[str]:
        """Names of the Pods that are ready and stay, as the server knows at this moment."""
        storage = self.place.cluster.control_plane.apiserver.cache.storage("", "pods")
        pods = [item.obj for item in storage.list(self.place.namespace)]
        return [
            p.metadata.name
            for p in pods
            if (p.metadata.labels or {}).get("app") == app and p.metadata.deletion_timestamp is None and is_ready(p)
        ]

    def budget(self, name: str) -> PodDisruptionBudget | None:
        storage = self.place.cluster.control_plane.apiserver.cache.storage("policy", "poddisruptionbudgets")
        return next((item.obj for item in storage.list(self.place.namespace) if item.name == name), None)

    def removed(self, pod: Pod) -> None:
        """A Pod of a StatefulSet may only vanish once its node says that it has ended."""
        reference = controller_of(pod)
        if reference is None or reference.kind != "StatefulSet" or not pod.spec.node_name:
            return
        node = self.nodes[pod.spec.node_name.partition("-")[0]]
        runs = any(s.state is None or s.state.running for s in pod.status.container_statuses or ())
        if node.done() and runs:
            self.broken.append(f"{pod.metadata.name} was removed while {pod.spec.node_name} may run it")

    async def rate(self) -> None:
        self.faulty.rate = self.chance.choice([0.0, 0.02, 0.1, 0.4])

    # The run

    async def run(self) -> None:
        for i in range(NODES):
            self.start_node(f"n{i}")
        await self.restart_controllers()
        await self.place.until("ServiceAccount", "default", lambda account: True)
        pods: Informer[Pod] = Informer(self.place.client.resource(Pod))
        pods.on(deleted=self.removed)
        self.nursery.start(pods.run(), "watch")
        acts = [self.kill_between_writes, self.kill_between_writes, self.evict, self.evict]
        acts += [self.restart_controllers, self.lose_node, self.return_node, self.rate, self.delete, self.delete_pod]
        acts += [self.create, self.create, self.scale, self.scale, self.change_image, self.delete_pod, self.return_node]
        end = clock.monotonic() + TROUBLE
        while clock.monotonic() < end:
            act = self.chance.choice(acts)
            self.log.append(f"{clock.monotonic():.2f} {act.__name__}")
            try:
                await act()
            except StatusError as error:
                assert error.code in (404, 409), error
            # Now and then at once: a restart between two writes of the same reconcile.
            await clock.sleep(self.chance.choice([0.0, 0.001, 0.5, 5, 30]))
        self.faulty.rate, self.faulty.writes_left = 0.0, 0
        for name, task in self.nodes.items():
            if task.done():
                self.start_node(name)
        await clock.sleep(REST)
        assert not self.broken
        await self.check()

    async def check(self) -> None:
        place = self.place
        pods = await place.list("Pod")
        nodes = await place.list("Node")
        assert len(nodes) == NODES
        assert all((condition(n, "Ready") or {})["status"] == "True" and not n["spec"].get("taints") for n in nodes)
        names = {n["metadata"]["name"] for n in nodes}
        uids = {
            w["metadata"]["uid"]
            for kind in ("ReplicaSet", "StatefulSet", "DaemonSet", "Job")
            for w in await place.list(kind)
        }
        for pod in pods:
            assert not pod["metadata"].get("deletionTimestamp"), pod["metadata"]["name"]
            assert pod["spec"].get("nodeName") in names, pod["metadata"]["name"]
            assert (owner(pod) or {}).get("uid") in uids, pod["metadata"]["name"]
        for kind in ("Deployment", "StatefulSet", "DaemonSet", "Job", "ReplicaSet"):
            present = {n for n in await place.names(kind) if n.startswith(kind.lower())}
            wanted = {name for k, name in self.made if k == kind}
            assert {n for n in present if kind != "ReplicaSet" or n in wanted} == wanted
            for name in wanted:
                obj = await place.get(kind, name)
                if kind == "Job":
                    mine = [p for p in pods if (owner(p) or {}).get("uid") == obj["metadata"]["uid"]]
                else:
                    mine = [p for p in pods if p["metadata"].get("labels", {}).get("app") == name]
                self.check_one(kind, obj, mine)
        before = await self.versions()
        await clock.sleep(200)
        assert await self.versions() == before  # at rest

    async def versions(self) -> dict[str, str]:
        kinds = ("Pod", "Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job", "ControllerRevision", "Node")
        return {
            o["metadata"]["uid"]: o["metadata"]["resourceVersion"]
            for kind in kinds
            for o in await self.place.list(kind)
        }

    def check_one(self, kind: str, obj: Wire, pods: list[Wire]) -> None:
        name, status = obj["metadata"]["name"], obj["status"]
        if kind == "Job":
            assert condition(obj, "Complete"), (name, status)
            assert status["uncountedTerminatedPods"] == {}, (name, status)
            wanted, succeeded = obj["spec"]["completions"], status["succeeded"]
            if obj["spec"]["completionMode"] == "Indexed":
                assert succeeded == wanted, (name, status)
            else:
                # A Pod whose creation went unanswered may have worked beside its replacement, and counts.
                done = sum(p["status"]["phase"] == "Succeeded" for p in pods)
                assert max(wanted, done) <= succeeded <= wanted + 2, (name, status)
            assert not status.get("active")
            assert not any("finalizers" in p["metadata"] for p in pods)
            return
        running = [p for p in pods if p["status"]["phase"] == "Running"]
        assert running == pods, name
        count = NODES if kind == "DaemonSet" else obj["spec"]["replicas"]
        assert len(pods) == count, (name, status, [p["metadata"]["name"] for p in pods])
        assert status["observedGeneration"] == obj["metadata"]["generation"]
        if kind == "DaemonSet":
            assert len({p["spec"]["nodeName"] for p in pods}) == NODES
            assert status["numberReady"] == status["updatedNumberScheduled"] == NODES
        elif kind == "StatefulSet":
            assert {p["metadata"]["name"] for p in pods} == {f"{name}-{i}" for i in range(count)}
        if kind != "DaemonSet":
            assert status.get("readyReplicas", 0) == status.get("availableReplicas", 0) == count, (name, status)
        if kind != "ReplicaSet":
            image = obj["spec"]["template"]["spec"]["containers"][0]["image"]
            assert {p["spec"]["containers"][0]["image"] for p in pods} <= {image}, name


async def simulate(seed: int) -> None:
    async with LocalCluster(nodes=0, controllers=()) as cluster, Nursery("chaos") as nursery:
        place = Place(cluster, cluster.client, "here")
        await place.create("Namespace", "here")
        chaos = Chaos(seed, place, nursery)
        try:
            await chaos.run()
        except BaseException:
            print(f"seed {seed}:", *chaos.log, sep="\n")
            raise


@pytest.mark.parametrize("seed", range(5))
async def test_a_cluster_survives(seed: int) -> None:
    await simulate(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5, 205))
async def test_many_clusters_survive(seed: int) -> None:
    await simulate(seed)
