"""A real extender over loopback: it filters, gives points, agrees to victims, and binds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from pybernetes.aio import clock
from pybernetes.aio.tasks import Nursery
from pybernetes.api.core_v1 import Binding, Container, ObjectReference, Pod, PodSpec, ResourceRequirements
from pybernetes.api.scheduling_v1 import PriorityClass
from pybernetes.client.client import Client
from pybernetes.control_plane.scheduler import Scheduler
from pybernetes.control_plane.scheduler.configuration import ConfigurationError, load
from pybernetes.machinery.meta import ObjectMeta
from pybernetes.testing import LocalCluster

pytestmark = pytest.mark.real_time  # sockets

HEAD = {"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration"}

Answers = dict[str, Callable[[dict[str, Any]], Any]]


class Server:
    """Answers verbs with functions; `asked` remembers the bodies."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        verb, body = request.match_info["verb"], await request.json()
        self.asked.append((verb, body))
        answer = self.answers[verb](body)
        return web.json_response(await answer if asyncio.iscoroutine(answer) else answer)

    @classmethod
    @asynccontextmanager
    async def open(cls, answers: Answers) -> AsyncIterator[Server]:
        server = cls(answers)
        app = web.Application()
        app.router.add_post("/x/{verb}", server.handle)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        server.url = f"http://{host}:{port}/x"
        try:
            yield server
        finally:
            await runner.cleanup()


def a_pod(name: str, cpu: str = "1", **more: Any) -> Pod:
    asks = ResourceRequirements(requests={"cpu": cpu, **more.pop("also", {})}, limits=more.pop("limits", None))
    containers = [Container(name="c", image="web:1", resources=asks)]
    return Pod(metadata=ObjectMeta(name=name, namespace="default"), spec=PodSpec(containers=containers, **more))


@asynccontextmanager
async def scheduling(*extenders: dict[str, Any]) -> AsyncIterator[Client]:
    """A cluster of three nodes and a scheduler with these extenders."""
    config = load({**HEAD, "extenders": [*extenders]})
    async with LocalCluster(nodes=3, scheduler=False) as cluster, Nursery("test") as nursery:
        nursery.start(Scheduler(config, cluster.client).run(), "scheduler")
        yield cluster.client


async def until(client: Client, name: str, good: Callable[[Pod], Any]) -> Pod:
    for _ in range(600):
        pod = await client.resource(Pod).get(name, "default")
        if good(pod):
            return pod
        await clock.sleep(0.02)
    raise AssertionError(pod.status)


def placed(pod: Pod) -> bool:
    return bool(pod.spec.node_name)


async def test_it_filters_and_gives_points() -> None:
    answers: Answers = {
        "filter": lambda body: {
            "nodes": {"items": [n for n in body["nodes"]["items"] if n["metadata"]["name"] != "fake-0"]},
            "failedNodes": {"fake-0": "too warm"},
        },
        "prioritize": lambda body: [{"host": "fake-2", "score": 10}, {"host": "fake-1", "score": 1}],
    }
    async with Server.open(answers) as server:
        wish = {"urlPrefix": server.url, "filterVerb": "filter", "prioritizeVerb": "prioritize", "weight": 5}
        async with scheduling(wish) as client:
            await client.resource(Pod).create(a_pod("p"))
            assert (await until(client, "p", placed)).spec.node_name == "fake-2"
        assert [verb for verb, _ in server.asked] == ["filter", "prioritize"]
        assert server.asked[0][1]["pod"]["metadata"]["name"] == "p"
        assert len(server.asked[1][1]["nodes"]["items"]) == 2


async def test_nodes_by_name_and_pods_that_are_none_of_its_business() -> None:
    answers: Answers = {
        "filter": lambda body: {"nodenames": ["fake-1"], "failedNodes": {}, "failedAndUnresolvableNodes": {}}
    }
    async with Server.open(answers) as server:
        managed = [{"name": "example.com/fpga", "ignoredByScheduler": True}]
        wish = {"urlPrefix": server.url, "filterVerb": "filter", "nodeCacheCapable": True, "managedResources": managed}
        async with scheduling(wish) as client:
            await client.resource(Pod).create(a_pod("plain"))
            await until(client, "plain", placed)
            assert not server.asked
            wants = {"example.com/fpga": "1"}  # which no node offers: it is the extender's business
            await client.resource(Pod).create(a_pod("special", also=wants, limits=wants))
            assert (await until(client, "special", placed)).spec.node_name == "fake-1"
            assert sorted(server.asked[0][1]["nodenames"]) == ["fake-0", "fake-1", "fake-2"]


