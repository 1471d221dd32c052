"""Three control planes on three members of etcd: any one of anything may be killed, and the cluster goes on."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.suites.etcd_members import BINARY, EtcdMembers, kill_process
from tests.suites.hosts import ROOT, Host, hosts, join_line

pytestmark = [pytest.mark.slow, pytest.mark.skipif(BINARY is None, reason="no etcd binary on PATH")]

AFTER = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: after}
spec:
  replicas: 2
  selector: {matchLabels: {app: after}}
  template:
    metadata: {labels: {app: after}}
    spec:
      tolerations: [{operator: Exists}]
      containers: [{name: c, image: nothing.invalid/at-all}]
"""
#: Creates ConfigMaps over whichever server answers, and prints the name of each that was acknowledged.
WRITER = """
import asyncio, sys
from pathlib import Path
from pybernetes.aio import clock
from pybernetes.api.core_v1 import ConfigMap
from pybernetes.client import kubeconfig
from pybernetes.client.client import Client
from pybernetes.client.errors import Unavailable
from pybernetes.client.http import HTTPTransport
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.meta import ObjectMeta
import dataclasses

async def main(prefix, config, *servers):
    connection = kubeconfig.load([Path(config)], explicit=True).connection()
    connection = dataclasses.replace(connection, alternates=servers)
    async with HTTPTransport(connection) as transport:
        maps = Client(transport).resource(ConfigMap)
        number = 0
        while True:
            number += 1
            try:
                async with asyncio.timeout(10):
                    await maps.create(ConfigMap(metadata=ObjectMeta(name=f"{prefix}{number}", namespace="default")))
                print(f"{prefix}{number}", flush=True)
            except (StatusError, Unavailable, TimeoutError) as error:
                print(f"{number}: {error}", file=sys.stderr, flush=True)
                await clock.sleep(0.1)

asyncio.run(main(*sys.argv[1:]))
"""


class Writer:
    """The writer on one of the hosts."""

    def __init__(self, prefix: str, host: Host, others: list[Host], directory: Path) -> None:
        servers = [f"https://{other.address}:6443" for other in others]
        self._out = directory / "acknowledged"
        self._errors = directory / "errors"
        config = directory / "admin.conf"
        config.write_text(host.run("cat", "/etc/kubernetes/admin.conf").stdout)
        with self._out.open("w") as out, self._errors.open("w") as errors:
            enter = ["nsenter", "-t", str(host.inside), "-n", "--"]
            command = [sys.executable, "-c", WRITER, prefix, str(config), *servers]
            self._process = subprocess.Popen([*enter, *command], stdout=out, stderr=errors, cwd=ROOT)

    def acknowledged(self) -> set[str]:
        return set(self._out.read_text().split())

    def wait_for_more(self, count: int = 50) -> None:
        wanted = len(self.acknowledged()) + count
        end = time.monotonic() + 90
        while len(self.acknowledged()) < wanted:
            assert self._process.poll() is None, self._errors.read_text()[-2000:]
            assert time.monotonic() < end, self._errors.read_text()[-2000:]
            time.sleep(0.1)

    def finish(self) -> set[str]:
        self._process.kill()
        self._process.wait()
        return self.acknowledged()


class Trio:
    """The machines, the store, and the lines that `init` printed."""

    def __init__(self, found: list[Host], directory: Path) -> None:
        self.hosts = found
        self.etcd = EtcdMembers(found, directory)

    def build(self) -> None:
        first, *others = self.hosts
        for host in self.hosts:
            self.etcd.start(host)
        self.output = first.pybernetes("init", "--store", self.etcd.url, "--upload-certs").stdout
        for host in others:
            host.pybernetes(*join_line(self.output, control_plane=True))

    def holder(self, lease: str, by: Host) -> str:
        spec = by.get("lease", "-n", "kube-system", lease)["spec"]
        return str(spec.get("holderIdentity", "")).partition("_")[0]

    def until(self, by: Host, what: str, condition: object, timeout: float = 60) -> None:
        end = time.monotonic() + timeout
        while not condition():  # type: ignore[operator]
            assert time.monotonic() < end, what
            time.sleep(0.2)


@pytest.fixture(scope="module")
def trio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trio]:
    with hosts("cp1", "cp2", "cp3") as found:
        made = Trio(found, tmp_path_factory.mktemp("etcd"))
        try:
            made.build()
            yield made
        finally:
            made.etcd.stop()


def test_all_are_ready_and_share_what_must_be_shared(trio: Trio) -> None:
    first, second, third = trio.hosts
    nodes = second.get("nodes")["items"]
    assert {node["metadata"]["name"] for node in nodes} == {"cp1", "cp2", "cp3"}
    assert all("node-role.kubernetes.io/control-plane" in node["metadata"]["labels"] for node in nodes)
    # what is written at one server is read at another at once
    for number in range(10):
        first.kubectl("create", "configmap", f"shared-{number}")
        assert second.get("configmap", f"shared-{number}")["metadata"]["name"] == f"shared-{number}"
    # a token that one server signed is good at the others
    token = first.kubectl("create", "token", "default").strip()
    body = json.dumps({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}})
    review = json.loads(third.kubectl("create", "-f", "-", "-o", "json", stdin=body))
    assert review["status"]["user"]["username"] == "system:serviceaccount:default:default"
    # Service default/kubernetes leads to all three
    trio.until(first, "endpoints", lambda: addresses(first) == {host.address for host in trio.hosts})
    # one of each works
    for lease in ("kube-controller-manager", "kube-scheduler"):
        assert trio.holder(lease, first) in {"cp1", "cp2", "cp3"}


