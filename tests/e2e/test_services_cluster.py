"""Services of a real cluster: containers behind a cluster IP and a node port, by name, and closed by a policy."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import RealCluster, brought_up

NAMESPACE = "services"

MANIFEST = f"""
apiVersion: v1
kind: Namespace
metadata: {{name: {NAMESPACE}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: {NAMESPACE}}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: web
        image: busybox
        imagePullPolicy: Never
        command: [sh, -c, "mkdir /w; hostname > /w/index.html; exec httpd -f -p 8080 -h /w"]
        readinessProbe: {{tcpSocket: {{port: 8080}}, periodSeconds: 1}}
---
apiVersion: v1
kind: Service
metadata: {{name: web, namespace: {NAMESPACE}}}
spec:
  type: NodePort
  selector: {{app: web}}
  ports: [{{port: 80, targetPort: 8080}}]
---
apiVersion: v1
kind: Service
metadata: {{name: nobody, namespace: {NAMESPACE}}}
spec:
  selector: {{app: nobody}}
  ports: [{{port: 80}}]
"""

POLICY = f"""
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: closed, namespace: {NAMESPACE}}}
spec: {{podSelector: {{matchLabels: {{app: web}}}}, policyTypes: [Ingress]}}
"""


@pytest.fixture(scope="module", params=["nftables", pytest.param("iptables", marks=pytest.mark.slow)])
def web(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCluster]:
    """Two replicas behind a Service: in the cluster of all tests, and in one with the other packet filter."""
    with contextlib.ExitStack() as stack:
        if request.param == "nftables":
            cluster: RealCluster = request.getfixturevalue("cluster")
        else:
            name = f"e2e-{os.getpid()}-{request.param}"
            cluster = stack.enter_context(brought_up(tmp_path_factory, name, "--proxy-mode", request.param))
        cluster.apply(MANIFEST)
        cluster.wait("-n", NAMESPACE, "deployment/web", "--for=condition=Available")
        yield cluster
        cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=true")


def fetch(url: str, seconds: float = 2, *, pod: str = "") -> str:
    """What curl gets from the node, or from the network of the Pod with that address; "" for nothing.

    curl runs on the machine, for the image's own wget, statically linked, cannot look up names and crashes.
    """
    enter = ["nsenter", f"--net={namespace_of(pod)}", "--"] if pod else []
    command = [*enter, "curl", "-s", "--noproxy", "*", "--max-time", str(seconds), url]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def namespace_of(address: str) -> Path:
    seen = {os.readlink("/proc/self/ns/net")}
    for path in Path("/proc").glob("[0-9]*/ns/net"):
        with contextlib.suppress(OSError):
            if (name := os.readlink(path)) in seen:
                continue
            seen.add(name)
            command = ["nsenter", f"--net={path}", "--", "ip", "-br", "addr"]
            if f" {address}/" in subprocess.run(command, capture_output=True, text=True, check=False).stdout:
                return path
    raise AssertionError(f"no Pod has the address {address}")


def test_cluster_ip_and_node_port_reach_every_replica(web: RealCluster) -> None:
    service = web.get("-n", NAMESPACE, "service", "web")
    names = {pod["metadata"]["name"] for pod in web.get("-n", NAMESPACE, "pods")["items"]}
    address = service["spec"]["clusterIP"]
    assert {fetch(f"http://{address}/") for _ in range(20)} == names
    node = web.get("nodes")["items"][0]["status"]["addresses"][0]["address"]
    port = service["spec"]["ports"][0]["nodePort"]
    assert {fetch(f"http://{node}:{port}/") for _ in range(20)} == names


def test_pods_reach_services_themselves_included(web: RealCluster) -> None:
    pods = web.get("-n", NAMESPACE, "pods")["items"]
    address = web.get("-n", NAMESPACE, "service", "web")["spec"]["clusterIP"]
    for pod in pods:
        source = pod["status"]["podIP"]
        assert {fetch(f"http://{address}/", pod=source) for _ in range(12)} == {p["metadata"]["name"] for p in pods}


def test_nobody_home_is_refused_at_once(web: RealCluster) -> None:
    address = web.get("-n", NAMESPACE, "service", "nobody")["spec"]["clusterIP"]
    command = ["curl", "-s", "--noproxy", "*", "--max-time", "5", f"http://{address}/"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 7  # could not connect


def test_a_policy_closes_pods_to_each_other_but_not_to_the_node(web: RealCluster) -> None:
    web.apply(POLICY)
    deadline = time.monotonic() + 5
    pods = web.get("-n", NAMESPACE, "pods")["items"]
    source, name = pods[0]["status"]["podIP"], pods[1]["metadata"]["name"]
    url = f"http://{pods[1]['status']['podIP']}:8080/"
    try:
        while fetch(url, 1, pod=source) and time.monotonic() < deadline:
            pass
        assert fetch(url, 1, pod=source) == ""
        assert fetch(url) == name
    finally:
        web.kubectl("delete", "-n", NAMESPACE, "networkpolicy", "closed")
    while not fetch(url, 1, pod=source) and time.monotonic() < deadline + 10:
        pass
    assert fetch(url, pod=source) == name
