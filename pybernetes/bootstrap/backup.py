"""`backup`, `restore`, `migrate`: everything that a cluster stores, to a file, back, and from one store to another.

A backup is what the store itself calls one, taken while it is written to: SQLite's own online copy (a database file),
or etcd's snapshot (which `etcdctl snapshot restore` takes as well). Either holds all objects at one revision, and every
revision with it, so clients that were watching go on, or are told to list anew.

`migrate` reads one store at one revision and writes another; there the objects get new, higher revisions.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from pybernetes.bootstrap import cluster as clusters
from pybernetes.bootstrap import command_line, processes, renewal
from pybernetes.bootstrap.cluster import Cluster, ClusterError
from pybernetes.store import Store, StoreError, open_store
from pybernetes.store.copying import copy_all
from pybernetes.store.sqlite_file import backup as sqlite_copy

#: First bytes of a SQLite database.
_SQLITE = b"SQLite format 3\0"


def main(arguments: list[str]) -> int:
    """One of the commands of this module; the exit code."""
    command, *rest = arguments
    actions: dict[str, Callable[[list[str]], None]] = {"backup": _backup, "restore": _restore, "migrate": _migrate}
    try:
        actions[command](rest)
    except (ClusterError, StoreError, OSError) as error:
        print(f"pybernetes {command}: {error}", file=sys.stderr)
        return 1
    return 0


def _find(options: argparse.Namespace) -> Cluster:
    cluster = clusters.find(options.name, options.data_dir)
    if cluster is None:
        raise ClusterError(f"no cluster \"{options.name}\"; 'pybernetes list' shows those on this machine")
    return cluster


def _sqlite_path(store: str) -> Path | None:
    return Path(store.partition("://")[2]) if store.startswith("sqlite://") else None


# -- backup ------------------------------------------------------------------------------------------------------------


def _backup(arguments: list[str]) -> None:
    parser = command_line.parser(
        "backup", "Save all objects to a file, while the cluster runs. Keys and certificates go beside it."
    )
    parser.add_argument("file", metavar="FILE", help="the backup; FILE.pki becomes a copy of the cluster's keys")
    options = parser.parse_args(arguments)
    cluster, target = _find(options), Path(options.file)
    store = cluster.state.store
    if (path := _sqlite_path(store)) is not None:
        sqlite_copy(path, target)
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
    from pybernetes.store.etcd import EtcdStore

    store = open_store(url)
    assert isinstance(store, EtcdStore)
    await store.start()
    try:
        await store.snapshot(target)
    finally:
        await store.close()


# -- restore -----------------------------------------------------------------------------------------------------------


def _restore(arguments: list[str]) -> None:
    parser = command_line.parser(
        "restore", "Put a backup in the place of a cluster's objects; the control plane is started anew."
    )
    parser.add_argument("file", metavar="FILE", help="what 'backup' has written")
    parser.add_argument("--keys", action="store_true", help="take the keys in FILE.pki as well")
    options = parser.parse_args(arguments)
    cluster, source = _find(options), Path(options.file)
    path = _sqlite_path(cluster.state.store)
    if path is None:
        raise ClusterError(
            "a snapshot of etcd is restored into new etcd members: 'etcdctl snapshot restore', then start them"
        )
    with open(source, "rb") as file:
        if file.read(len(_SQLITE)) != _SQLITE:
            raise ClusterError(f"{source} is no backup of a SQLite store")
    keys = source.with_name(source.name + ".pki")
    if options.keys and not (keys / "ca.key").exists():
        raise ClusterError(f"{keys} is not there; without --keys the cluster keeps its own")
    was_running = processes.stop(cluster.control_plane_pid)
    try:
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        sqlite_copy(source, path)
        if options.keys:
            shutil.copytree(keys, cluster.pki, dirs_exist_ok=True)
            # What the authority of before had signed is made anew; what is checked by date alone has to go for that.
            for signed in (cluster.directory / "admin-client.pem", *cluster.directory.glob("nodes/*/kubelet.crt")):
                signed.unlink(missing_ok=True)
            renewal.renew(cluster)
    finally:
        if was_running:
            _start(cluster)
    print(f"{path} is what {source} was" + ("" if was_running else "; 'pybernetes up' starts the cluster with it"))


# -- migrate -----------------------------------------------------------------------------------------------------------


def _migrate(arguments: list[str]) -> None:
    parser = command_line.parser(
        "migrate", "Move a cluster's objects to another store, and let the cluster use that one."
    )
    parser.add_argument("--to", required=True, metavar="URL", help="etcd://HOST:PORT,...?cafile=... or sqlite:///PATH")
    options = parser.parse_args(arguments)
    cluster = _find(options)
    old = cluster.state.store
    if old == options.to:
        raise ClusterError("the cluster uses this store already")
    was_running = processes.stop(cluster.control_plane_pid)
    try:
        count, revision = asyncio.run(move(open_store(old), open_store(options.to)))
        cluster.state.store = options.to
        cluster.save()
    finally:
        if was_running:
            _start(cluster)
    print(f"{count} objects are in {options.to} now, at revision {revision}; the old store is left as it was")


async def move(source: Store, target: Store) -> tuple[int, int]:
    """All of one store into another, empty one: how many objects, and the revision of the last."""
    await source.start()
    try:
        await target.start()
        try:
            return await copy_all(source, target)
        finally:
            await target.close()
    finally:
        await source.close()


def _start(cluster: Cluster) -> None:
    started = processes.start(
        "the control plane",
        ["control-plane", "--data-dir", str(cluster.directory)],
        pid_file=cluster.control_plane_pid,
        log=cluster.log("control-plane"),
    )
    started.wait_ready(60.0)
