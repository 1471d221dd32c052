"""The second family's ranges: how they are written, what is refused, and what of them each node has."""

from __future__ import annotations

import argparse
import subprocess
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from pybernetes.bootstrap import cluster as clusters
from pybernetes.bootstrap import control_plane, dual_stack, local, node_host, standalone
from pybernetes.bootstrap.cluster import Cluster, ClusterError, ClusterState
from pybernetes.bootstrap.dual_stack import Six, pair, second

PODS, SERVICES = "10.244.0.0/16,fd00:10:244::/56", "10.96.0.0/16,fd00:10:96::/112"
Create = Callable[..., Cluster]


@pytest.fixture
def create(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Create:
    monkeypatch.setenv("PYBERNETES_HOME", str(tmp_path))
    monkeypatch.setattr(clusters, "node_name", lambda: "host")
    monkeypatch.setattr(clusters, "_routes", list)
    monkeypatch.setattr(dual_stack, "missing", lambda: "")

    def make(ranges: tuple[str, str] | None, name: str = "dev", nodes: int = 2) -> Cluster:
        return clusters.create(
            name, data_dir=None, api_host="127.0.0.1", api_port=None, store="memory", nodes=nodes, fake_nodes=0,
            ranges=ranges,
        )  # fmt: skip

    return make


def test_pairs() -> None:
    assert pair("10.244.0.0/16") == ("10.244.0.0/16", "")
    assert pair(PODS) == ("10.244.0.0/16", "fd00:10:244::/56")
    for text, why in (
        ("fd00::/56", "IPv6 alone or first"),
        ("fd00::/56,10.0.0.0/16", "IPv6 alone or first"),
        ("10.0.0.0/16,10.1.0.0/16", "one range of each family"),
        ("10.0.0.1/16", "has host bits set"),
    ):
        with pytest.raises(ValueError, match=why):
            pair(text)


@pytest.mark.parametrize(
    ("pods", "services", "why"),
    [
        (PODS, "10.96.0.0/16", "both need an IPv6 range, or neither"),
        ("10.244.0.0/16,fd00::/40", SERVICES, "/48 to /57 is wanted"),
        ("10.244.0.0/16,fd00::/58", SERVICES, "/48 to /57 is wanted"),
        (PODS, "10.96.0.0/16,fd00::/56", "/64 to /124 is wanted for Services"),
        (PODS, "10.96.0.0/16,fd00:10:244:1::/112", "overlap"),
    ],
)
def test_pairs_that_do_not_fit(pods: str, services: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        second(pods, services, one_machine=True)


def test_what_of_it_is_whose() -> None:
    six = Six("fd00:10:244::/56", "fd00:10:96::/112")
    assert (six.node_range(0), six.node_range(63)) == ("fd00:10:244::/64", "fd00:10:244:3f::/64")
    assert (six.node_cidr, six.node_address(1)) == ("fd00:10:244:ff::/64", "fd00:10:244:ff::2")
    assert six.local_pod_cidr == "fd00:10:244::/58" and len(six.local_ranges) == 64


def test_a_cluster_with_both_families(create: Create) -> None:
    found = create((PODS, SERVICES))
    state = found.state
    assert state.families == ("IPv4", "IPv6") and state.pod_cidrs == tuple(PODS.split(","))
    assert state.node_addresses("host-2") == ("10.244.255.2", "fd00:10:244:ff::2")
    assert state.node_pod_cidrs("host-2") == ("10.244.1.0/24", "fd00:10:244:1::/64")
    assert clusters.find("dev") is not None
    assert msgspec.json.decode(msgspec.json.encode(state), type=ClusterState) == state
    network, proxy = node_host.network_config(found, "host"), node_host.proxy_config(found, "host")
    assert network.six is not None and network.six.node_address == "fd00:10:244:ff::1"
    assert network.pod_cidrs == "10.244.0.0/24,fd00:10:244::/64"
    assert proxy.families == state.families and proxy.pod_cidrs == ("10.244.0.0/18", "fd00:10:244::/58")
    assert [config.family for config in node_host.policy_configs(found, "host")] == ["IPv4", "IPv6"]
    ranges = control_plane.node_ranges(found)
    assert ranges.cluster_cidrs == state.pod_cidrs and ranges.assigned("host-2") == state.node_pod_cidrs("host-2")
    assert "fd00:10:244:ff::/64" in ranges.reserved and "fd00:10:244:3f::/64" in ranges.reserved


def test_one_family_is_as_it_was(create: Create) -> None:
    found = create(None)
    assert found.state.six is None and found.state.node_pod_cidrs("host") == ("10.244.0.0/24",)
    assert node_host.network_config(found, "host").six is None
    assert node_host.proxy_config(found, "host").families == ("IPv4",)
    assert create(("10.231.0.0/16", "10.130.0.0/16"), "other").state.pod_cidr == "10.231.0.0/16"


def test_ranges_that_cannot_be_had(create: Create, monkeypatch: pytest.MonkeyPatch) -> None:
    create((PODS, SERVICES))
    for pods, services, why in (
        ("10.245.0.0/16,fd00:10:244::/56", "10.97.0.0/16,fd00:10:97::/112", "fd00:10:244::/56 is in use"),
        ("10.245.0.0/16", "10.96.128.0/17", "10.96.0.0/16 is in use"),
        ("10.245.0.0/18", "10.97.0.0/16", "too small, a /17"),
        ("10.245.0.0/16", "10.245.1.0/24", "overlap"),
        ("ten", "10.97.0.0/16", "--pod-network-cidr, --service-cidr: 'ten'"),
    ):
        with pytest.raises(ClusterError, match=why):
            create((pods, services), "other")
    monkeypatch.setattr(dual_stack, "missing", lambda: "its kernel has no IPv6")
    with pytest.raises(ClusterError, match="cannot do that: its kernel has no IPv6"):
        create(("10.245.0.0/16,fd00:10:245::/56", "10.97.0.0/16,fd00:10:97::/112"), "other")


def test_ranges_that_are_found_lie_beside_those_of_a_cluster_that_is_stopped(create: Create) -> None:
    create(("10.244.0.0/15", "10.96.0.0/14"))
    found = create(None, "other").state
    assert (found.pod_cidr, found.service_cidr) == ("10.248.0.0/16", "10.100.0.0/16")


def test_routes_of_one_family_count_where_the_kernel_has_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        if "-6" in command:
            raise subprocess.CalledProcessError(1, command)
        return subprocess.CompletedProcess(command, 0, "default via 192.0.2.1 dev eth0\n10.244.0.0/16 dev x\n")

    monkeypatch.setattr(subprocess, "run", run)
    assert [str(network) for network in clusters._routes()] == ["10.244.0.0/16"]


def test_ranges_are_compared_as_they_are_kept() -> None:
    given = argparse.Namespace(pod_network_cidr="10.244.0.0/16, FD00:10:244:0::/56", service_cidr=SERVICES)
    assert local._ranges(given) == (PODS, SERVICES)


def test_ranges_of_an_api_server_alone() -> None:
    assert standalone._ranges("fd00::/112, 10.0.0.0/16") == ("fd00::/112", "10.0.0.0/16")
    for text, why in (("10.0.0.0/16,ten", "'ten' does not appear"), ("10.0.0.0/16,10.1.0.0/16", "one range of each")):
        with pytest.raises(ClusterError, match=f"--service-cluster-ip-range.*{why}"):
            standalone._ranges(text)
