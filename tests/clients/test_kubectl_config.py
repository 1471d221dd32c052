"""Kubeconfig files: `config` changes them as the official kubectl does, and several users get what they may."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from .kubectl import OFFICIAL, OURS, assert_same, needs_official, ours, run

pytestmark = needs_official

FIRST = """
apiVersion: v1
kind: Config
current-context: c1
clusters: [{name: one, cluster: {server: "https://127.0.0.1:1", certificate-authority: ca.pem}}]
contexts: [{name: c1, context: {cluster: one, user: u1}}]
users: [{name: u1, user: {token: abc}}]
"""
SECOND = """
apiVersion: v1
kind: Config
clusters: [{name: two, cluster: {server: "https://127.0.0.1:2", proxy-url: "http://127.0.0.1:9"}}]
contexts: [{name: c2, context: {cluster: two, user: u2, namespace: n2}}]
users: [{name: u2, user: {client-certificate: x.crt, client-key: x.key}}]
preferences: {colors: true}
extensions: [{name: e, extension: {a: b}}]
"""
CHANGES = """
view
view --minify --raw
view -o json
get-contexts nope
use-context c2
set-context --current --namespace=q
set-context new --cluster=one --user=u1
set-context
set-cluster two --server=https://127.0.0.1:3
set-cluster three --server=https://x --insecure-skip-tls-verify=true
set-cluster three --certificate-authority=ca.pem
set-credentials u2 --token=tt
set-credentials u3 --exec-command=/bin/x --exec-api-version=client.authentication.k8s.io/v1 --exec-arg=a --exec-env=K=V
set-credentials u3 --exec-env=K- --exec-interactive-mode=Never --exec-provide-cluster-info=true
set-credentials u4 --username=a --password=b
set-credentials u4 --token=x
rename-context c2 c3
rename-context c1 c3
set contexts.c1.namespace foo
set clusters.one.certificate-authority-data abc
set clusters.one.insecure-skip-tls-verify notbool
set foo.bar x
unset contexts.c1.namespace
unset users.u1
delete-context c3
delete-cluster two
delete-user nope
current-context
unset current-context
view
"""


def test_the_same_changes(kubeconfig: Path, tmp_path: Path) -> None:
    """The same commands, one after the other, to two copies of the same two files."""

    def state(name: str, program: list[str], line: str) -> list[str]:
        files = [tmp_path / name / "a", tmp_path / name / "b"]
        listed = ":".join(map(str, files))
        said = run(program, kubeconfig, ["config", *line.split()], cwd=tmp_path / name, KUBECONFIG=listed)
        return [part.replace(f"/{name}/", "/X/") for part in (*map(str, said), *(f.read_text() for f in files))]

    for name in ("ours", "theirs"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").write_text(FIRST)
        (tmp_path / name / "b").write_text(SECOND)
    for line in CHANGES.strip().splitlines():
        mine, theirs = state("ours", OURS, line), state("theirs", [str(OFFICIAL)], line)
        assert mine == theirs, line


@pytest.fixture(scope="module")
def users(kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three users with different rights, each known by another kind of credential, in a file beside the cluster's."""
    directory = tmp_path_factory.mktemp("users")
    for name, role in (("reader", "view"), ("editor", "edit"), ("nobody", "")):
        ours(kubeconfig, "create", "sa", name)
        if role:
            account = f"--serviceaccount=default:{name}"
            ours(kubeconfig, "create", "rolebinding", name, f"--clusterrole={role}", account)
    tokens = {name: ours(kubeconfig, "create", "token", name).strip() for name in ("reader", "editor", "nobody")}
    (directory / "token").write_text(tokens["reader"])
    version = "client.authentication.k8s.io/v1"
    answer = {"apiVersion": version, "kind": "ExecCredential", "status": {"token": tokens["editor"]}}
    plugin = directory / "plugin"
    plugin.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps(answer)}\nEND\n")
    plugin.chmod(0o755)
    execution = {"command": str(plugin), "apiVersion": version, "interactiveMode": "Never"}
    given = {"reader": {"tokenFile": "token"}, "editor": {"exec": execution}, "nobody": {"token": tokens["nobody"]}}
    cluster = json.loads(ours(kubeconfig, "config", "view", "-o", "json"))["clusters"][0]["name"]
    config = {
        "users": [{"name": name, "user": user} for name, user in given.items()],
        "contexts": [{"name": name, "context": {"cluster": cluster, "user": name}} for name in given],
    }
    (directory / "config").write_text(json.dumps(config))
    return directory / "config"


