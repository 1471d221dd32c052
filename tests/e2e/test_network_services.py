"""What the conformance tests of Services demand, on real containers, through both packet filters.

One test for a description, or for a group that differs in one word; further what the issue of kube-proxy says that the
conformance suite does not look at.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import RealCluster, brought_up
from tests.e2e.netexec.world import World, until, world

pytestmark = [pytest.mark.e2e, pytest.mark.real_time]


@pytest.fixture(scope="module", params=["nftables", pytest.param("iptables", marks=pytest.mark.slow)])
def net(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Three servers, a client, and one in the node's network; in the cluster of all tests, or in one with iptables."""
    with contextlib.ExitStack() as stack:
        if request.param == "nftables":
            cluster: RealCluster = request.getfixturevalue("cluster")
        else:
            name = f"e2e-{os.getpid()}-network"
            stack.callback(no_chains, name)
            stack.callback(no_settings, ROUTE_LOCALNET.read_text())
            cluster = stack.enter_context(brought_up(tmp_path_factory, name, "--proxy-mode", request.param))
        found = stack.enter_context(world(cluster, "network-services", tmp_path_factory.mktemp("netexec")))
        for number, name in enumerate("abc"):
            ports = [{"name": "web", "containerPort": 8080}, {"name": "udp", "containerPort": 8081, "protocol": "UDP"}]
            found.pod(name, {"app": "abc", "name": name}, {"HTTP_PORTS": f"8080,{9000 + number}"}, ports=ports)
        found.pod("client", {"app": "client"})
        found.host_pod("host")
        found.ready("a", "b", "c", "client", "host")
        yield found


def no_chains(cluster: str) -> None:
    """`down` has removed what it named in iptables."""
    for program in ("iptables-save", "ip6tables-save"):
        saved = subprocess.run([program], capture_output=True, text=True, check=True).stdout
        assert "network-services/" not in saved, f"left behind by {cluster}: {saved}"


ROUTE_LOCALNET = Path("/proc/sys/net/ipv4/conf/all/route_localnet")


def no_settings(before: str) -> None:
    """`down` has set back what node ports on the loopback address need."""
    assert ROUTE_LOCALNET.read_text() == before


ABC = {"app": "abc"}
UDP = {"name": "udp", "port": 81, "targetPort": 8081, "protocol": "UDP"}


def test_endpoints_come_and_go_with_pods(net: World) -> None:
    """Services, endpoints with one port; and what else the description of the session's basic endpoints says."""
    with net.temporary("services", "basic"):
        service = net.service("basic", {"app": "basic"}, {"port": 80, "targetPort": 8080})
        until(lambda: net.endpoints("basic") == {})
        net.fails("client", "basic", 80, "ConnectionRefusedError")
        for name in ("basic-1", "basic-2"):
            net.pod(name, {"app": "basic"}, ports=[{"containerPort": 8080}])
        net.ready("basic-1", "basic-2")
        until(lambda: net.endpoints("basic") == {"basic-1": [8080], "basic-2": [8080]})
        for host in ("basic", service["spec"]["clusterIP"]):
            net.reaches("client", host, 80, {"basic-1", "basic-2"})
        net.delete("pods", "basic-1")
        until(lambda: net.endpoints("basic") == {"basic-2": [8080]})
        net.reaches("client", "basic", 80, {"basic-2"})
        net.delete("pods", "basic-2")
        net.fails("client", service["spec"]["clusterIP"], 80, "ConnectionRefusedError")


def test_several_ports(net: World) -> None:
    """Each port has its own Pods."""
    with net.temporary("services", "several"), net.temporary("pods", "several-1"), net.temporary("pods", "several-2"):
        ports = [
            {"name": f"portname{i}", "port": 80 + i, "targetPort": f"target{i}"} for i in (1, 2)
        ]  # fmt: skip
        net.service("several", {"app": "several"}, *ports)
        for i in (1, 2):
            named = [{"name": f"target{i}", "containerPort": 9000 + i}]
            net.pod(f"several-{i}", {"app": "several"}, {"HTTP_PORTS": f"8080,{9000 + i}"}, ports=named)
        net.ready("several-1", "several-2")
        until(lambda: net.endpoints("several") == {"several-1": [9001], "several-2": [9002]})
        net.reaches("client", "several", 81, {"several-1"})
        net.reaches("client", "several", 82, {"several-2"})
        net.delete("pods", "several-1")
        net.fails("client", "several", 81, "ConnectionRefusedError")
        net.reaches("client", "several", 82, {"several-2"})


