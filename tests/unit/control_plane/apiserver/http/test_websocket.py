"""WebSocket against a client of the same library, and against aiohttp's over TLS-free sockets."""

from __future__ import annotations

import asyncio
import contextlib

import aiohttp
import pytest

from pybernetes.control_plane.apiserver.http import Config, HTTPServer, Request, Response
from pybernetes.control_plane.apiserver.http.websocket import NotWebSocket, WebSocket

pytestmark = pytest.mark.real_time


@contextlib.asynccontextmanager
async def echoing(closed: list[int | None], protocols: tuple[str, ...] = ("v5.channel.k8s.io", "v4.channel.k8s.io")):  # type: ignore[no-untyped-def]
    async def handler(request: Request) -> Response | None:
        try:
            socket = WebSocket.accept(request, protocols)
        except NotWebSocket as error:
            return Response(400, b"", str(error).encode())
        while (message := await socket.receive()) is not None:
            if message == b"bye":
                socket.close(1000, "as asked")
                return None
            socket.send(message)
            await socket.drain()
        closed.append(socket.close_code)
        return None

    server = HTTPServer(handler, Config())
    async with asyncio.TaskGroup() as group:
        task = group.create_task(server.run())
        _, port = await server.ready.wait()
        async with aiohttp.ClientSession() as session:
            yield session, f"http://127.0.0.1:{port}/exec"
        task.cancel()


async def test_messages_both_ways() -> None:
    closed: list[int | None] = []
    async with echoing(closed) as (session, url):
        async with session.ws_connect(url, protocols=("unknown", "v4.channel.k8s.io", "v5.channel.k8s.io")) as socket:
            assert socket.protocol == "v4.channel.k8s.io"
            await socket.send_bytes(b"\x01data")
            assert await socket.receive_bytes() == b"\x01data"
            await socket.send_str("text")
            assert await socket.receive_str() == "text"
            await socket.send_bytes(b"x" * 1_000_000)
            assert await socket.receive_bytes() == b"x" * 1_000_000
            await socket.ping()
        assert closed == [1000]


async def test_the_server_closes() -> None:
    async with echoing([]) as (session, url), session.ws_connect(url) as socket:
        assert socket.protocol is None
        await socket.send_bytes(b"bye")
        message = await socket.receive()
        assert (message.type, message.data, message.extra) == (aiohttp.WSMsgType.CLOSE, 1000, "as asked")


async def test_handshakes_that_cannot_be_met() -> None:
    async with echoing([]) as (session, url):
        async with session.get(url) as answer:
            assert answer.status == 400 and await answer.text() == "websocket upgrade expected"
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(url, protocols=("v1.unknown",))
        upgrade = {"Connection": "Upgrade", "Upgrade": "websocket"}
        async with session.get(url, headers={**upgrade, "Sec-WebSocket-Version": "7"}) as answer:
            assert answer.status == 400 and await answer.text() == "bad websocket handshake"


async def test_broken_frames_end_the_connection() -> None:
    closed: list[int | None] = []
    async with echoing(closed) as (_, url):
        port = int(url.split(":")[2].split("/")[0])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"GET /exec HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\xff\xff\xff\xff"
        )
        answer = await reader.read()
        head, _, frames = answer.partition(b"\r\n\r\n")
        assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head
        assert frames[2:4] == (1002).to_bytes(2, "big")
        writer.close()
        await writer.wait_closed()