@pytest.mark.parametrize("name", ["reader", "editor", "nobody"])
@pytest.mark.parametrize(
    "line",
    [
        "get svc hello -o name",
        "get nodes",
        "create cm c --from-literal=a=b --dry-run=server",
        pytest.param("auth can-i delete pods", marks=pytest.mark.slow),
        pytest.param("auth can-i get pods --as=system:admin", marks=pytest.mark.slow),
    ],
)
def test_users_with_different_rights(kubeconfig: Path, users: Path, name: str, line: str) -> None:
    assert_same(kubeconfig, ["--context", name, *line.split()], KUBECONFIG=f"{users}:{kubeconfig}")


@pytest.mark.parametrize(
    "user",
    [
        "exec: {command: /bin/false, apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never}",
        "exec: {command: /bin/false, apiVersion: client.authentication.k8s.io/v1}",
        "exec: {command: /bin/false, apiVersion: client.authentication.k8s.io/v1alpha1, interactiveMode: Never}",
        "exec: {command: /absent, apiVersion: client.authentication.k8s.io/v1beta1}",
        "exec: {command: /bin/true, apiVersion: client.authentication.k8s.io/v1, interactiveMode: Always}",
        "tokenFile: absent",
    ],
)
def test_credentials_that_do_not_come(kubeconfig: Path, tmp_path: Path, user: str) -> None:
    """The last line is the same; the official program says it to its log as well."""
    config = tmp_path / "config"
    config.write_text(f"{FIRST.replace('certificate-authority: ca.pem', '')}".replace("{token: abc}", f"{{{user}}}"))
    said = [run(program, config, ["get", "ns"], "")[2].splitlines()[-1] for program in (OURS, [str(OFFICIAL)])]
    assert said[0] == said[1]


@pytest.fixture
def proxy() -> Iterator[tuple[int, list[bytes]]]:
    """A proxy that knows CONNECT: its port, and the request lines it got."""
    seen: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=one, args=(client,), daemon=True).start()

        def one(client: socket.socket) -> None:
            with client:
                head = b""
                while b"\r\n\r\n" not in head:
                    head += client.recv(65536)
                seen.append(head.split(b"\r\n")[0])
                host, _, port = head.split(b" ")[1].decode().rpartition(":")
                with socket.create_connection((host, int(port)), timeout=30) as goal:
                    client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                    back = threading.Thread(target=copy, args=(goal, client), daemon=True)
                    back.start()
                    copy(client, goal)
                    back.join(30)

        def copy(source: socket.socket, goal: socket.socket) -> None:
            try:
                while data := source.recv(65536):
                    goal.sendall(data)
                goal.shutdown(socket.SHUT_WR)
            except OSError:
                pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1], seen
        server.shutdown(socket.SHUT_RDWR)
        thread.join(30)


def test_proxy_url(kubeconfig: Path, proxy: tuple[int, list[bytes]]) -> None:
    port, seen = proxy
    line = ["get", "svc", "hello", "-o", "name", f"--proxy-url=http://127.0.0.1:{port}"]
    code, out, err = run(OURS, kubeconfig, line)
    assert (code, out) == (0, "service/hello\n"), err
    assert seen
    assert all(request.startswith(b"CONNECT 127.0.0.1:") for request in seen)
    code, _, err = run(OURS, kubeconfig, [*line[:-1], "--proxy-url=ftp://127.0.0.1"])
    assert (code, "unsupported scheme" in err) == (1, True)
