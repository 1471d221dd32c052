"""Each part of the control plane as a process of its own, over TLS and with its own identity."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pybernetes.bootstrap import cluster as clusters
from pybernetes.bootstrap import local, processes

KUBECTL = Path(sys.executable).parent / "kubectl"
PODS = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: "web:1"}]}
"""


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """API server, controllers, the cloud's and scheduler of a cluster without nodes."""
    monkeypatch.setenv("PYBERNETES_HOME", str(tmp_path))
    made = clusters.create(
        "parts", data_dir=None, api_host="127.0.0.1", api_port=None, store="sqlite", nodes=0, fake_nodes=0
    )
    local.ensure_credentials(made)
    run = made.directory / "run"
    commands = {
        "apiserver": ["--data-dir", str(made.directory)],
        "controller-manager": ["--kubeconfig", str(made.directory / "controller-manager.conf"), "--leader-elect"],
        "cloud-controller-manager": ["--kubeconfig", str(made.directory / "cloud-controller-manager.conf")],
        "scheduler": ["--kubeconfig", str(made.directory / "scheduler.conf")],
    }
    started = []
    try:
        for name, flags in commands.items():
            begun = processes.start(name, [name, *flags], pid_file=run / f"{name}.pid", log=made.log(name))
            started.append(begun)
            if name == "apiserver":
                begun.wait_ready(30)
        yield made.directory
    finally:
        for name in commands:
            processes.stop(run / f"{name}.pid")
        for begun in started:
            begun.process.wait(10)


def test_parts_meet_at_the_api(directory: Path) -> None:
    def kubectl(*arguments: str, stdin: str = "") -> str:
        command = [str(KUBECTL), "--kubeconfig", str(directory / "kubeconfig"), *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    kubectl("wait", "--for=create", "serviceaccount/default", "--timeout=30s")
    kubectl("apply", "-f", "-", stdin=PODS)
    kubectl("wait", "--for=jsonpath={.status.replicas}=2", "deployment/web", "--timeout=30s")
    reason = "--for=jsonpath={.status.conditions[?(@.type=='PodScheduled')].reason}=Unschedulable"
    kubectl("wait", reason, "pod", "-l", "app=web", "--timeout=30s")
    assert "no nodes available to schedule pods" in kubectl("get", "events")
    leases = kubectl("-n", "kube-system", "get", "leases")
    assert "kube-controller-manager" in leases and "cloud-controller-manager" in leases
    kubectl("create", "service", "loadbalancer", "web", "--tcp=80")
    kubectl("wait", "--for=jsonpath={.metadata.finalizers[0]}", "service/web", "--timeout=30s")
