"""Network policies judged by real packets, on the namespaces of `test_services_packets`."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pybernetes.api.core_v1 import Container, ContainerPort, Namespace, Pod, PodIP, PodSpec, PodStatus
from pybernetes.api.networking_v1 import NetworkPolicy
from pybernetes.machinery import codec
from pybernetes.machinery.meta import ObjectMeta
from pybernetes.network.proxy.policy import Config, PolicyTable
from pybernetes.network.proxy.policy_rules import plan
from tests.e2e.test_services_packets import (
    CLIENT,
    NODE,
    PODS,
    PORT,
    PREFIX,
    VIP,
    Judged,
    ask,
    association,
    inside,
    listing,
    network,
    rules,
)

__all__ = ["network"]

NAMESPACES = [
    Namespace(metadata=ObjectMeta(name="one", labels={"team": "red"})),
    Namespace(metadata=ObjectMeta(name="two", labels={"team": "blue"})),
]


def pod(name: str, namespace: str, node: str = "here") -> Pod:
    return Pod(
        metadata=ObjectMeta(name=name, namespace=namespace, labels={"name": name}),
        spec=PodSpec(
            node_name=node,
            containers=[Container(name="c", ports=[ContainerPort(name="web", container_port=PORT, protocol="TCP")])],
        ),
        status=PodStatus(phase="Running", pod_ip=PODS[name], pod_ips=[PodIP(ip=PODS[name])]),
    )


EVERY_POD = [pod("a", "one"), pod("b", "two"), pod("far", "two", "there")]


def policy(**spec: Any) -> NetworkPolicy:
    wire = {"metadata": {"name": "p", "namespace": "one"}, "spec": {"podSelector": {}, **spec}}
    return codec.from_dict(NetworkPolicy, wire)


@pytest.fixture
def table(network: None) -> Iterator[PolicyTable]:
    made = PolicyTable(Config("test", "here", netns=Path(f"/run/netns/{PREFIX}-node")))
    yield made
    made.replace({})
    assert listing() == ""


def hold(table: PolicyTable, *policies: NetworkPolicy) -> None:
    table.replace(plan(policies, EVERY_POD, NAMESPACES, "here"))


def passes(source: str, target: str, port: int = PORT, kind: str = "TCP") -> bool:
    try:
        return ask(source, PODS[target], port, kind)[0] == target
    except TimeoutError:
        return False


def test_closed_for_all_but_the_node(table: PolicyTable) -> None:
    hold(table, policy(policyTypes=["Ingress"]))
    assert [passes(name, "a") for name in ("b", "far", "client", "node")] == [False, False, False, True]
    assert passes("a", "b") and passes("far", "b")


def test_closed_to_the_outside(table: PolicyTable) -> None:
    hold(table, policy(policyTypes=["Egress"]))
    assert not passes("a", "b") and passes("b", "a")


@pytest.mark.parametrize(
    ("peer", "allowed"),
    [
        ({"namespaceSelector": {"matchLabels": {"team": "blue"}}}, {"b", "far"}),
        ({"namespaceSelector": {}, "podSelector": {"matchLabels": {"name": "far"}}}, {"far"}),
        ({"podSelector": {"matchLabels": {"name": "b"}}}, set()),
        ({"ipBlock": {"cidr": "10.200.0.0/16", "except": ["10.200.1.0/24"]}}, {"b"}),
        ({"ipBlock": {"cidr": f"{CLIENT}/32"}}, {"client"}),
    ],
)
def test_peers(table: PolicyTable, peer: dict[str, Any], allowed: set[str]) -> None:
    hold(table, policy(ingress=[{"from": [peer]}]))
    assert {name for name in ("b", "far", "client") if passes(name, "a")} == allowed


@pytest.mark.parametrize(
    ("port", "tcp", "udp"),
    [
        ({"port": PORT, "protocol": "TCP"}, True, False),
        ({"port": "web", "protocol": "TCP"}, True, False),
        ({"port": 8000, "endPort": 8100, "protocol": "UDP"}, False, True),
        ({"port": 8000, "endPort": 8079, "protocol": "TCP"}, False, False),
        ({"protocol": "UDP"}, False, True),
    ],
)
def test_ports_in_both_directions(table: PolicyTable, port: dict[str, Any], tcp: bool, udp: bool) -> None:
    hold(table, policy(ingress=[{"ports": [port]}]))
    assert (passes("b", "a"), passes("b", "a", kind="UDP")) == (tcp, udp)
    hold(table, policy(policyTypes=["Egress"], egress=[{"ports": [port]}]))
    assert (passes("a", "b"), passes("a", "b", kind="UDP")) == (tcp, udp)


def test_policies_add_up(table: PolicyTable) -> None:
    first = policy(ingress=[{"from": [{"ipBlock": {"cidr": f"{PODS['b']}/32"}}]}])
    second = policy(ingress=[{"from": [{"ipBlock": {"cidr": f"{CLIENT}/32"}}]}])
    second.metadata.name = "q"
    hold(table, first, second)
    assert [passes(name, "a") for name in ("b", "far", "client")] == [True, False, True]


def test_both_ends_must_allow(table: PolicyTable) -> None:
    out = policy(policyTypes=["Egress"], egress=[{"to": [{"namespaceSelector": {}}]}])
    into = policy(policyTypes=["Ingress"])
    into.metadata.name, into.metadata.namespace = "q", "two"
    hold(table, out)
    assert passes("a", "b")
    hold(table, out, into)
    assert not passes("a", "b") and passes("a", "far")


def test_default_deny_both_ways(table: PolicyTable) -> None:
    """Nothing passes but to the node and from it, and what a Pod says to itself."""
    hold(table, policy(policyTypes=["Ingress", "Egress"]))
    assert not passes("a", "b") and not passes("b", "a") and not passes("client", "a")
    assert passes("node", "a")
    with pytest.raises(ConnectionRefusedError):
        ask("a", NODE, 1)  # it gets there, and nobody listens
    services = Judged("nftables", "IPv4")
    services.replace({"default/s": rules("a")})
    try:
        assert ask("a", VIP, 80)[0] == "a"
        with pytest.raises(TimeoutError):
            ask("b", VIP, 80)
    finally:
        services.remove()


def test_a_policy_ends_what_was_open(table: PolicyTable) -> None:
    """What others began is judged again with every packet; answers to the Pod's own questions are not."""

    def talk(target: str) -> list[bool]:
        heard = []
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(0.5)
            s.connect((PODS[target], PORT))
            for held in ((), (policy(policyTypes=["Ingress"]),)):
                hold(table, *held)
                s.send(b"?")
                try:
                    heard.append(bool(s.recv(100)))
                except TimeoutError:
                    heard.append(False)
        return heard

    assert inside("b", lambda: talk("a")) == [True, False]
    assert inside("a", lambda: talk("b")) == [True, True]


def test_sctp_ports(table: PolicyTable) -> None:
    def listen() -> socket.socket:
        caught = socket.socket(socket.AF_INET, socket.SOCK_RAW, 132)
        caught.settimeout(0.5)
        return caught

    def knock() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, 132) as s:
            s.sendto(association(PODS["a"], PORT), (PODS["a"], 0))

    with inside("a", listen) as caught:
        for port, heard in ((PORT, True), (PORT + 1, False)):
            hold(table, policy(ingress=[{"ports": [{"port": port, "protocol": "SCTP"}]}]))
            inside("b", knock)
            if heard:
                assert caught.recv(200)
            else:
                with pytest.raises(TimeoutError):
                    caught.recv(200)
