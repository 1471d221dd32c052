"""This machine's member of the cluster's own etcd: the first begins one, each further control plane adds itself.

A new member is added as a learner, started, and promoted when it has everything; only then does an API server use it.
`leave` is the way back: the member is taken out while it still runs, for of two members both are needed to agree.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import shutil
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

from pybernetes.aio import clock
from pybernetes.aio.backoff import Backoff
from pybernetes.api.discovery_v1 import EndpointSlice
from pybernetes.bootstrap import cluster as clusters
from pybernetes.bootstrap import etcd_member, member_processes, pki
from pybernetes.bootstrap.cluster import Cluster, ClusterError
from pybernetes.bootstrap.phases import certs
from pybernetes.bootstrap.phases.run import Run, connection_of, with_client
from pybernetes.client.client import Client
from pybernetes.store.errors import StoreError
from pybernetes.store.etcd_members import Added, EtcdMembers

#: Seconds for a new member to get everything that the others have.
CATCH_UP = 300.0
#: Seconds for etcd to take a change. It refuses the next one for some seconds after a member has come, and takes one
#: learner at a time.
SETTLED = 60.0

T = TypeVar("T")


def run(run: Run) -> None:
    """Start the member and wait until it has its vote; nothing to do with an etcd of the user's."""
    cluster, member = run.cluster, run.member
    if not member.control_plane or member.etcd is None:
        return
    if not run.joins:
        member_processes.start_etcd(cluster, 60.0)
        run.say("etcd", f"a new etcd, whose first member is {cluster.state.nodes[0].name}")
        return
    _check(member.address)
    addresses = _others(run)
    try:
        count = asyncio.run(_join(cluster, addresses))
    except StoreError as error:
        raise ClusterError(f"the etcd of {', '.join(addresses)}: {error}") from error
    run.say("etcd", f"{cluster.state.nodes[0].name} is one of {count} members")


@contextlib.contextmanager
def begun(cluster: Cluster) -> Iterator[str]:
    """A new etcd of this machine alone, and the store that it is; taken away again if what follows fails before the
    cluster uses it."""
    member = cluster.state.member
    if member is None or not member.control_plane:
        raise ClusterError("only a control plane that 'init' made can have a member of etcd")
    _check(member.address)
    member.etcd = f"{cluster.state.nodes[0].name}={etcd_member.peer_url(member.address)}"
    try:
        pki.ensure(cluster.pki, certs.config_of(cluster))
        cluster.save()
        member_processes.start_etcd(cluster, 60.0)
        yield etcd_member.store_url(cluster)
    except BaseException:
        if cluster.state.store != etcd_member.store_url(cluster):  # else the objects are in there, and nowhere newer
            member_processes.stop_etcd(cluster)
            shutil.rmtree(cluster.directory / "etcd", ignore_errors=True)
            member.etcd = None
            cluster.save()
        raise


def leave(cluster: Cluster) -> str:
    """Take this machine's member out of an etcd that has others; what to tell the user, if anything."""
    member = cluster.state.member
    if member is None or member.etcd is None or not (cluster.pki / "apiserver-etcd-client.key").exists():
        return ""
    try:
        return asyncio.run(_leave(cluster))
    except StoreError as error:
        return (
            f"its member of etcd could not be taken out ({error}): on another control plane, "
            "'etcdctl member list' shows it and 'etcdctl member remove' removes it"
        )


def _check(address: str) -> None:
    """What `preflight` could not know of a joining machine. Raises ClusterError."""
    if shutil.which("etcd") is None:
        raise ClusterError("etcd is not found; apt-get install etcd-server")
    for port in (etcd_member.CLIENT_PORT, etcd_member.PEER_PORT):
        if clusters.port_problem(address, port):
            raise ClusterError(f"port {port} is in use: is another etcd running? 'ss -ltnp sport = :{port}' shows it")


def _others(run: Run) -> list[str]:
    """The machines that have a member: each API server has one beside it."""
    assert run.connection is not None

    async def ask(client: Client) -> list[str]:
        found = await client.resource(EndpointSlice).get("kubernetes", "default")
        return [address for endpoint in found.endpoints or () for address in endpoint.addresses]

    admin = connection_of(run.cluster.directory / "super-admin.conf")
    addresses = with_client(dataclasses.replace(admin, server=run.connection.server), ask)
    return [address for address in addresses if address != run.member.address]


async def _join(cluster: Cluster, addresses: list[str]) -> int:
    member = cluster.state.member
    assert member is not None
    own = etcd_member.peer_url(member.address)
    async with etcd_member.members(cluster, *addresses) as others:
        for left in await others.list():
            if own in left.peer_urls:  # of an attempt that failed, or of this machine's life before
                await others.remove(left.id)
        id, found = await _until(lambda: _added(others, own), SETTLED)
        name = cluster.state.nodes[0].name
        member.etcd = ",".join(f"{name if one.id == id else one.name}={url}" for one in found for url in one.peer_urls)
        cluster.save()
        await asyncio.to_thread(member_processes.start_etcd, cluster, 60.0)
        await _until(lambda: _promoted(others, id), CATCH_UP)
        return len(found)


async def _added(others: EtcdMembers, own: str) -> Added:
    known = await others.list()
    for one in known:
        if own in one.peer_urls:  # the answer to an attempt before this one was lost
            return one.id, known
    return await others.add(own)


async def _promoted(others: EtcdMembers, id: int) -> None:
    if not any(one.id == id and not one.learner for one in await others.list()):  # else that answer was lost
        await others.promote(id)


async def _until(action: Callable[[], Awaitable[T]], seconds: float) -> T:
    """Repeat what etcd refuses for now: it has not settled, or a learner is not up to date. Raises StoreError."""
    end, backoff = clock.monotonic() + seconds, Backoff(0.1, 2.0)
    while True:
        try:
            return await action()
        except StoreError:
            if clock.monotonic() > end:
                raise
        await backoff.wait()


async def _leave(cluster: Cluster) -> str:
    member = cluster.state.member
    assert member is not None
    own = etcd_member.peer_url(member.address)
    addresses = [one.partition("://")[2].rpartition(":")[0] for one in _urls(member.etcd or "")]
    async with etcd_member.members(cluster) as here:
        try:
            known = await here.list()
            addresses = [url.partition("://")[2].rpartition(":")[0] for one in known for url in one.client_urls]
        except StoreError:
            pass  # ours does not run: ask those that were there when it came
    others = [address for address in addresses if address != member.address]
    if not others:
        return ""
    async with etcd_member.members(cluster, *others) as found:

        async def remove() -> None:
            for one in await found.list():
                if own in one.peer_urls:
                    await found.remove(one.id)

        await _until(remove, SETTLED)
    return ""


def _urls(initial: str) -> list[str]:
    return [part.partition("=")[2] for part in initial.split(",") if part]
