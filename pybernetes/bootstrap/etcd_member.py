"""A member of etcd on a control plane's own machine (kubeadm calls that stacked), for `init --store etcd`.

The program is etcd itself, kept by a process of ours as containerd is kept by a node's agent: started again when it
ends, and ending with us. It is a process beside the control plane, not in it, because the store has to live while the
API server is started anew. Certificates are kubeadm's (`pki/etcd`), and etcd reads them at every handshake, so renewal
needs nothing. How members come and go is told in `phases.etcd`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil

from pybernetes.aio import clock
from pybernetes.aio.backoff import Backoff
from pybernetes.aio.tasks import Ready
from pybernetes.bootstrap.cluster import Cluster, ClusterError
from pybernetes.store.errors import StoreError
from pybernetes.store.etcd_channel import TLS
from pybernetes.store.etcd_members import EtcdMembers

log = logging.getLogger(__name__)

CLIENT_PORT, PEER_PORT = 2379, 2380


def store_url(cluster: Cluster) -> str:
    """The store of this machine's API server: its own member."""
    pki = cluster.pki
    files = f"cafile={pki}/etcd/ca.crt&certfile={pki}/apiserver-etcd-client.crt&keyfile={pki}/apiserver-etcd-client.key"
    return f"etcd://127.0.0.1:{CLIENT_PORT}?{files}"


def peer_url(address: str) -> str:
    """How the other members reach the one at this address."""
    return f"https://{address}:{PEER_PORT}"


def tls(cluster: Cluster) -> TLS:
    """Of the API server as etcd's client."""
    pki = cluster.pki
    client = pki / "apiserver-etcd-client"
    return TLS(str(pki / "etcd" / "ca.crt"), f"{client}.crt", f"{client}.key")


def members(cluster: Cluster, *addresses: str) -> EtcdMembers:
    """Members to ask: those at the addresses, or this machine's own."""
    return EtcdMembers([(address, CLIENT_PORT) for address in addresses or ("127.0.0.1",)], tls(cluster))


def command(cluster: Cluster) -> list[str]:
    """The command line of this machine's member. Raises ClusterError."""
    member = cluster.state.member
    assert member is not None and member.etcd is not None
    program = shutil.which("etcd")
    if program is None:
        raise ClusterError("etcd is not found; apt-get install etcd-server")
    own, pki = cluster.state.nodes[0].name, cluster.pki / "etcd"
    client = f"https://{member.address}:{CLIENT_PORT}"
    found = [
        program,
        f"--name={own}",
        f"--data-dir={cluster.directory / 'etcd'}",
        f"--listen-client-urls=https://127.0.0.1:{CLIENT_PORT},{client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer_url(member.address)}",
        f"--initial-advertise-peer-urls={peer_url(member.address)}",
        f"--initial-cluster={member.etcd}",
        f"--initial-cluster-state={'existing' if ',' in member.etcd else 'new'}",
        "--client-cert-auth",
        "--peer-client-cert-auth",
        "--log-level=warn",
    ]
    for prefix, name in (("", "server"), ("peer-", "peer")):
        found += [f"--{prefix}trusted-ca-file={pki}/ca.crt"]
        found += [f"--{prefix}cert-file={pki}/{name}.crt", f"--{prefix}key-file={pki}/{name}.key"]
    guard = shutil.which("setpriv")  # nobody would keep an etcd whose keeper was killed
    return [*([guard, "--pdeathsig", "TERM"] if guard else []), *found]


class StackedEtcd:
    """`run()` until cancelled; `ready` carries the client's address once the member answers."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.ready: Ready[str] = Ready()

    async def run(self) -> None:
        """See the class."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._announce(), name="announce")
            await self._keep()

    async def _keep(self) -> None:
        backoff = Backoff(0.5, 10.0)
        while True:
            started = clock.monotonic()
            process = await asyncio.create_subprocess_exec(*command(self.cluster), stdin=asyncio.subprocess.DEVNULL)
            try:
                code = await process.wait()
            except BaseException:
                await _end(process)
                raise
            log.warning("etcd has ended with %d; starting it again", code)
            if clock.monotonic() - started > 60:
                backoff.reset()
            await backoff.wait()

    async def _announce(self) -> None:
        backoff = Backoff(0.05, 1.0)
        async with members(self.cluster) as own:
            while True:
                try:
                    await own.answers()
                except StoreError:
                    await backoff.wait()
                else:
                    self.ready.set(f"127.0.0.1:{CLIENT_PORT}")
                    return


async def _end(process: asyncio.subprocess.Process, grace: float = 8.0) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
        try:
            async with asyncio.timeout(grace):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
