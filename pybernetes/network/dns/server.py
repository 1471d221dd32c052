"""The DNS server of a node: UDP and TCP sockets before a `Resolver`, with a cache of whole packets.

Nearly all queries repeat: a Pod asks for the same few names through the same search list. So the cache's key is the
request's bytes behind the id, its value the response's bytes behind the id, and the usual query costs a receive, a
dictionary lookup and a send. Any change of the cluster that an answer could show empties it, for to make a packet anew
costs less than to know which ones a change concerns. Requests are read from the plain socket, as many as there are, not
through a datagram transport, which would cost a callback each.

It runs in the node agent, on an address all Pods of the node reach; the Service `kube-dns` leads there.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
from dataclasses import dataclass, field
from typing import Any

from pybernetes.aio import clock
from pybernetes.aio.backoff import Backoff
from pybernetes.aio.tasks import Nursery, Ready
from pybernetes.client.client import Client
from pybernetes.client.factory import InformerFactory
from pybernetes.network.dns import answers, forward, wire
from pybernetes.network.dns.cache import Generations
from pybernetes.network.dns.objects import Objects
from pybernetes.network.dns.resolver import Resolver, Response

log = logging.getLogger(__name__)

#: Bytes of requests that wait to be read: some thousand. The option is Linux's, and not in the socket module.
_BUFFER = 2 << 20
_SO_RCVBUFFORCE = 33


@dataclass(frozen=True)
class Config:
    """Where to listen, and what zone to answer for."""

    #: Address to listen on, UDP and TCP; never one that the world outside can reach: it would be an open resolver.
    address: str = "127.0.0.1"
    #: 0: any free one (the same for UDP and TCP); `ready` tells.
    port: int = 53
    #: The cluster's domain.
    domain: str = "cluster.local"
    #: Seconds resolvers may keep an answer about the cluster.
    ttl: int = 30
    #: The addresses of the DNS Service, by which Pods know this server.
    service_addresses: tuple[str, ...] = ()
    #: Pod and Service ranges (CIDR): their reverse names are not asked upstream.
    ranges: tuple[str, ...] = ()
    #: Seconds to wait for the address to be there and its port free, before giving up.
    bind_timeout: float = 10.0
    #: For names outside of the cluster's domain.
    forward: forward.Config = field(default_factory=forward.Config)
    #: Response packets kept; one takes about half a kilobyte.
    cache_size: int = 10_000
    #: Queries that wait for an upstream or for the first list; more are dropped.
    waiting_limit: int = 2_000
    #: Seconds a query waits for the cluster's objects after the start, before it gets SERVFAIL.
    sync_timeout: float = 4.0
    #: TCP: connections at a time, and seconds of silence until one is closed.
    connections: int = 256
    idle_timeout: float = 10.0


class DNS:
    """`run()` until cancelled; `ready` carries (address, port) once it listens and knows the cluster.

    The caller runs the `informers` (Services, EndpointSlices, Namespaces), which may be shared with others.
    """

    def __init__(self, config: Config, client: Client, informers: InformerFactory | None = None) -> None:
        self.config = config
        self.ready: Ready[tuple[str, int]] = Ready()
        self._own_informers = informers is None
        self._informers = informers or InformerFactory(client)
        self._objects = Objects(self._informers, self._changed)
        zone = answers.Zone(
            domain=wire.name(config.domain),
            ttl=config.ttl,
            nameservers=config.service_addresses or (config.address,),
            ranges=tuple(ipaddress.ip_network(text) for text in config.ranges),
        )
        self._forwarder = forward.Forwarder(config.forward)
        self._resolver = Resolver(zone, self._objects, self._forwarder)
        self._cache: Generations[bytes, Response] = Generations(config.cache_size)
        self._synced = False
        self._nursery = Nursery("dns")
        self._udp: socket.socket | None = None
        self._connections = Nursery("dns-tcp")

    async def run(self) -> None:
        """See the class."""
        udp, tcp = await self._bind()
        loop = asyncio.get_running_loop()
        self._udp = udp
        try:
            async with asyncio.TaskGroup() as group, self._nursery:
                if self._own_informers:
                    group.create_task(self._informers.run(), name="dns-informers")
                server = await asyncio.start_server(self._connected, sock=tcp)
                loop.add_reader(udp.fileno(), self._readable)
                try:
                    async with server, self._connections:
                        await self._objects.synced()
                        self._synced = True
                        self.ready.set(udp.getsockname()[:2])
                        await loop.create_future()
                finally:  # before the nursery closes: no query may start a task in it afterwards
                    loop.remove_reader(udp.fileno())
        finally:
            udp.close()
            tcp.close()

    async def _bind(self) -> tuple[socket.socket, socket.socket]:
        """Both sockets. Waits while the address is not there yet, or its port still taken by a predecessor."""
        address, port = self.config.address, self.config.port
        backoff = Backoff(0.05, 1.0)
        end = clock.monotonic() + self.config.bind_timeout
        while True:
            try:
                return bind(address, port)
            except OSError as error:
                text = f"the cluster DNS cannot listen on {address} port {port}: {error.strerror}"
                if clock.monotonic() > end:
                    raise OSError(error.errno, f"{text}; 'ss -lnp sport = :{port}' shows who does") from error
                log.warning("%s; trying again", text)
                await backoff.wait()

    def _changed(self) -> None:
        self._resolver.serial = int(clock.timestamp()) & 0xFFFFFFFF
        self._cache.clear()

    # UDP

    def _readable(self) -> None:
        sock = self._udp
        assert sock is not None
        cache, receive, send = self._cache.young, sock.recvfrom, sock.sendto
        try:
            for _ in range(64):  # then the loop's other work has its turn
                data, sender = receive(4096)
                key = data[2:]
                found = cache.get(key)
                if found is None or found.expires < clock.monotonic():
                    found = self._cache.get(key)
                    if found is None or found.expires < clock.monotonic():
                        self._missed(data, key, sender)
                        continue
                packets = found.packets
                if len(packets) == 1:
                    send(data[:2] + packets[0], sender)
                else:
                    turn = found.turn = (found.turn + 1) % len(packets)
                    send(data[:2] + packets[turn], sender)
        except BlockingIOError:
            pass
        except OSError as error:  # an unreachable sender is no reason to stop
            log.debug("UDP: %s", error)

    def _missed(self, data: bytes, key: bytes, sender: Any) -> None:
        found = self._resolver.now(data, ready=self._synced)
        if found is None:
            return
        if isinstance(found, Response):
            self._send(found, data, key, sender)
        elif len(self._nursery) < self.config.waiting_limit:
            self._nursery.start(self._later(found, data, key, sender), "query")

    async def _later(self, query: wire.Query, data: bytes, key: bytes, sender: Any) -> None:
        response = await self._resolver.later(query, synced=None if self._synced else self._until_synced)
        self._send(response, data, key, sender)

    def _send(self, response: Response, data: bytes, key: bytes, sender: Any) -> None:
        assert self._udp is not None
        with contextlib.suppress(OSError):
            self._udp.sendto(response.packets[0], sender)
        if response.expires:
            response.packets = tuple(packet[2:] for packet in response.packets)
            self._cache.put(key, response)

    async def _until_synced(self) -> None:
        async with asyncio.timeout(self.config.sync_timeout):
            await self._objects.synced()

    # TCP

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) < self.config.connections:
            self._connections.start(self._connection(reader, writer), "connection")
        else:
            writer.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._converse(reader, writer)
        except (OSError, EOFError, TimeoutError):
            pass
        finally:
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            async with asyncio.timeout(self.config.idle_timeout):
                length = int.from_bytes(await reader.readexactly(2), "big")
                data = await reader.readexactly(length)
            found = self._resolver.now(data, tcp=True, ready=self._synced)
            if found is None:
                return
            if not isinstance(found, Response):
                synced = None if self._synced else self._until_synced
                found = await self._resolver.later(found, tcp=True, synced=synced)
            packet = found.packets[0]
            writer.write(len(packet).to_bytes(2, "big") + packet)
            async with asyncio.timeout(self.config.idle_timeout):
                await writer.drain()


def bind(address: str, port: int) -> tuple[socket.socket, socket.socket]:
    """A UDP and a listening TCP socket on one address and port (0: a free one). Raises OSError."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    udp = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    tcp = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        tcp.bind((address, port))
        udp.bind((address, tcp.getsockname()[1]))
        # A burst waits here, and is not lost; root may have more than the system's limit for others.
        with contextlib.suppress(PermissionError):
            udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            udp.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        tcp.listen(128)
    except OSError:
        udp.close()
        tcp.close()
        raise
    return udp, tcp
