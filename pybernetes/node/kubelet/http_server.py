"""A small HTTP/1.1 server for the node's API: one request a connection, streams out, and connections handed over.

The node's API has few callers (the API server, a metrics scraper) and one peculiar need: after an upgrade the raw
connection belongs to exec, attach or port-forward. On asyncio's streams that is a hundred lines; a web framework would
cost tens of megabytes in an agent that should be small.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from pybernetes.aio.tasks import Nursery

log = logging.getLogger(__name__)

MAX_HEAD = 64 * 1024
MAX_BODY = 3 * 1024 * 1024
HEAD_TIMEOUT = 30.0


@dataclass(slots=True)
class Request:
    """A request whose head and body have arrived. Header names are lower case, paths decoded."""

    method: str
    path: str
    query: dict[str, list[str]]
    raw_query: str
    headers: list[tuple[str, str]]
    body: bytes
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def header(self, name: str) -> str:
        """The first value of a header; "" without it."""
        return next((value for key, value in self.headers if key == name), "")

    def arg(self, name: str) -> str:
        """The first value of a query parameter; "" without it."""
        return self.query.get(name, [""])[0]

    def flag(self, name: str) -> bool:
        return self.arg(name).lower() in ("1", "t", "true")

    @property
    def peer_certificate(self) -> Mapping[str, Any]:
        """The verified client certificate as `ssl` shows it; empty without one."""
        return self.writer.get_extra_info("peercert") or {}


@dataclass(slots=True)
class Response:
    """An answer. `body` bytes, or an iterator of chunks for a stream; None: the handler has taken the connection.

    length: how many bytes a stream has, if that is known; one that ends earlier ends the connection.
    """

    status: int = 200
    body: bytes | AsyncIterator[bytes] | None = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None


Handler = Callable[[Request], Awaitable[Response]]


class Refusal(Exception):
    """Ends a handler with this status and text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class HTTPServer:
    """Serve `handler` on an address until cancelled; `address` is known once `started` is set."""

    def __init__(self, handler: Handler, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        self._handler = handler
        self._host = host
        self._port = port
        self._tls = tls
        self.started = asyncio.Event()
        self.address = ""

    async def run(self) -> None:
        """Accept until cancelled."""
        async with Nursery("kubelet-http") as nursery:

            def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                nursery.start(self._connection(reader, writer), "connection")

            server = await asyncio.start_server(accept, self._host, self._port, ssl=self._tls, limit=MAX_HEAD)
            host, port = server.sockets[0].getsockname()[:2]
            self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            self.started.set()
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                server.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(HEAD_TIMEOUT):
                request = await _read(reader, writer)
            if request is None:
                return
            try:
                response = await self._handler(request)
            except Refusal as refusal:
                response = Response(refusal.status, refusal.text.encode())
            except Exception:
                log.exception("%s %s failed", request.method, request.path)
                response = Response(500, b"internal error")
            if response.body is not None:
                await _write(writer, response, reader)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
            log.debug("connection: %s", error)
        finally:
            writer.close()


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request | None:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    method, target, _ = lines[0].split(" ", 2)
    headers = []
    for line in lines[1:]:
        if line:
            name, _, value = line.partition(":")
            headers.append((name.strip().lower(), value.strip()))
    size = int(next((v for k, v in headers if k == "content-length"), "0"))
    if not 0 <= size <= MAX_BODY:
        return None
    body = await reader.readexactly(size) if size else b""
    parts = urlsplit(target)
    return Request(
        method,
        unquote(parts.path),
        parse_qs(parts.query, keep_blank_values=True),
        parts.query,
        headers,
        body,
        reader,
        writer,
    )


async def _write(writer: asyncio.StreamWriter, response: Response, reader: asyncio.StreamReader) -> None:
    body = response.body
    phrase = HTTPStatus(response.status).phrase
    lines = [f"HTTP/1.1 {response.status} {phrase}", f"Content-Type: {response.content_type}", "Connection: close"]
    lines += [f"{k}: {v}" for k, v in response.headers.items()]
    if isinstance(body, bytes):
        lines.append(f"Content-Length: {len(body)}")
        writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        await writer.drain()
        return
    assert body is not None
    plain = response.length is not None
    lines.append(f"Content-Length: {response.length}" if plain else "Transfer-Encoding: chunked")
    writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
    await writer.drain()
    # The peer may go while nothing is written: its end of file ends the stream.
    async with Nursery("stream") as nursery:
        sending = nursery.start(_chunks(writer, body, plain), "send")
        gone = nursery.start(_until_gone(reader), "peer")
        await asyncio.wait([sending, gone], return_when=asyncio.FIRST_COMPLETED)


async def _until_gone(reader: asyncio.StreamReader) -> None:
    try:
        while await reader.read(1024):
            pass
    except OSError:
        pass


async def _chunks(writer: asyncio.StreamWriter, body: AsyncIterator[bytes], plain: bool) -> None:
    try:
        async for chunk in body:
            writer.write(chunk if plain else b"%x\r\n%b\r\n" % (len(chunk), chunk))
            await writer.drain()
        if not plain:
            writer.write(b"0\r\n\r\n")
            await writer.drain()
    except OSError:
        pass
    finally:
        if (close := getattr(body, "aclose", None)) is not None:
            await close()
