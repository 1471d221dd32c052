"""Which names, addresses and ranges the nodes of one machine get, and what the commands say about them."""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec
import pytest

from pybernetes.__main__ import main
from pybernetes.bootstrap import cluster as clusters
from pybernetes.bootstrap import machine_link
from pybernetes.bootstrap.cluster import Cluster, ClusterError, ClusterState, add_nodes
from pybernetes.bootstrap.flags import seconds


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch) -> ClusterState:
    monkeypatch.setattr(clusters, "node_name", lambda: "host")
    return ClusterState(
        name="dev",
        api_host="127.0.0.1",
        api_port=6443,
        store="memory:",
        pod_cidr="10.244.0.0/16",
        service_cidr="10.96.0.0/16",
    )


def test_the_first_node_is_the_machine_and_others_are_numbered(state: ClusterState) -> None:
    assert [node.name for node in add_nodes(state, 3)] == ["host", "host-2", "host-3"]
    assert [state.node_address(node.name) for node in state.nodes] == [f"10.244.255.{i}" for i in (1, 2, 3)]
    assert [state.node_pod_cidr(node.name) for node in state.nodes] == [f"10.244.{i}.0/24" for i in (0, 1, 2)]
    assert add_nodes(state, 3) == []


def test_a_node_that_left_makes_room_and_nobody_else_moves(state: ClusterState) -> None:
    add_nodes(state, 4)
    state.nodes = [node for node in state.nodes if node.name != "host-2"]
    assert state.node_address("host-3") == "10.244.255.3"
    assert [node.name for node in add_nodes(state, 5)] == ["host-2", "host-5"]
    assert [node.index for node in state.nodes] == [0, 1, 2, 3, 4]


def test_too_many_nodes_are_refused(state: ClusterState) -> None:
    with pytest.raises(ClusterError, match="--nodes 65: one machine has at most 64"):
        add_nodes(state, 65)


def test_pod_ranges_and_node_addresses_do_not_overlap(state: ClusterState) -> None:
    assert state.local_pod_cidr == "10.244.0.0/18" and state.node_cidr == "10.244.255.0/24"
    assert state.local_ranges[0] == "10.244.0.0/24" and state.local_ranges[-1] == "10.244.63.0/24"


def test_a_cluster_from_before_several_nodes_is_read(state: ClusterState) -> None:
    add_nodes(state, 1)
    old = msgspec.to_builtins(state)
    del old["network"], old["node_grace"], old["nodes"][0]["index"]
    assert msgspec.convert(old, ClusterState) == state


def test_only_further_nodes_have_a_namespace_and_kubeconfigs_of_their_own(state: ClusterState, tmp_path: Path) -> None:
    add_nodes(state, 2)
    cluster = Cluster(tmp_path, state)
    assert cluster.node_netns("host") is None and machine_link.enter(cluster, "host") == []
    netns = cluster.node_netns("host-2")
    assert netns is not None and f"--net={netns}" in machine_link.enter(cluster, "host-2")
    assert cluster.node_kubeconfigs("host") == tmp_path
    assert cluster.node_kubeconfigs("host-2") == tmp_path / "nodes" / "host-2"
    assert state.node_server == "https://10.244.255.1:6443"
    links = {machine_link.name(cluster), *(machine_link.port_name(cluster, node.name) for node in state.nodes)}
    assert len(links) == 3 and all(len(link) <= 15 for link in links)


@pytest.mark.parametrize(("text", "value"), [("40s", 40.0), ("1m30s", 90.0), ("0", 0.0)])
def test_times_as_upstreams_flags_take_them(text: str, value: float) -> None:
    assert seconds(text) == value


def test_what_is_no_time_is_refused() -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="'soon' is no time such as 40s or 1m30s"):
        seconds("soon")


@pytest.mark.parametrize("action", [["list"], ["stop", "one"], ["start", "one"], ["delete", "one"]])
def test_commands_say_that_there_is_no_cluster(
    action: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYBERNETES_HOME", str(tmp_path))
    assert main(["node", *action, "--name", "nowhere"]) == 1
    assert "no cluster \"nowhere\"; 'pybernetes up' makes one" in capsys.readouterr().err