def test_one_name_is_another_number_in_each_pod(net: World) -> None:
    with contextlib.ExitStack() as stack:
        stack.enter_context(net.temporary("services", "numbers"))
        for i in (1, 2):
            stack.enter_context(net.temporary("pods", f"number-{i}"))
            named = [{"name": "dest", "containerPort": 9000 + i}]
            net.pod(f"number-{i}", {"app": "numbers"}, {"HTTP_PORTS": f"8080,{9000 + i}"}, ports=named)
        net.service("numbers", {"app": "numbers"}, {"port": 80, "targetPort": "dest"})
        net.ready("number-1", "number-2")
        net.reaches("client", "numbers", 80, {"number-1", "number-2"})


def test_one_port_of_two_protocols(net: World) -> None:
    """Both serve; a port that the Service loses is not served."""
    both = [
        {"name": f"p-{p.lower()}", "port": 80, "targetPort": t, "protocol": p}
        for p, t in (("TCP", 8080), ("UDP", 8081))
    ]
    with net.temporary("services", "both"):
        address = net.service("both", ABC, *both)["spec"]["clusterIP"]
        for protocol in ("http", "udp"):
            net.reaches("client", address, 80, {"a", "b", "c"}, protocol)
        net.patch("services", "both", {"spec": {"ports": both[:1]}})
        until(lambda: net.dial("client", address, 80, "udp", timeout=1)[0] == [])
        net.reaches("client", address, 80, {"a", "b", "c"})
        net.patch("services", "both", {"spec": {"ports": both[1:]}})
        until(lambda: net.dial("client", address, 80, "http", timeout=1)[0] == [])
        net.reaches("client", address, 80, {"a", "b", "c"}, "udp")


def test_node_port(net: World, request: pytest.FixtureRequest) -> None:
    with net.temporary("services", "port"):
        service = net.service("port", ABC, {"name": "http", "port": 80, "targetPort": "web"}, UDP, type="NodePort")
        address, (http, udp) = service["spec"]["clusterIP"], service["spec"]["ports"]
        for source in ("client", "host"):
            if source == "client":  # the node's own resolver knows no names of the cluster
                net.reaches(source, "port", 80, {"a", "b", "c"})
            net.reaches(source, address, 80, {"a", "b", "c"})
            net.reaches(source, address, 81, {"a", "b", "c"}, "udp")
            net.reaches(source, net.node_address, http["nodePort"], {"a", "b", "c"})
            net.reaches(source, net.node_address, udp["nodePort"], {"a", "b", "c"}, "udp")
        if request.node.callspec.params["net"] == "iptables":  # as upstream, the one packet filter that can
            net.reaches("host", "127.0.0.1", http["nodePort"], {"a", "b", "c"})
            net.reaches("host", "127.0.0.1", udp["nodePort"], {"a", "b", "c"}, "udp")
        else:
            net.fails("host", "127.0.0.1", http["nodePort"], "ConnectionRefusedError")
        assert http["nodePort"] != udp["nodePort"] and 30000 <= http["nodePort"] < 32768


@pytest.mark.parametrize("kind", ["ClusterIP", "NodePort"])
def test_from_external_name_and_back(net: World, kind: str) -> None:
    """A name becomes a Service of its own, and then a name again; its addresses are freed."""
    with net.temporary("services", "changing"), net.temporary("services", "target"):
        net.service("target", ABC)
        name = {"type": "ExternalName", "externalName": f"target.{net.namespace}.svc.cluster.local"}
        net.create("services", {"metadata": {"name": "changing"}, "spec": name})
        net.reaches("client", "changing", 80, {"a", "b", "c"})
        spec = {
            "type": kind,
            "externalName": None,
            "selector": {"name": "a"},
            "ports": [{"port": 80, "targetPort": 8080}],
        }
        changed = net.patch("services", "changing", {"spec": spec})["spec"]
        until(lambda: net.ask("client", "lookup?name=changing") == changed["clusterIP"])
        net.reaches("client", "changing", 80, {"a"})
        net.reaches("client", changed["clusterIP"], 80, {"a"})
        if kind == "NodePort":
            net.reaches("client", net.node_address, changed["ports"][0]["nodePort"], {"a"})
        back = {**name, "clusterIP": None, "clusterIPs": None, "selector": None, "ports": None}
        again = net.patch("services", "changing", {"spec": back})["spec"]
        assert not again.get("clusterIP") and not again.get("ports")
        target = net.get("services", "target")["spec"]["clusterIP"]
        until(lambda: net.ask("client", "lookup?name=changing") == target)
        net.reaches("client", "changing", 80, {"a", "b", "c"})
        until(lambda: net.dial("client", changed["clusterIP"], 80, timeout=1)[0] == [])


