"""The tutorial's path with both kubectls: its Pod, its commands, its cluster."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import RealCluster, programs

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
Kubectl = Callable[..., str]


@pytest.fixture(params=["official", "pk"])
def which(request: pytest.FixtureRequest) -> str:
    """A name of its own: were `cluster` itself given parameters, each would bring up another cluster."""
    return str(request.param)


@pytest.fixture
def cluster(cluster: RealCluster, which: str) -> RealCluster:
    """All of this file holds for both kubectls."""
    return programs(cluster, which)


def test_pod_of_the_tutorial(cluster: RealCluster, kubectl: Kubectl, namespace: str) -> None:
    assert "pod/hello-pod created" in kubectl("apply", "-f", str(EXAMPLES / "tutorial" / "pod.yaml"))
    kubectl("wait", "--for=condition=Ready", "pod/hello-pod", "--timeout=60s")
    line = kubectl("get", "pods").splitlines()
    assert line[0].split() == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert line[1].split()[:4] == ["hello-pod", "1/1", "Running", "0"]
    assert "NODE" in kubectl("get", "pods", "-o", "wide").splitlines()[0]
    text = kubectl("get", "pods", "hello-pod", "-o", "yaml")
    assert "kubectl.kubernetes.io/last-applied-configuration" in text
    assert "phase: Running" in text
    assert "imagePullPolicy: IfNotPresent" in text
    assert namespace in cluster.kubectl("get", "pods", "--all-namespaces").stdout
    described = kubectl("describe", "pods", "hello-pod")
    assert "Started container hello-ctr" in described or "Container started" in described
    assert kubectl("exec", "hello-pod", "--container", "hello-ctr", "--", "echo", "in the pod") == "in the pod\n"
    kubectl("delete", "-f", str(EXAMPLES / "tutorial" / "pod.yaml"))
    assert "No resources found" in cluster.kubectl("-n", namespace, "get", "pods").stderr


def test_manifest_as_printed_is_refused_with_the_line(cluster: RealCluster, namespace: str) -> None:
    done = cluster.kubectl("-n", namespace, "apply", "-f", str(EXAMPLES / "tutorial" / "as-printed.yaml"), check=False)
    assert done.returncode == 1
    assert "line 4: found character that cannot start any token" in done.stderr


def test_upper_case_name_is_refused_with_the_field(cluster: RealCluster, namespace: str) -> None:
    manifest = (EXAMPLES / "tutorial" / "pod.yaml").read_text().replace("name: hello-pod", "name: hello-Pod")
    done = cluster.kubectl("-n", namespace, "apply", "-f", "-", stdin=manifest, check=False)
    assert done.returncode == 1
    assert 'metadata.name: Invalid value: "hello-Pod": a lowercase RFC 1123 subdomain must consist of' in done.stderr


def test_nodes(cluster: RealCluster) -> None:
    node = cluster.get("nodes")["items"][0]["metadata"]["name"]
    assert "kubernetes.io/hostname=" in cluster.kubectl("get", "nodes", "--show-labels").stdout
    cluster.kubectl("label", "nodes", node, "com=youdianzhishi")
    assert "com=youdianzhishi" in cluster.kubectl("get", "nodes", "--show-labels").stdout
    cluster.kubectl("label", "nodes", node, "com-")
    described = cluster.kubectl("describe", "nodes", node).stdout
    assert "KubeletReady" in described
    assert "Allocated resources" in described


def test_cluster_info_and_contexts(cluster: RealCluster) -> None:
    assert "Kubernetes control plane" in cluster.kubectl("cluster-info").stdout
    context = cluster.kubectl("config", "current-context").stdout.strip()
    assert context == f"pybernetes-{cluster.name}"
    assert "Switched to context" in cluster.kubectl("config", "use-context", context).stdout
