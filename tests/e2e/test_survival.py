"""kill -9 of anything at any moment: containers go on, nothing acknowledged is lost, `up` brings all of it back."""

from __future__ import annotations

import http.client
import json
import os
import signal
import ssl
import subprocess
import threading
from pathlib import Path

import yaml

from pybernetes.aio import clock
from tests.e2e.conftest import RealCluster

SLEEPER = """
apiVersion: v1
kind: Pod
metadata: {name: lasting}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: c, image: "busybox:latest", imagePullPolicy: IfNotPresent, command: [sleep, "3600"]}
"""


def kill(cluster: RealCluster, what: str) -> None:
    """SIGKILL to the process of a pid file, and wait until it is gone."""
    record = json.loads((cluster.directory / "run" / f"{what}.pid").read_text())
    descriptor = os.pidfd_open(record["pid"])
    os.kill(record["pid"], signal.SIGKILL)
    import select

    assert select.select([descriptor], [], [], 10)[0]
    os.close(descriptor)


def agent(cluster: RealCluster) -> str:
    return next(path.stem for path in (cluster.directory / "run").glob("agent-*.pid"))


def container_id(cluster: RealCluster, namespace: str) -> str:
    pod = json.loads(cluster.kubectl("-n", namespace, "get", "pod", "lasting", "-o", "json").stdout)
    (status,) = pod["status"]["containerStatuses"]
    assert status["restartCount"] == 0
    return str(status["containerID"])


def start_sleeper(cluster: RealCluster, namespace: str) -> str:
    cluster.kubectl("-n", namespace, "apply", "-f", "-", stdin=SLEEPER)
    cluster.wait("-n", namespace, "--for=condition=Ready", "pod/lasting")
    return container_id(cluster, namespace)


def test_containers_go_on_without_control_plane_and_agent(cluster: RealCluster, namespace: str) -> None:
    before = start_sleeper(cluster, namespace)
    kill(cluster, "control-plane")
    assert cluster.pybernetes("status", check=False).returncode == 1
    assert Path(f"/proc/{_main_process(before)}").exists()
    cluster.pybernetes("up", "--no-merge")
    assert container_id(cluster, namespace) == before
    kill(cluster, agent(cluster))
    assert Path(f"/proc/{_main_process(before)}").exists()
    cluster.pybernetes("up", "--no-merge")
    cluster.wait("-n", namespace, "--for=condition=Ready", "pod/lasting")
    assert container_id(cluster, namespace) == before, "the agent took over what ran"
    assert cluster.kubectl("-n", namespace, "exec", "lasting", "--", "echo", "on").stdout == "on\n"


def test_loss_of_all_processes(cluster: RealCluster, namespace: str) -> None:
    """As after a power failure: control plane, agent, containerd, shims and containers are gone at once."""
    start_sleeper(cluster, namespace)
    kill(cluster, "control-plane")
    kill(cluster, agent(cluster))
    _kill_runtime(cluster)
    cluster.pybernetes("up", "--no-merge")
    cluster.wait("--for=condition=Ready", "node", "--all")
    jsonpath = "--for=jsonpath={.status.containerStatuses[0].restartCount}=1"
    cluster.wait("-n", namespace, jsonpath, "pod/lasting")
    cluster.wait("-n", namespace, "--for=condition=Ready", "pod/lasting")


def test_nothing_acknowledged_is_lost_in_twenty_kills(cluster: RealCluster, namespace: str) -> None:
    writer = Writer(cluster, namespace)
    writer.start()
    try:
        for _ in range(20):
            reached = writer.acknowledged_count() + 20
            writer.wait_for(reached)
            kill(cluster, "control-plane")
            cluster.pybernetes("up", "--no-merge")
    finally:
        acknowledged = writer.finish()
    stored = cluster.kubectl("-n", namespace, "get", "configmaps", "-o", "name", timeout=120).stdout.split()
    names = {name.removeprefix("configmap/") for name in stored}
    assert len(acknowledged) >= 400
    assert acknowledged <= names, f"lost: {sorted(acknowledged - names)[:10]}"


class Writer:
    """Creates ConfigMaps as fast as one connection takes them, and remembers those that were acknowledged."""

    def __init__(self, cluster: RealCluster, namespace: str) -> None:
        config = yaml.safe_load(cluster.kubeconfig.read_text())
        self._address = config["clusters"][0]["cluster"]["server"].removeprefix("https://")
        self._path = f"/api/v1/namespaces/{namespace}/configmaps"
        self._tls = ssl.create_default_context(cafile=str(cluster.directory / "pki" / "ca.crt"))
        self._tls.load_cert_chain(str(cluster.directory / "admin-client.pem"))
        self._acknowledged: set[str] = set()
        self._changed = threading.Condition()
        self._stop = False
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        self._thread.start()

    def acknowledged_count(self) -> int:
        return len(self._acknowledged)

    def wait_for(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self._acknowledged) >= count, timeout=60)

    def finish(self) -> set[str]:
        self._stop = True
        self._thread.join(30)
        return self._acknowledged

    def _run(self) -> None:
        connection: http.client.HTTPSConnection | None = None
        number = 0
        while not self._stop:
            number += 1
            name = f"w{number}"
            body = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "b"}})
            try:
                if connection is None:
                    connection = http.client.HTTPSConnection(self._address, context=self._tls, timeout=10)
                connection.request("POST", self._path, body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException):
                assert connection is not None
                connection.close()
                connection = None
                clock._time.sleep(0.01)  # the server is being killed; a thread, not a coroutine
                continue
            if answer.status == 201:
                with self._changed:
                    self._acknowledged.add(name)
                    self._changed.notify_all()
        if connection is not None:
            connection.close()


def _main_process(container: str) -> int:
    """The pid of a container's first process, by its cgroup."""
    identifier = container.removeprefix("containerd://")
    for directory in Path("/sys/fs/cgroup").rglob(identifier):
        pids = (directory / "cgroup.procs").read_text().split()
        if pids:
            return int(pids[0])
    raise AssertionError(f"no process of {container}")


def _kill_runtime(cluster: RealCluster) -> None:
    """containerd, the shims and the containers of this cluster: everything that has its state directory open."""
    from pybernetes.bootstrap import cluster as clusters
    from pybernetes.bootstrap import node_host

    found = clusters.find("", str(cluster.directory))
    assert found is not None
    node = found.state.nodes[0].name
    config = node_host.containerd_config(found, node)
    marks = (str(config.config_file), str(config.socket))
    root = node_host.cgroup_root(found, node)
    victims = {int(pid) for d in Path("/sys/fs/cgroup").rglob("cgroup.procs") if root in str(d) for pid in _pids(d)}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if any(mark in command for mark in marks):
                victims.add(int(entry.name))
    for pid in victims:
        subprocess.run(["kill", "-9", str(pid)], check=False, capture_output=True)


def _pids(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []
