"""Every example does what it says."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

from pybernetes.aio import clock
from pybernetes.machinery import yaml

from .place import Place, Wire, condition
from .test_devices import DRIVER, device, publish

EXAMPLES = Path(__file__).parents[2] / "examples"


async def apply(place: Place, name: str) -> list[Wire]:
    """Create what a file of `workloads` says."""
    made = []
    for document in yaml.load_all((EXAMPLES / "workloads" / f"{name}.yaml").read_text()):
        body = {key: value for key, value in document.items() if key not in ("apiVersion", "kind")}
        made.append(await place.create(document["kind"], body["metadata"].pop("name"), **body))
    return made


async def run(name: str) -> Any:
    return await runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"]()


def test_each_file_is_run() -> None:
    """Every file of `workloads` is applied by a test here."""
    source = Path(__file__).read_text()
    missing = [path.stem for path in (EXAMPLES / "workloads").glob("*.yaml") if f'"{path.stem}")' not in source]
    assert not missing


async def test_deployment_with_budget_and_autoscaler() -> None:
    async with Place.open(nodes=2) as place:
        await apply(place, "deployment")
        await place.until("Deployment", "web", lambda d: d["status"].get("availableReplicas") == 3)
        await place.until("PodDisruptionBudget", "web", lambda b: b["status"]["disruptionsAllowed"] == 1)

        def active(hpa: Wire) -> bool:
            return (condition(hpa, "ScalingActive") or {})["status"] == "True"

        await place.until("HorizontalPodAutoscaler", "web", lambda h: condition(h, "ScalingActive") and active(h))


async def test_pod() -> None:
    async with Place.open(nodes=1) as place:
        await apply(place, "pod")
        pod = await place.until("Pod", "alone", lambda p: (condition(p, "Ready") or {}).get("status") == "True")
        prepare, beside = pod["status"]["initContainerStatuses"]
        assert prepare["state"]["terminated"]["exitCode"] == 0 and beside["ready"]


async def test_replicationcontroller() -> None:
    async with Place.open(nodes=1) as place:
        await apply(place, "replicationcontroller")
        await place.until("ReplicationController", "oldest", lambda r: r["status"].get("readyReplicas") == 2)


async def test_replicaset() -> None:
    async with Place.open(nodes=1) as place:
        await apply(place, "replicaset")
        await place.until("ReplicaSet", "plain", lambda r: r["status"].get("readyReplicas") == 2)


async def test_statefulset() -> None:
    async with Place.open(nodes=2) as place:
        await apply(place, "statefulset")
        await place.until("StatefulSet", "db", lambda s: s["status"].get("readyReplicas") == 3)
        assert await place.names("PersistentVolumeClaim") == {"data-db-0", "data-db-1", "data-db-2"}
        await place.delete("StatefulSet", "db")
        await place.until_listed("PersistentVolumeClaim", lambda claims: not claims)


async def test_daemonset() -> None:
    async with Place.open(nodes=3) as place:
        await place.patch("Node", "fake-1", {"spec": {"unschedulable": True}})
        await apply(place, "daemonset")
        await place.until("DaemonSet", "agent", lambda d: d["status"].get("numberReady") == 3)


async def test_job() -> None:
    async with Place.open(nodes=1) as place:
        await apply(place, "job")
        job = await place.until("Job", "pieces", lambda j: condition(j, "Complete"))
        assert (job["status"]["succeeded"], job["status"]["completedIndexes"]) == (6, "0-5")
        await place.gone("Job", "pieces", seconds=4000)


async def test_cronjob() -> None:
    async with Place.open(nodes=1) as place:
        await apply(place, "cronjob")
        await clock.sleep(600)
        assert len(await place.list("Job")) == 2
        assert (await place.get("CronJob", "report"))["status"]["lastSuccessfulTime"]


async def test_pod_with_device() -> None:
    async with Place.open(nodes=2) as place:
        await apply(place, "pod-with-device")
        await publish(place, "fake-1", device("card"))
        (pod,) = await place.running(1)
        assert pod["spec"]["nodeName"] == "fake-1"
        assert DRIVER == "gpu.example.com"


async def test_own_scheduler_plugins() -> None:
    placed = await run("scheduler_plugin")
    assert placed["blue"] == "fake-1"
    assert placed["red"] in ("fake-0", "fake-2")
    assert await run("scheduler_plugin_vectorised") == {
        "rich": "fake-2",
        "poor": "0/3 nodes are available: 3 node(s) cost too much. "
        "no new claims to deallocate, preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.",
    }


async def test_own_controller() -> None:
    assert await run("controller") == ["<h1>Hello</h1>", "<h1>Hello</h1>", ""]
