"""Backup under load, restore into another cluster, migration to etcd: the commands, on control planes of their own."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pybernetes.aio import clock
from pybernetes.api.core_v1 import ConfigMap
from pybernetes.bootstrap import member_processes, restore
from pybernetes.bootstrap.cluster import find
from pybernetes.client import kubeconfig
from pybernetes.client.client import Client
from pybernetes.client.errors import Unavailable
from pybernetes.client.http import HTTPTransport
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.meta import ObjectMeta
from pybernetes.store import Entry, Page, StoreError, StoreUnavailable, closed
from pybernetes.store.etcd import EtcdStore
from tests.suites.etcd_server import BINARY, EtcdServer, free_ports

pytestmark = pytest.mark.real_time
ROOT = Path(__file__).resolve().parents[2]


class Machine:
    """A control plane without nodes, and commands on it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.directory = home / "default"

    def pybernetes(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "pybernetes", *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            cwd=ROOT,
            env={**os.environ, "PYBERNETES_HOME": str(self.home), "KUBECONFIG": str(self.home / "user")},
        )
        assert not check or done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done

    def transport(self) -> HTTPTransport:
        return HTTPTransport(kubeconfig.load([self.directory / "kubeconfig"], explicit=True).connection())


@contextmanager
def machine(home: Path, store: str = "sqlite") -> Iterator[Machine]:
    made = Machine(home)
    made.pybernetes("up", "--nodes", "0", "--no-merge", "--store", store, "--api-port", str(free_ports(1)[0]))
    try:
        yield made
    finally:
        made.pybernetes("down")


async def stored(transport: HTTPTransport) -> dict[str, str]:
    """The test's ConfigMaps and their resourceVersions."""
    page = await Client(transport).resource(ConfigMap).list("default")
    found = {one.metadata.name: one.metadata.resource_version for one in page.items}
    return {name: version for name, version in found.items() if name.startswith("m")}


async def write(transport: HTTPTransport, first: int, count: int) -> None:
    maps = Client(transport).resource(ConfigMap)
    for number in range(first, first + count):
        await maps.create(ConfigMap(metadata=ObjectMeta(name=f"m{number}", namespace="default"), data={"a": "b"}))


async def backed_up_under_load(
    one: Machine, transport: HTTPTransport, file: Path
) -> tuple[dict[str, str], dict[str, str]]:
    """What was stored before the load and after it."""
    await write(transport, 0, 50)
    before = await stored(transport)
    async with asyncio.TaskGroup() as group:
        group.create_task(write(transport, 50, 200), name="load")
        group.create_task(asyncio.to_thread(one.pybernetes, "backup", str(file)), name="backup")
    return before, await stored(transport)


async def test_backup_under_load_and_restore_elsewhere(tmp_path: Path) -> None:
    file = tmp_path / "saved"
    with machine(tmp_path / "one") as one, machine(tmp_path / "two") as two:
        async with one.transport() as transport:
            before, after = await backed_up_under_load(one, transport, file)
        assert file.stat().st_mode & 0o777 == 0o600
        await asyncio.to_thread(two.pybernetes, "restore", str(file), "--keys")
        async with two.transport() as transport:
            found = await stored(transport)
            assert before.items() <= found.items() <= after.items(), "all as of one moment, revisions included"
            # a watch from a revision of before goes on, or is told to list anew
            version = max(found.values(), key=int)
            await write(transport, 1000, 1)
            try:
                async for event in Client(transport).resource(ConfigMap).watch("default", resource_version=version):
                    assert event.object.metadata.name == "m1000"
                    break
            except StatusError as error:
                assert error.code == 410
            assert int((await stored(transport))["m1000"]) > int(version)


