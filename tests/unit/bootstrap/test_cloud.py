"""What a cluster's cloud is told, and what the command line refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from pybernetes.bootstrap import cloud
from pybernetes.bootstrap.cluster import ClusterError, ClusterState, Member
from pybernetes.client.factory import InformerFactory
from pybernetes.control_plane.apiserver.server import APIServer
from pybernetes.control_plane.apiserver.server import Config as APIConfig
from pybernetes.control_plane.cloud.local import LocalLoadBalancers


def state(**more: object) -> ClusterState:
    return ClusterState("c", "127.0.0.1", 6444, "memory:", "10.244.0.0/16", "10.96.0.0/16", **more)  # type: ignore[arg-type]


async def provider(found: ClusterState) -> LocalLoadBalancers:
    from pybernetes.client.client import Client
    from pybernetes.control_plane.apiserver.authentication.user import User

    config = cloud.of_machine(found)
    assert config is not None
    made = config.provider(InformerFactory(Client(APIServer(APIConfig(listen=False)).transport(User("admin")))))
    assert isinstance(made, LocalLoadBalancers)
    return made


async def test_ports_of_the_nodes_own_servers_are_taken() -> None:
    here = (await provider(state())).config
    assert here.reserved["TCP", 6444] == "the API server" and ("UDP", 53) in here.reserved
    assert ("TCP", 22) not in here.reserved and here.ingress_ports == ()
    machines = (await provider(state(ingress=True, member=Member("192.0.2.1", "192.0.2.1:6443")))).config
    assert machines.reserved["TCP", 22] == "SSH of the machine"
    assert machines.ingress_ports == (80, 443)


async def test_control_planes_that_share_a_store_elect_who_looks_after_the_cloud() -> None:
    member = Member("192.0.2.1", "192.0.2.1:6443")
    shared = state(member=member)
    shared.store = "etcd://192.0.2.9:2379"
    for found, elects in ((state(), False), (state(member=member), False), (shared, True)):
        config = cloud.of_machine(found)
        assert config is not None and (config.leader_election is not None) is elects
    assert cloud.of_machine(state(load_balancer=False)) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("key: x", "only these keys are known: credentials, endpoint, options, region, routeTable, subnets"),
        ("[]", "only these keys are known"),
        ("credentials: 7", "not iterable"),
    ],
)
def test_a_cloud_config_that_cannot_be(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "cloud.yaml"
    file.write_text(text)
    with pytest.raises(ClusterError, match=message):
        cloud.parse(["--kubeconfig", "none", "--cloud-provider", "ec2", "--cloud-config", str(file)])
