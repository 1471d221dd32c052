"""gRPC probes against a server of the official library in a real container: what becomes of the Pod, what it says."""

from __future__ import annotations

import json
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import netexec
from tests.e2e.conftest import RealCluster
from tests.e2e.netexec.world import until

pytestmark = [pytest.mark.e2e, pytest.mark.real_time]
IMAGE = "docker.io/library/grpc-health:latest"
HERE = ("-n", "probes-grpc")
#: Service asked for, which is the Pod's name as well: the port, and what the probe says.
REFUSED = {
    "stopped": (5000, 'service unhealthy (responded with "NOT_SERVING")'),
    "nobody": (5000, "error: health rpc failed: rpc error: code = NotFound desc = unknown service"),
    "slow": (5000, "timeout: health rpc did not complete within 1s"),
    "other": (5001, "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): "),
    "closed": (5009, 'timeout: failed to connect service "%s:5009" within 1s: context deadline exceeded'),
}


@pytest.fixture(scope="module")
def running(cluster: RealCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCluster]:
    program = Path(netexec.__file__).with_name("grpc_health.py")
    archive = tmp_path_factory.mktemp("image") / "grpc.tar"
    cluster.image("import", str(netexec.build(archive, program, IMAGE, (sysconfig.get_path("platlib"),))))
    cluster.kubectl("create", "namespace", HERE[1])
    yield cluster
    cluster.kubectl("delete", "namespace", HERE[1], "--wait=false")


def probe(service: str, port: int = 5000) -> dict[str, Any]:
    return {"grpc": {"port": port, "service": service}, "periodSeconds": 1, "failureThreshold": 1}


def run(cluster: RealCluster, name: str, probes: dict[str, Any]) -> None:
    server = {"name": "server", "image": IMAGE, "imagePullPolicy": "Never", **probes}
    startup = {**probe(""), "failureThreshold": 120}
    spec = {"terminationGracePeriodSeconds": 1, "containers": [{**server, "startupProbe": startup}]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
    cluster.kubectl("apply", "-f", "-", *HERE, stdin=json.dumps(pod))


def status(cluster: RealCluster, name: str) -> dict[str, Any]:
    return next(iter(cluster.get("pod", name, *HERE)["status"].get("containerStatuses", [])), {})


def said(cluster: RealCluster, name: str) -> set[tuple[str, str]]:
    listed = cluster.get("events", *HERE, "--field-selector", f"involvedObject.name={name}")["items"]
    assert all(one["involvedObject"]["fieldPath"] == "spec.containers{server}" for one in listed[1:])
    return {(one["reason"], one["message"]) for one in listed}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_probe_says_that_fails(running: RealCluster, name: str) -> None:
    port, text = REFUSED[name]
    run(running, name, {"readinessProbe": probe(name, port)})
    until(lambda: status(running, name).get("started"))
    wanted = "Readiness probe failed: " + text.replace("%s", running.get("pod", name, *HERE)["status"]["podIP"])
    until(lambda: any(reason == "Unhealthy" and one.startswith(wanted) for reason, one in said(running, name)))
    found = status(running, name)
    assert (found["ready"], found["restartCount"]) == (False, 0)
    running.kubectl("delete", "pod", name, *HERE, "--wait=false")


def test_liveness_that_is_lost_restarts(running: RealCluster) -> None:
    run(running, "main", {"livenessProbe": probe("main"), "readinessProbe": probe("main")})
    until(lambda: status(running, "main").get("ready"))
    time.sleep(4)  # nothing is to happen: nobody tells of a probe that succeeded
    assert status(running, "main")["restartCount"] == 0, "while it serves it is left alone"
    running.kubectl("exec", "main", *HERE, "--", "touch", "/tmp/main.down")
    until(lambda: status(running, "main").get("restartCount") == 1 and status(running, "main").get("ready"))
    text = 'Liveness probe failed: service unhealthy (responded with "NOT_SERVING")'
    assert ("Unhealthy", text) in said(running, "main")
    assert ("Killing", "Container server failed liveness probe, will be restarted") in said(running, "main")
