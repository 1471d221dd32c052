"""Which entries the kernel gets for other nodes, and the component that follows them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pybernetes.aio import clock
from pybernetes.api.core_v1 import Node, NodeAddress, NodeSpec, NodeStatus
from pybernetes.client.client import Client
from pybernetes.client.factory import InformerFactory
from pybernetes.machinery.meta import ObjectMeta
from pybernetes.network import overlay
from pybernetes.network.cni import Config, Link, Ranges
from pybernetes.network.links import NetworkError
from pybernetes.network.overlay import (
    Entries,
    NodeNetwork,
    Peer,
    allowed,
    commands,
    identifier,
    peers,
    vxlan_commands,
    wanted,
)
from tests.suites.api_server import client_of, running

TWO, THREE = Peer("10.244.2.0/24", "192.0.2.2"), Peer("10.244.3.0/24", "192.0.2.3")


def config(mode: str) -> Config:
    return Config(
        cluster="dev",
        node="one",
        pod_cidr="10.244.1.0/24",
        cluster_cidr="10.244.0.0/16",
        service_cidr="10.96.0.0/16",
        conf_dir=Path("/data/cni"),
        data_dir=Path("/data/network"),
        mode=mode,
        node_address="192.0.2.1",
    )


def node(name: str, cidrs: list[str] | None, *addresses: str) -> Node:
    return Node(
        metadata=ObjectMeta(name=name),
        spec=NodeSpec(pod_cidr=cidrs[0] if cidrs else None, pod_cidrs=cidrs),
        status=NodeStatus(addresses=[NodeAddress(type="InternalIP", address=address) for address in addresses]),
    )


def test_peers_are_the_others_that_have_both_range_and_address() -> None:
    nodes = [
        node("three", ["fd00::/64", "10.244.3.0/24"], "fd01::3", "192.0.2.3"),
        node("one", ["10.244.1.0/24"], "192.0.2.1"),
        node("two", ["10.244.2.0/24"], "192.0.2.2"),
        node("new", None, "192.0.2.4"),
        node("mute", ["10.244.5.0/24"]),
    ]
    assert peers(nodes, "one") == [TWO, THREE]


SIX = Ranges("fd00:10:244:1::/64", "fd00:10:244::/56", "fd00:10:96::/112", "fd01::1")
DUAL = Peer(TWO.cidr, TWO.address, "fd00:10:244:2::/64", "fd01::2")


@pytest.mark.parametrize("mode", ["routes", "vxlan"])
def test_both_families(mode: str) -> None:
    two = node("two", [TWO.cidr, DUAL.cidr6], TWO.address, DUAL.address6)
    assert (peers([two], "one"), peers([two], "one", dual=True)) == ([TWO], [DUAL])
    dual = replace(config(mode), six=SIX)
    device = dual.vxlan_link
    removals, forwarding, changes = commands(dual, Entries(), wanted(mode, [DUAL]))
    assert removals == [] and [line for line in changes if DUAL.cidr6 in line] == [
        f"route replace {DUAL.cidr6} via fd01::2"
        if mode == "routes"
        else f"route replace {DUAL.cidr6} via fd00:10:244:2:: dev {device} onlink"
    ]
    if mode == "vxlan":  # one tunnel, over IPv4, for both
        assert len(
            forwarding
        ) == 1 and f"neigh replace fd00:10:244:2:: lladdr 0a:58:0a:f4:02:00 dev {device}" in "\n".join(changes)
        assert f"addr add fd00:10:244:1::/128 dev {device} nodad" in vxlan_commands(dual, Link("eth0", 1500))
    leaving = allowed(dual, ("eth0",), Link("eth0", 1500), [DUAL])
    assert (f"peers6 {{ {DUAL.cidr6} }}" in leaving) == (mode == "routes") and "flush set" in leaving


def test_routes_go_by_the_nodes_address() -> None:
    assert wanted("routes", [TWO]) == Entries(routes=frozenset({("10.244.2.0/24", "192.0.2.2")}))
    _, _, changes = commands(config("routes"), Entries(), wanted("routes", [TWO]))
    assert changes == ["route replace 10.244.2.0/24 via 192.0.2.2"]


def test_vxlan_needs_route_neighbour_and_forwarding() -> None:
    device = config("vxlan").vxlan_link
    removals, forwarding, changes = commands(config("vxlan"), Entries(), wanted("vxlan", [TWO]))
    assert removals == []
    assert forwarding == [f"fdb append 0a:58:0a:f4:02:00 dev {device} dst 192.0.2.2 self"]
    assert changes == [
        f"neigh replace 10.244.2.0 lladdr 0a:58:0a:f4:02:00 dev {device} nud permanent",
        f"route replace 10.244.2.0/24 via 10.244.2.0 dev {device} onlink",
    ]


@pytest.mark.parametrize("mode", ["routes", "vxlan"])
def test_only_the_difference_is_written(mode: str) -> None:
    before = wanted(mode, [TWO, THREE])
    assert commands(config(mode), before, before) == ([], [], [])
    removals, forwarding, changes = commands(config(mode), before, wanted(mode, [TWO]))
    assert removals[0] == "route del 10.244.3.0/24" and changes == []
    assert len(removals) == (1 if mode == "routes" else 2)
    assert all(line.startswith("fdb del 0a:58:0a:f4:03:00 ") for line in forwarding)


def test_a_node_with_a_new_address_is_replaced_in_place() -> None:
    moved = Peer(TWO.cidr, "192.0.2.9")
    removals, _, changes = commands(config("routes"), wanted("routes", [TWO]), wanted("routes", [moved]))
    assert (removals, changes) == ([], ["route replace 10.244.2.0/24 via 192.0.2.9"])
    removals, forwarding, changes = commands(config("vxlan"), wanted("vxlan", [TWO]), wanted("vxlan", [moved]))
    assert (removals, changes) == ([], [])
    assert [line.split()[1] for line in forwarding] == ["del", "append"]


def test_only_routed_ranges_whose_way_is_the_uplink_may_leave_by_it() -> None:
    link = Link("eth0", 1500)
    assert "10.244.2.0/24, 10.244.3.0/24" in allowed(config("routes"), ("eth0",), link, [TWO, THREE])
    for mode, uplinks in (("vxlan", ("eth0",)), ("routes", ("wan0",))):
        assert "element" not in allowed(config(mode), uplinks, link, [TWO, THREE])


def test_the_vxlan_interface() -> None:
    add, settings, address = vxlan_commands(config("vxlan"), Link("eth0", 1500))
    assert f" id {identifier('dev')} dstport 8472 local 192.0.2.1 dev eth0 nolearning" in add
    assert "address 0a:58:0a:f4:01:00 mtu 1450 up" in settings
    assert address.startswith("addr add 10.244.1.0/32 dev ")
    assert len(config("vxlan").vxlan_link) <= 15
    assert 0 < identifier("dev") < 1 << 24 and identifier("dev") != identifier("other")


class Kernel:
    """Stands for `Overlay`: what it was told, and how many calls are still to fail."""

    def __init__(self) -> None:
        self.config: Config | None = None
        self.others: list[Peer] = []
        self.failures = 0
        self.checks = 0

    def __call__(self, config: Config) -> Kernel:
        self.config = config
        return self

    async def setup(self) -> None:
        self._fail()

    async def connect(self, others: list[Peer]) -> None:
        self._fail()
        self.others = others
        self.checks += 1

    def _fail(self) -> None:
        if self.failures:
            self.failures -= 1
            raise NetworkError("no")


@contextlib.asynccontextmanager
async def following(
    monkeypatch: pytest.MonkeyPatch,
    kernel: Kernel,
    settings: Config,
    moved: Callable[[str], Coroutine[Any, Any, None]] | None = None,
) -> AsyncIterator[tuple[Client, NodeNetwork]]:
    monkeypatch.setattr(overlay, "Overlay", kernel)
    async with running() as server:
        client = client_of(server)
        informers = InformerFactory(client)
        network = NodeNetwork(settings, client, informers, moved)
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(informers.run(), name="informers"), loop.create_task(network.run(), name="network")]
        try:
            yield client, network
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


async def add(client: Client, made: Node) -> None:
    """Create a Node, and its addresses, which only its status has."""
    created = await client.resource(Node).create(made)
    created.status = made.status
    await client.resource(Node).update_status(created)


async def test_other_nodes_are_followed_and_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel()
    async with following(monkeypatch, kernel, config("routes")) as (client, network):
        assert await network.ready.wait() == "10.244.1.0/24"
        await add(client, node("one", ["10.244.1.0/24"], "192.0.2.1"))
        await add(client, node("two", ["10.244.2.0/24"], "192.0.2.2"))
        await add(client, node("three", ["10.244.3.0/24"], "192.0.2.3"))
        await clock.sleep(1)
        assert kernel.others == [TWO, THREE]
        await client.resource(Node).delete("two")
        await clock.sleep(1)
        assert kernel.others == [THREE]


async def test_failures_are_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel()
    kernel.failures = 5
    async with following(monkeypatch, kernel, config("routes")) as (client, network):
        await add(client, node("two", ["10.244.2.0/24"], "192.0.2.2"))
        await network.ready.wait()
        await clock.sleep(60)
        assert kernel.failures == 0 and kernel.others == [TWO]


async def test_a_range_that_is_not_known_yet_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel()
    async with following(monkeypatch, kernel, replace(config("vxlan"), pod_cidr="")) as (client, network):
        await add(client, node("one", None, "192.0.2.1"))
        await clock.sleep(5)
        assert not network.ready.is_set() and kernel.config is None
        spec = {"podCIDR": "10.244.7.0/24", "podCIDRs": ["10.244.7.0/24"]}
        await client.resource(Node).patch("one", "", {"spec": spec})
        assert await network.ready.wait() == "10.244.7.0/24"
        assert kernel.config is not None and kernel.config.pod_cidr == "10.244.7.0/24"


async def test_entries_that_somebody_removed_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel()
    async with following(monkeypatch, kernel, config("routes")) as (client, _):
        await clock.sleep(600)
        assert kernel.checks == 1, "alone there is nothing to check"
        await add(client, node("two", ["10.244.2.0/24"], "192.0.2.2"))
        await clock.sleep(1)
        before = kernel.checks
        await clock.sleep(600)
        assert before + 9 <= kernel.checks <= before + 11


async def test_a_node_that_was_registered_anew_has_the_range_that_its_new_object_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kernel, told = Kernel(), asyncio.Queue[str]()
    async with following(monkeypatch, kernel, config("vxlan"), told.put) as (client, network):
        await add(client, node("one", ["10.244.1.0/24"], "192.0.2.1"))
        await add(client, node("two", ["10.244.2.0/24"], "192.0.2.2"))
        await network.ready.wait()
        await client.resource(Node).delete("one")
        await clock.sleep(5)
        assert kernel.config is not None and kernel.config.pod_cidr == "10.244.1.0/24", "without a Node it stays"
        await add(client, node("one", ["10.244.9.0/24"], "192.0.2.1"))
        assert await told.get() == "10.244.9.0/24"
        assert kernel.config.pod_cidr == "10.244.9.0/24"
        await clock.sleep(1)
        assert kernel.others == [TWO]
        patch = {"metadata": {"labels": {"some": "thing"}}}
        await client.resource(Node).patch("one", "", patch)
        await clock.sleep(60)
        assert told.empty()


async def test_what_follows_from_another_range_does_not_hold_up_the_way_to_other_nodes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kernel, under_way = Kernel(), list[str]()

    async def moved(cidr: str) -> None:
        under_way.append(cidr)
        try:
            await asyncio.Event().wait()  # a runtime that does not answer
        finally:
            under_way.remove(cidr)

    async with following(monkeypatch, kernel, config("vxlan"), moved) as (client, network):
        await network.ready.wait()
        for number in (5, 6):
            await add(client, node("one", [f"10.244.{number}.0/24"], "192.0.2.1"))
            await clock.sleep(5)
            assert under_way == [f"10.244.{number}.0/24"]
            await client.resource(Node).delete("one")
        await add(client, node("two", ["10.244.2.0/24"], "192.0.2.2"))
        await clock.sleep(5)
        assert kernel.others == [TWO]
    assert not under_way
