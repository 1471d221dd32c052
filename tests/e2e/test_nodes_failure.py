"""Nodes that fail: restarted one by one under requests, cut off the network, their runtime killed.

With its cable pulled out of the cluster's switch a node lives on, but nobody hears of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.e2e.conftest import RealCluster

NAMESPACE = "failing"

MANIFEST = f"""
apiVersion: v1
kind: Namespace
metadata: {{name: {NAMESPACE}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: {NAMESPACE}}}
spec:
  replicas: 3
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      terminationGracePeriodSeconds: 4
      topologySpreadConstraints:
      - maxSkew: 1
        topologyKey: kubernetes.io/hostname
        whenUnsatisfiable: ScheduleAnyway
        labelSelector: {{matchLabels: {{app: web}}}}
      tolerations:
      - {{key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 2}}
      - {{key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 2}}
      containers:
      - name: web
        image: busybox
        imagePullPolicy: Never
        # Process 1 ignores SIGTERM: it serves to the end of its grace period, while the Services forget it.
        command: [sh, -c, "mkdir -p /w; hostname > /w/index.html; exec httpd -f -p 8080 -h /w"]
        readinessProbe: {{tcpSocket: {{port: 8080}}, periodSeconds: 1, timeoutSeconds: 10}}
---
apiVersion: v1
kind: Service
metadata: {{name: web, namespace: {NAMESPACE}}}
spec:
  selector: {{app: web}}
  ports: [{{port: 80, targetPort: 8080}}]
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {{name: web, namespace: {NAMESPACE}}}
spec: {{maxUnavailable: 1, selector: {{matchLabels: {{app: web}}}}}}
"""


@pytest.fixture(scope="module")
def web(three_nodes: RealCluster) -> Iterator[RealCluster]:
    three_nodes.apply(MANIFEST)
    three_nodes.wait("-n", NAMESPACE, "deployment/web", "--for=condition=Available", timeout=90)
    yield three_nodes
    three_nodes.kubectl("delete", "namespace", NAMESPACE, timeout=120)


def pods(cluster: RealCluster) -> list[dict]:  # type: ignore[type-arg]
    found: list[dict] = cluster.get("-n", NAMESPACE, "pods", "-l", "app=web")["items"]  # type: ignore[type-arg]
    return found


def until(what: str, check: Callable[[], bool], seconds: float = 120) -> None:
    """Wait for a condition; it is asked through kubectl, which paces the loop."""
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, what


class Requests:
    """Asks the Service again and again on new connections, and keeps what went wrong."""

    def __init__(self, cluster: RealCluster) -> None:
        address = cluster.get("-n", NAMESPACE, "service", "web")["spec"]["clusterIP"]
        self._command = ["curl", "-s", "-S", "--noproxy", "*", "--max-time", "10", f"http://{address}/"]
        self._stop = threading.Event()
        self.count = 0
        self.failures: list[str] = []
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Requests:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    def _run(self) -> None:
        while not self._stop.wait(0.05):
            done = subprocess.run(self._command, capture_output=True, text=True, check=False)
            self.count += 1
            if done.returncode or not done.stdout.startswith("web-"):
                self.failures.append(f"{time.strftime('%H:%M:%S')} {done.returncode} {done.stdout}{done.stderr}")


@pytest.mark.slow
def test_rolling_restart_of_all_nodes_under_requests(web: RealCluster) -> None:
    boots = {node["metadata"]["name"]: node["metadata"]["uid"] for node in web.get("nodes")["items"]}
    with Requests(web) as requests:
        for node in web.nodes:
            drain = ("--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=90s")
            web.kubectl("drain", node, *drain, timeout=100)
            web.wait("-n", NAMESPACE, "deployment/web", "--for=condition=Available")
            web.pybernetes("node", "stop", node)
            web.pybernetes("node", "start", node)
            web.wait("--for=condition=Ready", f"node/{node}")
            web.kubectl("uncordon", node)
    assert requests.failures == []
    assert requests.count > 50
    assert {node["metadata"]["name"]: node["metadata"]["uid"] for node in web.get("nodes")["items"]} == boots


@contextlib.contextmanager
def cut(cluster: RealCluster, node: str) -> Iterator[None]:
    """The node's cable is pulled, and put back."""
    from pybernetes.bootstrap import machine_link

    machine_link.plug(cluster.found, node, "down")
    try:
        yield
    finally:
        machine_link.plug(cluster.found, node, "up")


def taints(cluster: RealCluster, node: str) -> set[tuple[str, str]]:
    found = cluster.get("node", node)["spec"].get("taints", [])
    return {(taint["key"].removeprefix("node.kubernetes.io/"), taint["effect"]) for taint in found}


