"""The text of the iptables chains: which there are, and who leads to whom."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from pybernetes.network.proxy.chains import Chains, Fragment
from pybernetes.network.proxy.rules import PortRules, ServiceRules, Target

HERE: Target = ("10.200.0.1", 8080)
FAR: Target = ("10.200.1.1", 8080)
PORT = PortRules(
    namespace="default", service="s", port_name="http", protocol="TCP", port=80, cluster_ip="10.96.0.1",
    external_ips=("198.18.0.9",), node_port=30080, inside=(HERE, FAR), outside=(HERE, FAR), cluster=(HERE, FAR),
    outside_local=False, elsewhere=True, affinity_seconds=0, source_ranges=(), guarded_ips=(),
)  # fmt: skip


def made(**changes: object) -> tuple[Chains, Fragment]:
    chains = Chains("table", "IPv4", ("10.200.0.0/16", "fd00::/64"), ("198.18.0.1", "fd00::1"))
    port = replace(PORT, **changes)  # type: ignore[arg-type]
    return chains, chains.fragment(ServiceRules((port,), frozenset({HERE[0]})))


def kinds(fragment: Fragment) -> dict[str, list[tuple[str, ...]]]:
    found: dict[str, list[tuple[str, ...]]] = {}
    for (_, name), rules in fragment.chains.items():
        found.setdefault(name.split("-")[1], []).append(rules)
    return found


def targets(fragment: Fragment, chain: tuple[str, str]) -> list[str]:
    found = (re.split(" -[jg] ", rule)[1] for where, rule in fragment.dispatch if where == chain)
    return [target.split("-")[1] if target.startswith("KUBE-") else target.split()[0] for target in found]


def test_names_fit_and_are_known_again() -> None:
    chains, fragment = made(affinity_seconds=10, source_ranges=("0.0.0.0/0",), guarded_ips=("198.18.0.9",))
    names = [name for _, name in (*fragment.chains, *chains.fixed(), *chains.leading(), *chains.dispatching)]
    assert all(len(name) <= 28 and chains.mine(name) for name in names)
    assert not chains.mine("KUBE-SERVICES") and not chains.mine("KUBE-SVC-" + "A" * 16)
    other = Chains("other", "IPv4", (), ())
    assert not any(other.mine(name) for name in names)


def test_a_service_of_two_endpoints() -> None:
    chains, fragment = made()
    found = kinds(fragment)
    assert sorted(found) == ["EXT", "SEP", "SVC"]
    (svc,) = found["SVC"]
    assert "--probability 0.5000000000" in svc[0] and "statistic" not in svc[1] and len(svc) == 2
    # The one on this node may call itself; of the other nothing but the address matters.
    assert [rules[0].split()[1] for rules in found["SEP"]] == ["10.200.0.1/32"]
    assert "-g KUBE-SEP-" in svc[0] and svc[1] == "-p tcp -j DNAT --to-destination 10.200.1.1:8080"
    assert targets(fragment, chains.leaf("10.96.0.1")) == ["SVC", "EXT"]
    assert targets(fragment, chains.node_ports) == ["EXT"]
    assert not targets(fragment, chains.refused) and not targets(fragment, chains.refused_outside)


def test_endpoints_that_clients_stick_to_have_chains() -> None:
    _, fragment = made(affinity_seconds=10)
    found = kinds(fragment)
    assert len(found["SEP"]) == 2 and all("--set -j DNAT" in rules[1] for rules in found["SEP"])
    assert ["--rcheck" in rule for rule in found["SVC"][0]] == [True, True, False, False]


def test_local_policies() -> None:
    chains, fragment = made(outside=(HERE,), outside_local=True)
    found = kinds(fragment)
    assert sorted(found) == ["EXT", "SEP", "SVC", "SVL"]
    assert [re.split("-[jg] ", rule)[1][:9] for rule in found["EXT"][0]] == [
        "KUBE-SVC-", "MARK --or", "KUBE-SVC-", "MARK --an", "KUBE-SVL-",
    ]  # fmt: skip
    chains, fragment = made(inside=(), outside=(), outside_local=True)
    assert targets(fragment, chains.refused) == ["DROP"]
    assert targets(fragment, chains.refused_outside) == ["DROP", "DROP"]
    assert targets(fragment, chains.node_ports) == ["EXT"]  # Pods and the node go to all endpoints


@pytest.mark.parametrize(("protocol", "verdict"), [("TCP", "REJECT --reject-with tcp-reset"), ("UDP", "REJECT")])
def test_nobody_home(protocol: str, verdict: str) -> None:
    chains, fragment = made(inside=(), outside=(), cluster=(), elsewhere=False, protocol=protocol)
    assert not fragment.chains
    assert {where for where, _ in fragment.dispatch} == {chains.refused, chains.refused_outside}
    assert all(rule.endswith(f"-j {verdict}") for _, rule in fragment.dispatch)


def test_source_ranges() -> None:
    chains, fragment = made(source_ranges=("192.0.2.0/24",), guarded_ips=("198.18.0.9",))
    assert targets(fragment, chains.leaf("10.96.0.1")) == ["SVC", "FW"]
    assert targets(fragment, chains.firewall) == ["DROP"]
    assert kinds(fragment)["FW"][0][0].startswith("-s 192.0.2.0/24 -g KUBE-EXT-")


def test_the_other_family() -> None:
    chains = Chains("table", "IPv6", ("10.200.0.0/16", "fd00::/64"), ("198.18.0.1", "fd00::1"))
    pod: tuple[Target, ...] = (("fd00::2", 8080),)
    port = replace(PORT, cluster_ip="fd01::1", external_ips=(), inside=pod, outside=pod, cluster=pod)
    fragment = chains.fragment(ServiceRules((port,), frozenset()))
    assert "--to-destination [fd00::2]:8080" in kinds(fragment)["SVC"][0][0]
    assert any("-d fd00::1/128" in rule for _, rule in chains.jumps())


def test_many_addresses_lie_in_a_tree() -> None:
    assert [Chains.levels_for(count) for count in (0, 64, 65, 1024, 1025, 100_000)] == [0, 0, 1, 1, 2, 2]
    chains = Chains("table", "IPv4", (), ())
    flat = chains.leaf("10.96.7.42")
    assert flat in chains.dispatching and f"-j {flat[1]}" in chains.leading()["nat", f"KUBE-SERVICES-{chains.tag}"]
    chains.levels = 2
    leading, leaf = chains.leading(), chains.leaf("10.96.7.42")  # 42 is 0x2a
    assert leaf == (flat[0], f"{flat[1]}A2") and leaf in chains.dispatching and flat not in chains.dispatching
    assert f"-d 0.0.0.10/0.0.0.15 -g {flat[1]}A" in leading[flat]
    assert f"-d 0.0.0.32/0.0.0.240 -g {leaf[1]}" in leading["nat", f"{flat[1]}A"]
    assert len([chain for chain in chains.dispatching if chain[1].startswith(flat[1])]) == 256
    other = Chains("table", "IPv6", (), ())
    other.levels = 1
    assert other.leaf("fd00::2a")[1].endswith("A")
    assert f"-d ::a/::f -g {other.leaf('fd00::2a')[1]}" in other.leading()["nat", f"KUBE-ADDR-{other.tag}"]


def test_node_ports_on_loopback() -> None:
    plain, served = (Chains("table", "IPv4", (), ("198.18.0.1",), loopback) for loopback in (False, True))
    more = [jump for jump in served.jumps() if jump not in plain.jumps()]
    assert [(chain, rule.split(" -j")[0]) for chain, rule in more] == [
        (("nat", "OUTPUT"), "-d 127.0.0.0/8"), (("filter", "INPUT"), "-j KUBE-FIREWALL-" + served.tag),
    ]  # fmt: skip
    (guard,) = served.fixed()["filter", f"KUBE-FIREWALL-{served.tag}"]
    assert guard.startswith("! -s 127.0.0.0/8 -d 127.0.0.0/8") and guard.endswith("-j DROP")
    six = Chains("table", "IPv6", (), ("fd00::1",), True)
    assert not any("127.0.0.0" in rule for _, rule in six.jumps())
