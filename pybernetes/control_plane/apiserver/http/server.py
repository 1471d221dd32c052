"""Listening, the sweeper of deadlines, and an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pybernetes.aio import clock
from pybernetes.aio.tasks import Ready
from pybernetes.control_plane.apiserver.http.calls import Handler
from pybernetes.control_plane.apiserver.http.connection import Connection
from pybernetes.control_plane.apiserver.http.messages import Request, Response
from pybernetes.control_plane.apiserver.http.tls import Flusher, TLSLayer

ErrorResponse = Callable[[Request | None, int, str], Response]


def plain_error(request: Request | None, status: int, message: str) -> Response:
    """The answer to what never reached the handler, as text."""
    return Response(status, b"Content-Type: text/plain; charset=utf-8\r\n", message.encode() + b"\n")


@dataclass(frozen=True)
class Config:
    """Where to listen and what to put up with."""

    #: Address to bind; loopback unless told otherwise.
    host: str = "127.0.0.1"
    #: Port; 0 takes a free one, announced by `ready`.
    port: int = 0
    #: TLS with this context (`server_context()`); None is plain HTTP.
    tls: ssl.SSLContext | None = None
    #: Largest request body, bytes (upstream's limit for resource requests). Larger: 413.
    max_body_bytes: int = 3 * 1024 * 1024
    #: Largest request line plus headers, bytes. Larger: 431. Room for a kubectl impersonating many groups.
    max_header_bytes: int = 64 * 1024
    #: Seconds for the TLS handshake and for the head of a request to arrive (slow-loris).
    header_timeout: float = 32.0
    #: Seconds for the rest of a request to arrive, since its last bytes.
    body_timeout: float = 60.0
    #: Seconds a connection without a request stays open.
    idle_timeout: float = 90.0
    #: Bytes buffered for writing above which a stream counts as paused.
    write_high_water: int = 256 * 1024
    #: Seconds to read on after refusing a request half-way, so that the refusal is not lost with a reset.
    linger: float = 2.0
    #: Seconds that running requests get when the server stops. Streams (watches) are ended at once.
    drain: float = 5.0
    #: Connections that may wait to be accepted.
    backlog: int = 1024


class HTTPServer:
    """Serves `handler` until cancelled.

    handler: `(Request) -> Response | None | coroutine of these`; None after `request.stream()` or `request.hijack()`.
    error_response: makes the answer to malformed or too large requests (request None) and to handlers that raised
    (status 500): the API server makes them Status objects.
    """

    def __init__(self, handler: Handler, config: Config, error_response: ErrorResponse = plain_error) -> None:
        self.config = config
        self.handler = handler
        self.error_response = error_response
        self.ready: Ready[tuple[str, int]] = Ready()
        self.connections: set[Connection] = set()
        self.tasks: set[asyncio.Task[Any]] = set()
        self.stopping = False
        self.loop: asyncio.AbstractEventLoop
        self._date = b""
        self._date_until = 0.0

    def date_line(self) -> bytes:
        """`Date: ...` with its CRLF, formatted once a second."""
        now = self.loop.time()
        if now >= self._date_until:
            moment = datetime.datetime.fromtimestamp(clock.timestamp(), datetime.UTC)
            self._date = moment.strftime("Date: %a, %d %b %Y %H:%M:%S GMT\r\n").encode()
            self._date_until = now + 1 - moment.microsecond / 1_000_000
        return self._date

    async def run(self) -> None:
        """Listen, announce `ready` with (host, port), serve. On cancellation: stop accepting, close idle connections,
        end streams, let running requests finish for `Config.drain` seconds, cut the rest."""
        self.loop = asyncio.get_running_loop()
        self.stopping = False
        listener = _listen(self.config)
        tls = self.config.tls
        factory: Callable[[], asyncio.Protocol]
        if tls is None:
            factory = lambda: Connection(self)  # noqa: E731
        else:
            flusher = Flusher(self.loop)
            factory = lambda: TLSLayer(tls, Connection(self), flusher)  # noqa: E731
        server = await self.loop.create_server(factory, sock=listener, backlog=self.config.backlog)
        try:
            host, port = listener.getsockname()[:2]
            self.ready.set((host, port))
            await self._sweep()
        finally:
            server.close()
            await self._stop()

    async def _sweep(self) -> None:
        """Expire connections. One pass over all costs some 50 ns each: cheaper than a timer per request."""
        config = self.config
        shortest = min(config.header_timeout, config.body_timeout, config.idle_timeout)
        while True:
            await clock.sleep(max(0.25, min(5.0, shortest / 4)))
            now = self.loop.time()
            for connection in [c for c in self.connections if c.deadline < now]:
                connection.expire()

    async def _stop(self) -> None:
        self.stopping = True
        for connection in list(self.connections):
            connection.shut_down()
        with contextlib.suppress(TimeoutError, asyncio.CancelledError):
            async with asyncio.timeout(self.config.drain):
                while self.tasks:
                    await asyncio.wait(self.tasks)
        for task in list(self.tasks):
            task.cancel()
        while self.tasks:
            await asyncio.wait(self.tasks)
        for connection in list(self.connections):
            connection.close()
        await clock.sleep(0)
        for connection in list(self.connections):
            if not connection.buffered:
                connection.abort()


def _listen(config: Config) -> socket.socket:
    """A listening socket whose connections inherit keep-alive (a peer that vanished is noticed within a minute)."""
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 3)):
            if hasattr(socket, option):
                listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
        listener.setblocking(False)
        listener.bind((config.host, config.port))
    except BaseException:
        listener.close()
        raise
    return listener
