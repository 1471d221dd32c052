"""Anything is killed at random, for a while, from a seed; in the end the declared state is there.

Processes of the control plane, agents, containerds and containers are killed, nodes lose power, cables are pulled, Pods
deleted; now and then somebody runs `up`, as a supervisor would. A writer counts what the API acknowledged: each of it
is still there. A failure prints the seed and what was done; the same seed chooses the same deeds.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pybernetes.bootstrap import machine_link, node_host
from pybernetes.bootstrap.cluster import ClusterError
from pybernetes.node.containerd.process import running
from tests.e2e.conftest import RealCluster
from tests.e2e.test_survival import Writer

NAMESPACE = "chaos"
#: Of the long run, to look for more.
SEED, SECONDS = int(os.environ.get("CHAOS_SEED", "2")), float(os.environ.get("CHAOS_SECONDS", "600"))

CONTAINER = """
      terminationGracePeriodSeconds: 1
      tolerations: [{operator: Exists, effect: NoExecute, tolerationSeconds: 5}]
      containers:
      - name: c
        image: hello:latest
        imagePullPolicy: Never
        readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1, timeoutSeconds: 10}
"""

MANIFEST = f"""
apiVersion: v1
kind: Namespace
metadata: {{name: {NAMESPACE}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: {NAMESPACE}}}
spec:
  replicas: 4
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec: {CONTAINER}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {{name: state, namespace: {NAMESPACE}}}
spec:
  serviceName: state
  replicas: 2
  podManagementPolicy: Parallel
  selector: {{matchLabels: {{app: state}}}}
  template:
    metadata: {{labels: {{app: state}}}}
    spec: {CONTAINER}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {{name: everywhere, namespace: {NAMESPACE}}}
spec:
  selector: {{matchLabels: {{app: everywhere}}}}
  template:
    metadata: {{labels: {{app: everywhere}}}}
    spec: {CONTAINER}
---
apiVersion: batch/v1
kind: Job
metadata: {{name: work, namespace: {NAMESPACE}}}
spec:
  completions: 5
  parallelism: 2
  backoffLimit: 1000
  template:
    spec:
      restartPolicy: OnFailure
      containers: [{{name: c, image: "busybox:latest", imagePullPolicy: Never, command: [sleep, "3"]}}]
"""


class Chaos:
    """Does harm to a cluster, chosen by a seed."""

    def __init__(self, cluster: RealCluster, seed: int) -> None:
        self.cluster, self.chance = cluster, random.Random(seed)
        self.done: list[str] = []
        self._cut: set[str] = set()
        self._deeds: tuple[tuple[int, Callable[[], str]], ...] = (
            (2, self.kill_control_plane),
            (3, self.kill_agent),
            (3, self.kill_containerd),
            (4, self.kill_container),
            (1, self.stop_node),
            (2, self.pull_cable),
            (2, self.put_cable_back),
            (2, self.delete_pod),
            (6, self.up),
        )

    def step(self) -> None:
        """One deed."""
        weights = [weight for weight, _ in self._deeds]
        (deed,) = self.chance.choices([deed for _, deed in self._deeds], weights)
        self.done.append(deed())

    def heal(self) -> None:
        """All cables are in, and everything that was stopped runs."""
        for node in sorted(self._cut):
            self._cable(node, "up")
        self.cluster.pybernetes("up", "--no-merge", "--wait", "120", timeout=180)

    def kill_control_plane(self) -> str:
        return f"kill control plane {self._kill_record('control-plane')}"

    def kill_agent(self) -> str:
        node = self._node()
        return f"kill agent of {node} {self._kill_record(f'agent-{node}')}"

    def kill_containerd(self) -> str:
        node = self._node()
        pid = running(node_host.containerd_config(self.cluster.found, node))
        return f"kill containerd of {node} {_kill(pid)}"

    def kill_container(self) -> str:
        """Some container's first process, anywhere."""
        pids = sorted(_containers(f"pybernetes/{self.cluster.name}-"))
        return f"kill container {_kill(self.chance.choice(pids))}" if pids else "no container to kill"

    def stop_node(self) -> str:
        node = self._node()
        self.cluster.pybernetes("node", "stop", node)
        self._cut.discard(node)  # its port is gone; it comes back with a good one
        return f"stop {node}"

    def pull_cable(self) -> str:
        node = self.chance.choice(self.cluster.nodes[1:])
        if self._cable(node, "down"):
            self._cut.add(node)
        return f"cut {node}"

    def put_cable_back(self) -> str:
        for node in sorted(self._cut):
            self._cable(node, "up")
        self._cut.clear()
        return "cables are back"

    def delete_pod(self) -> str:
        ask = ("-n", NAMESPACE, "get", "pods", "-o", "name", "--request-timeout=5s")
        names = self.cluster.kubectl(*ask, check=False).stdout.split()
        if not names:
            return "no Pod to delete"
        name = self.chance.choice(sorted(names))
        self.cluster.kubectl("-n", NAMESPACE, "delete", name, "--wait=false", "--request-timeout=5s", check=False)
        return f"delete {name}"

    def up(self) -> str:
        """Nodes that are cut off cannot get ready, so this may well fail."""
        done = self.cluster.pybernetes("up", "--no-merge", "--wait", "10", check=False)
        return f"up: {done.returncode}"

    def _node(self) -> str:
        return self.chance.choice(self.cluster.nodes)

    def _cable(self, node: str, state: str) -> bool:
        try:
            machine_link.plug(self.cluster.found, node, state)
        except ClusterError:
            return False  # it is switched off
        return True

    def _kill_record(self, what: str) -> str:
        with contextlib.suppress(OSError, ValueError):
            return _kill(json.loads((self.cluster.directory / "run" / f"{what}.pid").read_text())["pid"])
        return "(none)"


