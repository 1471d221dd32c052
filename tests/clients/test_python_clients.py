"""Unmodified client libraries against a served cluster: they cannot tell."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from pybernetes.aio import clock
from pybernetes.testing.pytest_plugin import ClusterThread

pytestmark = pytest.mark.filterwarnings("ignore")  # the libraries' own warnings are not ours


def run_script(text: str, cluster: ClusterThread, namespace: str, timeout: float = 60) -> str:
    """Run a program in a process of its own, as a user would; what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(text)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env={"KUBECONFIG": str(cluster.kubeconfig), "NAMESPACE": namespace, "HOME": str(cluster.kubeconfig.parent)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_official_client(pybernetes_cluster: ClusterThread, pybernetes_namespace: str) -> None:
    printed = run_script(
        """
        import os
        from kubernetes import client, config, watch
        config.load_kube_config()
        namespace = os.environ["NAMESPACE"]
        core, apps = client.CoreV1Api(), client.AppsV1Api()
        labels = {"app": "web"}
        apps.create_namespaced_deployment(namespace, client.V1Deployment(
            metadata=client.V1ObjectMeta(name="web"),
            spec=client.V1DeploymentSpec(
                replicas=2, selector=client.V1LabelSelector(match_labels=labels),
                template=client.V1PodTemplateSpec(
                    metadata=client.V1ObjectMeta(labels=labels),
                    spec=client.V1PodSpec(containers=[client.V1Container(name="c", image="web:1")])))))
        for event in watch.Watch().stream(apps.list_namespaced_deployment, namespace, timeout_seconds=30):
            if event["object"].status.ready_replicas == 2:
                break
        pods = core.list_namespaced_pod(namespace, label_selector="app=web").items
        print(sorted(pod.status.phase for pod in pods))
        apps.patch_namespaced_deployment_scale("web", namespace, {"spec": {"replicas": 1}})
        print(apps.read_namespaced_deployment_scale("web", namespace).spec.replicas)
        try:
            core.read_namespaced_pod("nothing", namespace)
        except client.ApiException as error:
            print(error.status, error.reason)
        core.delete_collection_namespaced_pod(namespace)
        print(client.VersionApi().get_code().git_version)
        """,
        pybernetes_cluster,
        pybernetes_namespace,
    )
    assert printed.splitlines() == ["['Running', 'Running']", "1", "404 Not Found", "v1.36.2"]


def test_lightkube(pybernetes_cluster: ClusterThread, pybernetes_namespace: str) -> None:
    printed = run_script(
        """
        import os
        from lightkube import Client, ApiError
        from lightkube.models.meta_v1 import ObjectMeta
        from lightkube.resources.core_v1 import ConfigMap
        from lightkube.types import PatchType
        namespace = os.environ["NAMESPACE"]
        client = Client(namespace=namespace, field_manager="lightkube")
        made = client.create(ConfigMap(metadata=ObjectMeta(name="c"), data={"a": "1"}))
        client.patch(ConfigMap, "c", {"data": {"b": "2"}}, patch_type=PatchType.MERGE)
        client.apply(ConfigMap(metadata=ObjectMeta(name="d"), data={"x": "y"}))
        print(client.get(ConfigMap, "c").data)
        print(sorted(m.metadata.name for m in client.list(ConfigMap) if m.metadata.name in "cd"))
        for operation, obj in client.watch(ConfigMap, resource_version=made.metadata.resourceVersion):
            print(operation, obj.metadata.name)
            break
        client.delete(ConfigMap, "c")
        try:
            client.get(ConfigMap, "c")
        except ApiError as error:
            print(error.status.message)
        """,
        pybernetes_cluster,
        pybernetes_namespace,
    )
    assert printed.splitlines() == [
        "{'a': '1', 'b': '2'}",
        "['c', 'd']",
        "MODIFIED c",
        'configmaps "c" not found',
    ]


def test_kr8s(pybernetes_cluster: ClusterThread, pybernetes_namespace: str) -> None:
    printed = run_script(
        """
        import os
        from kr8s.objects import Pod
        namespace = os.environ["NAMESPACE"]
        pod = Pod({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": namespace},
                   "spec": {"containers": [{"name": "c", "image": "web:1"}]}})
        pod.create()
        pod.wait("condition=Ready", timeout=30)
        print(pod.status.phase)
        pod.label({"a": "b"})
        print([p.name for p in Pod.list(namespace=namespace, label_selector="a=b")])
        pod.delete()
        """,
        pybernetes_cluster,
        pybernetes_namespace,
    )
    assert printed.splitlines() == ["Running", "['p']"]


OPERATOR = """
import kopf

@kopf.on.create("example.com", "v1", "greetings")
def created(spec, name, namespace, patch, **_):
    patch.status["text"] = f"hello {spec['who']}"
    return {"done": True}
"""

CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: greetings.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: greetings, singular: greeting, kind: Greeting}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec: {type: object, properties: {who: {type: string}}}
          status: {type: object, x-kubernetes-preserve-unknown-fields: true}
