"""Pod start: from POST to the watch event that shows Ready, and the same three CRI calls made directly.

Both in turns on one node, so that the ratio says what the kubelet and the API server add, whatever else the machine
does. Each start waits until what came before it is gone from the runtime: else starts would be measured against the
removals of their predecessors, which stopping and removing a sandbox makes dearer than starting one.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from contextlib import aclosing
from pathlib import Path

from pybernetes.api.core_v1 import Container, Pod, PodSpec
from pybernetes.bootstrap import cluster as clusters
from pybernetes.bootstrap import node_host
from pybernetes.client import kubeconfig
from pybernetes.client.client import Client
from pybernetes.client.http import HTTPTransport
from pybernetes.machinery.meta import ObjectMeta
from pybernetes.node.cri import types as t
from pybernetes.node.cri.client import CRIClient
from pybernetes.node.kubelet.configs import POD_UID

IMAGE = "docker.io/library/busybox:latest"
#: Ends at once when it is asked to.
COMMAND = ["sh", "-c", "trap exit TERM; sleep 3600 & wait"]
#: How often the two take turns.
ROUNDS = 4


async def measure(directory: Path, concurrency: int) -> tuple[float, float]:
    """(p50 of the raw calls, p50 from POST to Ready), seconds."""
    count = max(2 * concurrency, 6)
    raw, ready = list[float](), list[float]()
    found = clusters.find("", str(directory))
    assert found is not None
    node = found.state.nodes[0].name
    runtime = CRIClient(node_host.containerd_config(found, node).socket)
    connection = kubeconfig.load([found.kubeconfig], explicit=True).connection()
    try:
        await _raw(runtime, 1, 1)  # the first container of an image unpacks it
        async with HTTPTransport(connection) as transport:
            for _ in range(ROUNDS):
                raw += await _raw(runtime, count, concurrency)
                ready += await _pods(Client(transport), runtime, count, concurrency)
    finally:
        await runtime.close()
    return statistics.median(raw), statistics.median(ready)


async def _raw(runtime: CRIClient, count: int, concurrency: int) -> list[float]:
    times: list[float] = []
    numbers = iter(range(count))

    async def worker() -> None:
        for number in numbers:
            began = time.perf_counter()
            meta = t.PodSandboxMetadata(name=f"raw{number}", uid=f"raw{number}", namespace="bench", attempt=0)
            config = t.PodSandboxConfig(metadata=meta, hostname="raw")
            sandbox = await runtime.run_pod_sandbox(config)
            container = t.ContainerConfig(
                metadata=t.ContainerMetadata(name="c", attempt=0),
                image=t.ImageSpec(image=IMAGE),
                command=COMMAND,
            )
            made = await runtime.create_container(sandbox, container, config)
            await runtime.start_container(made)
            times.append(time.perf_counter() - began)
            await runtime.stop_pod_sandbox(sandbox)
            await runtime.remove_pod_sandbox(sandbox)

    async with asyncio.TaskGroup() as group:
        for number in range(concurrency):
            group.create_task(worker(), name=f"raw-{number}")
    return times


async def _pods(client: Client, runtime: CRIClient, count: int, concurrency: int) -> list[float]:
    pods = client.resource(Pod)
    began: dict[str, float] = {}
    times: list[float] = []
    ready: dict[str, asyncio.Event] = {f"p{concurrency}-{number}": asyncio.Event() for number in range(count)}
    start = (await pods.list("default")).resource_version

    async def watch() -> None:
        async with aclosing(pods.watch("default", resource_version=start)) as events:  # type: ignore[type-var]
            async for event in events:
                pod = event.object
                name = pod.metadata.name
                is_ready = any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions or ())
                if is_ready and name in ready and not ready[name].is_set():
                    times.append(time.perf_counter() - began[name])
                    ready[name].set()

    numbers = iter(range(count))

    async def worker() -> None:
        for number in numbers:
            name = f"p{concurrency}-{number}"
            container = Container(name="c", image=IMAGE, image_pull_policy="IfNotPresent", command=COMMAND)
            spec = PodSpec(
                containers=[container], termination_grace_period_seconds=0, automount_service_account_token=False
            )
            began[name] = time.perf_counter()
            pod = await pods.create(Pod(metadata=ObjectMeta(name=name, namespace="default"), spec=spec))
            await ready[name].wait()
            await pods.delete(name, "default")
            while await runtime.list_pod_sandboxes(labels={POD_UID: pod.metadata.uid}):  # noqa: ASYNC110
                await asyncio.sleep(0.02)  # nothing tells of a removal

    watching = asyncio.get_running_loop().create_task(watch(), name="watch")
    try:
        async with asyncio.TaskGroup() as group:
            for number in range(concurrency):
                group.create_task(worker(), name=f"pods-{number}")
    finally:
        watching.cancel()
    return times
