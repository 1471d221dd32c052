# ruff: noqa: ASYNC221
"""The Pod network on a real kernel: what is dropped, what is let through, host ports, and its removal.

Two namespaces stand for the node and the world it has an uplink to; nothing touches the machine's own network.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pybernetes.network.cni import CONNTRACK, Config, PodNetwork
from pybernetes.network.links import Namespace, NetworkError
from pybernetes.network.sysctls import claim, release
from pybernetes.node.containerd.removal import teardown
from pybernetes.node.cri import types as t
from tests.e2e.leaks import watched
from tests.e2e.test_cri_containerd import Node

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.real_time,
    pytest.mark.skipif(os.geteuid() != 0 or shutil.which("nft") is None, reason="needs root and nftables"),
]

NODE, WORLD = "pbt-net", "pbt-net-world"


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def world() -> Iterator[None]:
    """The node's namespace with an uplink `up0` (192.0.2.1) to a world (192.0.2.2) that is its default route."""
    for name in (NODE, WORLD):
        run("ip", "netns", "add", name)
        run("ip", "-n", name, "link", "set", "lo", "up")
    try:
        run("ip", "-n", NODE, "link", "add", "up0", "type", "veth", "peer", "name", "down0", "netns", WORLD)
        run("ip", "-n", NODE, "addr", "add", "192.0.2.1/24", "dev", "up0")
        run("ip", "-n", WORLD, "addr", "add", "192.0.2.2/24", "dev", "down0")
        run("ip", "-n", NODE, "link", "set", "up0", "up")
        run("ip", "-n", WORLD, "link", "set", "down0", "up")
        run("ip", "-n", NODE, "route", "add", "default", "via", "192.0.2.2")
        yield
    finally:
        for name in (NODE, WORLD):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def network(tmp_path: Path) -> PodNetwork:
    return PodNetwork(
        Config(
            cluster="net",
            node="node",
            pod_cidr="10.244.1.0/24",
            cluster_cidr="10.244.0.0/16",
            service_cidr="10.96.0.0/16",
            conf_dir=tmp_path / "cni",
            data_dir=tmp_path / "network",
            netns=Path("/run/netns") / NODE,
        )
    )


def snapshot() -> tuple[str, str, str, str]:
    return (
        run("ip", "-n", NODE, "-o", "link"),
        run("ip", "-n", NODE, "route"),
        run("ip", "netns", "exec", NODE, "nft", "list", "ruleset"),
        run("ip", "netns", "exec", NODE, "cat", "/proc/sys/net/ipv4/ip_forward"),
    )


def dropped(table: str, namespace: str = NODE) -> int:
    text = run("ip", "netns", "exec", namespace, "nft", "-j", "list", "table", "inet", table)
    for item in json.loads(text)["nftables"]:
        for part in item.get("rule", {}).get("expr", []):
            if "counter" in part:
                return int(part["counter"]["packets"])
    raise AssertionError("no counter")


async def test_nothing_leaks_and_nothing_remains(world: None, tmp_path: Path) -> None:
    before = snapshot()
    pods = network(tmp_path)
    stack = contextlib.ExitStack()
    ranges = (pods.config.cluster_cidr, pods.config.service_cidr)
    watch = stack.enter_context(watched("leaks", ranges, ("ip", "netns", "exec", NODE)))
    assert watch is not None
    lost = ["ip", "netns", "exec", NODE, "busybox", "ping", "-c", "1", "-W", "1", "10.244.7.7"]
    subprocess.run(lost, capture_output=True, check=False)
    leaked = watch.packets()
    assert leaked > 0  # so it was without us
    await pods.setup()
    await pods.setup()
    assert pods.config.conflist.exists()
    assert snapshot()[3] == "1\n"
    assert run("ip", "netns", "exec", NODE, "sysctl", "-n", *CONNTRACK).split() == [*CONNTRACK.values()]
    ping = ["ip", "netns", "exec", NODE, "busybox", "ping", "-c", "1", "-W", "1"]
    assert subprocess.run([*ping, "192.0.2.2"], capture_output=True).returncode == 0
    # The routes alone would do; take them away, as some other program might, and the rule still holds.
    run("ip", "-n", NODE, "route", "del", "blackhole", "10.244.0.0/16")
    run("ip", "-n", NODE, "route", "del", "10.96.0.0/16")
    for address in ("10.244.7.7", "10.96.7.7"):
        assert subprocess.run([*ping, address], capture_output=True).returncode != 0
    assert dropped(pods.config.table) == 2
    assert watch.packets() == leaked
    stack.close()
    await pods.teardown()
    assert snapshot() == before
    await pods.teardown()
    assert not pods.config.conflist.exists() and not pods.config.data_dir.exists()


async def test_host_ports_work_and_go(tmp_path: Path) -> None:
    node = Node(tmp_path, "pbt-hostport")
    exec_ = ["ip", "netns", "exec", node.namespace]
    try:
        await node.start()
        async with node.world() as world:
            for forced in (False, True):
                ports = [t.PortMapping(container_port=8080, host_port=18080)]
                config = world.sandbox(port_mappings=ports)
                pod = (await world.runtime.run_pod_sandbox(config), config)
                hello = t.ContainerConfig(
                    metadata=t.ContainerMetadata(name="web"), image=t.ImageSpec(image="hello:latest")
                )
                web = await world.runtime.create_container(pod[0], hello, config)
                await world.runtime.start_container(web)
                ask = "until printf 'GET / HTTP/1.0\\r\\n\\r\\n' | busybox nc -w 2 127.0.0.1 18080; do :; done"
                answer = subprocess.run([*exec_, "timeout", "10", "sh", "-c", ask], capture_output=True, text=True)
                assert f"Hello from {config.hostname}" in answer.stdout
                assert "CNI-HOSTPORT" in run(*exec_, "iptables-save", "-t", "nat")
                if not forced:
                    await world.runtime.remove_pod_sandbox(pod[0])
        await teardown(node.config, patience=0)  # containerd gets no chance to clean up
        await node.network.teardown()
        assert "CNI-" not in run(*exec_, "iptables-save", "-t", "nat")
        assert "veth" not in run("ip", "-n", node.namespace, "-o", "link")
    finally:
        await node.remove()


async def test_settings_are_shared_between_owners(world: None, tmp_path: Path) -> None:
    inside, registry = Namespace(Path("/run/netns") / NODE), tmp_path / "sysctls.json"
    name = "net.ipv4.conf.all.log_martians"
    await claim(inside, "one", {name: "1", "net.no.such": "1"}, registry)
    await claim(inside, "two", {name: "1"}, registry)
    await release(inside, "one", registry)
    assert await inside.read_sysctl(name) == "1"
    await release(inside, "two", registry)
    assert await inside.read_sysctl(name) == "0" and not registry.exists()
    await release(inside, "two", registry)


async def test_failures_tell_the_command(world: None) -> None:
    with pytest.raises(NetworkError, match="no-such-link"):
        await Namespace(Path("/run/netns") / NODE).ip(["link set no-such-link up"])