def _containers(root: str) -> set[int]:
    """The first process of each container below these cgroups, which come and go."""
    found = set()
    for hierarchy in Path("/sys/fs/cgroup").iterdir():
        for directory, _, files in os.walk(hierarchy / "pybernetes"):
            with contextlib.suppress(OSError):
                if "cgroup.procs" in files and root in directory:
                    found.update(int(pid) for pid in Path(directory, "cgroup.procs").read_text().split()[:1])
    return found - {0}


def _kill(pid: int | None) -> str:
    if pid is None:
        return "(none)"
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
        return str(pid)
    return "(gone)"


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "seconds"), [(1, 60), (SEED, SECONDS)], ids=["short", "long"])
def test_whatever_is_killed_the_declared_state_comes_back(three_nodes: RealCluster, seed: int, seconds: float) -> None:
    three_nodes.apply(MANIFEST)
    chaos = Chaos(three_nodes, seed)
    writer = Writer(three_nodes, NAMESPACE)
    writer.start()
    try:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            chaos.step()
    finally:
        print(f"seed {seed}:", *chaos.done, sep="\n  ")
        chaos.heal()
        acknowledged = writer.finish()
    try:
        _settles(three_nodes)
    except AssertionError:
        _explain(three_nodes)
        raise
    stored = three_nodes.kubectl("-n", NAMESPACE, "get", "configmaps", "-o", "name", timeout=120).stdout.split()
    lost = acknowledged - {name.removeprefix("configmap/") for name in stored}
    assert acknowledged and not lost, f"lost: {sorted(lost)[:10]}"
    three_nodes.kubectl("delete", "namespace", NAMESPACE, timeout=180)


def _explain(cluster: RealCluster) -> None:
    """Print what may tell why the state did not come back."""
    for what in ("nodes", "pods -A", "job,deployment,statefulset,daemonset -A"):
        print(cluster.kubectl("get", *what.split(), "-o", "wide", check=False).stdout[-8000:])
    for node in cluster.nodes:
        agent = json.loads((cluster.directory / "run" / f"agent-{node}.pid").read_text())["pid"]
        runtime = running(node_host.containerd_config(cluster.found, node))
        for what, pid in (("agent", agent), ("containerd", runtime)):
            with contextlib.suppress(OSError):
                print(node, what, pid, os.readlink(f"/proc/{pid}/ns/net"))
        command = cluster.on(node, "ip", "route")
        print(subprocess.run(command, capture_output=True, text=True, check=False).stdout)
        text = (cluster.directory / "logs" / f"agent-{node}.log").read_text()
        print(*[line for line in text.splitlines() if "client.informer" not in line][-60:], sep="\n")
    for pod in cluster.get("-n", NAMESPACE, "pods")["items"]:
        if any(c["type"] == "Ready" and c["status"] != "True" for c in pod["status"].get("conditions", [])):
            print(json.dumps(pod["status"]))


def _settles(cluster: RealCluster) -> None:
    """What is declared is there, and no more."""
    ask = ("-n", NAMESPACE)
    cluster.wait("--for=condition=Ready", "node", "--all", timeout=120)
    # A containerd that was killed while a container ended may miss that end; it is asked again after half a minute.
    cluster.wait(*ask, "--for=condition=Complete", "job/work", timeout=300)
    for workload in ("deployment/web", "statefulset/state", "daemonset/everywhere"):
        cluster.kubectl(*ask, "rollout", "status", workload, "--timeout=300s", timeout=310)
    deadline = time.monotonic() + 120
    while (count := _count(cluster)) != 4 + 2 + 3:
        assert time.monotonic() < deadline, f"{count} Pods are there"


def _count(cluster: RealCluster) -> int:
    """Pods of the lasting workloads, those that are ending too; failed ones are there for their owners to remove."""
    items = cluster.get("-n", NAMESPACE, "pods", "-l", "app", "--field-selector", "status.phase!=Failed")["items"]
    return len(items)
