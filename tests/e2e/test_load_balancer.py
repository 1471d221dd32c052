"""Services of type LoadBalancer on a real node: the node's own address, real packets, one Service a port."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable

import pytest

from tests.e2e.conftest import RealCluster
from tests.e2e.test_services_cluster import fetch

WEB = """
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: web
    image: busybox
    imagePullPolicy: Never
    command: [sh, -c, "mkdir /w; echo welcome > /w/index.html; exec httpd -f -p 8080 -h /w"]
    readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
"""
SERVICE = """
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec:
  type: LoadBalancer
  allocateLoadBalancerNodePorts: false
  selector: {{app: web}}
  ports: [{{port: {port}, targetPort: 8080}}]
  loadBalancerSourceRanges: [{ranges}]
"""


def service(name: str, port: int, ranges: str = "0.0.0.0/0") -> str:
    return SERVICE.format(name=name, port=port, ranges=ranges)


@pytest.fixture
def served(kubectl: Callable[..., str]) -> Callable[..., str]:
    """A Pod and a load balancer for port 8000."""
    kubectl("apply", "-f", "-", stdin=f"{WEB}---{service('web', 8000)}")
    kubectl("wait", "--for=condition=Ready", "pod/web", "--timeout=60s", timeout=70)
    return kubectl


def wait_for_address(kubectl: Callable[..., str], name: str) -> str:
    kubectl("wait", "--for=jsonpath={.status.loadBalancer.ingress[0].ip}", f"service/{name}", "--timeout=60s")
    return kubectl("get", "service", name, "-o", "jsonpath={.status.loadBalancer.ingress[0].ip}")


def test_packets_to_the_nodes_address_arrive(cluster: RealCluster, served: Callable[..., str]) -> None:
    address = wait_for_address(served, "web")
    assert address == cluster.get("nodes")["items"][0]["status"]["addresses"][0]["address"]
    served("wait", "--for=jsonpath={.subsets[0].addresses[0].ip}", "endpoints/web", "--timeout=30s")
    command = ["curl", "-s", "--noproxy", "*", "--retry", "20", "--retry-connrefused", "--retry-delay", "1"]
    page = subprocess.run([*command, f"http://{address}:8000/"], capture_output=True, text=True, check=False).stdout
    assert page.strip() == "welcome"
    pod = served("get", "pod", "web", "-o", "jsonpath={.status.podIP}")
    assert fetch(f"http://{address}:8000/", pod=pod) == "welcome"
    served("delete", "service", "web", "--timeout=30s")
    assert fetch(f"http://{address}:8000/") == ""


def test_a_port_has_one_owner_and_the_nodes_servers_keep_theirs(served: Callable[..., str]) -> None:
    wait_for_address(served, "web")
    served("apply", "-f", "-", stdin=f"{service('rival', 8000)}---{service('greedy', 53)}")
    for name, owner in (("rival", "Service"), ("greedy", "the cluster DNS")):
        served("wait", "--for=jsonpath={.metadata.finalizers[0]}", f"service/{name}", "--timeout=30s")
        for _ in range(60):
            described = served("describe", "service", name)
            if "SyncLoadBalancerFailed" in described:
                break
        assert f"is taken by {owner}" in described
        assert served("get", "service", name, "-o", "jsonpath={.status.loadBalancer}") == "{}"
    served("delete", "service", "web", "--timeout=30s")
    wait_for_address(served, "rival")


SEVERAL = """
apiVersion: v1
kind: Namespace
metadata: {name: everywhere}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: hello, namespace: everywhere}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: c, image: hello, imagePullPolicy: IfNotPresent}]
---
apiVersion: v1
kind: Service
metadata: {name: cluster, namespace: everywhere}
spec:
  type: LoadBalancer
  selector: {app: web}
  ports: [{name: http, port: 8000, targetPort: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: local, namespace: everywhere}
spec:
  type: LoadBalancer
  externalTrafficPolicy: Local
  selector: {app: web}
  ports: [{port: 8001, targetPort: 8080}]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: hello, namespace: everywhere}
spec:
  defaultBackend: {service: {name: cluster, port: {name: http}}}
"""


def test_every_node_is_a_load_balancer_and_a_front_door(three_nodes: RealCluster) -> None:
    three_nodes.apply(SEVERAL)
    try:

        def kubectl(*arguments: str) -> str:
            return three_nodes.kubectl("-n", "everywhere", *arguments, timeout=100).stdout

        kubectl("rollout", "status", "deployment/hello", "--timeout=90s")
        nodes = {
            n["metadata"]["name"]: n["status"]["addresses"][0]["address"] for n in three_nodes.get("nodes")["items"]
        }
        ingress = "{.status.loadBalancer.ingress[*].ip}"
        homes = set(kubectl("get", "pods", "-o", "jsonpath={.items[*].spec.nodeName}").split())
        for what, names in (("service/cluster", {*nodes}), ("service/local", homes), ("ingress/hello", {*nodes})):
            expected = " ".join(nodes[name] for name in sorted(names))
            deadline = time.monotonic() + 60
            while (found := kubectl("get", what, "-o", f"jsonpath={ingress}")) != expected:
                assert time.monotonic() < deadline, f"{what} has {found}, not {expected}"
        for address in nodes.values():
            command = [
                "curl",
                "-s",
                "--noproxy",
                "*",
                "--retry",
                "20",
                "--retry-all-errors",
                "--retry-delay",
                "1",
                "-f",
            ]
            for url in (f"http://{address}:8000/", f"http://{address}/"):
                page = subprocess.run([*command, url], capture_output=True, text=True, check=False, timeout=60).stdout
                assert page.startswith("Hello from hello-"), url
    finally:
        three_nodes.kubectl("delete", "namespace", "everywhere", timeout=100)
