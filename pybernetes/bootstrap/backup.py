"""`backup`, `migrate`: everything that a cluster stores, to a file, and from one store to another.

A backup is what the store itself calls one, taken while it is written to: SQLite's own online copy (a database file),
or etcd's snapshot (which `etcdctl snapshot restore` takes as well). Either holds all objects at one revision, and every
revision with it, so clients that were watching go on, or are told to list anew. `restore` is in its own module.

`migrate` reads one store at one revision and writes another; there the objects get new, higher revisions. Before and
after it looks whether anybody else writes to the old one, and if so the cluster stays with that. An etcd that was left
says so: control planes of other machines would go on with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from pybernetes.bootstrap import command_line, member_processes, processes, restore, writers
from pybernetes.bootstrap.cluster import ClusterError
from pybernetes.bootstrap.phases import etcd, upload_config
from pybernetes.bootstrap.phases.run import connection_of, with_client
from pybernetes.store import Store, StoreError, closed, open_store
from pybernetes.store.copying import copy_all
from pybernetes.store.etcd import EtcdStore
from pybernetes.store.sqlite_file import backup as sqlite_copy
from pybernetes.store.sqlite_file import verify

#: What an etcd says that a cluster has left.
_MOVED = "the cluster's objects are in {} now; a control plane of another machine follows by 'reset' and 'join'"


def main(arguments: list[str]) -> int:
    """One of the commands of this module; the exit code."""
    command, *rest = arguments
    actions: dict[str, Callable[[list[str]], None]] = {
        "backup": _backup,
        "restore": restore.command,
        "migrate": _migrate,
    }
    try:
        actions[command](rest)
    except (ClusterError, StoreError, processes.StartError, OSError) as error:
        print(f"pybernetes {command}: {error}", file=sys.stderr)
        return 1
    return 0


# -- backup ------------------------------------------------------------------------------------------------------------


def _backup(arguments: list[str]) -> None:
    parser = command_line.parser(
        "backup", "Save all objects to a file, while the cluster runs. Keys and certificates go beside it."
    )
    parser.add_argument("file", metavar="FILE", help="the backup; FILE.pki becomes a copy of the cluster's keys")
    options = parser.parse_args(arguments)
    cluster, target = restore.find(options), Path(options.file)
    store = cluster.state.store
    if (path := restore.sqlite_path(store)) is not None:
        sqlite_copy(path, target)
        verify(target)
        print(f"{target}: all objects as of one revision (SQLite)")
    elif store.startswith("etcd"):
        asyncio.run(_snapshot(store, target))
        print(f"{target}: a snapshot of etcd")
    else:
        raise ClusterError("a cluster in memory has nothing that outlives it; there is nothing to save")
    keys = target.with_name(target.name + ".pki")
    shutil.copytree(cluster.pki, keys, dirs_exist_ok=True)
    keys.chmod(0o700)
    print(f"{keys}: its authorities and keys; whoever has them is the cluster's administrator")


async def _snapshot(url: str, target: Path) -> None:
    store = open_store(url)
    assert isinstance(store, EtcdStore)
    await store.start()
    try:
        await store.snapshot(target)
    finally:
        await store.close()


# -- migrate -----------------------------------------------------------------------------------------------------------


def _migrate(arguments: list[str]) -> None:
    parser = command_line.parser(
        "migrate", "Move a cluster's objects to another store, and let the cluster use that one."
    )
    parser.add_argument(
        "--to",
        required=True,
        metavar="URL",
        help="etcd://HOST:PORT,...?cafile=..., sqlite:///PATH, or etcd: a member on this machine, as of 'init'",
    )
    options = parser.parse_args(arguments)
    cluster = restore.find(options)
    old, member = cluster.state.store, cluster.state.member
    if options.to in (old, "etcd" if member is not None and member.etcd is not None else None):
        raise ClusterError("the cluster uses this store already")
    with etcd.begun(cluster) if options.to == "etcd" else contextlib.nullcontext(options.to) as target:
        was_running = member_processes.stop_control_plane(cluster)
        try:
            shown = target.partition("?")[0]
            count, revision = asyncio.run(move(restore.opened(cluster, old), restore.opened(cluster, target), shown))
            cluster.state.store = target
            cluster.save()
        finally:
            if was_running:
                member_processes.start_control_plane(cluster, 60.0)
    if was_running and member is not None:  # who joins is told of the store
        admin = connection_of(cluster.directory / "super-admin.conf")
        with_client(admin, lambda client: upload_config.upload(client, cluster))
    left = "says that it is not used any more" if old.startswith("etcd") else "is left as it was"
    print(f"{count} objects are in {shown} now, at revision {revision}; the old store {left}")


async def move(source: Store, target: Store, name: str) -> tuple[int, int]:
    """All of one store into another, empty one, which others know by a name: how many objects, and the revision of the
    last. Repeated after one that was cut off it comes to the same end."""
    await source.start()
    try:
        await target.start()
        try:
            return await _moved(source, target, _MOVED.format(name))
        finally:
            await target.close()
    finally:
        await source.close()


async def _moved(source: Store, target: Store, note: str) -> tuple[int, int]:
    if await closed.reason(source) == note:  # all was there before, and only the cluster's own files do not know
        why, page = await closed.reason(target), await target.list("", limit=1)
        if page.entries and not why:
            return len(page.entries) + page.remaining, page.revision
        if why == closed.HALF:
            await closed.reopen(source)
    since, left = await writers.none_but_us(source), False

    async def leave() -> None:
        nonlocal left
        await writers.none_since(source, since)
        if isinstance(source, EtcdStore):
            left = True
            await closed.close(source, note)

    try:
        return await copy_all(source, target, leave)
    except BaseException:
        if left:  # the cluster stays with it
            await closed.reopen(source)
        raise
