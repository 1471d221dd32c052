"""Several nodes' Pod networks on a real kernel: packets between them in both modes, and nodes that leave.

Namespaces stand for the nodes, on one link that is also their uplink; an address on the loopback interface of each
stands for a Pod. Nothing touches the machine's own network.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pybernetes.network.cni import Config, Ranges
from pybernetes.network.overlay import Overlay, Peer
from tests.e2e.test_cri_network import dropped, run

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.real_time,
    pytest.mark.skipif(os.geteuid() != 0 or shutil.which("nft") is None, reason="needs root and nftables"),
]

NODES = ("pbt-over1", "pbt-over2", "pbt-over3")
WIRE = "pbt-overwire"
PEERS = [Peer(f"10.244.{i}.0/24", f"192.0.2.{i}") for i in (1, 2, 3)]


@pytest.fixture
def nodes() -> Iterator[None]:
    for name in (*NODES, WIRE):
        run("ip", "netns", "add", name)
        run("ip", "-n", name, "link", "set", "lo", "up")
    try:
        run("ip", "-n", WIRE, "link", "add", "br0", "type", "bridge")
        run("ip", "-n", WIRE, "link", "set", "br0", "up")
        run("ip", "-n", WIRE, "addr", "add", "192.0.2.254/24", "dev", "br0")
        for i, name in enumerate(NODES, 1):
            run("ip", "-n", name, "link", "add", "up0", "type", "veth", "peer", "name", f"port{i}", "netns", WIRE)
            run("ip", "-n", WIRE, "link", "set", f"port{i}", "master", "br0", "up")
            run("ip", "-n", name, "addr", "add", f"192.0.2.{i}/24", "dev", "up0")
            run("ip", "-n", name, "link", "set", "up0", "up")
            run("ip", "-n", name, "route", "add", "default", "via", "192.0.2.254")
            run("ip", "-n", name, "addr", "add", f"10.244.{i}.9/32", "dev", "lo")
        yield
    finally:
        for name in (*NODES, WIRE):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def overlay(tmp_path: Path, number: int, mode: str) -> Overlay:
    return Overlay(
        Config(
            cluster="overlay",
            node=f"node-{number}",
            pod_cidr=f"10.244.{number}.0/24",
            cluster_cidr="10.244.0.0/16",
            service_cidr="10.96.0.0/16",
            conf_dir=tmp_path / f"cni{number}",
            data_dir=tmp_path / f"network{number}",
            mode=mode,
            node_address=f"192.0.2.{number}",
            netns=Path("/run/netns") / NODES[number - 1],
        )
    )


def ping(source: int, target: int, size: int = 56) -> bool:
    command = f"busybox ping -c 1 -W 1 -s {size} -I 10.244.{source}.9 10.244.{target}.9"
    done = subprocess.run(["ip", "netns", "exec", NODES[source - 1], *command.split()], capture_output=True)
    return done.returncode == 0


def fragmented(number: int) -> int:
    """Packets that the node had to cut."""
    text = run("ip", "netns", "exec", NODES[number - 1], "cat", "/proc/net/snmp")
    names, values = [line.split() for line in text.splitlines() if line.startswith("Ip:")]
    return int(values[names.index("FragOKs")])


def sent(number: int, link: str) -> int:
    (found,) = json.loads(run("ip", "-n", NODES[number - 1], "-json", "-s", "link", "show", "dev", link))
    return int(found["stats64"]["tx"]["packets"])


@pytest.mark.parametrize("mode", ["routes", "vxlan"])
async def test_pods_of_all_nodes_reach_each_other(nodes: None, tmp_path: Path, mode: str) -> None:
    everyone = {number: overlay(tmp_path, number, mode) for number in (1, 2, 3)}
    before = {number: run("ip", "-n", NODES[number - 1], "route") for number in everyone}
    for number, one in everyone.items():
        await one.setup()
        await one.connect([peer for peer in PEERS if peer != PEERS[number - 1]])
    mtu = json.loads(everyone[1].config.conflist.read_text())["plugins"][0]["mtu"]
    assert mtu == (1450 if mode == "vxlan" else 1500)
    for source in everyone:
        for target in everyone:
            if source != target:
                assert ping(source, target, mtu - 28), f"{source} to {target}, a packet as large as Pods may send"
    assert [fragmented(number) for number in everyone] == [0, 0, 0]
    if mode == "vxlan":
        assert sent(1, everyone[1].config.vxlan_link) >= 2

    await everyone[1].setup()  # as when the agent starts anew
    assert ping(1, 2) and ping(1, 3)
    await everyone[1].connect([PEERS[1]])  # the third has left
    assert ping(1, 2) and not ping(1, 3)
    text = run("ip", "-n", NODES[0], "route") + run("ip", "-n", NODES[0], "neigh", "show", "nud", "permanent")
    assert "10.244.3.0" not in text
    assert dropped(everyone[1].config.table, NODES[0]) == 0, "the blackhole route already said no"
    run("ip", "-n", NODES[0], "route", "add", "10.244.3.0/24", "via", "192.0.2.254")
    assert not ping(1, 3)
    assert dropped(everyone[1].config.table, NODES[0]) > 0, "what is no node's leaves by no uplink"
    run("ip", "-n", NODES[0], "route", "del", "10.244.3.0/24")
    await everyone[1].connect(PEERS[1:])
    assert ping(1, 3)

    for number, one in everyone.items():
        await one.teardown()
        assert run("ip", "-n", NODES[number - 1], "route") == before[number]
        assert "pbv" not in run("ip", "-n", NODES[number - 1], "-o", "link")


async def test_a_vxlan_interface_of_another_address_is_made_anew(nodes: None, tmp_path: Path) -> None:
    one = overlay(tmp_path, 1, "vxlan")
    await one.setup()
    link = one.config.vxlan_link
    run("ip", "-n", NODES[0], "link", "del", link)
    wrong = f"link add {link} type vxlan id 7 dstport 8472 local 192.0.2.1 dev up0"
    run("ip", "-n", NODES[0], *wrong.split())
    await one.connect([PEERS[1]])
    (found,) = json.loads(run("ip", "-n", NODES[0], "-json", "-d", "link", "show", "dev", link))
    assert found["linkinfo"]["info_data"]["id"] != 7
    assert "10.244.2.0/24 via 10.244.2.0" in run("ip", "-n", NODES[0], "route")
    await one.teardown()


async def test_a_vxlan_interface_has_the_address_of_each_range(nodes: None, tmp_path: Path) -> None:
    one = overlay(tmp_path, 1, "vxlan")
    six = Ranges("fd00:10:244:1::/64", "fd00:10:244::/56", "fd00:10:96::/112")
    for number in (1, 2):  # a Node that comes back may find one of its ranges taken
        six = replace(six, pod_cidr=f"fd00:10:244:{number}::/64")
        both = Overlay(replace(one.config, six=six))
        await both.setup()
        shown = run("ip", "-n", NODES[0], "addr", "show", "dev", one.config.vxlan_link)
        assert f"inet6 fd00:10:244:{number}::/128" in shown and shown.count("inet6 fd00") == 1
    await both.teardown()