def test_a_node_cut_off_is_unreachable_its_pods_are_replaced_and_all_heals(web: RealCluster) -> None:
    web.kubectl("-n", NAMESPACE, "rollout", "restart", "deployment/web")  # spread over all nodes again
    web.kubectl("-n", NAMESPACE, "rollout", "status", "deployment/web", "--timeout=90s", timeout=100)
    until("the old ones are gone", lambda: len(pods(web)) == 3)
    victim = next(n for n in reversed(web.nodes) if any(pod["spec"]["nodeName"] == n for pod in pods(web)))
    assert victim != web.nodes[0], "Pods are spread"
    stale = {pod["metadata"]["uid"]: pod for pod in pods(web) if pod["spec"]["nodeName"] == victim}
    with cut(web, victim):
        web.wait("--for=condition=Ready=Unknown", f"node/{victim}", timeout=120)
        (ready,) = (c for c in web.get("node", victim)["status"]["conditions"] if c["type"] == "Ready")
        assert (ready["reason"], ready["message"]) == ("NodeStatusUnknown", "Kubelet stopped posting node status.")
        wanted = {("unreachable", "NoSchedule"), ("unreachable", "NoExecute")}
        until("both taints are there", lambda: taints(web, victim) >= wanted)

        def replaced() -> bool:
            found = pods(web)
            gone = {pod["metadata"]["uid"] for pod in found if pod["metadata"].get("deletionTimestamp")}
            serving = [pod for pod in found if pod["metadata"]["uid"] not in stale and is_ready(pod)]
            return gone >= set(stale) and len(serving) == 3

        until("its Pods are evicted, and three serve elsewhere", replaced)
        assert all(pod["spec"]["nodeName"] != victim for pod in pods(web) if pod["metadata"]["uid"] not in stale)
        assert running_there(web, victim, stale), "nobody could tell the node: its containers go on"
    web.wait("--for=condition=Ready", f"node/{victim}", timeout=120)
    until("the taints are gone", lambda: taints(web, victim) == set())
    until("the stale Pods have ended", lambda: not {pod["metadata"]["uid"] for pod in pods(web)} & set(stale))
    until("their containers too", lambda: not running_there(web, victim, stale))
    assert len(pods(web)) == 3


def is_ready(pod: dict) -> bool:  # type: ignore[type-arg]
    conditions = {c["type"]: c["status"] for c in pod["status"].get("conditions", [])}
    return conditions.get("Ready") == "True"


def running_there(cluster: RealCluster, node: str, uids: dict[str, dict]) -> bool:  # type: ignore[type-arg]
    """Whether processes of these Pods run on the node, looked at without asking it."""
    from pybernetes.bootstrap import node_host

    root = node_host.cgroup_root(cluster.found, node)
    for path in subprocess.run(["find", "/sys/fs/cgroup", "-path", f"*/{root}/*", "-name", "cgroup.procs"],
                               capture_output=True, text=True, check=False).stdout.split():  # fmt: skip
        if any(uid in path for uid in uids):
            with contextlib.suppress(OSError), open(path) as file:
                if file.read().strip():
                    return True
    return False


def test_containers_outlive_the_runtime_and_the_kubelet(web: RealCluster) -> None:
    from pybernetes.bootstrap import node_host
    from pybernetes.node.containerd.process import running

    victim = next(pod["spec"]["nodeName"] for pod in pods(web))
    before = {
        pod["metadata"]["uid"]: pod["status"]["containerStatuses"][0]["containerID"]
        for pod in pods(web)
        if pod["spec"]["nodeName"] == victim
    }
    config = node_host.containerd_config(web.found, victim)
    first = running(config)
    assert first is not None
    os.kill(first, signal.SIGKILL)
    until("containerd is started again", lambda: running(config) not in (None, first))
    record = json.loads((web.directory / "run" / f"agent-{victim}.pid").read_text())
    os.kill(record["pid"], signal.SIGKILL)
    until("the agent is gone", lambda: "Stopped" in web.pybernetes("node", "list", check=False).stdout)
    web.pybernetes("node", "start", victim)
    web.wait("--for=condition=Ready", f"node/{victim}")
    after = {
        pod["metadata"]["uid"]: (pod["status"]["containerStatuses"][0]["containerID"], is_ready(pod))
        for pod in pods(web)
        if pod["spec"]["nodeName"] == victim
    }
    assert after == {uid: (identifier, True) for uid, identifier in before.items()}
    name = next(pod["metadata"]["name"] for pod in pods(web) if pod["spec"]["nodeName"] == victim)
    assert web.kubectl("-n", NAMESPACE, "exec", name, "--", "echo", "on").stdout == "on\n"


def test_a_namespace_that_somebody_removed_is_made_anew_with_all_that_lives_in_it(web: RealCluster) -> None:
    """Containers and runtime that go on in the old one could reach nobody, and nobody them."""
    victim = web.nodes[-1]
    netns = web.found.node_netns(victim)
    assert netns is not None
    record = json.loads((web.directory / "run" / f"agent-{victim}.pid").read_text())
    os.kill(record["pid"], signal.SIGKILL)
    until("the agent is gone", lambda: "Stopped" in web.pybernetes("node", "list", check=False).stdout)
    subprocess.run(["ip", "netns", "del", netns.name], check=True)
    web.pybernetes("up", "--no-merge")
    web.wait("--for=condition=Ready", f"node/{victim}", timeout=120)
    web.kubectl("-n", NAMESPACE, "rollout", "restart", "deployment/web")
    web.kubectl("-n", NAMESPACE, "rollout", "status", "deployment/web", "--timeout=120s", timeout=130)
    until("the old ones are gone", lambda: len(pods(web)) == 3)
    assert victim in {pod["spec"]["nodeName"] for pod in pods(web)}
