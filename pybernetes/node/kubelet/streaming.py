"""exec, attach and port-forward: the caller on one side, the runtime's streaming server on the other.

The runtime gives a URL that is good for one connection. It speaks SPDY, and WebSocket up to v4; for these the caller's
upgrade request is repeated there, its answer passed back, and then bytes flow both ways. What newer clients ask for
first is translated here, with SPDY towards the runtime: v5.channel.k8s.io, which adds to v4 that standard input can be
closed (SPDY has that too), and port-forward as SPDY inside of a WebSocket. The API server passes both on as they are:
who talks to this node directly has them as well.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from pybernetes.aio.tasks import Nursery
from pybernetes.node.kubelet import spdy, websocket
from pybernetes.node.kubelet.http_server import Refusal, Request, Response

#: WebSocket protocols the runtime knows, exec and port-forward.
_KNOWN = {
    "", "channel.k8s.io", "base64.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io",
    "portforward.k8s.io", "binary.k8s.io",
}  # fmt: skip
_DROPPED = {"host", "connection", "upgrade", "authorization", "content-length", "sec-websocket-protocol"}
_BLOCK = 64 * 1024
#: How long a connection may drain once the caller has no more to say.
_DRAIN = 10.0

_V5 = "v5.channel.k8s.io"
_TUNNEL = "SPDY/3.1+portforward.k8s.io"
#: The channels of v5 by their number, and the one that closes another.
_CHANNELS = {b"\0": "stdin", b"\1": "stdout", b"\2": "stderr", b"\3": "error", b"\4": "resize"}
_NUMBERS = {name: number for number, name in _CHANNELS.items()}
_CLOSE = b"\xff"


class Streams(NamedTuple):
    """What an exec or attach carries besides its error stream."""

    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool

    @property
    def names(self) -> list[str]:
        """The streams that a runtime waits for, in the order in which clients open them."""
        wanted = {"stdin": self.stdin, "stdout": self.stdout, "stderr": self.stderr, "resize": self.tty}
        return ["error", *(name for name, there in wanted.items() if there)]


class _Wire(NamedTuple):
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


def accepted_protocols(offered: Sequence[str]) -> list[str]:
    """Those of the offered WebSocket protocols that the runtime knows. Pure."""
    return [p for p in offered if p in _KNOWN and p]


async def hand_over(request: Request, url: str, streams: Streams | None = None) -> Response:
    """Connect the caller to the runtime's streaming server at `url` until one side is done.

    `streams`: of an exec or attach; None for a port-forward. Raises Refusal.
    """
    upgrade = request.header("upgrade")
    if not upgrade:
        raise Refusal(400, "Upgrade request required")
    extra = []
    if websocket.wanted(request):
        offered = websocket.offered(request)
        if streams is not None and _V5 in offered:
            return await _translate(request, url, streams)
        if streams is None and _TUNNEL in offered:
            return await _tunnel(request, url)
        protocols = accepted_protocols(offered)
        if offered and not protocols:
            raise Refusal(400, f"unable to upgrade: none of the protocols {', '.join(offered)} is supported")
        if protocols:
            extra.append(f"Sec-WebSocket-Protocol: {', '.join(protocols)}")
    async with _runtime(url) as there:
        extra += [f"{name}: {value}" for name, value in request.headers if name not in _DROPPED]
        there.writer.write(_head(request.method, url, upgrade, extra))
        await _both(_pump(request.reader, there.writer), _pump(there.reader, request.writer))
    return Response(body=None)


async def _translate(request: Request, url: str, streams: Streams) -> Response:
    """v5 towards the caller, SPDY streams towards the runtime."""
    async with _runtime(url) as there:
        await _upgrade(there, url, "v4.channel.k8s.io")
        socket = websocket.accept(request, _V5)
        session = spdy.Session()
        names = streams.names
        there.writer.write(b"".join(session.open(name) for name in names))
        await _both(_to_streams(socket, session, there, names), _to_channels(socket, session, there, names), drain=0.0)
        socket.close()
    return Response(body=None)


async def _to_streams(socket: websocket.WebSocket, session: spdy.Session, there: _Wire, names: list[str]) -> None:
    """Input and sizes of the terminal. What is for a channel that is not open is dropped, as the API server does."""
    open = {name for name in names if name in ("stdin", "resize")}
    while (message := await socket.receive()) is not None:
        closing = message[:1] == _CLOSE
        channel, data = (message[1:2], b"") if closing else (message[:1], message[1:])
        name = _CHANNELS.get(channel, "")
        if name not in open or not (data or closing):
            continue
        if closing:
            open.discard(name)
        there.writer.write(session.data(name, data, end=closing))
        try:
            await there.writer.drain()
        except OSError:
            open.clear()  # the runtime is done; what it said last is still under way


async def _to_channels(socket: websocket.WebSocket, session: spdy.Session, there: _Wire, names: list[str]) -> None:
    """Output and the final Status, until all that the runtime sends has ended."""
    left = {name for name in names if name in ("stdout", "stderr", "error")}
    try:
        while left and (block := await there.reader.read(_BLOCK)):
            for event in session.receive(block):
                match event:
                    case spdy.Reply(data):
                        there.writer.write(data)
                    case spdy.Data(name, data, end):
                        if data:
                            await socket.send(_NUMBERS[name] + data)
                        if end:
                            left.discard(name)
    except OSError:
        pass


async def _tunnel(request: Request, url: str) -> Response:
    """Port-forward: the caller's messages are the bytes of a SPDY connection that he keeps with the runtime."""

    async def inwards() -> None:
        try:
            while (message := await socket.receive()) is not None:
                there.writer.write(message)
                await there.writer.drain()
        except OSError:
            pass

    async def outwards() -> None:
        try:
            while data := await there.reader.read(_BLOCK):
                await socket.send(data)
        except OSError:
            pass

    async with _runtime(url) as there:
        await _upgrade(there, url, "portforward.k8s.io")
        socket = websocket.accept(request, _TUNNEL)
        await _both(inwards(), outwards(), drain=0.0)
        socket.close()
    return Response(body=None)


