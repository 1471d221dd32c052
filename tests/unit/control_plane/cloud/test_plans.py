"""The decisions about Services and nodes, without a cloud or an API."""

from __future__ import annotations

from typing import Any

import pytest

from pybernetes.api.core_v1 import Node, NodeAddress
from pybernetes.api.discovery_v1 import EndpointSlice
from pybernetes.control_plane.cloud import balancing
from pybernetes.control_plane.cloud import node_plan as plan
from pybernetes.control_plane.cloud.provider import CloudError, Instance
from pybernetes.machinery import codec
from tests.suites.cloud_contract import node, service


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({}, {}, []),
        ({}, {"type": "ClusterIP"}, [("Type", "LoadBalancer -> ClusterIP")]),
        ({"type": "ClusterIP"}, {"type": "NodePort"}, []),
        (
            {"loadBalancerSourceRanges": ["10.0.0.0/8"]},
            {"loadBalancerSourceRanges": ["10.0.0.0/8", "192.0.2.0/24"]},
            [("LoadBalancerSourceRanges", "[10.0.0.0/8] -> [10.0.0.0/8 192.0.2.0/24]")],
        ),
        ({}, {"loadBalancerIP": "10.0.0.1"}, [("LoadbalancerIP", " -> 10.0.0.1")]),
        ({}, {"externalIPs": ["192.0.2.1"]}, [("ExternalIP", "Count: 0 -> 1")]),
        ({"externalIPs": ["192.0.2.1"]}, {"externalIPs": ["192.0.2.2"]}, [("ExternalIP", "Added: 192.0.2.2")]),
        (
            {"externalTrafficPolicy": "Cluster"},
            {"externalTrafficPolicy": "Local", "healthCheckNodePort": 31000},
            [("ExternalTrafficPolicy", "Cluster -> Local"), ("HealthCheckNodePort", "0 -> 31000")],
        ),
        ({}, {"ports": [{"port": 81}]}, [("", "")]),
        ({}, {"sessionAffinity": "ClientIP"}, [("", "")]),
        ({}, {"selector": {"app": "x"}}, []),
        ({"loadBalancerClass": "a.example/x"}, {"loadBalancerClass": "a.example/x", "externalIPs": ["192.0.2.1"]}, []),
    ],
)
def test_what_a_load_balancer_must_follow(old: Any, new: Any, expected: list[tuple[str, str]]) -> None:
    assert list(balancing.changes(service(**old), service(**new))) == expected


def test_nodes_behind_a_load_balancer() -> None:
    well, leaving, excluded, silent = (node(name, f"10.0.0.{i}") for i, name in enumerate("abcd", 1))
    leaving.spec.taints = codec.from_dict(
        Node, {"spec": {"taints": [{"key": balancing.AUTOSCALER_TAINT, "effect": "NoSchedule"}]}}
    ).spec.taints
    excluded.metadata.labels = {balancing.EXCLUDE_LABEL: ""}
    silent.status.conditions = None
    found = balancing.candidates([silent, excluded, leaving, well])
    assert [one.metadata.name for one in found] == ["a", "d"]
    assert balancing.serving(service(), found, []) == [well]
    endpoints = [{"addresses": ["10.1.0.1"], "nodeName": "a", "conditions": {"ready": False}}]
    slices = [codec.from_dict(EndpointSlice, {"addressType": "IPv4", "endpoints": endpoints})]
    assert balancing.serving(service(externalTrafficPolicy="Local"), found, slices) == []


def addresses(**annotations: str) -> list[str]:
    machine = Instance(
        "x://1",
        (
            NodeAddress(type="InternalIP", address="10.0.0.1"),
            NodeAddress(type="InternalIP", address="10.0.0.2"),
            NodeAddress(type="InternalIP", address="fd00::1"),
            NodeAddress(type="ExternalIP", address="192.0.2.1"),
        ),
    )
    known = node("n1", "10.9.9.9")
    known.metadata.annotations = {plan.PROVIDED_IP: annotations["ip"]} if annotations else None
    known.status.addresses = [NodeAddress(type="Hostname", address="n1")]
    return [one.address for one in plan.addresses(known, machine)]


def test_the_kubelets_own_address_goes_first() -> None:
    assert addresses() == ["10.0.0.1", "10.0.0.2", "fd00::1", "192.0.2.1", "n1"]
    assert addresses(ip="10.0.0.2") == ["10.0.0.2", "192.0.2.1", "n1"]
    assert addresses(ip="fd00::1,10.0.0.1") == ["fd00::1", "10.0.0.1", "192.0.2.1", "n1"]
    with pytest.raises(
        CloudError, match=r"failed to get node address from cloud provider that matches ip: 10\.0\.0\.7"
    ):
        addresses(ip="10.0.0.7")
    with pytest.raises(CloudError, match='failed to parse node IP "x"'):
        addresses(ip="x")


def test_old_labels_decide_once_a_node_is_initialized() -> None:
    labels = {"failure-domain.beta.kubernetes.io/zone": "a", plan.ZONE: "b", plan.REGION: "r"}
    known = codec.from_dict(Node, {"metadata": {"name": "n", "labels": labels}})
    assert plan.beta_labels(known) == {plan.ZONE: "a"}
    machine = Instance("x://1", labels={"rack": "1", "node.kubernetes.io/x": "y"})
    assert plan.more_labels(known, machine) == {"rack": "1"}


def test_routes_to_make_and_to_remove() -> None:
    existing = {("a", "10.0.1.0/24"): 1, ("gone", "10.0.9.0/24"): 2}
    wanted = {"a": ["10.0.1.0/24"], "b": ["10.0.2.0/24", "fd00::/64"]}
    assert plan.routes(wanted, existing) == (
        {("b", "10.0.2.0/24"), ("b", "fd00::/64")},
        {("gone", "10.0.9.0/24")},
    )
