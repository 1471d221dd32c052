"""From a request's bytes to a response's bytes: the cluster's zone at once, other names through the forwarder.

`now()` answers what needs no waiting, which is nearly all; `later()` does the rest. Two functions and not one
coroutine, because a coroutine that never waits would still cost a task for every packet.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from pybernetes.aio import clock
from pybernetes.network.dns import answers, wire
from pybernetes.network.dns.answers import Answer, Lookup, Zone
from pybernetes.network.dns.forward import Forwarder, Kept
from pybernetes.network.dns.wire import Query


class Response:
    """Response packets, equal but for the order of addresses, and until when they may be sent again.

    expires: on the loop's clock; 0: do not keep.
    """

    __slots__ = ("expires", "packets", "turn")

    def __init__(self, packets: tuple[bytes, ...], expires: float) -> None:
        self.packets, self.expires, self.turn = packets, expires, 0


#: Orders of one answer that are kept: enough to spread clients that take the first address.
_ROTATIONS = 8
FOREVER = float("inf")


class Resolver:
    """Answers requests over a zone, its objects and a forwarder."""

    def __init__(self, zone: Zone, lookup: Lookup, forwarder: Forwarder) -> None:
        self.zone, self.lookup, self.forwarder = zone, lookup, forwarder
        self.serial = 1  #: of the zone: the Unix time of its last change, which the server keeps

    def now(self, data: bytes, *, tcp: bool = False, ready: bool = True) -> Response | Query | None:
        """The response; or the query, if `later()` has to answer it; or None for what deserves no response.

        ready: whether the cluster's objects are known.
        """
        if len(data) < 12 or data[2] & 0x80:
            return None  # to answer a response might never end
        try:
            query = wire.read_query(data)
        except wire.FormatError:
            opcode = (data[2] >> 3) & 0xF
            return Response((wire.refuse(data, wire.NOTIMP if opcode else wire.FORMERR),), 0)
        if query.opcode:
            return Response((wire.refuse(data, wire.NOTIMP),), 0)
        limit = _limit(query, tcp)
        if query.version:
            return Response((wire.respond(query, wire.BADVERS, limit=limit),), 0)
        if query.class_ not in (wire.IN, wire.ANY_CLASS) or query.type in (wire.AXFR, wire.IXFR, wire.OPT):
            return Response((wire.respond(query, wire.REFUSED, limit=limit),), 0)
        if not ready and self._ours(query):
            return query
        found = answers.answer(self.zone, self.lookup, query.name, query.type, self.serial)
        if found is None:
            kept = self.forwarder.kept(query, tcp)
            return self._forwarded(query, kept, limit) if kept is not None else query
        if found.target is not None:
            return query
        return self._local(query, found, limit)

    async def later(
        self, query: Query, *, tcp: bool = False, synced: Callable[[], Awaitable[object]] | None = None
    ) -> Response:
        """The response to a query that `now()` handed back. `synced`: to be awaited first."""
        limit = _limit(query, tcp)
        if synced is not None and self._ours(query):
            try:
                await synced()
            except TimeoutError:
                return Response((wire.respond(query, wire.SERVFAIL, limit=limit),), 0)
        found = answers.answer(self.zone, self.lookup, query.name, query.type, self.serial)
        if found is None:
            return self._forwarded(query, await self.forwarder.ask(query, tcp=tcp), limit)
        if found.target is not None:
            return await self._alias(query, found, limit, tcp)
        return self._local(query, found, limit)

    def _ours(self, query: Query) -> bool:
        """Whether the answer depends on the cluster's objects."""
        return query.name[-len(self.zone.domain) :] == self.zone.domain or query.name[-1:] == ("arpa",)

    def _local(self, query: Query, found: Answer, limit: int) -> Response:
        aliases = sum(record.type == wire.CNAME for record in found.answer)
        head, tail = list(found.answer[:aliases]), list(found.answer[aliases:])
        count = min(len(tail), _ROTATIONS) or 1
        packets = []
        for turn in range(count):
            at = turn * len(tail) // count
            packets.append(
                wire.respond(
                    query,
                    found.rcode,
                    [*head, *tail[at:], *tail[:at]],
                    found.authority,
                    found.additional,
                    authoritative=True,
                    limit=limit,
                )
            )
        return Response(tuple(packets), 0 if query.options else FOREVER)

    def _forwarded(self, query: Query, kept: Kept, limit: int) -> Response:
        now = clock.monotonic()
        # A second, for then the TTLs in it are to be counted down.
        expires = 0.0 if query.options else min(kept.expires, now + 1.0)
        return Response((kept.render(query, now, limit),), expires)

    async def _alias(self, query: Query, found: Answer, limit: int, tcp: bool) -> Response:
        """A CNAME out of the zone: what it leads to is asked upstream, and put behind it."""
        assert found.target is not None
        inner = wire.read_query(wire.ask(0, found.target, query.type, edns=True, checking=query.flags & wire.CD))
        kept = await self.forwarder.ask(inner, tcp=tcp)
        if kept.flags & wire.TC:
            kept = await self.forwarder.ask(inner, tcp=True)
        if kept.rcode not in (wire.NOERROR, wire.NXDOMAIN):
            return Response((wire.respond(query, wire.SERVFAIL, limit=limit),), 0)
        message, now = kept.message(inner.question), clock.monotonic()
        age = int(now - kept.stored)
        records, authority = list(found.answer), list(found.authority)
        try:
            for raw in wire.records(message):
                if raw.section < 2 and raw.type != wire.OPT:
                    record = wire.decode(message, raw)
                    record = record._replace(ttl=max(0, min(record.ttl - age, self.zone.ttl)))
                    (records if raw.section == 0 else authority).append(record)
        except wire.FormatError:
            return Response((wire.respond(query, wire.SERVFAIL, limit=limit),), 0)
        packet = wire.respond(query, kept.rcode, records, authority, authoritative=True, limit=limit)
        return Response((packet,), 0 if query.options else min(kept.expires, now + 1.0))


def _limit(query: Query, tcp: bool) -> int:
    if tcp:
        return wire.TCP_LIMIT
    return wire.PLAIN_LIMIT if query.edns is None else min(query.edns, wire.EDNS_LIMIT)