# --- the runtime's side ---


@asynccontextmanager
async def _runtime(url: str) -> AsyncIterator[_Wire]:
    """A connection to the runtime's streaming server. Raises Refusal."""
    parts = urlsplit(url)
    try:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
    except OSError as error:
        raise Refusal(502, f"the container runtime's streaming server cannot be reached: {error}") from None
    try:
        yield _Wire(reader, writer)
    finally:
        writer.close()


def _head(method: str, url: str, upgrade: str, lines: Sequence[str]) -> bytes:
    parts = urlsplit(url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    first = [f"{method} {target} HTTP/1.1", f"Host: {parts.netloc}", "Connection: Upgrade", f"Upgrade: {upgrade}"]
    return "\r\n".join([*first, *lines, "", ""]).encode("latin-1")


async def _upgrade(there: _Wire, url: str, protocol: str) -> None:
    """Make a connection to the runtime a SPDY one. Raises Refusal with what the runtime says against it."""
    there.writer.write(_head("POST", url, "SPDY/3.1", [f"X-Stream-Protocol-Version: {protocol}", "Content-Length: 0"]))
    try:
        head = (await there.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise Refusal(502, f"the container runtime's streaming server: {error}") from None
    status = head.split(" ", 2)[1]
    if status != "101":
        text = (await there.reader.read(_BLOCK)).decode("utf-8", "replace").strip()
        raise Refusal(int(status) if status.isdigit() else 502, text or head.partition("\r\n")[0])


async def _both(inwards: Coroutine[Any, Any, None], outwards: Coroutine[Any, Any, None], drain: float = _DRAIN) -> None:
    """Both directions until the outward one ends, or a while after the inward one has."""
    async with Nursery("stream") as nursery:
        there = nursery.start(inwards, "to-runtime")
        back = nursery.start(outwards, "from-runtime")
        await asyncio.wait([there, back], return_when=asyncio.FIRST_COMPLETED)
        if not back.done() and drain:  # the caller has no more to say; the rest of the answer is still his
            await asyncio.wait([back], timeout=drain)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(_BLOCK):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:
        pass


# --- logs as WebSocket messages ---


async def send_messages(request: Request, body: bytes | AsyncIterator[bytes]) -> Response:
    """Answer a WebSocket upgrade with `body` as binary (or, if asked for, base64 text) messages. Raises Refusal."""
    offered = websocket.offered(request)
    chosen = next((p for p in offered if p in ("binary.k8s.io", "base64.binary.k8s.io")), "")
    if offered and not chosen:
        raise Refusal(400, f"unable to upgrade: none of the protocols {', '.join(offered)} is supported for logs")
    socket = websocket.accept(request, chosen)
    async with Nursery("log-messages") as nursery:
        sending = nursery.start(_messages(socket, body, text=chosen.startswith("base64.")), "send")
        gone = nursery.start(_until_closed(socket), "peer")
        await asyncio.wait([sending, gone], return_when=asyncio.FIRST_COMPLETED)
    socket.close()
    return Response(body=None)


async def _messages(socket: websocket.WebSocket, body: bytes | AsyncIterator[bytes], *, text: bool) -> None:
    try:
        if isinstance(body, bytes):
            if body:
                await socket.send(base64.b64encode(body) if text else body, text=text)
        else:
            async for chunk in body:
                await socket.send(base64.b64encode(chunk) if text else chunk, text=text)
    except OSError:
        pass
    finally:
        if (close := getattr(body, "aclose", None)) is not None:
            await close()


async def _until_closed(socket: websocket.WebSocket) -> None:
    """Until the caller goes away."""
    while await socket.receive() is not None:
        pass
