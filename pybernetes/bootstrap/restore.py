"""`restore`: a backup in the place of what a cluster stores, whichever of the two stores each of them is of.

From SQLite to SQLite it is the file itself, revisions included. Everything else is copied object by object into a
new file, or into the etcd as it runs, which is emptied first and ends at a revision above all that it or the backup
had: who remembers older ones is told to list anew. Nobody else may write meanwhile, so the control planes of other
machines must have been stopped.

A file takes the place of the old one in one step, when it is complete. An etcd that is only half filled says so, and
no control plane starts on it before `restore` was repeated.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from pybernetes.bootstrap import cluster as clusters
from pybernetes.bootstrap import command_line, member_processes, renewal, writers
from pybernetes.bootstrap.cluster import Cluster, ClusterError
from pybernetes.control_plane.apiserver.server import Config as APIServerConfig
from pybernetes.control_plane.apiserver.server import seal_of, store_of
from pybernetes.store import Store, StoreError, closed
from pybernetes.store.copying import Source, check_source, copy_all
from pybernetes.store.errors import StoreCorrupt
from pybernetes.store.etcd import EtcdStore
from pybernetes.store.etcd_snapshot import EtcdSnapshot, is_snapshot
from pybernetes.store.sqlite_file import backup as sqlite_copy
from pybernetes.store.sqlite_file import replace_file, verify

#: First bytes of a SQLite database.
_SQLITE = b"SQLite format 3\0"


class HalfFilled(ClusterError):
    """An etcd holds a part of a backup and cannot be used."""


def command(arguments: list[str]) -> None:
    """The command. Raises ClusterError, StoreError, OSError."""
    parser = command_line.parser(
        "restore", "Put a backup in the place of a cluster's objects; the control plane is started anew."
    )
    parser.add_argument("file", metavar="FILE", help="what 'backup' has written, or a snapshot of etcd")
    parser.add_argument("--keys", action="store_true", help="take the keys in FILE.pki as well")
    options = parser.parse_args(arguments)
    cluster, source = find(options), Path(options.file)
    with open(source, "rb") as file:
        head = file.read(64)
    if not head.startswith(_SQLITE) and not is_snapshot(head):
        raise ClusterError(f"{source} is neither a backup of a SQLite store nor a snapshot of etcd")
    keys = source.with_name(source.name + ".pki")
    if options.keys and not (keys / "ca.key").exists():
        raise ClusterError(f"{keys} is not there; without --keys the cluster keeps its own")
    was_running = member_processes.stop_control_plane(cluster)
    try:
        told = _put(source, cluster, from_sqlite=head.startswith(_SQLITE))
        if options.keys:
            _take_keys(cluster, keys)
    except HalfFilled:
        was_running = False  # it would refuse
        raise
    finally:
        if was_running:
            member_processes.start_control_plane(cluster, 60.0)
    print(told + ("" if was_running else "; 'pybernetes up' starts the cluster with it"))


def find(options: argparse.Namespace) -> Cluster:
    """The cluster that the options name. Raises ClusterError."""
    cluster = clusters.find(options.name, options.data_dir)
    if cluster is None:
        raise ClusterError(f"no cluster \"{options.name}\"; 'pybernetes list' shows those on this machine")
    return cluster


def sqlite_path(store: str) -> Path | None:
    """The file of a SQLite store; None for another store."""
    return Path(store.partition("://")[2]) if store.startswith("sqlite://") else None


def configuration(cluster: Cluster, store: str = "") -> APIServerConfig:
    """What the cluster's API server is told, but for another store."""
    from pybernetes.bootstrap.control_plane import configure  # all of the control plane

    return replace(configure(cluster).apiserver, store=store or cluster.state.store)


def opened(cluster: Cluster, store: str) -> Store:
    """A store as the cluster's API server uses it, not yet started."""
    return store_of(configuration(cluster, store))


def _put(source: Path, cluster: Cluster, *, from_sqlite: bool) -> str:
    """The backup into the cluster's store; what to say about it."""
    store = cluster.state.store
    path = sqlite_path(store)
    if path is None and not store.startswith("etcd"):
        raise ClusterError("a cluster in memory has no store that outlives its control plane")
    if path is None:
        count, revision = asyncio.run((_from_sqlite if from_sqlite else _from_etcd)(source, cluster, store))
    else:
        new = path.with_name(path.name + ".restored")
        _remove(new)
        try:
            if from_sqlite:
                sqlite_copy(source, new)
                _verified(new, source)
            else:
                count, revision = asyncio.run(_from_etcd(source, cluster, f"sqlite://{new}"))
            replace_file(path, new)
        finally:
            _remove(new)
        if from_sqlite:
            return f"{path} is what {source} was"
    return f"{count} objects of {source} are in {store.partition('?')[0]} now, at revision {revision}"


def _verified(copy: Path, source: Path) -> None:
    try:
        verify(copy)
    except StoreCorrupt:
        raise ClusterError(f"{source} is damaged, and nothing was changed") from None


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm", ".lock"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


async def _from_etcd(source: Path, cluster: Cluster, store: str) -> tuple[int, int]:
    target = opened(cluster, store)
    prefix = target.prefix if isinstance(target, EtcdStore) else ""
    snapshot = await asyncio.to_thread(EtcdSnapshot, source, prefix, seal_of(configuration(cluster)))
    if not (await snapshot.list("", limit=1)).entries:
        raise ClusterError(f"{source} has no objects where this cluster would look for them")
    return await _fill(target, snapshot)


async def _from_sqlite(source: Path, cluster: Cluster, store: str) -> tuple[int, int]:
    with tempfile.TemporaryDirectory(prefix="pybernetes-") as directory:  # opening it writes beside it
        copy = Path(directory, "backup")
        await asyncio.to_thread(sqlite_copy, source, copy)
        await asyncio.to_thread(_verified, copy, source)
        saved = opened(cluster, f"sqlite://{copy}")
        await saved.start()
        try:
            return await _fill(opened(cluster, store), saved)
        finally:
            await saved.close()


async def _fill(target: Store, source: Source) -> tuple[int, int]:
    await check_source(source)  # while the target is still whole
    await target.start()
    try:
        await writers.none_but_us(target)
        await closed.close(target, closed.HALF)  # what is there goes
        try:
            return await copy_all(source, target)
        except (StoreError, asyncio.CancelledError) as error:
            if not isinstance(target, EtcdStore):
                raise
            raise HalfFilled(
                f"{str(error) or 'interrupted'}: the store holds only a part of the backup now, and no control plane "
                "starts on it; repeat this when the cause is gone"
            ) from error
    finally:
        await target.close()


def _take_keys(cluster: Cluster, keys: Path) -> None:
    # What etcd asks for is this cluster's affair.
    kept = shutil.ignore_patterns("etcd", "apiserver-etcd-client.*")
    shutil.copytree(keys, cluster.pki, dirs_exist_ok=True, ignore=kept)
    # What the authority of before had signed is made anew; what is checked by date alone has to go for that.
    for signed in (cluster.directory / "admin-client.pem", *cluster.directory.glob("nodes/*/kubelet.crt")):
        signed.unlink(missing_ok=True)
    renewal.renew(cluster)
