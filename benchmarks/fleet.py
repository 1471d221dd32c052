"""Large clusters of fake nodes: how soon they are there, their memory, and what they cost when nothing happens.

The first rows are of `up --fake-nodes`, where nodes and control plane share a process: their memory is that of both.
For the others each part is a process of its own, so that the kernel tells whose CPU time it was; the nodes are played
by this one, over TLS, and renew their leases every 10 seconds as kubelets do.

    python -m benchmarks.fleet [up] [rollover] [heartbeats] [--nodes 5000] [--pods 10000] [--replicas 1000]
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from pathlib import Path

import uvloop

from benchmarks.__main__ import Served, row, served
from pybernetes.aio import clock
from pybernetes.aio.tasks import Nursery
from pybernetes.api.apps_v1 import Deployment, DeploymentSpec
from pybernetes.api.core_v1 import Container, PodSpec, PodTemplateSpec
from pybernetes.bootstrap import cluster as clusters
from pybernetes.bootstrap import local, processes
from pybernetes.client import kubeconfig
from pybernetes.client.client import Client
from pybernetes.client.http import HTTPTransport
from pybernetes.machinery.meta import LabelSelector, ObjectMeta
from pybernetes.node.kubelet import fake_nodes

#: Seconds that an idle cluster is looked at.
IDLE = 30.0


def deployment(replicas: int) -> Deployment:
    """Small Pods."""
    labels = {"app": "web"}
    template = PodTemplateSpec(
        metadata=ObjectMeta(labels=labels), spec=PodSpec(containers=[Container(name="c", image="web:1")])
    )
    return Deployment(
        metadata=ObjectMeta(name="web", namespace="default"),
        spec=DeploymentSpec(replicas=replicas, selector=LabelSelector(match_labels=labels), template=template),
    )


async def rolled_out(client: Client, replicas: int) -> None:
    """Until all replicas are of the newest version, and available."""
    api = client.resource(Deployment)
    start = (await api.list("default")).resource_version

    def done(found: Deployment) -> bool:
        status, generation = found.status, found.metadata.generation or 0
        counts = (status.replicas, status.updated_replicas, status.available_replicas)
        return (status.observed_generation or 0) >= generation and counts == (replicas,) * 3

    if done(await api.get("web", "default")):
        return
    async with aclosing(api.watch("default", resource_version=start)) as events:  # type: ignore[type-var]
        async for event in events:
            if done(event.object):
                return


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def create_and_wait(cluster: Served, pods: int) -> float:
    """Seconds from the Deployment to all Pods available."""
    connection = kubeconfig.load([cluster.directory / "kubeconfig"], explicit=True).connection()
    async with HTTPTransport(connection) as transport:
        client = Client(transport)
        began = time.perf_counter()
        await client.resource(Deployment).create(deployment(pods))
        await rolled_out(client, pods)
        return time.perf_counter() - began


def up(nodes: int, pods: int) -> None:
    """All in one process, as a person would have it."""
    with served() as cluster:
        time.sleep(3)
        empty = cluster.memory("control-plane")
    with served(fake_nodes=nodes) as cluster:
        row(f"{nodes:,} fake nodes Ready, with the command", "10 s", f"{cluster.up_seconds:.1f} s")
        time.sleep(5)
        with_nodes = cluster.memory("control-plane")
        row(
            "memory per node (its share of the control plane, too)",
            "",
            f"{(with_nodes - empty) / nodes * 1024:.1f} KiB",
        )
        before = cluster.cpu()
        time.sleep(IDLE)
        share = (cluster.cpu() - before) / IDLE
        row(f"idle with {nodes:,} fake nodes, all in one process", "25 % of a core", f"{share:.1%}")
        seconds = uvloop.run(create_and_wait(cluster, pods))
        row(f"{pods:,} Pods of a Deployment Running", "15 s", f"{seconds:.1f} s")
        time.sleep(5)
        grown = cluster.memory("control-plane") - with_nodes
        row("memory per Pod", "", f"{grown / pods * 1024:.1f} KiB")


@contextmanager
def parts() -> Iterator[tuple[clusters.Cluster, dict[str, int]]]:
    """API server, controllers and scheduler: the cluster, and name -> pid."""
    with tempfile.TemporaryDirectory(prefix="pybernetes-bench-") as home:
        os.environ["PYBERNETES_HOME"] = home
        made = clusters.create(
            "bench", data_dir=None, api_host="127.0.0.1", api_port=None, store="sqlite", nodes=0, fake_nodes=0
        )
        local.ensure_credentials(made)
        commands = {"apiserver": ["--data-dir", str(made.directory)]}
        for name in ("controller-manager", "scheduler"):
            commands[name] = ["--kubeconfig", str(made.directory / f"{name}.conf")]
        files = {name: made.directory / "run" / f"{name}.pid" for name in commands}
        started = []
        try:
            for name, flags in commands.items():
                begun = processes.start(name, [name, *flags], pid_file=files[name], log=made.log(name))
                started.append(begun)
                begun.wait_ready(60)
            yield made, {name: json.loads(path.read_text())["pid"] for name, path in files.items()}
        finally:
            for path in files.values():
                processes.stop(path)
            for begun in started:
                begun.process.wait(10)


@asynccontextmanager
async def fleet(made: clusters.Cluster, nodes: int) -> AsyncIterator[Client]:
    """Nodes, played by this process."""
    connection = kubeconfig.load([made.kubeconfig], explicit=True).connection()
    async with HTTPTransport(connection) as transport, Nursery("fleet") as nursery:
        client = Client(transport)
        fakes = fake_nodes.FakeNodes(fake_nodes.Config(count=nodes, lease_interval=10.0), client)
        nursery.start(fakes.run(), "fake-nodes")
        await fakes.ready.wait()
        yield client


def used(pids: dict[str, int], before: dict[str, float]) -> dict[str, float]:
    """CPU seconds by part since then."""
    return {name: cpu_seconds(pid) - before[name] for name, pid in pids.items()}


async def rollover(replicas: int) -> None:
    """A Deployment with the default strategy gets another image."""
    with parts() as (made, pids):
        async with fleet(made, max(replicas // 50, 4)) as client:
            api = client.resource(Deployment)
            await api.create(deployment(replicas))
            await rolled_out(client, replicas)
            before, began = {name: cpu_seconds(pid) for name, pid in pids.items()}, time.perf_counter()
            image = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "web:2"}]}}}}
            await api.patch("web", "default", image, type="strategic")
            await rolled_out(client, replicas)
            seconds, spent = time.perf_counter() - began, used(pids, before)
    cpu = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in spent.items())
    row(f"Deployment of {replicas:,} replicas rolled over", "", f"{seconds:.1f} s; CPU: {cpu}")


async def heartbeats(nodes: int) -> None:
    """Nothing but leases."""
    with parts() as (made, pids):
        async with fleet(made, nodes):
            await clock.sleep(15)
            before = {name: cpu_seconds(pid) for name, pid in pids.items()}
            await clock.sleep(IDLE)
            spent = used(pids, before)
    shares = ", ".join(f"{name} {seconds / IDLE:.1%}" for name, seconds in spent.items())
    total = sum(spent.values()) / IDLE
    row(f"idle with {nodes:,} nodes, a lease each 10 s", "25 % of a core", f"{total:.1%} ({shares})")


def main() -> None:
    """The rows asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", nargs="*", default=["up", "rollover", "heartbeats"])
    parser.add_argument("--nodes", type=int, default=5000)
    parser.add_argument("--pods", type=int, default=10000)
    parser.add_argument("--replicas", type=int, default=1000)
    options = parser.parse_args()
    if "up" in options.what:
        up(options.nodes, options.pods)
    if "rollover" in options.what:
        uvloop.run(rollover(options.replicas))
    if "heartbeats" in options.what:
        uvloop.run(heartbeats(options.nodes))


if __name__ == "__main__":
    main()