@pytest.mark.skipif(BINARY is None, reason="no etcd binary on PATH")
async def test_backup_of_etcd_under_load_and_restore_there_into_an_empty_one_and_into_sqlite(tmp_path: Path) -> None:
    file = tmp_path / "saved"
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    with (
        EtcdServer(tmp_path / "old") as old,
        EtcdServer(tmp_path / "new") as new,
        machine(tmp_path / "one", old.url) as one,
        machine(tmp_path / "two", new.url) as two,
        machine(tmp_path / "three") as three,
    ):
        async with one.transport() as transport:
            before, after = await backed_up_under_load(one, transport, file)
            await write(transport, 5000, 5)  # lost by going back
            version = max((await stored(transport)).values(), key=int)
            await asyncio.to_thread(one.pybernetes, "restore", str(file))
            names = (await again(transport)).keys()
            assert before.keys() <= names <= after.keys(), "all as of one moment"
            with pytest.raises(StatusError, match="too old") as caught:  # told to list anew
                async for _ in Client(transport).resource(ConfigMap).watch("default", resource_version=version):
                    pass
            assert caught.value.code == 410
        for other in (two, three):
            await asyncio.to_thread(other.pybernetes, "restore", str(file), "--keys")
            async with other.transport() as transport:
                found = await stored(transport)
                assert found.keys() == names
                assert min(map(int, found.values())) > 1
                await write(transport, 9000, 1)
                newest = int((await stored(transport))["m9000"])
                saved = max(int(after[name]) for name in names)  # what came after the snapshot nobody there can know
                assert newest > saved, "revisions go on above those of before"


@pytest.mark.skipif(BINARY is None, reason="no etcd binary on PATH")
async def test_migration_to_etcd(tmp_path: Path) -> None:
    with EtcdServer(tmp_path) as etcd, machine(tmp_path / "one") as one:
        async with one.transport() as transport:
            await write(transport, 0, 30)
            before = await stored(transport)
            told = await asyncio.to_thread(one.pybernetes, "migrate", "--to", etcd.url)
            assert f"objects are in {etcd.url} now" in told.stdout
            found = await again(transport)
            assert found.keys() == before.keys()
            await write(transport, 30, 1)
            assert int((await stored(transport))["m30"]) > max(map(int, before.values())), "revisions never go back"
        assert "uses this store already" in one.pybernetes("migrate", "--to", etcd.url, check=False).stderr


async def test_a_damaged_backup_leaves_everything_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "saved"
    with machine(tmp_path / "one") as one:
        async with one.transport() as transport:
            await write(transport, 0, 300)
            await asyncio.to_thread(one.pybernetes, "backup", str(file))
            await write(transport, 300, 5)
            before = await stored(transport)
            data = bytearray(file.read_bytes())
            data[8192:-4096] = bytes(len(data) - 12288)
            file.write_bytes(data)
            refused = await asyncio.to_thread(one.pybernetes, "restore", str(file), check=False)
            assert refused.stderr == f"pybernetes restore: {file} is damaged, and nothing was changed\n"
            assert await again(transport) == before, "and the control plane runs"
        assert list(one.directory.glob("store.db.restored*")) == []


@pytest.mark.skipif(BINARY is None, reason="no etcd binary on PATH")
async def test_a_restore_that_was_cut_off_keeps_the_control_plane_away_until_it_is_repeated(tmp_path: Path) -> None:
    file = tmp_path / "saved"
    with EtcdServer(tmp_path) as etcd, machine(tmp_path / "one", etcd.url) as one:
        async with one.transport() as transport:
            await write(transport, 0, 20)
            before = await stored(transport)
        await asyncio.to_thread(one.pybernetes, "backup", str(file))
        cluster = find("", str(one.directory))
        assert cluster is not None
        member_processes.stop_control_plane(cluster)
        with pytest.raises(restore.HalfFilled, match=r"gone: the store holds only a part .* repeat this"):
            await restore._fill(restore.opened(cluster, etcd.url), Interrupted())
        refused = await asyncio.to_thread(one.pybernetes, "up", "--no-merge", check=False)
        assert refused.returncode == 1 and "the store is not to be used: a copy into it has not" in refused.stderr
        assert "repeat the 'pybernetes restore'" in refused.stderr and "Traceback" not in refused.stderr
        told = await asyncio.to_thread(one.pybernetes, "restore", str(file))
        assert "'pybernetes up' starts the cluster with it" in told.stdout
        await asyncio.to_thread(one.pybernetes, "up", "--no-merge")
        async with one.transport() as transport:
            assert (await stored(transport)).keys() == before.keys()


