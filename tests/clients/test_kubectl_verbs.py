"""Verbs whose output is made of several answers, beside the official kubectl."""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from .kubectl import OFFICIAL, OURS, ROOT, assert_same, environment, needs_official, ours, run

pytestmark = needs_official

SECRET = """
apiVersion: v1
kind: Secret
metadata: {name: diffed}
data: %s
---
apiVersion: v1
kind: ConfigMap
metadata: {name: diffed-%s}
data: {x: "%s"}
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["get", "deploy", "hello", "-o", "go-template={{.kind}} {{range .spec.template.spec.containers}}{{.}}{{end}}"],
        ["get", "svc", "--template", "{{range .items}}{{.metadata.name}}{{\"\\n\"}}{{end}}"],
        ["get", "svc", "hello", "-o", "go-template-file=/absent"],
        ["get", "svc", "hello", "-o", "go-template={{.spec.x.y}}", "--allow-missing-template-keys=false"],
        ["get", "svc", "hello", "-o", "go-template"],
        ["get", "svc", "hello", "-o", "go-template={{if \"x\"}}"],
    ],
)  # fmt: skip
def test_go_templates(kubeconfig: Path, arguments: list[str]) -> None:
    assert_same(kubeconfig, arguments)


def test_diff(kubeconfig: Path) -> None:
    before, after = SECRET % ("{a: YQ==, b: Yg==}", "1", "1"), SECRET % ("{a: eA==, c: Yg==}", "1", "2")
    diff = ["diff", "-f", "-"]
    assert assert_same(kubeconfig, diff, before)[0] == 1
    assert run(OURS, kubeconfig, ["apply", "-f", "-"], before)[0] == 0
    assert assert_same(kubeconfig, diff, before)[:2] == (0, "")
    code, out, _ = assert_same(kubeconfig, diff, after)
    assert (code, "*** (before)" in out, "eA==" in out) == (1, True, False)
    assert_same(kubeconfig, [*diff, "--server-side", "--force-conflicts"], after)
    assert_same(kubeconfig, [*diff, "-l", "a=b"], after)
    assert_same(kubeconfig, diff, after, KUBECTL_EXTERNAL_DIFF="diff -r -q")
    assert_same(kubeconfig, diff, after, KUBECTL_EXTERNAL_DIFF="absent")
    assert_same(kubeconfig, ["diff"])
    assert_same(kubeconfig, ["diff", "-f", "absent"])
    assert_same(kubeconfig, diff, after.replace("diffed-1", "!"))


@contextmanager
def proxying(program: list[str], kubeconfig: Path, *arguments: str) -> Iterator[str]:
    """A proxy while it runs; where it serves."""
    environ = {**environment(kubeconfig), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [*program, "proxy", *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environ
    ) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            assert said.startswith("Starting to serve on "), said
            yield said.removeprefix("Starting to serve on ").strip()
        finally:
            process.terminate()


def ask(address: str, method: str, path: str, host: str = "", body: str | None = None) -> tuple[int, str]:
    name, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(name, int(port), timeout=30)
    try:
        connection.request(method, path, body, {"Host": host or address, "Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, re.sub(r'"(uid|creationTimestamp)": ?"[^"]*"', "", answer.read().decode())
    finally:
        connection.close()


def test_proxy(kubeconfig: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("static\n")
    config_map = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}})
    answers = []
    for program in (OURS, [str(OFFICIAL)]):
        with proxying(program, kubeconfig, "--port=0", f"--www={tmp_path}", "--api-prefix=/k8s") as address:
            answers.append(
                [
                    ask(address, "GET", "/k8s/api/"),
                    ask(address, "GET", "/k8s/api/v1/namespaces/absent"),
                    ask(address, "GET", "/k8s/api/", host="evil.example"),
                    ask(address, "GET", "/api/"),
                    ask(address, "GET", "/k8s/api/v1/namespaces/default/pods/x/exec"),
                    ask(address, "GET", "/static/a.txt"),
                    ask(address, "GET", "/static/b.txt"),
                    ask(address, "HEAD", "/k8s/version"),
                    ask(address, "POST", "/k8s/api/v1/namespaces/default/configmaps?dryRun=All", body=config_map),
                ]
            )
    assert answers[0] == answers[1]
    assert [code for code, _ in answers[0]] == [200, 404, 403, 404, 403, 200, 404, 200, 201]


class Echo(BaseHTTPRequestHandler):
    """Answers with the path that it was asked for."""

    def do_GET(self) -> None:
        body = self.path.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("program", [OURS, [str(OFFICIAL)]], ids=["ours", "theirs"])
@pytest.mark.parametrize(("flags", "path"), [((), "/version"), (("--append-server-path",), "/base/version")])
def test_proxy_of_a_server_below_a_path(
    kubeconfig: Path, program: list[str], flags: tuple[str, ...], path: str
) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            where = f"--server=http://127.0.0.1:{server.server_port}/base"
            with proxying(program, kubeconfig, where, "--port=0", "--keepalive=30s", *flags) as address:
                assert ask(address, "GET", "/version") == (200, path)
        finally:
            server.shutdown()
            thread.join()


def test_proxy_on_a_unix_socket(kubeconfig: Path, tmp_path: Path) -> None:
    path = os.fspath(tmp_path / "p")
    with proxying(OURS, kubeconfig, f"--unix-socket={path}") as shown, socket.socket(socket.AF_UNIX) as sock:
        assert shown == path
        sock.settimeout(30)
        sock.connect(path)
        sock.sendall(b"GET /api HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert b"".join(iter(lambda: sock.recv(65536), b"")).startswith(b"HTTP/1.1 200")


def test_lists_of_what_is_not_stored_are_tables(kubeconfig: Path) -> None:
    shown = assert_same(kubeconfig, ["get", "componentstatuses"])[1].splitlines()
    assert [line.split() for line in shown] == [["NAME", "STATUS", "MESSAGE", "ERROR"], ["etcd-0", "Healthy", "ok"]]
    assert assert_same(kubeconfig, ["get", "nodemetrics", "-o", "name"])[1].startswith("nodemetrics.metrics.k8s.io/")


def test_a_scale_is_shown_with_its_numbers(kubeconfig: Path) -> None:
    run(OURS, kubeconfig, ["create", "deployment", "scaled", "--image=i", "--replicas=0"])
    shown = assert_same(kubeconfig, ["get", "deploy", "scaled", "--subresource=scale"])[1].splitlines()
    assert shown[0].split() == ["NAME", "DESIRED", "AVAILABLE", "AGE"]
    assert shown[1].split()[:3] == ["scaled", "0", "0"]
    run(OURS, kubeconfig, ["delete", "deployment", "scaled"])


LOCAL = """apiVersion: apps/v1
kind: Deployment
metadata: {name: nowhere, labels: {app: nowhere}}
spec:
  replicas: 1
  selector: {matchLabels: {app: nowhere}}
  strategy: {}
  template: {metadata: {labels: {app: nowhere}}, spec: {containers: [{name: c, image: a, resources: {}}]}}
