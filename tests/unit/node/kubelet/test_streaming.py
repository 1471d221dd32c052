"""exec and port-forward between a caller on WebSockets and a runtime on SPDY: both played here, over loopback."""

from __future__ import annotations

import asyncio
import struct
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong

from pybernetes.node.kubelet import spdy
from pybernetes.node.kubelet.http_server import HTTPServer, Request, Response
from pybernetes.node.kubelet.streaming import Streams, accepted_protocols, hand_over

pytestmark = pytest.mark.real_time

EXEC = Streams(stdin=True, stdout=True, stderr=True, tty=False)


def frames(data: bytes) -> tuple[list[tuple[int, int, bytes]], bytes]:
    """Complete SPDY frames (kind or stream number, flags, body), and what is left."""
    found = []
    while len(data) >= 8:
        first, second = struct.unpack(">II", data[:8])
        size = second & 0xFFFFFF
        if len(data) < 8 + size:
            break
        found.append((first, second >> 24, data[8 : 8 + size]))
        data = data[8 + size :]
    return found, data


def data_frame(number: int, data: bytes, flags: int = 0) -> bytes:
    return struct.pack(">II", number, flags << 24 | len(data)) + data


async def play_exec(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A runtime in which `cat` runs, and which complains once and is pinged."""
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"POST /exec/token HTTP/1.1") and b"X-Stream-Protocol-Version: v4.channel.k8s.io" in head
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: SPDY/3.1\r\nConnection: Upgrade\r\n\r\n")
    unpacker, streams, rest, seen = zlib.decompressobj(), {}, b"", set()
    while data := await reader.read(100):
        whole, rest = frames(rest + data)
        for first, flags, body in whole:
            if first == 0x80030001:
                block = unpacker.decompress(body[10:])
                streams[block.split(b"streamtype")[1][4:].decode()] = struct.unpack(">I", body[:4])[0]
                if len(streams) == 4:
                    writer.write(struct.pack(">HHI", 0x8003, 6, 4) + b"\0\0\0\2")
                    writer.write(data_frame(streams["stderr"], b"grumble"))
            elif first == 0x80030006:
                seen.add("ping")
            elif first == streams["stdin"]:
                if body:
                    writer.write(data_frame(streams["stdout"], body.upper()))
                if flags & 1:
                    seen.add("end")
            if seen == {"ping", "end"}:
                writer.write(data_frame(streams["error"], b'{"status":"Success"}'))
                for name in ("stdout", "stderr"):
                    writer.write(data_frame(streams[name], b"", 1))
                writer.write(struct.pack(">HHIII", 0x8003, 3, 8, streams["error"], 5))
    writer.close()


async def play_port_forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    assert b"X-Stream-Protocol-Version: portforward.k8s.io" in head
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
    writer.write((await reader.readexactly(6))[::-1])
    writer.close()


async def play_refusal(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 404 Not Found\r\n\r\nno such token")
    writer.close()


@asynccontextmanager
async def served(runtime: Any, streams: Streams | None) -> AsyncIterator[tuple[str, int]]:
    """A node's API that hands everything over to `runtime`."""
    there = await asyncio.start_server(runtime, "127.0.0.1", 0)
    url = "http://{}:{}/exec/token".format(*there.sockets[0].getsockname()[:2])

    async def handle(request: Request) -> Response:
        return await hand_over(request, url, streams)

    server = HTTPServer(handle, "127.0.0.1", 0, None)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(server.run())
        await server.started.wait()
        host, _, port = server.address.rpartition(":")
        yield host, int(port)
        running.cancel()
    there.close()
    await there.wait_closed()


class Caller:
    """The other end of a WebSocket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.protocol = Connection(ConnectionType.CLIENT)

    async def shake(self, protocol: str) -> bytes:
        self.writer.write(
            b"GET /any HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: %b\r\n\r\n" % protocol.encode()
        )
        return await self.reader.readuntil(b"\r\n\r\n")

    def say(self, event: Any) -> None:
        self.writer.write(self.protocol.send(event))

    async def hear(self) -> list[Any]:
        """All events until the other side says goodbye."""
        heard: list[Any] = []
        while not any(isinstance(event, CloseConnection) for event in heard):
            data = await self.reader.read(1000)
            assert data, heard
            self.protocol.receive_data(data)
            heard += self.protocol.events()
        self.writer.close()
        return heard


async def test_version_5_closes_input() -> None:
    async with asyncio.timeout(20), served(play_exec, EXEC) as (host, port):
        caller = Caller(*await asyncio.open_connection(host, port))
        answer = await caller.shake("v5.channel.k8s.io, v4.channel.k8s.io")
        assert b" 101 " in answer and b"Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n" in answer
        assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in answer
        caller.say(Ping(payload=b"there?"))
        caller.say(BytesMessage(data=b"\4{}"))  # no terminal: dropped
        caller.say(BytesMessage(data=b"\0hello "))
        caller.say(BytesMessage(data=b"\0wo", message_finished=False))
        caller.say(BytesMessage(data=b"rld"))
        caller.say(BytesMessage(data=b"\xff\0"))
        caller.say(BytesMessage(data=b"\0more"))  # after the end of input: dropped
        heard = await caller.hear()
    assert any(isinstance(event, Pong) and event.payload == b"there?" for event in heard)
    channels: dict[int, bytes] = {}
    for event in heard:
        if isinstance(event, BytesMessage):
            channels[event.data[0]] = channels.get(event.data[0], b"") + event.data[1:]
    assert channels == {1: b"HELLO WORLD", 2: b"grumble", 3: b'{"status":"Success"}'}


async def test_port_forward_inside_a_websocket() -> None:
    async with asyncio.timeout(20), served(play_port_forward, None) as (host, port):
        caller = Caller(*await asyncio.open_connection(host, port))
        assert b"SPDY/3.1+portforward.k8s.io" in await caller.shake("SPDY/3.1+portforward.k8s.io")
        caller.say(BytesMessage(data=b"abc"))
        caller.say(BytesMessage(data=b"def"))
        heard = await caller.hear()
    assert b"".join(event.data for event in heard if isinstance(event, BytesMessage)) == b"fedcba"


@pytest.mark.parametrize(
    ("protocol", "answer"),
    [("v5.channel.k8s.io", (b"404", b"no such token")), ("v6.channel.k8s.io", (b"400", b"none of the protocols"))],
)
async def test_refusals(protocol: str, answer: tuple[bytes, bytes]) -> None:
    async with asyncio.timeout(20), served(play_refusal, EXEC) as (host, port):
        caller = Caller(*await asyncio.open_connection(host, port))
        head = await caller.shake(protocol)
        body = await caller.reader.read()
        caller.writer.close()
    assert answer[0] in head and answer[1] in body


def test_streams_in_the_order_of_clients() -> None:
    assert EXEC.names == ["error", "stdin", "stdout", "stderr"]
    assert Streams(True, True, False, True).names == ["error", "stdin", "stdout", "resize"]
    assert accepted_protocols(["v5.channel.k8s.io", "v4.channel.k8s.io"]) == ["v4.channel.k8s.io"]


def test_frames_in_pieces() -> None:
    session = spdy.Session()
    opened = session.open("error") + session.open("stdout")
    assert [first for first, _, _ in frames(opened)[0]] == [0x80030001, 0x80030001]
    coming = struct.pack(">HHI", 0x8003, 9, 8) + bytes(8) + data_frame(3, b"out") + data_frame(9, b"unknown")
    coming += data_frame(1, b"bad", 1) + struct.pack(">HHI", 0x8003, 7, 8) + bytes(8)
    found = [event for at in range(len(coming)) for event in session.receive(coming[at : at + 1])]
    assert found == [
        spdy.Data("stdout", b"out", False),
        spdy.Data("error", b"bad", True),
        spdy.Data("error", b"", True),
        spdy.Data("stdout", b"", True),
    ]
