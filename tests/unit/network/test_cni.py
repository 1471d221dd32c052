"""The pure parts of the Pod network; what the kernel makes of them is tested in tests/e2e."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pybernetes.network.cni import Config, Link, Ranges, cleaned, conflist, routes, rules


def config(**changes: object) -> Config:
    values = {
        "cluster": "dev",
        "node": "node-1",
        "pod_cidr": "10.244.1.0/24",
        "cluster_cidr": "10.244.0.0/16",
        "service_cidr": "10.96.0.0/16",
        "conf_dir": Path("/data/cni"),
        "data_dir": Path("/data/network"),
    }
    return Config(**{**values, **changes})  # type: ignore[arg-type]


def test_names_fit_an_interface_and_differ_between_nodes() -> None:
    assert len(config().service_link) <= 15
    links = {config(cluster=c, node=n).service_link for c in ("a", "b") for n in ("1", "2")}
    assert len(links) == 4


SIX = Ranges("fd00:10:244:1::/64", "fd00:10:244::/56", "fd00:10:96::/112", "fd00:10:244:ff::1", "fd00:10:244:ff::/64")


@pytest.mark.parametrize("field", ["pod_cidr", "cluster_cidr", "service_cidr"])
def test_each_family_has_its_place(field: str) -> None:
    with pytest.raises(ValueError, match="fd00::/64: Pod and Service ranges are IPv4, and IPv6 beside them"):
        config(**{field: "fd00::/64"})
    with pytest.raises(ValueError, match=r"10\.0\.0\.0/24: Pod and Service ranges are IPv4"):
        config(six=replace(SIX, **{field: "10.0.0.0/24"}))


def test_dual_stack_is_the_same_twice() -> None:
    dual = config(six=SIX, node_cidr="10.244.255.0/24")
    lo, tuning, pods, _ = json.loads(conflist(dual))["plugins"]
    assert (lo["type"], tuning["sysctl"]) == ("loopback", {"net.ipv6.conf.default.accept_dad": "0"})
    assert pods["ipam"]["ranges"] == [[{"subnet": "10.244.1.0/24"}], [{"subnet": "fd00:10:244:1::/64"}]]
    assert pods["ipam"]["routes"] == [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]
    assert [line for line in routes(dual) if "fd00" in line] == [
        f"route replace fd00:10:96::/112 dev {dual.service_link} src fd00:10:244:ff::1",
        "route replace blackhole fd00:10:244::/56",
    ]
    text = rules(dual, ("eth0",), Link("pbm", 1500))
    assert "oifname @uplinks ip6 daddr { fd00:10:244::/56, fd00:10:96::/112 } ip6 daddr != @peers6 counter drop" in text
    assert "oifname @uplinks ip daddr { 10.244.0.0/16, 10.96.0.0/16 } ip daddr != @peers counter drop" in text
    assert "ip6 saddr fd00:10:244:1::/64 ip6 daddr != fd00:10:244::/56 masquerade" in text
    assert 'oifname "pbm" ip6 daddr fd00:10:244:ff::/64 accept' in text
    assert "ip6" not in rules(config(), ("eth0",))


def test_a_range_outside_of_the_clusters_is_refused() -> None:
    with pytest.raises(ValueError, match=r"10\.99\.0\.0/24 is not within 10\.244\.0\.0/16"):
        config(pod_cidr="10.99.0.0/24")


def test_the_cni_configuration() -> None:
    document = json.loads(conflist(config(mtu=1400)))
    pods, ports = document["plugins"]
    assert document["name"] == config().network_name
    assert pods["type"] == "ptp" and pods["mtu"] == 1400
    assert pods["ipam"]["ranges"] == [[{"subnet": "10.244.1.0/24"}]]
    assert pods["ipam"]["dataDir"] == "/data/network/addresses"
    assert ports == {"type": "portmap", "snat": True, "capabilities": {"portMappings": True}}
    assert "mtu" not in json.loads(conflist(config()))["plugins"][0]


@pytest.mark.parametrize(("mode", "mtu"), [("routes", 9000), ("vxlan", 8950)])
def test_the_mtu_is_that_of_the_link_less_the_overlays(mode: str, mtu: int) -> None:
    document = json.loads(conflist(config(mode=mode), Link("eth0", 9000)))
    assert document["plugins"][0]["mtu"] == mtu
    assert json.loads(conflist(config(mode=mode, mtu=1400), Link("eth0", 9000)))["plugins"][0]["mtu"] == 1400


def test_an_unknown_mode_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'wireguard' is none of routes, vxlan, none"):
        config(mode="wireguard")


def test_the_rules() -> None:
    text = rules(config(), ("eth0", "wlan0"))
    table = f"inet {config().table}"
    for chain in ("stay-inside", "source-address"):
        assert f"flush chain {table} {chain}\n" in text  # whatever was there before
    assert f"flush set {table} peers" not in text and f"delete table {table}" not in text  # others are still there
    assert f'add element {table} uplinks {{ "eth0", "wlan0" }}' in text
    assert "oifname @uplinks ip daddr { 10.244.0.0/16, 10.96.0.0/16 } ip daddr != @peers counter drop" in text
    assert "ip saddr 10.244.1.0/24 ip daddr != 10.244.0.0/16 masquerade" in text
    assert " masquerade\n" not in rules(config(masquerade=False), ())
    assert "element" not in rules(config(), ())


def test_nodes_of_one_machine_reach_each_other_and_the_world() -> None:
    text = rules(config(node_cidr="10.244.255.0/24"), ("eth0",), Link("pbm0", 1500))
    assert 'stay-inside oifname "pbm0" ip daddr 10.244.255.0/24 accept\n' in text
    assert text.index("accept\n") < text.index("counter drop")
    assert 'iifname "pbm0" ip saddr 10.244.255.0/24 ip daddr != 10.244.0.0/16 masquerade' in text


def test_somebody_elses_pod_network_is_left_alone() -> None:
    text = rules(config(mode="none", pod_cidr=""), ("eth0",))
    assert "10.244.0.0/16" not in text and "masquerade" not in text
    assert "oifname @uplinks ip daddr 10.96.0.0/16 " in text
    assert not any("10.244.0.0/16" in line for line in routes(config(mode="none")))


def test_the_routes() -> None:
    link = config().service_link
    assert routes(config()) == [
        f"link set {link} up",
        f"route replace 10.96.0.0/16 dev {link}",
        "route replace blackhole 10.244.0.0/16",
    ]


OTHERS = """*nat
:PREROUTING ACCEPT [0:0]
:CNI-DN-other - [0:0]
:CNI-HOSTPORT-DNAT - [0:0]
:CNI-HOSTPORT-MASQ - [0:0]
:CNI-HOSTPORT-SETMARK - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
-A POSTROUTING -m comment --comment "CNI portfwd requiring masquerade" -j CNI-HOSTPORT-MASQ
-A CNI-HOSTPORT-MASQ -m mark --mark 0x2000/0x2000 -j MASQUERADE
{mine}{other}COMMIT
"""
OTHER = (
    '-A CNI-HOSTPORT-DNAT -p tcp -m comment --comment "dnat name: \\"bridge\\" id: \\"ff\\"" -j CNI-DN-other\n'
    "-A CNI-DN-other -p tcp --dport 81 -j DNAT --to-destination 10.1.0.5:80\n"
)


def mine() -> str:
    return (
        f'-A CNI-HOSTPORT-DNAT -p tcp -m comment --comment "dnat name: \\"{config().network_name}\\" id: \\"aa\\"" '
        "-m multiport --dports 80 -j CNI-DN-mine\n"
        "-A CNI-DN-mine -p tcp --dport 80 -j DNAT --to-destination 10.244.1.5:80\n"
    )


def test_host_ports_of_others_stay() -> None:
    saved = OTHERS.format(mine=mine(), other=OTHER)
    assert cleaned("nat", saved, config().network_name).splitlines() == [
        "*nat",
        ":CNI-DN-mine - [0:0]",
        "-D" + mine().splitlines()[0][2:],
        "-X CNI-DN-mine",
        "COMMIT",
    ]
    assert cleaned("nat", OTHERS.format(mine="", other=OTHER), config().network_name) == ""


def test_the_last_network_takes_the_shared_chains_along() -> None:
    script = cleaned("nat", OTHERS.format(mine=mine(), other=""), config().network_name)
    assert "-D PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT" in script
    assert script.count("-X CNI-") == 4
    assert "-X CNI-DN-other" not in script
