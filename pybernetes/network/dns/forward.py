"""Names that are not the cluster's: asked of the node's own name servers, and kept for a while.

The response goes back as the bytes the upstream sent, with the asker's id and spelling and with TTLs that have aged.
Equal questions in flight are asked once. That also ends loops, in which an upstream asks us back what we ask it: the
returning question joins the one in flight, nothing is sent again, and after the timeout all get SERVFAIL. Name servers
that are this server itself are never asked.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pybernetes.aio import clock
from pybernetes.network.dns import wire
from pybernetes.network.dns.cache import Generations
from pybernetes.network.dns.wire import Name, Query

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Config:
    """Whom to ask, how long to wait, what to keep."""

    #: Name servers as `ADDRESS` or `ADDRESS#PORT`; empty: those of `resolv_conf`.
    upstreams: tuple[str, ...] = ()
    #: Read again when it has changed; the first of these files that is there.
    resolv_conf: tuple[Path, ...] = (Path("/etc/resolv.conf"),)
    #: Own addresses, never to be asked.
    own: tuple[str, ...] = ()
    #: Asked in the place of a loopback address of resolv_conf: that of whoever is in the machine's own network
    #: namespace, for in another one the loopback address leads nowhere. "": ask the loopback address.
    loopback: str = ""
    #: Seconds until the next upstream is asked, and until the asker gets SERVFAIL.
    timeout: float = 2.0
    total_timeout: float = 5.0
    #: Questions in flight; more are refused.
    limit: int = 1000
    #: Seconds a response is kept at most, and one that says "none", and a failure.
    positive_ttl: int = 30
    negative_ttl: int = 30
    failure_ttl: int = 2
    #: Responses kept at most.
    size: int = 10_000
    #: Seconds between two looks at whether resolv_conf has changed, while names are asked.
    recheck: float = 5.0


class _Key(NamedTuple):
    name: Name
    type: int
    class_: int
    edns: bool
    dnssec: bool
    checking: int
    tcp: bool


class Kept(NamedTuple):
    """A response and where its TTLs stand. `body` starts behind the question."""

    stored: float
    expires: float
    flags: int
    counts: bytes
    body: bytes
    #: (offset in the body, TTL) of every record.
    ttls: tuple[tuple[int, int], ...]

    @property
    def rcode(self) -> int:
        return self.flags & 0xF

    def render(self, query: Query, now: float, limit: int) -> bytes:
        """The response to `query`, whose question has the same length, in at most `limit` bytes."""
        flags = self.flags & ~(wire.AA | wire.RD | wire.CD) | wire.QR | wire.RA | query.flags & (wire.RD | wire.CD)
        if 12 + len(query.question) + len(self.body) > limit:
            return wire.respond(query, self.rcode, limit=limit, truncated=True)
        body = bytearray(self.body)
        age = int(now - self.stored)
        for offset, ttl in self.ttls:
            struct.pack_into(">I", body, offset, max(0, ttl - age))
        return struct.pack(">HHH", query.id, flags, 1) + self.counts + query.question + body

    def message(self, question: bytes) -> bytes:
        """The response as it came, for `wire.records`."""
        return struct.pack(">HHH", 0, self.flags, 1) + self.counts + question + self.body


class Forwarder:
    """`await ask(query, ...)`; nothing runs in between."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._kept: Generations[_Key, Kept] = Generations(config.size)
        self._flying: dict[_Key, asyncio.Future[Kept]] = {}
        self._failed: dict[tuple[str, int], float] = {}
        self._upstreams: list[tuple[str, int]] = []
        self._looked = -1e9
        self._version: object = None
        self.asked = 0  #: questions sent upstream

    def kept(self, query: Query, tcp: bool) -> Kept | None:
        """The response at hand, if there is a fresh one."""
        found = self._kept.get(_key(query, tcp))
        return found if found is not None and found.expires > clock.monotonic() else None

    async def ask(self, query: Query, *, tcp: bool = False) -> Kept:
        """The response of an upstream, or of memory; a SERVFAIL when there is none to be had.

        tcp: ask by TCP, because UDP's response was cut short.
        """
        key = _key(query, tcp)
        found = self._kept.get(key)
        if found is not None and found.expires > clock.monotonic():
            return found
        if (flying := self._flying.get(key)) is not None:
            return await asyncio.shield(flying)
        if len(self._flying) >= self.config.limit:
            return _failure(0)
        flying = self._flying[key] = asyncio.get_running_loop().create_future()
        result = _failure(0)  # for those who wait, should this task be cancelled
        try:
            result = await self._fetch(key)
            if result.expires > clock.monotonic():
                self._kept.put(key, result)
        finally:
            del self._flying[key]
            flying.set_result(result)
        return result

    async def _fetch(self, key: _Key) -> Kept:
        now = clock.monotonic()
        order = sorted(self.upstreams(), key=lambda upstream: self._failed.get(upstream, 0.0) > now)
        refused: Kept | None = None
        try:
            async with asyncio.timeout(self.config.total_timeout):
                for upstream in order:
                    self.asked += 1
                    try:
                        async with asyncio.timeout(self.config.timeout):
                            kept = await self._exchange(upstream, key)
                    except (OSError, wire.FormatError, TimeoutError, EOFError) as error:
                        log.debug("upstream %s#%d: %s", *upstream, error or type(error).__name__)
                        self._failed[upstream] = clock.monotonic() + 10.0
                        continue
                    self._failed.pop(upstream, None)
                    if kept.rcode in (wire.SERVFAIL, wire.REFUSED, wire.NOTIMP):
                        refused = kept
                        continue
                    return kept
        except TimeoutError:
            pass
        return refused or _failure(self.config.failure_ttl)

    async def _exchange(self, upstream: tuple[str, int], key: _Key) -> Kept:
        id_ = clock.rng.getrandbits(16)
        packet = wire.ask(
            id_, key.name, key.type, class_=key.class_, edns=key.edns, dnssec=key.dnssec, checking=key.checking
        )
        size = len(packet) - (11 if key.edns else 0)

        def fits(data: bytes) -> bool:
            """Ours: the id and the question are those asked (the case of letters is the upstream's business)."""
            return (
                len(data) >= size
                and data[:2] == packet[:2]
                and data[2] & 0x80 != 0
                and data[4:6] == b"\0\1"
                and (data[12:size].lower() == packet[12:size].lower())
            )

        if key.tcp:
            data = await _by_tcp(upstream, packet)
            if not fits(data):
                raise wire.FormatError("the response is to another question")
        else:
            data = await _by_udp(upstream, packet, fits)
        return self._take(data, size)

    def _take(self, data: bytes, start: int) -> Kept:
        (flags,) = struct.unpack_from(">H", data, 2)
        ttls, least, negative = [], self.config.positive_ttl, None
        for raw in wire.records(data):
            if raw.type == wire.OPT:
                continue
            ttls.append((raw.ttl_at - start, min(raw.ttl, 0x7FFFFFFF)))
            least = min(least, raw.ttl)
            if raw.section == 1 and raw.type == wire.SOA and raw.end - raw.start >= 20:
                (minimum,) = struct.unpack_from(">I", data, raw.end - 4)
                negative = min(raw.ttl, minimum)
        rcode, now = flags & 0xF, clock.monotonic()
        answers = data[6:8] != b"\0\0"
        if flags & wire.TC or rcode not in (wire.NOERROR, wire.NXDOMAIN):
            keep = 0 if flags & wire.TC else self.config.failure_ttl
        elif answers and rcode == wire.NOERROR:
            keep = least
        else:  # RFC 2308: absence is kept as long as the SOA says
            keep = min(self.config.negative_ttl, negative) if negative is not None else 0
        return Kept(now, now + keep, flags, data[6:12], data[start:], tuple(ttls))

    # Who is asked

    def upstreams(self) -> list[tuple[str, int]]:
        """(address, port) of the name servers to ask, in order."""
        config = self.config
        if config.upstreams:
            if not self._upstreams:
                self._upstreams = [split(entry) for entry in config.upstreams]
            return self._upstreams
        now = clock.monotonic()
        if now - self._looked < config.recheck:
            return self._upstreams
        self._looked = now
        for path in config.resolv_conf:
            try:
                status = path.stat()
                version = (path, status.st_mtime_ns, status.st_ino)
                if version != self._version:
                    found = nameservers(path.read_text(), config.own, config.loopback)
                    self._upstreams = [(address, 53) for address in found]
                    self._version = version
                    if not self._upstreams:
                        log.warning("%s names no name server that can be asked: only the cluster's names resolve", path)
                break
            except OSError:
                continue
        else:
            self._upstreams, self._version = [], None
        return self._upstreams


