"""Control planes with a member of etcd each: begun by `init`, grown by `join`, and left by `reset`."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.test_members import changed
from tests.e2e.test_several_control_planes import Writer
from tests.suites.etcd_server import BINARY
from tests.suites.hosts import Host, hosts, join_line

pytestmark = [pytest.mark.slow, pytest.mark.skipif(BINARY is None, reason="no etcd binary on PATH")]

LIST = """
import asyncio, json
from pybernetes.bootstrap import etcd_member
from pybernetes.bootstrap.cluster import find

async def main():
    async with etcd_member.members(find("", "/var/lib/pybernetes/default")) as members:
        print(json.dumps({m.name: not m.learner for m in await members.list()}))

asyncio.run(main())
"""


def members(host: Host) -> dict[str, bool]:
    """The members of etcd, and whether each has a vote, as the one on this host knows them."""
    found: dict[str, bool] = json.loads(host.run(sys.executable, "-c", LIST).stdout)
    return found


def kill(host: Host, pattern: str) -> None:
    """SIGKILL to the one process of a host whose command line has this."""
    script = f"""
import os, pathlib
for process in pathlib.Path("/proc").glob("[0-9]*"):
    if {pattern!r} in (process / "cmdline").read_text().replace(chr(0), " ") and int(process.name) != os.getpid():
        os.kill(int(process.name), 9)
        break
else:
    raise SystemExit("there is none")
"""
    host.run(sys.executable, "-c", script)


@contextlib.contextmanager
def taken(host: Host, port: int) -> Iterator[None]:
    """Somebody else listens on a port of a host."""
    script = f"import socket, sys; s = socket.create_server(('0.0.0.0', {port})); print(flush=True); sys.stdin.read()"
    command = ["nsenter", "-t", str(host.inside), "-n", "--", sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as squatter:
        assert squatter.stdin is not None and squatter.stdout is not None
        squatter.stdout.readline()
        yield
        squatter.stdin.close()


class Trio:
    """Three machines, the first with a cluster."""

    def __init__(self, found: list[Host]) -> None:
        self.hosts = found
        self.before = {host.name: host.state() for host in found}
        self.output = found[0].pybernetes("init", "--store", "etcd", "--upload-certs").stdout
        self.line = join_line(self.output, control_plane=True)


@pytest.fixture(scope="module")
def trio() -> Iterator[Trio]:
    with hosts("cp1", "cp2", "cp3") as found:
        yield Trio(found)


def test_a_join_that_fails_leaves_neither_files_nor_a_member(trio: Trio) -> None:
    first, second, _ = trio.hosts
    assert members(first) == {"cp1": True}
    wrong = [word if word != trio.line[-1] else "0" * 64 for word in trio.line]
    assert "is not the one" in second.pybernetes(*wrong, check=False).stderr
    # The member is added, and then its API server finds its port taken.
    late = [*trio.line, "--ignore-preflight-errors=Port-6443"]
    with taken(second, 6443):
        assert second.pybernetes(*late, check=False).returncode == 1
    with taken(second, 2380):
        assert "port 2380 is in use" in second.pybernetes(*trio.line, check=False).stderr
        assert "[ERROR Port-2380]" in second.pybernetes("init", "--store", "etcd", check=False).stderr
    assert changed(second, trio.before["cp2"]) == {}
    assert members(first) == {"cp1": True}


def test_each_control_plane_brings_a_member(trio: Trio) -> None:
    first, *others = trio.hosts
    for host in others:
        joined = host.pybernetes(*trio.line).stdout
        assert f"[etcd] {host.name} is one of" in joined
    assert all(members(host) == {"cp1": True, "cp2": True, "cp3": True} for host in trio.hosts)
    first.kubectl("create", "configmap", "shared")
    assert others[1].get("configmap", "shared")
    assert "etcd: " in first.pybernetes("status").stdout


def test_members_and_servers_die_and_nothing_is_lost(trio: Trio, tmp_path: Path) -> None:
    first, second, third = trio.hosts
    writer = Writer("stacked-", first, [second, third], tmp_path)
    try:
        writer.wait_for_more()
        kill(third, "/etcd --name=cp3")  # its keeper starts it again
        writer.wait_for_more()
        kill(second, "pybernetes etcd-member")  # and with its keeper it ends
        writer.wait_for_more()
        second.pybernetes("up", "--no-merge")
        kill(first, "pybernetes control-plane")  # the member beside it goes on
        writer.wait_for_more()
        first.pybernetes("up", "--no-merge")
    finally:
        acknowledged = writer.finish()
    end = time.monotonic() + 60
    while not all(host.run(sys.executable, "-c", LIST, check=False).returncode == 0 for host in trio.hosts):
        assert time.monotonic() < end, "all members are back"
    stored = {name.removeprefix("configmap/") for name in second.kubectl("get", "cm", "-o", "name").split()}
    assert acknowledged <= stored, f"lost: {sorted(acknowledged - stored)[:10]}"
    assert len(acknowledged) >= 200


def test_reset_takes_the_member_out_and_leaves_the_machine_as_it_was(trio: Trio) -> None:
    first, second, third = trio.hosts
    for host, left in ((third, {"cp1", "cp2"}), (second, {"cp1"})):
        host.pybernetes("reset", "--force")
        assert changed(host, trio.before[host.name]) == {}
        assert members(first).keys() == left
    first.kubectl("create", "configmap", "alone")
    first.pybernetes("reset", "--force")
    assert changed(first, trio.before["cp1"]) == {}


def test_a_cluster_that_began_with_sqlite_gets_members_and_a_second_control_plane() -> None:
    with hosts("sq1", "sq2") as (first, second):
        before = first.state()
        worker_line = join_line(first.pybernetes("init").stdout)
        first.kubectl("create", "configmap", "kept")
        with taken(first, 2380):
            assert "port 2380 is in use" in first.pybernetes("migrate", "--to", "etcd", check=False).stderr
        assert "objects are in etcd://127.0.0.1:2379 now" in first.pybernetes("migrate", "--to", "etcd").stdout
        assert "uses this store already" in first.pybernetes("migrate", "--to", "etcd", check=False).stderr
        key = first.pybernetes("certs", "upload").stdout.split()[-1]
        second.pybernetes(*worker_line, "--control-plane", "--certificate-key", key)
        assert members(second) == {"sq1": True, "sq2": True}
        assert second.get("configmap", "kept")
        second.pybernetes("reset", "--force")
        assert first.get("configmap", "kept")
        first.pybernetes("reset", "--force")
        assert changed(first, before) == {}