@pytest.mark.parametrize("kind", ["ClusterIP", "NodePort"])
def test_session_affinity(net: World, kind: str) -> None:
    """A client keeps its server; without affinity it does not; and both can be changed at any time."""
    with net.temporary("services", "affinity"):
        spec = net.service("affinity", ABC, type=kind, sessionAffinity="ClientIP")["spec"]
        assert spec["sessionAffinityConfig"] == {"clientIP": {"timeoutSeconds": 10800}}
        places = [(spec["clusterIP"], 80)]
        if kind == "NodePort":
            places.append((net.node_address, spec["ports"][0]["nodePort"]))

        refused: list[str] = []

        def servers(host: str, port: int) -> set[str]:
            responses, errors = net.dial("client", host, port, tries=15)
            refused.extend(error for error in errors if error == "ConnectionRefusedError")
            return set() if errors else {*responses}

        for host, port in places:
            until(lambda host=host, port=port: len(servers(host, port)) == 1)
        refused.clear()
        for wanted in ("None", "ClientIP"):
            net.patch("services", "affinity", {"spec": {"sessionAffinity": wanted}})
            for host, port in places:
                until(lambda host=host, port=port, wanted=wanted: (len(servers(host, port)) == 1) == (wanted != "None"))
        for host, port in places:
            assert len({*servers(host, port), *servers(host, port)}) == 1
        assert not refused


@pytest.mark.parametrize("split", ["ports", "addresses"])
def test_slices_made_by_hand(net: World, split: str) -> None:
    """A Service without a selector follows several slices: with a port each, or with addresses of their own."""
    ports = [{"name": "one", "port": 8090, "targetPort": 8080}, {"name": "two", "port": 9090, "targetPort": 8081}]
    a, b = net.address("a"), net.address("b")
    if split == "ports":
        pieces = [([a], [{"name": "one", "port": 8080}]), ([b], [{"name": "two", "port": 9001}])]
        wanted = {8090: {"a"}, 9090: {"b"}}
    else:
        every = [{"name": "one", "port": 8080}, {"name": "two", "port": 8080}]
        pieces = [([a], every), ([b], every)]
        wanted = {8090: {"a", "b"}, 9090: {"a", "b"}}
    with contextlib.ExitStack() as stack:
        stack.enter_context(net.temporary("services", "by-hand"))
        address = net.service("by-hand", None, *ports)["spec"]["clusterIP"]
        for i, (addresses, numbers) in enumerate(pieces):
            stack.enter_context(net.temporary("endpointslices", f"by-hand-{i}"))
            metadata = {"name": f"by-hand-{i}", "labels": {"kubernetes.io/service-name": "by-hand"}}
            endpoints = [{"addresses": [item]} for item in addresses]
            net.create(
                "endpointslices",
                {"metadata": metadata, "addressType": "IPv4", "endpoints": endpoints, "ports": numbers},
            )
        for port, names in wanted.items():
            net.reaches("client", address, port, names)
            net.reaches("client", "by-hand", port, names)


@pytest.mark.slow
def test_two_hundred_services_find_their_endpoints(net: World) -> None:
    """The latency from a Service's creation to its endpoints: far below 20 s (median) and 50 s (99 of 100)."""
    seconds = []
    for i in range(200):
        began = time.monotonic()
        net.service(f"latency-{i}", {"name": "a"})
        until(lambda i=i: net.endpoints(f"latency-{i}"), pause=0.005)
        seconds.append(time.monotonic() - began)
    net.reaches("client", "latency-199", 80, {"a"})
    for i in range(200):
        net.delete("services", f"latency-{i}")
    assert statistics.median(seconds) < 20 and sorted(seconds)[197] < 50


def test_external_policy_local(net: World) -> None:
    """The client's address is kept, and the health check port answers as a load balancer expects."""
    with net.temporary("services", "local"):
        spec = net.service(
            "local",
            {"name": "a"},
            type="LoadBalancer",
            loadBalancerClass="example.com/none",
            externalTrafficPolicy="Local",
        )["spec"]
        status = {"status": {"loadBalancer": {"ingress": [{"ip": net.outside(77)}]}}}
        kind = "application/merge-patch+json"
        assert net.call("PATCH", net.path("services", "local") + "/status", status, kind)[0] == 200
        health, node_port = spec["healthCheckNodePort"], spec["ports"][0]["nodePort"]
        net.reaches("client", net.outside(77), 80, {"a"})
        net.reaches("client", net.node_address, node_port, {"a"})
        seen, _ = net.dial("client", net.outside(77), 80, request="clientip")
        assert seen[0].split(":")[0] == net.address("client")
        until(lambda: net.dial("client", net.node_address, health, request="healthz")[0])
        answer = json.loads(net.dial("client", net.node_address, health, request="healthz")[0][0])
        assert answer == {
            "service": {"namespace": net.namespace, "name": "local"}, "localEndpoints": 1, "serviceProxyHealthy": True,
        }  # fmt: skip
        net.patch("services", "local", {"spec": {"externalTrafficPolicy": "Cluster"}})
        net.fails("client", net.node_address, health, "ConnectionRefusedError")
        net.reaches("client", net.outside(77), 80, {"a"})