"""


def kubectl(cluster: ClusterThread, *arguments: str, stdin: str = "") -> str:
    """The official kubectl; what it printed."""
    program = Path(sys.executable).parent / "kubectl"
    done = subprocess.run(
        [program, "--kubeconfig", str(cluster.kubeconfig), *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_kopf(pybernetes_cluster: ClusterThread, pybernetes_namespace: str, tmp_path: Path) -> None:
    operator = tmp_path / "operator.py"
    operator.write_text(OPERATOR)
    kubectl(pybernetes_cluster, "apply", "-f", "-", stdin=CRD)
    kubectl(pybernetes_cluster, "wait", "--for=condition=Established", "crd/greetings.example.com", "--timeout=30s")
    greeting = "{apiVersion: example.com/v1, kind: Greeting, metadata: {name: g}, spec: {who: world}}"
    kubectl(pybernetes_cluster, "-n", pybernetes_namespace, "apply", "-f", "-", stdin=greeting)
    process = subprocess.Popen(
        [sys.executable, "-m", "kopf", "run", "--standalone", "-n", pybernetes_namespace, str(operator)],
        env={"KUBECONFIG": str(pybernetes_cluster.kubeconfig), "HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        wait = ("wait", "--for=jsonpath={.status.text}=hello world", "greeting/g", "--timeout=40s")
        kubectl(pybernetes_cluster, "-n", pybernetes_namespace, *wait)
    finally:
        process.terminate()
        output, _ = process.communicate(timeout=20)
    assert b"Creation is processed: 1 succeeded" in output


def test_helm(pybernetes_cluster: ClusterThread, pybernetes_namespace: str, tmp_path: Path) -> None:
    helm = Path(sys.executable).parent / "helm"
    if not helm.exists():
        pytest.skip("helm is not installed: scripts/setup.sh")
    chart = tmp_path / "web"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: web\nversion: 1.0.0\n")
    (chart / "values.yaml").write_text("replicas: 2\n")
    (chart / "templates" / "all.yaml").write_text(
        textwrap.dedent(
            """
            apiVersion: apps/v1
            kind: Deployment
            metadata: {name: {{ .Release.Name }}}
            spec:
              replicas: {{ .Values.replicas }}
              selector: {matchLabels: {app: web}}
              template:
                metadata: {labels: {app: web}}
                spec: {containers: [{name: c, image: "web:1"}]}
            ---
            apiVersion: v1
            kind: Service
            metadata: {name: {{ .Release.Name }}}
            spec: {selector: {app: web}, ports: [{port: 80}]}
            """
        )
    )

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [helm, "--kubeconfig", str(pybernetes_cluster.kubeconfig), "-n", pybernetes_namespace, *arguments],
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
            env={"HOME": str(tmp_path)},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "STATUS: deployed" in run("install", "demo", str(chart), "--wait", "--timeout", "60s")
    assert "REVISION: 2" in run("upgrade", "demo", str(chart), "--set", "replicas=3")
    assert "Rollback was a success" in run("rollback", "demo", "1")
    assert "demo" in run("list")
    assert 'release "demo" uninstalled' in run("uninstall", "demo")


def test_the_plugin_runs_our_own_client_too(pybernetes_cluster: ClusterThread, pybernetes_namespace: str) -> None:
    from pybernetes.api.core_v1 import ServiceAccount

    async def accounts() -> list[str]:
        resource = pybernetes_cluster.cluster.client.resource(ServiceAccount)
        for _ in range(100):
            found = [account.metadata.name for account in (await resource.list(pybernetes_namespace)).items]
            if found:
                return found
            await clock.sleep(0.05)
        return []

    assert pybernetes_cluster.run(accounts()) == ["default"]
