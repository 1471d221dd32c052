"""exec, attach and port-forward: the upgraded connection is handed on to the runtime's streaming server.

The runtime gives a URL that is good for one connection; the caller's upgrade request is repeated there, its answer
passed back, and then bytes flow both ways. Nothing is translated: the runtime speaks SPDY, and WebSocket up to v4. A
client that offers only the v5 protocol gets its upgrade refused and falls back to SPDY, as kubectl does; v5 cannot be
had from v4, which has no way to close stdin.
"""

from __future__ import annotations

import asyncio
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
