"""exec, attach and port-forward: the upgraded connection is handed on to the runtime's streaming server.

The runtime gives a URL that is good for one connection; the caller's upgrade request is repeated there, its answer
passed back, and then bytes flow both ways. Nothing is translated: the runtime speaks SPDY, and WebSocket up to v4. A
client that offers only the v5 protocol gets its upgrade refused and falls back to SPDY, as kubectl does; v5 cannot be
had from v4, which has no way to close stdin.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

from pybernetes.aio.tasks import Nursery
from pybernetes.node.kubelet.http_server import Refusal, Request, Response

#: WebSocket protocols the runtime knows, exec and port-forward.
_KNOWN = {
    "", "channel.k8s.io", "base64.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io",
    "portforward.k8s.io", "binary.k8s.io",
}  # fmt: skip
_DROPPED = {"host", "connection", "upgrade", "authorization", "content-length", "sec-websocket-protocol"}
_BLOCK = 64 * 1024


def accepted_protocols(offered: str) -> list[str]:
    """Those of the offered WebSocket protocols that the runtime knows. Pure."""
    return [p for p in (part.strip() for part in offered.split(",")) if p in _KNOWN and p]


async def hand_over(request: Request, url: str) -> Response:
    """Connect the caller to the runtime's streaming server at `url` until one side is done. Raises Refusal."""
    upgrade = request.header("upgrade")
    if not upgrade:
        raise Refusal(400, "Upgrade request required")
    extra = []
    if upgrade.lower() == "websocket":
        offered = request.header("sec-websocket-protocol")
        protocols = accepted_protocols(offered)
        if offered and not protocols:
            raise Refusal(
                400, f"unable to upgrade: none of the protocols {offered} is supported by the container runtime"
            )
        if protocols:
            extra.append(f"Sec-WebSocket-Protocol: {', '.join(protocols)}")
    parts = urlsplit(url)
    try:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
    except OSError as error:
        raise Refusal(502, f"the container runtime's streaming server cannot be reached: {error}") from None
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    lines = [
        f"{request.method} {target} HTTP/1.1",
        f"Host: {parts.netloc}",
        "Connection: Upgrade",
        f"Upgrade: {upgrade}",
    ]
    lines += [f"{name}: {value}" for name, value in request.headers if name not in _DROPPED] + extra
    writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
    try:
        async with Nursery("stream") as nursery:
            there = nursery.start(_pump(request.reader, writer), "to-runtime")
            back = nursery.start(_pump(reader, request.writer), "from-runtime")
            await asyncio.wait([there, back], return_when=asyncio.FIRST_COMPLETED)
            if not back.done():  # the caller has no more to say; the rest of the answer is still his
                await asyncio.wait([back], timeout=10.0)
    finally:
        writer.close()
    return Response(body=None)


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

#: Of RFC 6455: what a server adds to the client's key.
_KEY_SUFFIX = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TEXT, _BINARY, _CLOSE = 0x1, 0x2, 0x8
#: A close frame with code 1000, "normal".
_NORMAL_END = b"\x03\xe8"


def frame(opcode: int, data: bytes) -> bytes:
    """One unmasked, final WebSocket frame (RFC 6455, 5.2). Pure."""
    size = len(data)
    if size < 126:
        head = bytes((0x80 | opcode, size))
    elif size < 1 << 16:
        head = bytes((0x80 | opcode, 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((0x80 | opcode, 127)) + size.to_bytes(8, "big")
    return head + data


async def send_messages(request: Request, body: bytes | AsyncIterator[bytes]) -> Response:
    """Answer a WebSocket upgrade with `body` as binary (or, if asked for, base64 text) messages. Raises Refusal."""
    offered = [p.strip() for p in request.header("sec-websocket-protocol").split(",") if p.strip()]
    chosen = next((p for p in offered if p in ("binary.k8s.io", "base64.binary.k8s.io")), "")
    key = request.header("sec-websocket-key")
    if not key or (offered and not chosen):
        raise Refusal(400, f"unable to upgrade: none of the protocols {', '.join(offered)} is supported for logs")
    digest = hashlib.sha1((key + _KEY_SUFFIX).encode(), usedforsecurity=False).digest()
    accept = base64.b64encode(digest).decode()
    lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
    lines.append(f"Sec-WebSocket-Accept: {accept}")
    if chosen:
        lines.append(f"Sec-WebSocket-Protocol: {chosen}")
    request.writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
    async with Nursery("log-messages") as nursery:
        sending = nursery.start(_messages(request.writer, body, text=chosen.startswith("base64.")), "send")
        gone = nursery.start(_until_closed(request.reader), "peer")
        await asyncio.wait([sending, gone], return_when=asyncio.FIRST_COMPLETED)
    return Response(body=None)


async def _messages(writer: asyncio.StreamWriter, body: bytes | AsyncIterator[bytes], *, text: bool) -> None:
    def message(data: bytes) -> bytes:
        return frame(_TEXT, base64.b64encode(data)) if text else frame(_BINARY, data)

    try:
        if isinstance(body, bytes):
            if body:
                writer.write(message(body))
        else:
            async for chunk in body:
                writer.write(message(chunk))
                await writer.drain()
        writer.write(frame(_CLOSE, _NORMAL_END))
        await writer.drain()
    except OSError:
        pass
    finally:
        if (close := getattr(body, "aclose", None)) is not None:
            await close()


async def _until_closed(reader: asyncio.StreamReader) -> None:
    """Until the caller goes away or sends anything: all that it can send for a log is a close frame."""
    try:
        await reader.read(_BLOCK)
    except OSError:
        pass