def test_the_proxy_tells_of_itself(net: World) -> None:
    answer = json.loads(net.dial("client", net.node_address, 10256, request="healthz")[0][0])
    assert answer["nodeEligible"] and answer["lastUpdated"] <= answer["currentTime"]
    assert "lastUpdated" in net.dial("host", "127.0.0.1", 10256, request="healthz")[0][0]
    mode = net.dial("host", "127.0.0.1", 10249, request="proxyMode")[0]
    assert mode in ([net.state["proxy_mode"]], ["nftables"])  # the port is that of the machine's first cluster
    numbers = net.dial("host", "127.0.0.1", 10249, request="metrics")[0][0]
    assert 'kubeproxy_sync_proxy_rules_duration_seconds_bucket{ip_family="IPv4",le="0.001"} ' in numbers
    assert 'kubeproxy_proxy_healthz_total{code="200"} ' in numbers


def test_source_ranges(net: World) -> None:
    with net.temporary("services", "ranges"):
        pods = f"{net.address('client')}/32"
        net.service(
            "ranges", ABC, type="LoadBalancer", loadBalancerClass="example.com/none", loadBalancerSourceRanges=[pods]
        )
        status = {"status": {"loadBalancer": {"ingress": [{"ip": net.outside(78)}]}}}
        net.call("PATCH", net.path("services", "ranges") + "/status", status, "application/merge-patch+json")
        net.reaches("client", net.outside(78), 80, {"a", "b", "c"})
        net.fails("host", net.outside(78), 80, "TimeoutError")
        net.reaches("host", net.get("services", "ranges")["spec"]["clusterIP"], 80, {"a", "b", "c"})


def test_external_ips(net: World) -> None:
    with net.temporary("services", "external"):
        net.service("external", ABC, externalIPs=[net.outside(79)])
        for source in ("client", "host"):
            net.reaches(source, net.outside(79), 80, {"a", "b", "c"})


def test_headless_and_external_names_have_no_rules(net: World) -> None:
    with net.temporary("services", "headless"), net.temporary("services", "name"):
        net.service("headless", ABC, clusterIP="None")
        net.create(
            "services", {"metadata": {"name": "name"}, "spec": {"type": "ExternalName", "externalName": "a.example"}}
        )
        addresses = " ".join(sorted(net.address(name) for name in "abc"))
        until(lambda: net.ask("client", "lookup?name=headless") == addresses)
        responses, errors = net.dial("client", "headless", 8080, tries=6)
        assert {*responses} <= {"a", "b", "c"} and not errors


def test_a_terminating_pod_serves_while_there_is_no_other(net: World) -> None:
    with net.temporary("services", "ending"), net.temporary("pods", "ending", grace=0):
        address = net.service("ending", {"app": "ending"})["spec"]["clusterIP"]
        net.pod("ending", {"app": "ending"}, {"LINGER": "1"}, terminationGracePeriodSeconds=60)
        net.ready("ending")
        net.reaches("client", address, 80, {"ending"})
        net.delete("pods", "ending")
        until(lambda: _conditions(net, "ending") == (False, True, True))
        net.reaches("client", address, 80, {"ending"})
        with net.temporary("pods", "fresh"):
            net.pod("fresh", {"app": "ending"})
            net.ready("fresh")
            net.reaches("client", address, 80, {"fresh"})


def _conditions(net: World, service: str) -> Any:
    _, _, text = net.call("GET", f"{net.path('endpointslices')}?labelSelector=kubernetes.io/service-name%3D{service}")
    for piece in json.loads(text)["items"]:
        for endpoint in piece.get("endpoints") or ():
            conditions = endpoint["conditions"]
            return conditions.get("ready"), conditions.get("serving"), conditions.get("terminating")
    return None


def test_udp_follows_a_new_pod(net: World) -> None:
    """A client that keeps its port is not left at the address of the Pod that is gone."""
    with net.temporary("services", "cycle"), net.temporary("pods", "cycle-2"):
        address = net.service("cycle", {"app": "cycle"}, UDP)["spec"]["clusterIP"]

        def from_one_port() -> list[str]:
            return net.dial("client", address, 81, "udp", sourceport=4321, timeout=1)[0]

        net.pod("cycle-1", {"app": "cycle"})
        net.ready("cycle-1")
        until(lambda: from_one_port() == ["cycle-1"])
        net.pod("cycle-2", {"app": "cycle"})
        net.ready("cycle-2")
        net.delete("pods", "cycle-1")
        until(lambda: from_one_port() == ["cycle-2"])
