"""Pods and Services with an address of each family, on two real nodes: what upstream's dual-stack tests look at."""

from __future__ import annotations

import ipaddress
import json
import os
import shutil
from collections.abc import Iterator

import pytest

from pybernetes.bootstrap.dual_stack import missing
from tests.e2e.conftest import RealCluster, brought_up
from tests.e2e.netexec.world import Object, World, until, world

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.real_time,
    pytest.mark.skipif(bool(missing()), reason=f"no IPv6 on this machine: {missing()}"),
]

PODS, SERVICES = "10.231.0.0/16,fd00:10:231::/56", "10.130.0.0/16,fd00:10:130::/112"
SIX = ("fd00:10:231::/56", "fd00:10:130::/112")
ALL = {"app": "all"}
BIND = {"BIND": "::"}


@pytest.fixture(scope="module", params=["routes", pytest.param("vxlan", marks=pytest.mark.slow)])
def dual(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Servers `a` on the first node and `b` on the second, and a client on each."""
    name = f"e2e6-{os.getpid()}-{request.param}"
    flags = ("--nodes", "2", "--network", request.param, "--pod-network-cidr", PODS, "--service-cidr", SERVICES)
    with brought_up(tmp_path_factory, name, *flags) as cluster:
        with world(cluster, "dual", tmp_path_factory.mktemp("netexec")) as found:
            for pod, node in (("a", 0), ("b", 1)):
                found.pod(pod, {**ALL, "name": pod}, BIND, nodeName=cluster.nodes[node])
                found.pod(f"client-{pod}", {"app": "client"}, BIND, nodeName=cluster.nodes[node])
            found.host_pod("host")
            found.ready("a", "b", "client-a", "client-b", "host")
            yield found


def of_both(addresses: list[Object], ranges: str) -> list[str]:
    """The addresses: one of each range, IPv4 first."""
    found = [item["ip"] for item in addresses]
    assert len(found) == 2
    for address, cidr in zip(found, ranges.split(","), strict=True):
        assert ipaddress.ip_address(address) in ipaddress.ip_network(cidr)
    return found


def test_nodes_and_pods_have_addresses_of_both_families(dual: World) -> None:
    cluster: RealCluster = dual.cluster
    ranges = set()
    for node in cluster.get("nodes")["items"]:
        assert node["spec"]["podCIDR"] == node["spec"]["podCIDRs"][0]
        assert [":" in cidr for cidr in node["spec"]["podCIDRs"]] == [False, True]
        ranges.update(node["spec"]["podCIDRs"])
        internal = [a["address"] for a in node["status"]["addresses"] if a["type"] == "InternalIP"]
        assert [":" in address for address in internal] == [False, True]
    assert len(ranges) == 4
    pod = dual.get("pods", "b")
    status = pod["status"]
    assert status["podIP"] == of_both(status["podIPs"], PODS)[0]
    assert [":" in item["ip"] for item in status["hostIPs"]] == [False, True]
    env = [{"name": name, "valueFrom": {"fieldRef": {"fieldPath": f"status.{name}"}}} for name in ("podIPs", "hostIPs")]
    shell = {"name": "c", "image": "busybox:latest", "imagePullPolicy": "Never", "env": env}
    command = ["sh", "-c", "echo $podIPs; echo $hostIPs; cat /etc/hosts"]
    spec = {"restartPolicy": "Never", "containers": [{**shell, "command": command}]}
    dual.create("pods", {"metadata": {"name": "says"}, "spec": spec})
    until(lambda: dual.get("pods", "says")["status"]["phase"] == "Succeeded")
    lines = cluster.kubectl("logs", "-n", "dual", "says").stdout.splitlines()
    said = dual.get("pods", "says")["status"]
    assert lines[0] == ",".join(of_both(said["podIPs"], PODS))
    assert lines[1] == ",".join(item["ip"] for item in said["hostIPs"])
    assert [line.split()[0] for line in lines if line.endswith("says")] == lines[0].split(",")


def test_pods_reach_each_other_over_both(dual: World) -> None:
    for source in ("client-a", "client-b"):
        for target in ("a", "b"):
            for address in of_both(dual.get("pods", target)["status"]["podIPs"], PODS):
                dual.reaches(source, address, 8080, {target})
                dual.reaches(source, address, 8081, {target}, "udp")
    client = of_both(dual.get("pods", "client-b")["status"]["podIPs"], PODS)[1]
    target = of_both(dual.get("pods", "a")["status"]["podIPs"], PODS)[1]
    (seen,), _ = dual.dial("client-b", target, 8080, request="clientip")
    assert seen.rpartition(":")[0] == client


@pytest.mark.parametrize(
    ("policy", "families", "wanted"),
    [
        (None, None, ["IPv4"]),
        ("SingleStack", ["IPv6"], ["IPv6"]),
        ("PreferDualStack", None, ["IPv4", "IPv6"]),
        ("RequireDualStack", ["IPv6", "IPv4"], ["IPv6", "IPv4"]),
    ],
)
def test_services(dual: World, policy: str | None, families: list[str] | None, wanted: list[str]) -> None:
    more = {name: value for name, value in (("ipFamilyPolicy", policy), ("ipFamilies", families)) if value}
    name = "-".join(["s", policy or "none"]).lower()
    with dual.temporary("services", name):
        udp = {"name": "udp", "port": 81, "targetPort": 8081, "protocol": "UDP"}
        http = {"name": "http", "port": 80, "targetPort": 8080}
        spec = dual.service(name, ALL, http, udp, type="NodePort", **more)["spec"]
        assert spec["ipFamilies"] == wanted and spec["ipFamilyPolicy"] == (policy or "SingleStack")
        assert spec["clusterIP"] == spec["clusterIPs"][0]
        assert ["IPv6" if ":" in address else "IPv4" for address in spec["clusterIPs"]] == wanted
        until(lambda: {"a", "b"} == set(dual.endpoints(name)))
        slices = dual.cluster.get("endpointslices", "-n", "dual", "-l", f"kubernetes.io/service-name={name}")["items"]
        assert sorted(item["addressType"] for item in slices) == sorted(wanted)
        subsets = dual.get("endpoints", name)["subsets"]  # these have the first family alone
        first = {address["ip"] for subset in subsets for address in subset["addresses"]}
        assert len(first) == 2 and {":" in ip for ip in first} == {wanted[0] == "IPv6"}
        nodes = [item["ip"] for item in dual.get("pods", "a")["status"]["hostIPs"]]
        for address in spec["clusterIPs"]:
            for source in ("client-a", "client-b", "host"):
                dual.reaches(source, address, 80, {"a", "b"})
                dual.reaches(source, address, 81, {"a", "b"}, "udp")
            node = next(ip for ip in nodes if (":" in ip) == (":" in address))
            dual.reaches("client-b", node, spec["ports"][0]["nodePort"], {"a", "b"})
            found = f"lookup?name={name}.dual.svc.cluster.local&family={6 if ':' in address else 4}"
            assert dual.ask("client-a", found) == address


def test_a_service_gets_a_second_family_and_gives_it_up(dual: World) -> None:
    with dual.temporary("services", "grows"):
        before = dual.service("grows", ALL)["spec"]["clusterIPs"]
        both = dual.patch("services", "grows", {"spec": {"ipFamilyPolicy": "PreferDualStack"}})["spec"]
        assert both["clusterIPs"][:1] == before and both["ipFamilies"] == ["IPv4", "IPv6"]
        for address in both["clusterIPs"]:
            dual.reaches("client-a", address, 80, {"a", "b"})
        less = {"ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv4"], "clusterIPs": before}
        assert dual.patch("services", "grows", {"spec": less})["spec"]["clusterIPs"] == before
        until(lambda: dual.dial("client-a", both["clusterIPs"][1], 80, timeout=1)[0] == [])
        dual.reaches("client-a", before[0], 80, {"a", "b"})


def test_clients_are_remembered_in_both(dual: World) -> None:
    with dual.temporary("services", "sticky"):
        spec = dual.service("sticky", ALL, ipFamilyPolicy="RequireDualStack", sessionAffinity="ClientIP")["spec"]
        for address in spec["clusterIPs"]:
            until(lambda: set(dual.endpoints("sticky")) == {"a", "b"})
            until(lambda to=address: len(set(dual.dial("client-b", to, 80, tries=12)[0])) == 1)


def test_headless_services_answer_with_both(dual: World) -> None:
    with dual.temporary("services", "headless"):
        dual.service("headless", ALL, clusterIP="None", ipFamilyPolicy="PreferDualStack")
        pods = [of_both(dual.get("pods", pod)["status"]["podIPs"], PODS) for pod in ("a", "b")]
        for index, family in enumerate("46"):
            wanted = " ".join(sorted(pod[index] for pod in pods))
            until(lambda f=family, w=wanted: dual.ask("client-a", f"lookup?name=headless&family={f}") == w)


def test_policies_hold_for_both(dual: World) -> None:
    addresses = of_both(dual.get("pods", "a")["status"]["podIPs"], PODS)
    spec: Object = {
        "podSelector": {"matchLabels": {"name": "a"}},
        "ingress": [{"from": [{"podSelector": {"matchLabels": {"name": "b"}}}]}],
    }
    with dual.temporary("networkpolicies", "only-b"):
        dual.create("networkpolicies", {"metadata": {"name": "only-b"}, "spec": spec})
        for address in addresses:
            for source in ("client-a", "client-b"):
                dual.fails(source, address, 8080, "TimeoutError")
            dual.reaches("b", address, 8080, {"a"})
        block = {"ipBlock": {"cidr": SIX[0]}}
        dual.patch("networkpolicies", "only-b", {"spec": {**spec, "ingress": [{"from": [block]}]}})
        dual.reaches("client-b", addresses[1], 8080, {"a"})
        dual.fails("client-b", addresses[0], 8080, "TimeoutError")
    for address in addresses:
        dual.reaches("client-b", address, 8080, {"a"})


def test_load_balancers_have_addresses_of_the_services_families(dual: World) -> None:
    with dual.temporary("services", "balanced"):
        dual.service(
            "balanced", ALL, {"port": 8088, "targetPort": 8080}, type="LoadBalancer", ipFamilyPolicy="PreferDualStack"
        )
        until(lambda: dual.get("services", "balanced")["status"]["loadBalancer"].get("ingress"))
        given = [item["ip"] for item in dual.get("services", "balanced")["status"]["loadBalancer"]["ingress"]]
        assert {":" in address for address in given} == {False, True}
        for address in given:
            dual.reaches("client-b", address, 8088, {"a", "b"})


INGRESS = """
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web, namespace: dual}
spec: {defaultBackend: {service: {name: web, port: {number: 80}}}}
"""


@pytest.mark.skipif(not shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin"), reason="haproxy is not here")
def test_ingresses_answer_on_both(dual: World) -> None:
    with dual.temporary("services", "web"):
        dual.service("web", ALL)
        dual.cluster.apply(INGRESS)

        def given() -> list[str]:
            status = dual.cluster.get("ingress", "-n", "dual", "web")["status"]
            return [item["ip"] for item in status.get("loadBalancer", {}).get("ingress", [])]

        until(lambda: {":" in address for address in given()} == {False, True})
        for address in given():
            dual.reaches("client-b", address, 80, {"a", "b"})
        dual.cluster.kubectl("delete", "ingress", "-n", "dual", "web")


def test_what_the_api_says_of_it(dual: World) -> None:
    """ServiceCIDR and IPAddress objects, and refusals that name the field."""
    ranges = json.loads(dual.call("GET", "/apis/networking.k8s.io/v1/servicecidrs/kubernetes")[2])
    assert ranges["spec"]["cidrs"] == SERVICES.split(",")
    with dual.temporary("services", "kept"):
        address = dual.service("kept", ALL, ipFamilyPolicy="RequireDualStack")["spec"]["clusterIPs"][1]
        owner = json.loads(dual.call("GET", f"/apis/networking.k8s.io/v1/ipaddresses/{address}")[2])
        assert owner["spec"]["parentRef"]["name"] == "kept"
