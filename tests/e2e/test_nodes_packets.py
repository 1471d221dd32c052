"""Pods of several nodes and their Services, in both modes: routes and VXLAN.

The same tests for two clusters: every Pod to every Pod by TCP and UDP, cluster IPs from every node, node ports of the
other node, external policy Local, and session affinity. `curl` and small Python programs stand for the clients, in the
network of a node or a Pod.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.e2e.conftest import RealCluster, brought_up
from tests.e2e.test_services_cluster import namespace_of

NAMESPACE = "packets"

MANIFEST = f"""
apiVersion: v1
kind: Namespace
metadata: {{name: {NAMESPACE}}}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {{name: web, namespace: {NAMESPACE}}}
spec:
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: web
        image: busybox
        imagePullPolicy: Never
        command: [sh, -c, "mkdir -p /w/cgi-bin; printf '#!/bin/sh\\necho; echo $HOSTNAME $REMOTE_ADDR' > /w/cgi-bin/who;
          chmod +x /w/cgi-bin/who; exec httpd -f -p 8080 -h /w"]
        readinessProbe: {{tcpSocket: {{port: 8080}}, periodSeconds: 1, timeoutSeconds: 10}}
---
apiVersion: v1
kind: Service
metadata: {{name: web, namespace: {NAMESPACE}}}
spec:
  type: NodePort
  selector: {{app: web}}
  ports: [{{name: tcp, port: 80, targetPort: 8080}}, {{name: udp, port: 90, targetPort: 9090, protocol: UDP}}]
---
apiVersion: v1
kind: Service
metadata: {{name: sticky, namespace: {NAMESPACE}}}
spec:
  selector: {{app: web}}
  sessionAffinity: ClientIP
  ports: [{{port: 80, targetPort: 8080}}]
---
apiVersion: v1
kind: Service
metadata: {{name: local, namespace: {NAMESPACE}}}
spec:
  type: NodePort
  externalTrafficPolicy: Local
  selector: {{app: web, here: "yes"}}
  ports: [{{port: 80, targetPort: 8080}}]
"""

ECHO = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 9090))
print("bound", flush=True)
while True:
    text, sender = s.recvfrom(2048)
    s.sendto(sys.argv[1].encode() + b" " + sender[0].encode(), sender)
"""
ASK = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(1)
for _ in range(10):
    s.sendto(b"who", (sys.argv[1], int(sys.argv[2])))
    try:
        print(s.recv(2048).decode())
        break
    except OSError:
        pass
"""


class Web:
    """A cluster with a web server on each node; `pods`: node -> (name, address, network namespace)."""

    def __init__(self, cluster: RealCluster) -> None:
        self.cluster = cluster
        self.pods: dict[str, tuple[str, str, Path]] = {}
        for pod in cluster.get("-n", NAMESPACE, "pods")["items"]:
            address = pod["status"]["podIP"]
            self.pods[pod["spec"]["nodeName"]] = (pod["metadata"]["name"], address, namespace_of(address))

    def service(self, name: str) -> tuple[str, list[int]]:
        """Cluster IP and node ports."""
        spec = self.cluster.get("-n", NAMESPACE, "service", name)["spec"]
        return spec["clusterIP"], [port.get("nodePort", 0) for port in spec["ports"]]

    def node_address(self, node: str) -> str:
        return self.cluster.found.state.node_address(node)

    def from_pod(self, node: str, *command: str) -> list[str]:
        return ["nsenter", f"--net={self.pods[node][2]}", "--", *command]


def who(enter: list[str], address: str, port: int, seconds: float = 3) -> tuple[str, str]:
    """Name of the Pod that answers and the client's address it saw; empty for no answer."""
    url = f"http://{address}:{port}/cgi-bin/who"
    command = [*enter, "curl", "-s", "--noproxy", "*", "--max-time", str(seconds), url]
    text = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    name, _, source = text.strip().partition(" ")
    return name, source.removeprefix("::ffff:").strip("[]").removeprefix("::ffff:")


def name_of(enter: list[str], address: str, port: int) -> str:
    """The Pod that answers."""
    return who(enter, address, port)[0]


def asked(enter: list[str], address: str, port: int) -> str:
    """The address that answers by UDP."""
    return next(iter(ask(enter, address, port)), "")


def reached(ask_one: Callable[[], str], wanted: set[str], seconds: float = 60) -> set[str]:
    """Who answered, asked until all that are wanted did: chance decides, and a busy machine may miss an answer."""
    deadline = time.monotonic() + seconds
    seen: set[str] = set()
    while not seen >= wanted and time.monotonic() < deadline:
        seen |= {ask_one()} - {""}
    return seen


def eventually(what: str, check: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, what


@pytest.fixture(scope="module", params=["routes", "vxlan"])
def web(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with contextlib.ExitStack() as stack:
        if request.param == "routes":
            cluster: RealCluster = request.getfixturevalue("three_nodes")
        else:
            flags = ("--nodes", "2", "--network", "vxlan")
            cluster = stack.enter_context(brought_up(tmp_path_factory, f"e2ev-{os.getpid()}", *flags))
        cluster.apply(MANIFEST)
        cluster.kubectl("-n", NAMESPACE, "rollout", "status", "daemonset/web", "--timeout=90s", timeout=100)
        found = Web(cluster)
        servers = [start_echo(found, node) for node in found.pods]
        yield found
        for server in servers:
            server.kill()
            server.communicate()
        cluster.kubectl("delete", "namespace", NAMESPACE, timeout=90)


def start_echo(web: Web, node: str) -> subprocess.Popen[str]:
    """A UDP server in the network of the node's Pod, that answers with its own address and the asker's."""
    command = web.from_pod(node, sys.executable, "-S", "-c", ECHO, web.pods[node][1])
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None and server.stdout.readline() == "bound\n"
    return server


def ask(enter: list[str], address: str, port: int) -> list[str]:
    """The UDP answer's words."""
    command = [*enter, sys.executable, "-S", "-c", ASK, address, str(port)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def test_every_pod_reaches_every_pod_and_is_seen_with_its_own_address(web: Web) -> None:
    for source, (_, own, _) in web.pods.items():
        for name, address, _ in web.pods.values():
            assert who(web.from_pod(source), address, 8080) == (name, own)
            assert ask(web.from_pod(source), address, 9090) == [address, own]


def test_every_node_reaches_every_pod(web: Web) -> None:
    for node in web.pods:
        for name, address, _ in web.pods.values():
            assert who(web.cluster.on(node), address, 8080)[0] == name


def test_cluster_addresses_lead_to_pods_of_all_nodes_from_anywhere(web: Web) -> None:
    address, _ = web.service("web")
    names = {name for name, _, _ in web.pods.values()}
    addresses = {pod for _, pod, _ in web.pods.values()}
    for node in web.pods:
        for enter in (web.from_pod(node), web.cluster.on(node)):
            assert reached(partial(name_of, enter, address, 80), names) == names
        assert reached(partial(asked, web.from_pod(node), address, 90), addresses) == addresses


def test_node_ports_are_served_by_every_node_for_pods_of_all(web: Web) -> None:
    _, (port, udp) = web.service("web")
    names = {name for name, _, _ in web.pods.values()}
    first, *_, last = web.pods
    for source, target in ((first, last), (last, first)):
        for enter in (web.cluster.on(source), web.from_pod(source)):
            found = reached(partial(name_of, enter, web.node_address(target), port), names)
            assert found == names, f"{enter} by {target}: {web.pods}"
        assert ask(web.cluster.on(source), web.node_address(target), udp)


def test_a_client_stays_with_its_pod_whichever_node_that_is_on(web: Web) -> None:
    address, _ = web.service("sticky")
    for node in web.pods:
        assert len({who(web.from_pod(node), address, 80)[0] for _ in range(12)}) == 1


def test_policy_local_serves_own_pods_only_and_keeps_the_clients_address(web: Web) -> None:
    _, (port,) = web.service("local")
    first, *_, last = web.pods
    name = web.pods[last][0]
    web.cluster.kubectl("-n", NAMESPACE, "label", "pod", name, "here=yes")
    client = web.cluster.on(first)
    served = (name, web.node_address(first))
    eventually("the node of the Pod serves", lambda: who(client, web.node_address(last), port) == served)
    # The other node drops what comes from outside: it must not send it on.
    assert who(web.cluster.on(last), web.node_address(first), port, 2) == ("", "")
