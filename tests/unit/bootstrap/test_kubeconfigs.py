from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
import yaml

from pybernetes.aio import clock
from pybernetes.bootstrap import kubeconfigs, pki

SERVER = "https://127.0.0.1:6443"


def load(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(path.read_text())
    return loaded


async def test_component_files(tmp_path: Path) -> None:
    authority = pki.create_authority("kubernetes")
    written = kubeconfigs.ensure(tmp_path, SERVER, authority, kubeconfigs.specs("n1"))
    names = ("admin", "super-admin", "controller-manager", "scheduler", "kubelet", "kube-proxy")
    names += ("cloud-controller-manager", "ingress")
    assert written == [f"{name}.conf" for name in names]
    assert all((tmp_path / name).stat().st_mode & 0o777 == 0o600 for name in written)
    admin = load(tmp_path / "admin.conf")
    assert admin["current-context"] == "kubernetes-admin@kubernetes"
    assert admin["clusters"][0]["cluster"]["server"] == SERVER
    assert base64.b64decode(admin["clusters"][0]["cluster"]["certificate-authority-data"]) == authority.certificate
    assert [(e.name, e.subject) for e in kubeconfigs.expirations(tmp_path)] == [
        ("admin.conf", "CN=kubernetes-admin,O=kubeadm:cluster-admins"),
        ("cloud-controller-manager.conf", "CN=system:cloud-controller-manager"),
        ("controller-manager.conf", "CN=system:kube-controller-manager"),
        ("ingress.conf", "CN=pybernetes:ingress"),
        ("kube-proxy.conf", "CN=system:kube-proxy"),
        ("kubelet.conf", "CN=system:node:n1,O=system:nodes"),
        ("scheduler.conf", "CN=system:kube-scheduler"),
        ("super-admin.conf", "CN=kubernetes-super-admin,O=system:masters"),
    ]


async def test_files_are_kept_while_they_are_right(tmp_path: Path) -> None:
    authority = pki.create_authority("kubernetes")
    kubeconfigs.ensure(tmp_path, SERVER, authority, kubeconfigs.specs("n1"))
    assert kubeconfigs.ensure(tmp_path, SERVER, authority, kubeconfigs.specs("n1")) == []
    assert kubeconfigs.ensure(tmp_path, SERVER, authority, kubeconfigs.specs("n2")) == ["kubelet.conf"]
    (tmp_path / "scheduler.conf").write_text("[]")
    assert kubeconfigs.ensure(tmp_path, SERVER, authority, kubeconfigs.specs("n2")) == ["scheduler.conf"]
    assert len(kubeconfigs.ensure(tmp_path, "https://other:1", authority, kubeconfigs.specs("n2"))) == 8
    clock.use_virtual_epoch(clock.timestamp() + 300 * pki.DAY)
    assert len(kubeconfigs.ensure(tmp_path, "https://other:1", authority, kubeconfigs.specs("n2"))) == 8


FOREIGN = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "work", "cluster": {"server": "https://work"}}],
    "users": [{"name": "me", "user": {"exec": {"command": "login"}}}],
    "contexts": [{"name": "work", "context": {"cluster": "work", "user": "me"}}],
    "current-context": "work",
    "preferences": {"colors": True},
}


def credentials(server: str = SERVER) -> kubeconfigs.Credentials:
    return kubeconfigs.Credentials(server, b"ca", pki.KeyPair(b"cert", b"key"))


def test_merge_and_remove_leave_the_rest_alone(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(FOREIGN))
    path.chmod(0o640)
    link = tmp_path / "link"
    link.symlink_to(path)
    kubeconfigs.merge(link, "pybernetes-a", credentials(), owner="/data/a")
    merged = load(path)
    assert merged["current-context"] == "work" and merged["preferences"] == {"colors": True}
    assert [c["name"] for c in merged["contexts"]] == ["work", "pybernetes-a"]
    assert link.is_symlink() and path.stat().st_mode & 0o777 == 0o640
    kubeconfigs.merge(path, "pybernetes-a", credentials("https://new"), owner="/data/a")
    assert load(path)["clusters"][1]["cluster"]["server"] == "https://new" and len(load(path)["users"]) == 2
    assert kubeconfigs.remove(path, "pybernetes-a") is True
    assert load(path) == FOREIGN
    assert kubeconfigs.remove(path, "pybernetes-a") is False
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config", "link"]


def test_a_new_file_gets_the_context(tmp_path: Path) -> None:
    path = tmp_path / ".kube" / "config"
    kubeconfigs.merge(path, "pybernetes-a", credentials(), owner="a")
    assert load(path)["current-context"] == "pybernetes-a" and path.stat().st_mode & 0o777 == 0o600
    kubeconfigs.remove(path, "pybernetes-a")
    assert load(path)["current-context"] == "" and load(path)["clusters"] == []


def test_foreign_entries_are_neither_overwritten_nor_removed(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(FOREIGN))
    with pytest.raises(kubeconfigs.KubeconfigError, match="not ours"):
        kubeconfigs.merge(path, "work", credentials(), owner="a")
    assert kubeconfigs.remove(path, "work") is False
    assert load(path) == FOREIGN


def test_locked_or_broken_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "config"
    lock = tmp_path / "config.lock"
    lock.touch()
    with pytest.raises(kubeconfigs.KubeconfigError, match="another program"):
        kubeconfigs.merge(path, "a", credentials(), owner="a")
    lock.unlink()
    path.write_text("{")
    with pytest.raises(kubeconfigs.KubeconfigError, match="not YAML"):
        kubeconfigs.merge(path, "a", credentials(), owner="a")
    assert path.read_text() == "{" and not lock.exists()
    path.write_text("- a")
    with pytest.raises(kubeconfigs.KubeconfigError, match="not a kubeconfig"):
        kubeconfigs.merge(path, "a", credentials(), owner="a")


def test_the_file_kubectl_would_write(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KUBECONFIG", f":{tmp_path / 'one'}:two")
    assert kubeconfigs.user_path() == tmp_path / "one"
    monkeypatch.delenv("KUBECONFIG")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert kubeconfigs.user_path() == tmp_path / ".kube" / "config"
