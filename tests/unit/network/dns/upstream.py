"""A name server on loopback for the forwarder to ask: answers what a test tells it to, and counts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

Script = Callable[[dns.message.Message, bool], dns.message.Message | bytes | None]


class Upstream(asyncio.DatagramProtocol):
    """`script(query, tcp)` gives the response, or None for silence."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.questions: list[tuple[str, bool]] = []
        self.port = 0
        self.asked = asyncio.Event()
        self._transport: Any = None
        self._unanswered: list[tuple[bytes, Any]] = []
        self._closed = asyncio.Event()

    @property
    def address(self) -> str:
        return f"127.0.0.1#{self.port}"

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if (answer := self.answer(data, False)) is not None:
            self._transport.sendto(answer, addr)
        else:
            self._unanswered.append((data, addr))
        self.asked.set()

    def connection_lost(self, error: Exception | None) -> None:
        self._closed.set()

    def release(self, script: Script) -> None:
        """Answer by this script, also what was left unanswered."""
        self.script = script
        for data, addr in self._unanswered:
            found = script(dns.message.from_wire(data), False)
            assert isinstance(found, dns.message.Message)
            self._transport.sendto(found.to_wire(), addr)

    def answer(self, data: bytes, tcp: bool) -> bytes | None:
        query = dns.message.from_wire(data)
        self.questions.append((query.question[0].to_text(), tcp))
        found = self.script(query, tcp)
        return found.to_wire(max_size=65535) if isinstance(found, dns.message.Message) else found

    async def stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
        if (answer := self.answer(data, True)) is not None:
            writer.write(len(answer).to_bytes(2, "big") + answer)
            await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def upstream(script: Script) -> AsyncIterator[Upstream]:
    """One that listens on UDP and TCP."""
    server = Upstream(script)
    streams = await asyncio.start_server(server.stream, "127.0.0.1", 0)
    server.port = streams.sockets[0].getsockname()[1]
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: server, local_addr=("127.0.0.1", server.port)
    )
    try:
        yield server
    finally:
        transport.close()
        await server._closed.wait()
        streams.close()
        await streams.wait_closed()


def answers(*lines: str, authority: str = "", rcode: int = 0) -> Script:
    """The same records to every question: lines of `NAME TTL IN TYPE DATA`."""

    def script(query: dns.message.Message, tcp: bool) -> dns.message.Message:
        response = dns.message.make_response(query, recursion_available=True)
        response.set_rcode(dns.rcode.Rcode(rcode))
        for line in lines:
            name, ttl, _, kind, *data = line.split()
            response.answer.append(dns.rrset.from_text(name, int(ttl), "IN", kind, " ".join(data)))
        if authority:
            name, ttl, _, kind, *data = authority.split()
            response.authority.append(dns.rrset.from_text(name, int(ttl), "IN", kind, " ".join(data)))
        return response

    return script


def truncated(script: Script) -> Script:
    """As `script`, but by UDP only the mark that there is more."""

    def cut(query: dns.message.Message, tcp: bool) -> dns.message.Message | bytes | None:
        if tcp:
            return script(query, tcp)
        response = dns.message.make_response(query)
        response.flags |= dns.flags.TC
        return response

    return cut
