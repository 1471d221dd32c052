"""Services and policies over several real nodes: who is near, who is here, and who is asked for his health."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import RealCluster
from tests.e2e.netexec.world import World, until, world

pytestmark = [pytest.mark.e2e, pytest.mark.real_time]

ZONE = "topology.kubernetes.io/zone"


@pytest.fixture(scope="module")
def net(three_nodes: RealCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Servers a, b and c and clients on the first and the second node; nodes one and two share a zone."""
    nodes = three_nodes.nodes
    with world(three_nodes, "network-nodes", tmp_path_factory.mktemp("netexec")) as found:
        for node, zone in zip(nodes, ("near", "near", "away"), strict=True):
            three_nodes.kubectl("label", "node", node, f"{ZONE}={zone}")
        for name, node in zip("abc", nodes, strict=True):
            found.pod(name, {"app": "abc", "name": name}, nodeName=node)
        for i in (0, 1):
            found.pod(f"client-{i}", {"app": "client"}, nodeName=nodes[i])
        found.ready("a", "b", "c", "client-0", "client-1")
        try:
            yield found
        finally:
            for node in nodes:
                three_nodes.kubectl("label", "node", node, f"{ZONE}-")


ABC = {"app": "abc"}


def test_traffic_distribution(net: World) -> None:
    """By node, by zone, and by neither; what is near is gone, and those further away are asked."""
    with net.temporary("services", "near"):
        address = net.service("near", ABC, trafficDistribution="PreferSameNode")["spec"]["clusterIP"]
        net.reaches("client-0", address, 80, {"a"})
        net.reaches("client-1", address, 80, {"b"})
        net.patch("services", "near", {"spec": {"trafficDistribution": "PreferSameZone"}})
        for source in ("client-0", "client-1"):
            net.reaches(source, address, 80, {"a", "b"})
        net.patch("services", "near", {"spec": {"trafficDistribution": None}})
        net.reaches("client-0", address, 80, {"a", "b", "c"})
        net.patch("services", "near", {"spec": {"trafficDistribution": "PreferClose", "selector": {"name": "c"}}})
        net.reaches("client-0", address, 80, {"c"})


def test_internal_policy_local(net: World) -> None:
    """Only endpoints of the client's own node; where there are none, packets are dropped."""
    with net.temporary("services", "here"):
        address = net.service("here", ABC, internalTrafficPolicy="Local")["spec"]["clusterIP"]
        net.reaches("client-0", address, 80, {"a"})
        net.reaches("client-1", address, 80, {"b"})
        net.patch("services", "here", {"spec": {"selector": {"name": "a"}}})
        net.reaches("client-0", address, 80, {"a"})
        net.fails("client-1", address, 80, "TimeoutError")


def test_a_balancer_learns_where_the_endpoints_are(net: World) -> None:
    """The health check port answers 200 on the node that has one and 503 on the others."""
    addresses = [item["status"]["addresses"][0]["address"] for item in net.cluster.get("nodes")["items"]]
    with net.temporary("services", "balanced"):
        spec = net.service(
            "balanced", {"name": "b"}, type="LoadBalancer", loadBalancerClass="example.com/none",
            externalTrafficPolicy="Local",
        )["spec"]  # fmt: skip
        port = spec["healthCheckNodePort"]

        def counts() -> list[int]:
            answers = [net.dial("client-0", address, port, request="healthz")[0] for address in addresses]
            return [json.loads(answer[0])["localEndpoints"] if answer else -1 for answer in answers]

        until(lambda: sorted(counts()) == [0, 0, 1])


def test_policies_between_nodes(net: World) -> None:
    """Of all nodes only the Pods that are named; the Pod's node itself, where the API is here, always."""
    from_b = [{"from": [{"podSelector": {"matchLabels": {"name": "b"}}}]}]
    spec = {"podSelector": {"matchLabels": {"name": "a"}}, "policyTypes": ["Ingress"], "ingress": from_b}
    with net.temporary("networkpolicies", "only"):
        net.create("networkpolicies", {"metadata": {"name": "only"}, "spec": spec})
        for source in ("client-0", "client-1"):
            net.fails(source, net.address("a"), 8080, "TimeoutError")
        assert net.dial("b", net.address("a"), 8080)[0] == ["a"]
        assert net.dial("a", net.address("client-1"), 8080)[0] == ["client-1"]
        net.ready("a")