status: {}
"""
BINDING = """apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: nowhere}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: r}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: a}]
"""


@needs_official
@pytest.mark.parametrize(
    "words",
    ["set image c=b", "set env A=b", "set serviceaccount x", "set resources --limits=cpu=1", "label a=b",
     "annotate a=b", 'patch -p {"spec":{"replicas":4}}'],
)  # fmt: skip
def test_local_asks_no_server(kubeconfig: Path, words: str) -> None:
    assert_same(kubeconfig, [*words.split(), "--local", "-f", "-", "-o", "yaml"], LOCAL)


@needs_official
def test_set_subject(kubeconfig: Path) -> None:
    local = ["--local", "-f", "-", "-o", "yaml"]
    for words in ("--user=b --group=g --serviceaccount=n:s", "--user=a", "--serviceaccount=wrong", ""):
        assert_same(kubeconfig, ["set", "subject", *words.split(), *local], BINDING)
    run(OURS, kubeconfig, ["create", "rolebinding", "subjects", "--role=r", "--user=a"])
    here = ["set", "subject", "rolebinding", "subjects"]
    assert assert_same(kubeconfig, [*here, "--user=b", "--dry-run=client"])[0] == 0
    assert ours(kubeconfig, *here, "--user=b") == "rolebinding.rbac.authorization.k8s.io/subjects subjects updated\n"
    assert assert_same(kubeconfig, [*here, "--user=b"])[1] == "", "nothing to update"
    for resources in ("", "rolebinding not-there", "configmap kube-root-ca.crt"):
        assert_same(kubeconfig, ["set", "subject", *resources.split(), "--user=a"])


@needs_official
def test_edit_last_applied(kubeconfig: Path) -> None:
    one = "{apiVersion: v1, kind: ConfigMap, metadata: {name: ela}, data: {a: one}}"
    ours(kubeconfig, "apply", "-f", "-", text=one)
    edit = ["apply", "edit-last-applied", "configmap/ela"]
    longer = {"EDITOR": "sed -i s/one/oneone/"}
    assert assert_same(kubeconfig, edit, **longer)[1] == "configmap/ela edited\n"
    path = "jsonpath={.metadata.annotations.kubectl\\.kubernetes\\.io/last-applied-configuration}"
    assert '"data":{"a":"oneoneone"}' in ours(kubeconfig, "get", "configmap", "ela", "-o", path)
    assert_same(kubeconfig, edit, EDITOR="true")
    assert_same(kubeconfig, [*edit, "-o", "json"], EDITOR="cat")
    assert_same(kubeconfig, [*edit, "-o", "name"], EDITOR="true")
    assert_same(kubeconfig, ["apply", "edit-last-applied", "configmap/kube-root-ca.crt"], EDITOR="true")


@needs_official
def test_replace_raw(kubeconfig: Path, tmp_path: Path) -> None:
    file = tmp_path / "raw.json"
    file.write_text('{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"raw"},"data":{"z":"1"}}')
    run(OURS, kubeconfig, ["create", "configmap", "raw"])
    path = "/api/v1/namespaces/default/configmaps/raw"
    assert '"data":{"z":"1"}' in ours(kubeconfig, "replace", "--raw", path, "-f", str(file))
    for words in (["-f", str(file), "-f", str(file)], ["-f", "https://x.invalid"], ["-f", str(file), "-R"], []):
        assert_same(kubeconfig, ["replace", "--raw", path, *words])


@needs_official
@pytest.mark.parametrize(
    "line",
    [
        "create role x --verb=foo,get --resource=pods --dry-run=client",
        "create role x --verb=get --resource=nope",
        "create role x --verb=get --resource=nope.x",
        "create clusterrole x --verb=foo --non-resource-url=/x --dry-run=client",
        "create clusterrole x --verb=get --non-resource-url=x --dry-run=client",
        "create clusterrole x --aggregation-rule=a=b --resource=pods",
        "create deployment x --image=y --replicas=-1",
        "create deployment x --image=y more",
        "create job x --image=y more",
        "create token nope",
        "create token default --duration=1m",
        "create token default --bound-object-kind=Pod --bound-object-name=x",
        "create token default --bound-object-kind=Pod",
        "create token default --bound-object-name=x",
        "create configmap kube-root-ca.crt",
        "create service clusterip kubernetes --tcp=80",
        "run bad --image=",
        "run bad",
        "get pods --field-selector=spec.nope=1",
        "get configmaps --field-selector=a=b",
        "get jobs --field-selector=a=b",
        "get nodes --field-selector=a=b",
        "delete pods --field-selector=spec.nope=1",
        "describe servicecidr",
        "describe ipaddress 10.96.0.1",
    ],
)
def test_what_is_said_of_odd_wishes(kubeconfig: Path, line: str) -> None:
    assert_same(kubeconfig, line.split())


@needs_official
def test_a_context_with_a_namespace_puts_it_into_no_manifest(kubeconfig: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "config"
    elsewhere.write_bytes(kubeconfig.read_bytes())
    ours(elsewhere, "config", "set-context", "--current", "--namespace=kube-public")
    for line in ("create role x --verb=get --resource=pods", "create configmap x", "run x --image=y"):
        assert_same(elsewhere, [*line.split(), "--dry-run=client", "-o", "yaml"])


@needs_official
def test_certificate_requests(kubeconfig: Path) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    subject = [(NameOID.COMMON_NAME, "jane"), (NameOID.ORGANIZATION_NAME, "devs"), (NameOID.ORGANIZATION_NAME, "ops")]
    names = [x509.DNSName("a.example"), x509.DNSName("b.example"), x509.RFC822Name("jane@a.example")]
    made = x509.CertificateSigningRequestBuilder(x509.Name([x509.NameAttribute(*one) for one in subject]))
    made = made.add_extension(x509.SubjectAlternativeName(names), critical=False)
    pem = made.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    spec = {"request": base64.b64encode(pem).decode(), "signerName": "example.com/x", "usages": ["client auth"],
            "expirationSeconds": 86400}  # fmt: skip
    for name in ("r1", "r2"):
        value = {"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "spec": spec}
        ours(kubeconfig, "create", "-f", "-", text=json.dumps({**value, "metadata": {"name": name}}))
    assert "Organization:   devs" in assert_same(kubeconfig, ["describe", "csr", "r1"])[1]
    ours(kubeconfig, "certificate", "approve", "r1")
    ours(kubeconfig, "certificate", "deny", "r2")
    for line in ("certificate deny r1", "certificate approve r2", "certificate approve r1", "certificate deny nope"):
        assert_same(kubeconfig, line.split())
    for name in ("r1", "r2"):
        assert_same(kubeconfig, ["describe", "csr", name])


@needs_official
def test_drivers_of_a_node(kubeconfig: Path) -> None:
    drivers = [{"name": "d.example", "nodeID": "n", "allocatable": {"count": 3}, "topologyKeys": ["a", "b"]}]
    node = {"apiVersion": "storage.k8s.io/v1", "kind": "CSINode", "metadata": {"name": "drivers"}}
    ours(kubeconfig, "create", "-f", "-", text=json.dumps({**node, "spec": {"drivers": drivers}}))
    assert "Count:" in assert_same(kubeconfig, ["describe", "csinode", "drivers"])[1]


@needs_official
def test_what_is_answered_by_a_subresource(kubeconfig: Path) -> None:
    ours(kubeconfig, "create", "deployment", "scaled", "--image=x")
    patch = ["patch", "deployment", "scaled", "--subresource=scale", "--type=merge", "-p"]
    said = assert_same(kubeconfig, [*patch, '{"spec":{"replicas":1}}'])[1]
    assert said == "scale.autoscaling/scaled patched (no change)\n"


@needs_official
def test_replace_by_force_tells_both(kubeconfig: Path) -> None:
    one = "{apiVersion: v1, kind: ConfigMap, metadata: {name: forced}}"
    ours(kubeconfig, "create", "-f", "-", text=one)
    assert assert_same(kubeconfig, ["replace", "--force", "-f", "-"], one)[1] == (
        'configmap "forced" deleted from default namespace\nconfigmap/forced replaced\n'
    )


HELD = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: held}
spec:
  replicas: 2
  selector: {matchLabels: {a: held}}
  template: {metadata: {labels: {a: held}}, spec: {nodeName: fake-0, containers: [{name: c, image: x}]}}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: held}
spec: {minAvailable: 2, selector: {matchLabels: {a: held}}}
---
apiVersion: v1
kind: Pod
metadata: {name: held-bare, labels: {a: bare}}
spec: {nodeName: fake-0, containers: [{name: c, image: x}], volumes: [{name: v, emptyDir: {}}]}
"""


