"""All controllers together: a namespace full of everything comes, rests and goes."""

from __future__ import annotations

from typing import Any

import pytest

from pybernetes.api.apps_v1 import DaemonSet, Deployment, StatefulSet
from pybernetes.api.batch_v1 import CronJob, Job
from pybernetes.api.core_v1 import ConfigMap, Namespace, Node, Pod, Service
from pybernetes.api.policy_v1 import PodDisruptionBudget
from pybernetes.client.client import Client
from pybernetes.control_plane.controllers.manager import PLAIN, Config, ControllerManager
from pybernetes.machinery import codec

from .world import World, template, wire

N = "n"


def labelled(app: str, **spec: Any) -> dict[str, Any]:
    return {"selector": {"matchLabels": {"app": app}}, "template": template({"app": app}), **spec}


async def fill(world: World) -> None:
    """One of everything that makes Pods, in namespace `n`."""
    await world.client.resource(Namespace).create(codec.from_dict(Namespace, {"metadata": {"name": N}}))
    await world.create(codec.from_dict(Node, {"metadata": {"name": "node"}}))
    await world.client.resource(Node).patch("node", "", {"spec": {"taints": None}})
    await world.settle()
    job = {"template": template({}, restartPolicy="Never")}
    await world.create(wire(Deployment, "d", labelled("d", replicas=3), namespace=N))
    await world.create(wire(StatefulSet, "s", labelled("s", replicas=2, serviceName="s"), namespace=N))
    await world.create(wire(DaemonSet, "ds", labelled("ds"), namespace=N))
    await world.create(wire(Job, "j", {**job, "completions": 1}, namespace=N))
    await world.create(wire(CronJob, "c", {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": job}}, namespace=N))
    await world.create(wire(Service, "svc", {"selector": {"app": "d"}, "ports": [{"port": 80}]}, namespace=N))
    budget = {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "d"}}}
    await world.create(wire(PodDisruptionBudget, "b", budget, namespace=N))
    await world.until(Deployment, "d", lambda d: d.status.available_replicas == 3, N)
    await world.until(StatefulSet, "s", lambda s: s.status.available_replicas == 2, N)
    await world.until(DaemonSet, "ds", lambda d: d.status.number_available == 1, N)
    await world.until(Job, "j", lambda j: any(c.type == "Complete" for c in j.status.conditions or ()), N)
    await world.until(PodDisruptionBudget, "b", lambda b: b.status.disruptions_allowed == 1, N)


async def test_everything_comes_rests_and_goes() -> None:
    async with World("*", root_ca="PEM") as world:
        world.phase = lambda pod: "Succeeded" if pod.metadata.name.startswith("j-") else "Running"
        await fill(world)
        await world.settle(700)  # the node falls silent once, Pods of Jobs are released, Events settle
        before = (await world.client.resource(ConfigMap).list(N)).resource_version
        requests = count_writes(world)
        await world.settle(6 * 3600)
        assert requests == [], (before, requests)  # a cluster in which nothing happens writes nothing
        await world.client.resource(Namespace).delete(N)
        await world.gone(Namespace, N)
        assert await world.list(Pod, N) == []


def count_writes(world: World) -> list[str]:
    """A list that grows with each write of a controller from now on."""
    found: list[str] = []
    transport = world.manager.client.transport
    inner = transport.request

    async def request(request: Any) -> Any:
        if request.method != "GET":
            found.append(f"{request.method} {request.path}")
        return await inner(request)

    transport.request = request  # type: ignore[method-assign]
    return found


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (("*",), {kind.name for kind in PLAIN} | {"node-controller", "pod-garbage-collector-controller"}),
        (("job-controller",), {"job-controller"}),
        (("*", "-job-controller"), {kind.name for kind in PLAIN} - {"job-controller"}),
    ],
)
async def test_which_controllers_run(wanted: tuple[str, ...], expected: set[str]) -> None:
    manager = ControllerManager(Config(controllers=wanted), Client(None))  # type: ignore[arg-type]
    names = {controller.name for controller in manager.manager.controllers}
    assert expected <= names
    assert ("job-controller" in names) == ("job-controller" in expected)