def split(entry: str) -> tuple[str, int]:
    """`ADDRESS[#PORT]` -> (address, port). Raises ValueError."""
    address, _, port = entry.partition("#")
    ipaddress.ip_address(address.partition("%")[0])
    return address, int(port or 53)


def nameservers(text: str, own: Sequence[str] = (), loopback: str = "") -> list[str]:
    """The name servers of a resolv.conf, without those in `own`; `loopback`: see Config."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver" and words[1] not in own:
            try:
                local = ipaddress.ip_address(words[1].partition("%")[0]).is_loopback
            except ValueError:
                continue
            found.append(loopback if local and loopback else words[1])
    return [*dict.fromkeys(found)]


def _key(query: Query, tcp: bool) -> _Key:
    checking = query.flags & wire.CD
    return _Key(query.name, query.type, query.class_, query.edns is not None, query.dnssec, checking, tcp)


def _failure(ttl: int) -> Kept:
    now = clock.monotonic()
    return Kept(now, now + ttl, wire.SERVFAIL, bytes(6), b"", ())


async def _by_udp(upstream: tuple[str, int], packet: bytes, fits: Callable[[bytes], bool]) -> bytes:
    """A datagram that answers. A socket for each question, so that its port, too, has to be guessed by who forges."""
    loop = asyncio.get_running_loop()
    host, _, scope = upstream[0].partition("%")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
        target = (host, upstream[1], 0, socket.if_nametoindex(scope)) if scope else (host, upstream[1])
        sock.connect(target)
        sock.send(packet)
        readable: asyncio.Future[bytes] = loop.create_future()

        def read() -> None:
            try:
                while True:
                    data = sock.recv(65535)
                    if fits(data):
                        break
            except BlockingIOError:
                return
            except OSError as error:
                if not readable.done():
                    readable.set_exception(error)
                return
            if not readable.done():
                readable.set_result(data)

        loop.add_reader(sock.fileno(), read)
        try:
            return await readable
        finally:
            loop.remove_reader(sock.fileno())


async def _by_tcp(upstream: tuple[str, int], packet: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(*upstream)
    try:
        writer.write(len(packet).to_bytes(2, "big") + packet)
        length = int.from_bytes(await reader.readexactly(2), "big")
        return await reader.readexactly(length)
    finally:
        writer.close()