def addresses(host: Host) -> set[str]:
    (subset,) = host.get("endpoints", "kubernetes")["subsets"]
    return {address["ip"] for address in subset["addresses"]}


def test_killing_one_of_anything_loses_nothing(trio: Trio, tmp_path: Path) -> None:
    first, second, third = trio.hosts
    writer = Writer("kills-", first, [second, third], tmp_path)
    try:
        writer.wait_for_more()
        trio.etcd.kill(third)  # a member of etcd
        writer.wait_for_more()
        trio.etcd.start(third)
        writer.wait_for_more()
        kill_process(first, "control-plane")  # the server that the writer talks to
        writer.wait_for_more()
        trio.until(second, "the dead server is out", lambda: first.address not in addresses(second))
        first.pybernetes("up", "--no-merge")
        trio.until(second, "and in again", lambda: first.address in addresses(second))
        trio.etcd.kill(first)
        writer.wait_for_more()
        trio.etcd.start(first)
    finally:
        acknowledged = writer.finish()
    stored = {name.removeprefix("configmap/") for name in second.kubectl("get", "cm", "-o", "name").split()}
    assert acknowledged <= stored, f"lost: {sorted(acknowledged - stored)[:10]}"
    assert len(acknowledged) >= 200


def test_another_leads_when_the_leader_is_killed(trio: Trio) -> None:
    by = {host.name: host for host in trio.hosts}
    leader = by[trio.holder("kube-controller-manager", trio.hosts[0])]
    other = next(host for host in trio.hosts if host is not leader)
    kill_process(leader, "control-plane")
    killed = time.monotonic()
    for lease in ("kube-controller-manager", "kube-scheduler"):
        trio.until(other, lease, lambda lease=lease: trio.holder(lease, other) != leader.name)
    assert time.monotonic() - killed < 60, "the lease lasts 15 s; the rest is this machine's load"
    # and it works: a Deployment gets its Pods, and they get nodes
    other.kubectl("apply", "-f", "-", stdin=AFTER)
    trio.until(other, "Pods with nodes", lambda: placed(other) >= 2)
    # the node beside the dead server asks another one
    renewed = heartbeat(other, leader.name)
    trio.until(other, "the node goes on", lambda: heartbeat(other, leader.name) > renewed)
    leader.pybernetes("up", "--no-merge")
    other.kubectl("wait", "--for=condition=Ready", "node", "--all", "--timeout=90s")


def heartbeat(by: Host, node: str) -> str:
    return str(by.get("lease", "-n", "kube-node-lease", node)["spec"]["renewTime"])


def placed(host: Host) -> int:
    return sum(1 for pod in host.get("pods", "-l", "app=after")["items"] if pod["spec"].get("nodeName"))


def test_a_snapshot_is_taken_under_load(trio: Trio, tmp_path: Path) -> None:
    first, second, third = trio.hosts
    writer = Writer("backup-", first, [second, third], tmp_path)
    try:
        writer.wait_for_more(20)
        first.pybernetes("backup", str(tmp_path / "etcd.backup"))
        writer.wait_for_more(20)
    finally:
        writer.finish()
    assert (tmp_path / "etcd.backup").stat().st_size > 100_000
    assert (tmp_path / "etcd.backup.pki" / "ca.key").exists()


def test_a_snapshot_is_restored_into_the_running_etcd_when_nobody_else_writes(trio: Trio, tmp_path: Path) -> None:
    first, *others = trio.hosts
    first.kubectl("create", "configmap", "before")
    saved = str(tmp_path / "etcd.backup")
    first.pybernetes("backup", saved)
    first.kubectl("create", "configmap", "after")
    newest = int(first.get("configmap", "after")["metadata"]["resourceVersion"])
    for command in (("restore", saved), ("migrate", "--to", f"sqlite://{tmp_path / 'new.db'}")):
        refused = first.pybernetes(*command, check=False)
        assert refused.returncode == 1 and "somebody writes to this etcd: the API server of " in refused.stderr
        assert all(f"{other.name} ({other.address})" in refused.stderr for other in others)
    assert first.get("configmap", "after"), "nothing was touched, and the control plane runs"
    for other in others:
        kill_process(other, "control-plane")
    told = first.pybernetes("restore", saved).stdout
    assert "objects of" in told and "at revision" in told
    for other in others:
        other.pybernetes("up", "--no-merge")
    names = first.kubectl("get", "configmap", "-o", "name").split()
    assert "configmap/before" in names and "configmap/after" not in names
    assert int(others[0].get("configmap", "before")["metadata"]["resourceVersion"]) > newest
    first.kubectl("wait", "--for=condition=Ready", "node", "--all", "--timeout=120s")
    first.kubectl("create", "deployment", "again", "--image=nothing.invalid/at-all")  # controllers and watches go on
    trio.until(others[1], "a Pod of it", lambda: others[1].get("pods", "-l", "app=again")["items"], 120)
