"""What users asked for and the official kubectl does not do, and verbs whose effect is to be seen in the cluster."""

from __future__ import annotations

import functools
import http.server
import json
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from .kubectl import OFFICIAL, OURS, ROOT, assert_same, environment, needs_official, ours, run

pytestmark = needs_official

KIND = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: %(plural)s.wishes.example.com}
spec:
  group: wishes.example.com
  scope: Namespaced
  names: {plural: %(plural)s, singular: %(singular)s, kind: %(kind)s}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
"""
WISH = "apiVersion: wishes.example.com/v1\nkind: Wish\nmetadata: {name: one}\n---" + KIND % {
    "plural": "wishes",
    "singular": "wish",
    "kind": "Wish",
}


@pytest.mark.parametrize("more", [[], ["--server-side"]])
def test_a_kind_and_its_objects_in_one_go(kubeconfig: Path, more: list[str]) -> None:
    """Even when the object stands before its kind."""
    said = ours(kubeconfig, "apply", "-f", "-", *more, text=WISH)
    word = "serverside-applied" if more else "created"
    assert f"wish.wishes.example.com/one {word}" in said
    ours(kubeconfig, "delete", "crd", "wishes.wishes.example.com")


def test_everything(kubeconfig: Path) -> None:
    ours(kubeconfig, "apply", "-f", "-", text=WISH)
    names = set(ours(kubeconfig, "get", "everything", "-o", "name").split())
    few = set(ours(kubeconfig, "get", "all", "-o", "name").split())
    assert {"wish.wishes.example.com/one", "configmap/kube-root-ca.crt", "serviceaccount/default"} <= names - few
    assert few < names
    assert not any(name.startswith(("node/", "event.events")) for name in names)
    assert "node/fake-0" in ours(kubeconfig, "get", "everything", "-A", "-o", "name").split()
    ours(kubeconfig, "delete", "crd", "wishes.wishes.example.com")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """Files over HTTP."""
    (tmp_path / "cm.json").write_text('{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"fetched"}}')

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_manifests_from_a_url(kubeconfig: Path, site: str) -> None:
    assert_same(kubeconfig, ["create", "-f", f"{site}/cm.json", "--dry-run=server"])
    code, _, err = run(OURS, kubeconfig, ["create", "-f", f"{site}/absent.json"])
    assert (code, "status code=404" in err) == (1, True)


ROLE = """
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reconciled, namespace: default, labels: {a: b}}
rules:
- {apiGroups: [""], resources: [pods, %s], verbs: [get, list]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reconciled, namespace: default}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reconciled}
subjects: [{kind: User, name: %s, apiGroup: rbac.authorization.k8s.io}]
"""


def test_reconcile(kubeconfig: Path) -> None:
    """The same steps with both, from nothing; the same words, and the same rules in the end."""

    def steps(program: list[str]) -> list[object]:
        ours(kubeconfig, "delete", "role,rolebinding", "reconciled", "--ignore-not-found")
        said: list[object] = []
        for text, more in (
            (ROLE % ("configmaps", "u"), ["--dry-run=client"]),
            (ROLE % ("configmaps", "u"), []),
            (ROLE % ("configmaps", "u"), []),
            (ROLE % ("secrets", "v"), []),
            (ROLE % ("configmaps", "u"), ["--remove-extra-permissions", "--remove-extra-subjects"]),
        ):
            said.append(run(program, kubeconfig, ["auth", "reconcile", "-f", "-", *more], text))
        live = json.loads(ours(kubeconfig, "get", "role,rolebinding", "reconciled", "-o", "json"))["items"]
        return [*said, live[0]["rules"], live[1]["subjects"]]

    assert steps(OURS) == steps([str(OFFICIAL)])


def test_variables_from_a_secret(kubeconfig: Path) -> None:
    ours(kubeconfig, "create", "secret", "generic", "source", "--from-literal=a.b=c", "--from-literal=d=e")
    line = ["set", "env", "deploy/hello", "--from=secret/source", "--prefix=P_", "--keys=a.b"]
    code, _, err = run(OURS, kubeconfig, line)
    assert (code, err) == (0, "Warning: key a.b transferred to A_B\n")
    env = ours(kubeconfig, "get", "deploy", "hello", "-o", "jsonpath={.spec.template.spec.containers[0].env}")
    assert {"name": "P_A_B", "valueFrom": {"secretKeyRef": {"key": "a.b", "name": "source"}}} in json.loads(env)


def test_events_as_they_come(kubeconfig: Path) -> None:
    environ = {**environment(kubeconfig), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    event = (
        '{"apiVersion":"v1","kind":"Event","metadata":{"name":"%s"},"type":"Normal","reason":"Tested","message":"m",'
        '"involvedObject":{"kind":"ConfigMap","name":"%s","namespace":"default"}}'
    )
    ours(kubeconfig, "create", "-f", "-", text=event % ("first", "seen"))
    with subprocess.Popen(
        [*OURS, "events", "--watch", "--for=cm/seen"], stdout=subprocess.PIPE, text=True, env=environ
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().split() == ["LAST", "SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]
            assert "ConfigMap/seen" in process.stdout.readline()
            ours(kubeconfig, "create", "-f", "-", text=event % ("other", "unseen"))
            ours(kubeconfig, "create", "-f", "-", text=event % ("second", "seen"))
            assert re.search(r"Normal +Tested +ConfigMap/seen +m$", process.stdout.readline())
        finally:
            process.terminate()
