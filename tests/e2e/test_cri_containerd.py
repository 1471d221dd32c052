# ruff: noqa: ASYNC110, ASYNC240
"""The real runtime: the contract on a containerd of our own, its network, its survival, and its removal.

Everything lives in a network namespace and below a temporary directory; the last test compares the machine before and
after. The images are assembled here.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from pybernetes.bootstrap import images
from pybernetes.network.cni import Config as NetworkConfig
from pybernetes.network.cni import PodNetwork
from pybernetes.node.containerd import process, removal
from pybernetes.node.containerd.content import import_archive
from pybernetes.node.containerd.process import Containerd
from pybernetes.node.containerd.settings import Config
from pybernetes.node.cri import types as t
from pybernetes.node.cri.client import CRIClient
from tests.suites import runtime_contract
from tests.suites.runtime_contract import World

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.real_time,
    pytest.mark.skipif(os.geteuid() != 0 or shutil.which("containerd") is None, reason="needs root and containerd"),
]


class Node:
    """A containerd with its network, in a namespace of its own."""

    def __init__(self, directory: Path, name: str) -> None:
        self.directory = directory
        self.namespace = name
        netns = Path("/run/netns") / name
        self.config = Config(
            data_dir=directory / "containerd",
            cni_conf_dir=directory / "cni",
            sandbox_image=images.PAUSE,
            netns=netns,
        )
        self.network = PodNetwork(
            NetworkConfig(
                cluster=name,
                node="node",
                pod_cidr="10.244.1.0/24",
                cluster_cidr="10.244.0.0/16",
                service_cidr="10.96.0.0/16",
                conf_dir=directory / "cni",
                data_dir=directory / "network",
                netns=netns,
            )
        )

    async def start(self) -> None:
        _run("ip", "netns", "add", self.namespace)
        _run("ip", "-n", self.namespace, "link", "set", "lo", "up")
        await self.network.setup()
        await Containerd(self.config).start()
        async with self.client() as client:
            for archive in images.assemble(self.directory / "images", ["pause", "busybox", "hello"]):
                await import_archive(client, archive)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[CRIClient]:
        client = CRIClient(self.config.socket)
        try:
            yield client
        finally:
            await client.close()

    @asynccontextmanager
    async def world(self) -> AsyncIterator[World]:
        async with self.client() as client:
            yield World(
                client,
                image=images.BUSYBOX,
                log_directory=str(self.directory / "logs"),
                cgroup_parent=f"/{self.namespace}",
            )

    async def remove(self) -> None:
        await removal.teardown(self.config)
        await self.network.teardown()
        if (Path("/run/netns") / self.namespace).exists():
            _run("ip", "netns", "del", self.namespace)
        for parent in Path("/sys/fs/cgroup").glob(f"*/{self.namespace}"):
            parent.rmdir()  # the kubelet's to make and to remove; it must be empty


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = Node(tmp_path_factory.mktemp("node"), "pbt-contract")
    try:
        asyncio.run(node.start())
        yield node
    finally:
        asyncio.run(node.remove())


@pytest.mark.parametrize("check", runtime_contract.CHECKS)
async def test_contract(node: Node, check: Callable[[World], Awaitable[None]]) -> None:
    async with node.world() as world:
        await check(world)


async def test_two_containers_share_the_network_and_write_logs(node: Node) -> None:
    async with node.world() as world, world.pod() as pod:
        await world.start(pod, "nc", "-l", "-p", "7000", "-e", "echo", "shared", name="server")
        client = await world.start(pod, "sleep", "3600", name="client")
        command = ["sh", "-c", "until nc -w 2 127.0.0.1 7000; do :; done </dev/null"]
        assert (await world.runtime.exec_sync(client, command, timeout=10)).stdout == b"shared\n"
        async with world.listening() as until:
            talker = await world.start(pod, "echo", "to the log", name="talker")
            await until(talker, t.EventKind.EXITED)
        path = (await world.runtime.container_status(talker)).log_path
        assert Path(path).read_text().endswith(" stdout F to the log\n")


async def test_hello_answers_and_ends_at_once(node: Node) -> None:
    async with node.world() as world, world.pod() as pod, world.listening() as until:
        config = t.ContainerConfig(metadata=t.ContainerMetadata(name="web"), image=t.ImageSpec(image="hello:latest"))
        web = await world.runtime.create_container(pod[0], config, pod[1])
        await world.runtime.start_container(web)
        client = await world.start(pod, "sleep", "3600", name="client")
        ask = "until printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc 127.0.0.1 8080 | grep Hello; do :; done"
        answer = await world.runtime.exec_sync(client, ["sh", "-c", ask], timeout=10)
        assert answer.stdout.decode() == f"Hello from {pod[1].hostname}\n"
        start = asyncio.get_running_loop().time()
        await world.runtime.stop_container(web, 10)
        assert (await until(web, t.EventKind.EXITED)).exit_code == 0
        assert asyncio.get_running_loop().time() - start < 2


async def test_an_oom_kill_is_told(node: Node) -> None:
    async with node.world() as world, world.pod() as pod, world.listening() as until:
        linux = t.LinuxContainerConfig(resources=t.LinuxContainerResources(memory_limit_in_bytes=16 << 20))
        config = t.ContainerConfig(
            metadata=t.ContainerMetadata(name="greedy"),
            image=t.ImageSpec(image=world.image),
            command=["sh", "-c", "x=aaaaaaaaaaaaaaaa; while true; do x=$x$x; done"],
            linux=linux,
        )
        id = await world.runtime.create_container(pod[0], config, pod[1])
        await world.runtime.start_container(id)
        assert (await until(id, t.EventKind.EXITED)).exit_code == 137
        status = await world.runtime.container_status(id)
        assert (status.reason, status.exit_code) == ("OOMKilled", 137)


async def test_pods_cannot_reach_out_with_cluster_addresses(node: Node) -> None:
    rules = _run("ip", "netns", "exec", node.namespace, "nft", "list", "table", "inet", node.network.config.table)
    assert "drop" in rules and "10.244.0.0/16" in rules and "10.96.0.0/16" in rules
    routes = _run("ip", "-n", node.namespace, "route", "show", "table", "all")
    assert "blackhole 10.244.0.0/16" in routes
    assert f"10.96.0.0/16 dev {node.network.config.service_link}" in routes


async def test_a_restarted_agent_finds_containerd_and_its_containers(node: Node) -> None:
    async with node.world() as world, world.pod() as pod:
        id = await world.start(pod, "sleep", "3600")
        before = process.running(node.config)
        agent = Containerd(node.config)
        run = asyncio.get_running_loop().create_task(agent.run(), name="agent")
        assert await agent.ready.wait() == node.config.socket
        assert process.running(node.config) == before

        assert before is not None
        os.kill(before, signal.SIGKILL)
        async with asyncio.timeout(20):
            while (now := process.running(node.config)) is None or now == before:
                await asyncio.sleep(0.02)
            while True:
                try:
                    status = await world.runtime.container_status(id)
                    break
                except Exception:
                    await asyncio.sleep(0.02)
        assert status.state is t.ContainerState.RUNNING
        assert agent.restarts == 1
        run.cancel()
        await asyncio.wait([run])
        assert process.running(node.config) == now


async def test_importing_again_changes_nothing(node: Node) -> None:
    async with node.client() as client:
        before = {image.id: image for image in await client.list_images()}
        for archive in images.assemble(node.directory / "images", ["pause", "busybox", "hello"]):
            await import_archive(client, archive)
        assert {image.id: image for image in await client.list_images()} == before
    names = {tag for image in before.values() for tag in image.repo_tags}
    assert {images.PAUSE, images.BUSYBOX, images.HELLO} <= names


def _machine() -> dict[str, set[str]]:
    """What a node may leave behind."""
    return {
        "mounts": {line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()},
        "links": {line.split(": ")[1] for line in _run("ip", "-o", "link").splitlines()},
        "routes": set(_run("ip", "route", "show", "table", "all").splitlines()),
        "namespaces": set(os.listdir("/run/netns")) if Path("/run/netns").exists() else set(),
        "rules": set(_run("nft", "-s", "list", "ruleset").splitlines()),
        "cgroups": {str(p) for p in Path("/sys/fs/cgroup").glob("*/*") if p.is_dir()},
        "processes": {str(p) for p in _containerds()},
        "sockets": {str(p) for p in Path("/run/containerd").glob("**/*")},
        "state": {str(p) for p in Path("/run/pybernetes").glob("*")},
        "forwarding": {Path("/proc/sys/net/ipv4/ip_forward").read_text()},
    }


def _containerds() -> list[int]:
    """containerd, shims and sandboxes that are alive (zombies have no command line)."""
    return [p for p, (_, command) in removal._processes().items() if b"containerd" in command or b"/pause" in command]


@pytest.mark.parametrize("how", ["politely", "by force", "twice"])
async def test_removal_leaves_nothing(tmp_path: Path, how: str) -> None:
    before = _machine()
    node = Node(tmp_path, "pbt-removal")
    try:
        await node.start()
        async with node.world() as world:
            for _ in range(2):
                config = world.sandbox(port_mappings=[t.PortMapping(container_port=80, host_port=0)])
                await world.start((await world.runtime.run_pod_sandbox(config), config), "sleep", "3600")
        if how == "by force":
            pid = process.running(node.config)
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            await process.wait_for_exit(pid)
    finally:
        await node.remove()
    if how == "twice":
        await node.remove()
    assert not node.config.state.exists() and not node.config.data_dir.exists()
    after = _machine()
    assert {kind: after[kind] - before[kind] for kind in after} == {kind: set() for kind in after}
