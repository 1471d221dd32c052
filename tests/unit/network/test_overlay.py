"""Which entries the kernel gets for other nodes, and the component that follows them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pybernetes.api.core_v1 import Node, NodeAddress, NodeSpec, NodeStatus
from pybernetes.machinery.meta import ObjectMeta
from pybernetes.network.cni import Config, Link
from pybernetes.network.overlay import Entries, Peer, allowed, commands, identifier, peers, vxlan_commands, wanted

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
