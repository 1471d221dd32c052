"""Many fake nodes in one object, against a real API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pybernetes.aio import clock
from pybernetes.aio.tasks import Nursery
from pybernetes.api.coordination_v1 import Lease
from pybernetes.api.core_v1 import Namespace, Node, Pod, ServiceAccount
from pybernetes.client.client import Client
from pybernetes.client.informer import Informer
from pybernetes.control_plane.apiserver.authentication.user import User
from pybernetes.control_plane.apiserver.server import APIServer
from pybernetes.control_plane.apiserver.server import Config as APIConfig
from pybernetes.control_plane.apiserver.transport import LocalTransport
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.meta import ObjectMeta
from pybernetes.node.kubelet.fake_nodes import Config, FakeNodes
from tests.unit.node.kubelet.world import pod, ready


@asynccontextmanager
async def fleet(count: int) -> AsyncIterator[tuple[FakeNodes, Client, Informer[Pod]]]:
    api = APIServer(APIConfig(listen=False))
    async with Nursery("test") as nursery:
        nursery.start(api.run(), "api")
        await api.ready.wait()
        client = Client(LocalTransport(api.chain, User("admin", groups=("system:masters",))))
        account = ServiceAccount(metadata=ObjectMeta(name="default", namespace="default"))
        for obj in (*(Namespace(metadata=ObjectMeta(name=n)) for n in ("default", "kube-node-lease")), account):
            try:
                await client.resource(type(obj)).create(obj)
            except StatusError as error:
                assert error.code == 409
        nodes = FakeNodes(Config(count=count, labels={"zone": "z{i}"}), client)
        nursery.start(nodes.run(), "fakes")
        await nodes.ready.wait()
        pods: Informer[Pod] = Informer(client.resource(Pod))
        nursery.start(pods.run(), "pods")
        yield nodes, client, pods


async def test_nodes_are_ready_and_stay_so() -> None:
    async with fleet(20) as (nodes, client, _):
        found = (await client.resource(Node).list()).items
        assert sorted(n.metadata.name for n in found) == sorted(nodes.names) and len(found) == 20
        one = found[0]
        assert {c.type: c.status for c in one.status.conditions or ()}["Ready"] == "True"
        assert one.metadata.labels and one.metadata.labels["zone"].startswith("z")
        leases = client.resource(Lease)
        before = {x.metadata.name: x.spec.renew_time for x in (await leases.list("kube-node-lease")).items}
        await nodes.remove("fake-3")
        await asyncio.sleep(25)
        after = {x.metadata.name: x.spec.renew_time for x in (await leases.list("kube-node-lease")).items}
        assert [name for name in before if before[name] == after[name]] == ["fake-3"]


async def test_pods_live_on_them() -> None:
    async with fleet(3) as (_, client, pods):
        api = client.resource(Pod)
        for i in range(30):
            one = pod(f"p{i}")
            one.spec.node_name = f"fake-{i % 3}"
            await api.create(one)
        assert await pods.until(lambda: sum(map(ready, pods.list())) == 30)
        assert len({p.status.pod_ip for p in pods.list()}) == 30
        begin = clock.monotonic()
        await api.delete_collection("default")
        assert await pods.until(lambda: not len(pods))
        assert clock.monotonic() - begin < 2


async def test_they_do_what_their_command_says() -> None:
    async with fleet(1) as (_, client, pods):
        api = client.resource(Pod)
        done = pod("done", {"name": "main", "command": ["sleep", "5"]}, restartPolicy="Never", nodeName="fake-0")
        fails = pod("fails", {"name": "main", "command": ["false"]}, nodeName="fake-0")
        await api.create(done)
        await api.create(fails)
        assert await pods.until(lambda: pods.get("default", "done") is not None, 5)
        assert await pods.until(
            lambda: (p := pods.get("default", "done")) is not None and p.status.phase == "Succeeded", 10
        )

        def crashing() -> bool:
            found = pods.get("default", "fails")
            states = found.status.container_statuses if found else None
            return bool(states and states[0].restart_count == 3 and states[0].state and states[0].state.waiting)

        assert await pods.until(crashing, 120)
        stopped = pods.get("default", "done")
        assert stopped and stopped.status.container_statuses
        ended = stopped.status.container_statuses[0].state
        assert ended and ended.terminated and ended.terminated.exit_code == 0


async def test_nodes_and_pods_declared_dead_insist() -> None:
    async with fleet(2) as (_, client, _pods):
        bound = pod("web")
        bound.spec.node_name = "fake-1"
        pods = client.resource(Pod)
        await pods.create(bound)
        await asyncio.sleep(1)
        assert ready(await pods.get("web", "default"))
        doubt = {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}
        await pods.patch("web", "default", doubt, type="strategic", subresource="status")
        nodes = client.resource(Node)
        await nodes.patch("fake-1", "", doubt, type="strategic", subresource="status")
        await asyncio.sleep(1)
        assert ready(await pods.get("web", "default"))
        node = await nodes.get("fake-1")
        assert {c.type: c.status for c in node.status.conditions or ()}["Ready"] == "True"
