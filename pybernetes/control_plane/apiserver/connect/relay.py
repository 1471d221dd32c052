"""Carry one request to a backend and its answer back; after a 101, bytes both ways.

Nothing is understood of SPDY or WebSocket: the client's upgrade request goes to the backend with another path, and from
then on both sides talk to each other. A library client would insist on understanding the answer.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httptools

from pybernetes.control_plane.apiserver.http import RawConnection, Request, Stream, ensure_task
from pybernetes.control_plane.apiserver.http.messages import Header, render_headers, status_line
from pybernetes.machinery import errors

_HOP = {b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade"}
_NOT_FORWARDED = _HOP | {b"host", b"content-length", b"authorization", b"expect"}
#: What only we may say about who asks.
_IDENTITY = (b"impersonate-", b"x-remote-")
_CONNECT_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class Backend:
    """Where to connect; tls None is plain. host_header: what the backend sees as Host ("" is host:port).

    server_name: the name that its certificate must be for, if `tls` checks that.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    host_header: str = ""
    server_name: str = ""

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.host_header or f"{host}:{self.port}"


#: Makes the error of a backend that cannot be reached.
Unreachable = Callable[[Exception], errors.StatusError]
#: Changes the headers of an answer, and its whole body if it wants it: returns a body function or None.
Rewrite = Callable[[list[Header]], Callable[[bytes], bytes] | None]


async def relay(
    request: Request,
    backend: Backend,
    target: bytes,
    unreachable: Unreachable,
    *,
    method: str = "",
    extra: tuple[Header, ...] = (),
    rewrite: Rewrite | None = None,
) -> None:
    """Answer `request` with what `backend` says to the same request for `target` (path and query)."""
    await ensure_task()
    try:
        async with asyncio.timeout(_CONNECT_TIMEOUT):
            reader, writer = await asyncio.open_connection(
                backend.host,
                backend.port,
                ssl=backend.tls,
                server_hostname=backend.server_name if backend.tls else None,
            )
    except (OSError, TimeoutError) as error:
        raise unreachable(error) from None
    try:
        writer.write(_head(request, backend, target, method or request.method, extra) + request.body)
        answer = _Answer(request, rewrite)
        try:
            await answer.read(reader)
        except (OSError, httptools.HttpParserError) as error:
            if answer.stream is None:
                raise unreachable(error) from None
            answer.stream.abort()
            return
        if answer.upgraded is not None:
            raw = request.hijack()
            raw.write(answer.upgraded)
            await _pump(raw, reader, writer)
    finally:
        writer.close()


def _head(request: Request, backend: Backend, target: bytes, method: str, extra: tuple[Header, ...]) -> bytes:
    headers: list[Header] = [(b"Host", backend.authority.encode())]
    for name, value in request.raw_headers:
        if name not in _NOT_FORWARDED and not name.startswith(_IDENTITY):
            headers.append((name, value))
    if request.header(b"upgrade"):
        headers.append((b"Connection", b"Upgrade"))
        headers.append((b"Upgrade", request.header(b"upgrade")))
    else:
        headers.append((b"Connection", b"close"))
    if request.body or method in ("POST", "PUT", "PATCH"):
        headers.append((b"Content-Length", b"%d" % len(request.body)))
    headers.extend(extra)
    return b"%b %b HTTP/1.1\r\n%b\r\n" % (method.encode(), target, render_headers(headers))


class _Answer:
    """Parses the backend's answer and passes it on as it comes."""

    def __init__(self, request: Request, rewrite: Rewrite | None) -> None:
        self._request = request
        self._rewrite = rewrite
        self._headers: list[Header] = []
        self._parser: Any = httptools.HttpResponseParser(self)
        self._whole: Callable[[bytes], bytes] | None = None
        self._parts: list[bytes] = []
        self._done = False
        self.stream: Stream | None = None
        #: After 101: what the client gets first.
        self.upgraded: bytes | None = None

    async def read(self, reader: asyncio.StreamReader) -> None:
        while not self._done:
            data = await reader.read(65536)
            if not data:
                break
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                rest = data[upgrade.args[0] :]
                headers = [h for h in self._headers if h[0].lower() not in (b"date",)]
                self.upgraded = b"%b%b\r\n%b" % (status_line(101), render_headers(headers), rest)
                return
            if self.stream is not None and self.stream.paused:
                await self.stream.drain()
            if self.stream is not None and self.stream.closed:
                return
        if self.stream is None:
            raise ConnectionResetError("the backend closed the connection without an answer")
        if self._whole is not None:
            self.stream.end(self._whole(b"".join(self._parts)))
        else:
            self.stream.end()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status == 101:
            return
        if 100 <= status < 200:
            self._headers = []
            return
        headers = [
            (name, value) for name, value in self._headers if name.lower() not in _HOP | {b"content-length", b"date"}
        ]
        if self._rewrite is not None:
            self._whole = self._rewrite(headers)
        self.stream = self._request.stream(status, headers)
        # The parser does not know the question, and would wait for the body that such an answer announces.
        self._done = self._request.method == "HEAD"

    def on_body(self, body: bytes) -> None:
        if self._whole is not None:
            self._parts.append(body)
        elif self.stream is not None:
            self.stream.write(body)

    def on_message_complete(self) -> None:
        if self.stream is not None:
            self._done = True


async def _pump(raw: RawConnection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Bytes both ways until one side ends."""

    async def up() -> None:
        while data := await raw.read():
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()

    async def down() -> None:
        while data := await reader.read(65536):
            raw.write(data)
            await raw.drain()
        raw.close()

    try:
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(up(), name="relay/up")
            await group.create_task(down(), name="relay/down")
            sending.cancel()
    except* (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        raw.close()