@pytest.mark.slow
@needs_official
def test_drain_that_is_held_up(kubeconfig: Path) -> None:
    ours(kubeconfig, "apply", "-f", "-", text=HELD)
    ours(kubeconfig, "rollout", "status", "deployment/held", "--timeout=60s")
    ours(kubeconfig, "wait", "--for=jsonpath={.status.disruptionsAllowed}=0", "pdb/held", "--timeout=60s")
    ours(kubeconfig, "wait", "--for=jsonpath={.status.expectedPods}=2", "pdb/held", "--timeout=60s")

    def drain(*flags: str) -> tuple[int, list[str]]:
        """The lines that both say, whatever their order."""
        said = []
        for program in (OURS, [str(OFFICIAL)]):
            code, out, err = run(program, kubeconfig, ["drain", "fake-0", *flags])
            said.append((code, sorted(re.sub(r"\[.*\]", "[ALL]", out + err).splitlines())))
        assert said[0] == said[1]
        return said[0]

    run(OURS, kubeconfig, ["cordon", "fake-0"])
    try:
        force = ("--force", "--delete-emptydir-data", "--pod-selector=a in (held,bare)")
        assert drain("--pod-selector=a=bare")[0] == 1
        assert drain(*force, "--dry-run=client")[0] == 0
        code, lines = drain("--pod-selector=a=held", "--timeout=1s")
        assert code == 1 and any("global timeout reached: 1s" in line for line in lines)
        # What a budget holds up holds up nothing else.
        code, out, _ = run(OURS, kubeconfig, ["drain", "fake-0", *force, "--timeout=4s"])
        assert code == 1 and "pod/held-bare evicted" in out and out.count("evicting pod default/held-") == 5
        ours(kubeconfig, "delete", "pdb", "held")
        assert ours(kubeconfig, "drain", "fake-0", *force).count(" evicted") == 2
    finally:
        run(OURS, kubeconfig, ["uncordon", "fake-0"])
        run(OURS, kubeconfig, ["delete", "deployment", "held"])
