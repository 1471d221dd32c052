"""Kubeconfig files: merging, paths, in-cluster, exec plugins."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from pybernetes.client import kubeconfig
from pybernetes.client.credentials import Credentials
from pybernetes.client.errors import ConfigError


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


CA = base64.b64encode(b"CA").decode()
A = f"""
current-context: a
clusters: [{{name: c, cluster: {{server: https://a:6443/, certificate-authority-data: {CA}}}}}]
users: [{{name: u, user: {{client-certificate: u.crt, client-key: u.key}}}}]
contexts: [{{name: a, context: {{cluster: c, user: u, namespace: team}}}}]
"""
B = """
current-context: b
clusters: [{name: c, cluster: {server: https://b}}, {name: d, cluster: {server: https://d}}]
users: [{name: t, user: {token: T, as: jane, as-groups: [g]}}]
contexts: [{name: b, context: {cluster: d, user: t}}]
"""


def test_files_are_merged_and_the_first_wins(tmp_path: Path) -> None:
    (tmp_path / "u.crt").write_text("CRT")
    (tmp_path / "u.key").write_text("KEY")
    a, b = write(tmp_path / "a", A), write(tmp_path / "b", B)
    listed = kubeconfig.paths("", {"KUBECONFIG": f"{a}:{tmp_path / 'missing'}:{b}"})
    merged = kubeconfig.load(listed)
    first = merged.connection()
    assert (first.server, first.namespace, first.ca) == ("https://a:6443", "team", b"CA")
    assert (first.client_certificate, first.client_key) == (b"CRT", b"KEY")
    second = merged.connection("b")
    assert (second.server, second.token, second.impersonate, second.impersonate_groups) == (
        "https://d",
        "T",
        "jane",
        ("g",),
    )
    assert Credentials(second).impersonation == [("Impersonate-User", "jane"), ("Impersonate-Group", "g")]
    with pytest.raises(ConfigError, match='context "c" does not exist'):
        merged.connection("c")


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        kubeconfig.load([tmp_path / "x"], explicit=True)
    with pytest.raises(ConfigError, match="error loading config file"):
        kubeconfig.load([write(tmp_path / "bad", "a: [")])
    with pytest.raises(ConfigError, match="no server"):
        kubeconfig.load([]).connection()


def test_in_a_pod(tmp_path: Path) -> None:
    for name in ("token", "ca.crt", "namespace"):
        write(tmp_path / name, name)
    environ = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
    found = kubeconfig.in_cluster(environ, tmp_path)
    assert (found.server, found.namespace, found.ca) == ("https://[fd00::1]:443", "namespace", b"ca.crt")
    with pytest.raises(ConfigError, match="not in a Pod"):
        kubeconfig.in_cluster({}, tmp_path)


@pytest.mark.real_time
async def test_token_files_and_plugins(tmp_path: Path) -> None:
    token = write(tmp_path / "token", "one\n")
    credentials = Credentials(kubeconfig.Connection("https://x", token_file=str(token)))
    await credentials.refresh()
    assert credentials.headers == {"authorization": "Bearer one"}
    token.write_text("two")
    await credentials.refresh()
    assert credentials.headers == {"authorization": "Bearer one"}  # read once a minute
    await credentials.refresh(rejected=True)
    assert credentials.headers == {"authorization": "Bearer two"}
    answer = """{"apiVersion": "client.authentication.k8s.io/v1", "status": {"token": "'$X'"}}"""
    plugin = kubeconfig.ExecPlugin("sh", ("-c", f"echo '{answer}'"), (("X", "y"),))
    credentials = Credentials(kubeconfig.Connection("https://x", exec_plugin=plugin))
    await credentials.refresh()
    assert credentials.headers == {"authorization": "Bearer y"}
    broken = kubeconfig.Connection("https://x", exec_plugin=kubeconfig.ExecPlugin("no-such-program"))
    with pytest.raises(ConfigError, match="executable no-such-program not found"):
        await Credentials(broken).refresh()