async def test_all_nodes_refused() -> None:
    refusing = True
    answers: Answers = {
        "filter": lambda body: (
            {"nodenames": [], "failedAndUnresolvableNodes": dict.fromkeys(body["nodenames"], "no power")}
            if refusing
            else {"nodenames": body["nodenames"]}
        )
    }
    async with Server.open(answers) as server:
        wish = {"urlPrefix": server.url, "filterVerb": "filter", "nodeCacheCapable": True}
        async with scheduling(wish) as client:
            await client.resource(Pod).create(a_pod("p"))
            pod = await until(client, "p", lambda p: p.status.conditions)
            assert (pod.status.conditions or [])[0].message == (
                "0/3 nodes are available: 3 no power. no new claims to deallocate, "
                "preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
            )
            refusing = False
            await client.resource(Pod).create(a_pod("other"))  # something happens: the Pod is tried again
            await until(client, "p", placed)


async def test_it_chooses_among_victims_and_binds() -> None:
    def preempt(body: dict[str, Any]) -> Any:
        node, victims = sorted(body["nodeNameToVictims"].items())[-1]
        uids = [{"uid": pod["metadata"]["uid"]} for pod in victims["pods"]]
        return {"nodeNameToMetaVictims": {node: {"pods": uids, "numPDBViolations": 0}}}

    bound: list[dict[str, Any]] = []

    async def bind(body: dict[str, Any]) -> Any:
        bound.append(body)
        reference = ObjectReference(kind="Node", name=body["node"])
        binding = Binding(metadata=ObjectMeta(name=body["podName"], namespace=body["podNamespace"]), target=reference)
        await client.resource(Pod).create_subresource(body["podName"], body["podNamespace"], "binding", binding)
        return {}

    async with Server.open({"preempt": preempt, "bind": bind}) as server:
        wish = {"urlPrefix": server.url, "preemptVerb": "preempt", "bindVerb": "bind"}
        async with scheduling(wish) as client:
            urgent = PriorityClass(metadata=ObjectMeta(name="urgent"), value=1000)
            await client.resource(PriorityClass).create(urgent)
            for i in range(3):
                await client.resource(Pod).create(a_pod(f"low-{i}", "30"))
                await until(client, f"low-{i}", placed)
            await client.resource(Pod).create(a_pod("high", "30", priority_class_name="urgent"))
            assert (await until(client, "high", placed)).spec.node_name == "fake-2"
            assert [one["podName"] for one in bound][-1] == "high"
            assert len(bound) == 4


async def test_one_that_fails() -> None:
    answers: Answers = {"filter": lambda body: {"error": "on fire"}}
    async with Server.open(answers) as server:
        wish = {"urlPrefix": server.url, "filterVerb": "filter"}
        async with scheduling(wish) as client:
            await client.resource(Pod).create(a_pod("p"))
            pod = await until(client, "p", lambda p: p.status.conditions)
            condition = (pod.status.conditions or [])[0]
            assert (condition.reason, condition.message) == ("SchedulerError", "on fire")
    async with scheduling({"urlPrefix": server.url, "filterVerb": "filter", "ignorable": True}) as client:
        await client.resource(Pod).create(a_pod("p"))  # nobody listens there any more
        await until(client, "p", placed)


@pytest.mark.parametrize(
    ("extender", "message"),
    [
        ({"urlPrefix": "ftp://x"}, "must be an http or https URL"),
        ({"urlPrefix": "http://x", "color": "red"}, "color: unknown field"),
        ({"urlPrefix": "http://x", "managedResources": [{"name": "cpu"}]}, "invalid extended resource name"),
        ({"urlPrefix": "http://x", "httpTimeout": "soon"}, "soon is no duration"),
        ({"urlPrefix": "http://x", "prioritizeVerb": "p", "weight": -1}, "positive weight"),
        ({"urlPrefix": "https://x", "tlsConfig": {"serverName": "y"}}, "serverName: not supported"),
    ],
)
def test_configuration_is_checked(extender: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        load({**HEAD, "extenders": [extender]})


def test_one_may_bind() -> None:
    both = [{"urlPrefix": "http://x", "bindVerb": "b"}] * 2
    with pytest.raises(ConfigurationError, match="more than one extender implementing bind"):
        load({**HEAD, "extenders": both})
    config = load({**HEAD, "extenders": [{"urlPrefix": "http://x", "httpTimeout": "1m30s"}]})
    assert config.extenders[0].timeout == 90.0
