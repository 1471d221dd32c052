"""helm with a chart that uses what charts use: CRDs, hooks that are Jobs, `lookup`, tests, waiting and going back."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import RealCluster

HELM = Path(sys.executable).parent / "helm"
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.real_time,
    pytest.mark.skipif(not HELM.exists(), reason="helm is not installed: scripts/setup.sh"),
]
SPACE = "helm-e2e"
FILES = {
    "Chart.yaml": "{apiVersion: v2, name: app, version: 0.1.0}",
    "values.yaml": "{replicas: 2, greeting: hello, image: busybox:latest, hook: echo before}",
    "crds/widgets.yaml": """
        apiVersion: apiextensions.k8s.io/v1
        kind: CustomResourceDefinition
        metadata: {name: widgets.helm.example}
        spec:
          group: helm.example
          scope: Namespaced
          names: {plural: widgets, singular: widget, kind: Widget}
          versions:
          - name: v1
            served: true
            storage: true
            schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
    """,
    "templates/app.yaml": """
        {{- $old := lookup "v1" "Secret" .Release.Namespace "app" }}
        apiVersion: v1
        kind: Secret
        metadata: {name: app}
        data: {password: {{ if $old }}{{ $old.data.password }}{{ else }}{{ randAlphaNum 12 | b64enc }}{{ end }}}
        ---
        apiVersion: v1
        kind: ConfigMap
        metadata: {name: app}
        data: {index.html: {{ .Values.greeting | quote }}, version: {{ .Capabilities.KubeVersion.Version | quote }}}
        ---
        apiVersion: v1
        kind: PersistentVolumeClaim
        metadata: {name: app}
        spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
        ---
        apiVersion: apps/v1
        kind: Deployment
        metadata: {name: app}
        spec:
          replicas: {{ .Values.replicas }}
          selector: {matchLabels: {app: app}}
          template:
            metadata: {labels: {app: app}, annotations: {checksum: {{ .Values.greeting | sha256sum }}}}
            spec:
              terminationGracePeriodSeconds: 1
              containers:
              - name: web
                image: {{ .Values.image }}
                imagePullPolicy: IfNotPresent
                command: [httpd, -f, -p, "8080", -h, /w]
                ports: [{containerPort: 8080, name: http}]
                readinessProbe: {httpGet: {path: /index.html, port: http}, periodSeconds: 1}
                volumeMounts: [{name: w, mountPath: /w}, {name: data, mountPath: /data}]
              volumes: [{name: w, configMap: {name: app}}, {name: data, persistentVolumeClaim: {claimName: app}}]
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: app}
        spec: {selector: {app: app}, ports: [{port: 80, targetPort: http}]}
        ---
        apiVersion: helm.example/v1
        kind: Widget
        metadata: {name: app}
        spec: {size: {{ .Values.replicas }}}
    """,
    "templates/hooks.yaml": """
        apiVersion: batch/v1
        kind: Job
        metadata:
          name: before
          annotations:
            helm.sh/hook: pre-install,pre-upgrade
            helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
        spec:
          backoffLimit: 0
          template:
            spec:
              restartPolicy: Never
              containers:
              - {name: c, image: busybox:latest, imagePullPolicy: IfNotPresent, command: [sh, -c, {{ .Values.hook }}]}
        ---
        apiVersion: batch/v1
        kind: Job
        metadata:
          name: after
          annotations: {helm.sh/hook: "post-install,post-upgrade", helm.sh/hook-delete-policy: before-hook-creation}
        spec:
          template:
            spec:
              restartPolicy: Never
              containers:
              - {name: c, image: busybox:latest, imagePullPolicy: IfNotPresent, command: [wget, -qO-, http://app/]}
    """,
    "templates/tests/web.yaml": """
        apiVersion: v1
        kind: Pod
        metadata: {name: try, annotations: {helm.sh/hook: test}}
        spec:
          restartPolicy: Never
          containers:
          - {name: c, image: busybox:latest, imagePullPolicy: IfNotPresent, command: [wget, -qO-, http://app/]}
    """,
}


@pytest.fixture
def chart(cluster: RealCluster, tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "app"
    for name, text in FILES.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    cluster.kubectl("create", "namespace", SPACE)
    yield directory
    cluster.kubectl("delete", "namespace", SPACE)
    cluster.kubectl("delete", "crd", "widgets.helm.example")


def helm(cluster: RealCluster, home: Path) -> Callable[..., str]:
    def run(*arguments: str, fails: bool = False) -> str:
        done = subprocess.run(
            [HELM, "--kubeconfig", str(cluster.kubeconfig), "-n", SPACE, *arguments],
            capture_output=True, text=True, timeout=150, check=False, env={**os.environ, "HOME": str(home)},
        )  # fmt: skip
        said = done.stdout + done.stderr
        assert bool(done.returncode) is fails, said
        return said

    return run


def test_the_life_of_a_release(cluster: RealCluster, chart: Path, tmp_path: Path) -> None:
    run = helm(cluster, tmp_path)

    def read(kind: str, path: str) -> str:
        return cluster.kubectl("get", kind, "app", "-n", SPACE, "-o", f"jsonpath={{{path}}}").stdout

    wait = ("--wait", "--timeout=100s")
    assert "STATUS: deployed" in run("install", "app", str(chart), "--wait-for-jobs", *wait)
    password = read("secret", ".data.password")
    assert read("deployment", ".status.readyReplicas") == "2" and read("widget", ".spec.size") == "2"
    assert read("configmap", ".data.version").startswith("v1.36.")
    jobs = cluster.get("jobs", "-n", SPACE)["items"]
    assert [job["metadata"]["name"] for job in jobs] == ["after"], "a hook that succeeded goes, if it says so"
    said = run("test", "app", "--logs")
    assert "Phase:          Succeeded" in said and "hello" in said

    run("upgrade", "app", str(chart), "--set=greeting=there,replicas=3", *wait)
    assert read("deployment", ".status.readyReplicas") == "3"
    assert read("secret", ".data.password") == password, "lookup finds what is there"

    said = run("upgrade", "app", str(chart), "--set=hook=exit 1", *wait, fails=True)
    assert "pre-upgrade hooks failed" in said
    bad = ("--set=image=nothing.invalid/none", "--timeout=8s")
    said = run("upgrade", "app", str(chart), "--rollback-on-failure", *bad, fails=True)
    assert "has been rolled back" in said
    assert (read("configmap", ".data.index\\.html"), read("deployment", ".spec.replicas")) == ("there", "3")

    assert "Rollback was a success" in run("rollback", "app", "1", *wait)
    assert (read("configmap", ".data.index\\.html"), read("deployment", ".spec.replicas")) == ("hello", "2")

    cluster.kubectl("scale", "deployment", "app", "-n", SPACE, "--replicas=1")
    said = run("upgrade", "app", str(chart), "--set=replicas=4", fails=True)
    assert 'conflict with "kubectl" with subresource "scale" using apps/v1: .spec.replicas' in said
    run("upgrade", "app", str(chart), "--set=replicas=2", "--force-conflicts", *wait)
    run("upgrade", "app", str(chart), "--set=replicas=1", "--server-side=false", *wait)

    assert 'release "app" uninstalled' in run("uninstall", "app", *wait)
    left = cluster.kubectl("get", "deploy,svc,secret,pvc,widgets", "-n", SPACE, "-o", "name").stdout
    assert left == "" and "app" not in run("list")