class Interrupted:
    """A backup of which one object can be read."""

    async def list(self, prefix: str, *, limit: int = 0, after: str = "", revision: int = 0) -> Page:
        if after:
            raise StoreUnavailable("gone")
        entry = Entry("/registry/configmaps/default/m0", b'{"metadata":{"name":"m0"}}', 2, 2)
        return Page([entry] if entry.key.startswith(prefix) else [], 5, 1 if not prefix else 0)

    async def current_revision(self) -> int:
        return 5


@pytest.mark.slow  # quarter of a minute of starting servers
@pytest.mark.skipif(BINARY is None, reason="no etcd binary on PATH")
async def test_who_writes_to_a_shared_etcd_is_named_and_nothing_is_moved(tmp_path: Path) -> None:
    with EtcdServer(tmp_path) as etcd, machine(tmp_path / "one", etcd.url) as one:
        other = EtcdStore([etcd.address])
        await other.start()
        async with asyncio.TaskGroup() as group:
            renewing = group.create_task(renew(other), name="another API server")
            target = f"sqlite://{tmp_path / 'new.db'}"
            refused = await asyncio.to_thread(one.pybernetes, "migrate", "--to", target, check=False)
            renewing.cancel()
        assert refused.returncode == 1 and "Traceback" not in refused.stderr
        assert "somebody writes to this etcd: the API server of second (192.0.2.7); stop" in refused.stderr
        async with one.transport() as transport:
            await write(transport, 0, 1)  # the control plane runs, where it was
        told = await asyncio.to_thread(one.pybernetes, "migrate", "--to", target)
        assert "the old store says that it is not used any more" in told.stdout
        with pytest.raises(StoreError, match=r"the cluster's objects are in sqlite://.*new.db now"):
            await closed.check(other)
        await other.close()


@pytest.mark.slow  # quarter of a minute of starting servers
@pytest.mark.skipif(BINARY is None, reason="no etcd binary on PATH")
@pytest.mark.parametrize("half", [True, False])
async def test_a_migration_that_was_cut_off_near_its_end_can_be_repeated(tmp_path: Path, half: bool) -> None:
    target = f"sqlite://{tmp_path / 'new.db'}"
    with EtcdServer(tmp_path) as etcd, machine(tmp_path / "one", etcd.url) as one:
        async with one.transport() as transport:
            await write(transport, 0, 20)
            before = await stored(transport)
        await asyncio.to_thread(one.pybernetes, "migrate", "--to", target)
        cluster = find("", str(one.directory))
        assert cluster is not None
        member_processes.stop_control_plane(cluster)
        if half:  # the old store was closed, the new one not yet opened
            new = restore.opened(cluster, target)
            await new.start()
            await closed.close(new, closed.HALF)
            await new.close()
        cluster.state.store = etcd.url
        cluster.save()
        told = await asyncio.to_thread(one.pybernetes, "migrate", "--to", target)
        assert f"objects are in {target} now" in told.stdout
        await asyncio.to_thread(one.pybernetes, "up", "--no-merge")
        async with one.transport() as transport:
            assert (await stored(transport)).keys() == before.keys()


async def renew(store: EtcdStore) -> None:
    """As an API server on another machine does."""
    key = "/registry/leases/kube-system/apiserver-of-another"
    labels = {"apiserver.kubernetes.io/identity": "kube-apiserver", "kubernetes.io/hostname": "second"}
    annotations = {"pybernetes.io/advertise-address": "192.0.2.7"}
    metadata = {"name": "a", "labels": labels, "annotations": annotations}
    lease = json.dumps({"metadata": metadata}, separators=(",", ":")).encode()
    entry = await store.create(key, lease)
    while True:
        await clock.sleep(1)
        entry = await store.update(key, lease, entry.revision)


async def again(transport: HTTPTransport) -> dict[str, str]:
    """The first answer of a server whose connections were cut."""
    try:
        return await stored(transport)
    except Unavailable:
        return await stored(transport)
