"""One client connection: bytes in, requests to the handler, answers out in order.

A handler is called from the parser's own stack. It returns a `Response`, or a coroutine which is then driven by hand to
its first suspension: only a handler that really waits (a write waiting for its commit) costs a task. What waits is one
task per connection, cancelled when the client goes away; further requests that were sent ahead (pipelining) are
parsed, queued and answered in order, and the socket is not read while any are queued.

Consequence for handlers: until its first suspension a coroutine runs outside any task, where `asyncio.timeout()` and
`TaskGroup` refuse to work; `await ensure_task()` first gives it one.

Deadlines are a plain attribute that the server's one sweeper compares, not a timer per connection.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

from pybernetes.control_plane.apiserver.http.calls import Call, Result
from pybernetes.control_plane.apiserver.http.hijack import RawConnection
from pybernetes.control_plane.apiserver.http.messages import Header, Request, Response, render_headers, status_line
from pybernetes.control_plane.apiserver.http.parser import Rejected, RequestParser
from pybernetes.control_plane.apiserver.http.peer import PeerCertificate, peer_certificate
from pybernetes.control_plane.apiserver.http.stream import Stream

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.http.server import HTTPServer

log = logging.getLogger(__name__)

NEVER = float("inf")
_BLOCK = 128 * 1024  # larger bodies are handed to the transport in blocks of this size, as it takes them
_UPGRADE_BUFFER = 64 * 1024
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Connection(asyncio.Protocol):
    """See the module.

    closed: no longer usable. write_paused: more than the high-water mark is buffered. deadline: loop time at which the
    sweeper calls `expire()`. state: free for the request chain, one per connection (a user found by certificate).
    """

    __slots__ = (
        "_active",
        "_answered",
        "_discarding",
        "_drainers",
        "_handle",
        "_loop",
        "_looping",
        "_parser",
        "_peer",
        "_pump",
        "_raw",
        "_read_paused",
        "_remote",
        "_server",
        "_stream",
        "_task",
        "_transport",
        "_write_soon",
        "closed",
        "deadline",
        "state",
        "write_paused",
    )

    def __init__(self, server: HTTPServer) -> None:
        self._server = server
        self._loop = server.loop
        self._handle = server.handler
        self._transport = cast(asyncio.Transport, None)
        self._write_soon: Callable[[bytes], None]
        self._parser = RequestParser(self, server.config)
        self._active: Request | None = None
        self._answered = False  # the active request has its answer (or is a stream, or hijacked)
        self._looping = False
        self._task: asyncio.Task[None] | None = None
        self._stream: Stream | None = None
        self._raw: RawConnection | None = None
        self._pump: Iterator[bytes | memoryview] | None = None
        self._discarding = False
        self._read_paused = False
        self._drainers: list[asyncio.Future[None]] | None = None
        self._peer: PeerCertificate | bool | None = False
        self._remote: tuple[str, int] | None = None
        self.write_paused = False
        self.closed = False
        self.deadline = NEVER
        self.state: Any = None

    # -- what others ask ----------------------------------------------------------------------------------------

    @property
    def remote(self) -> tuple[str, int]:
        """The peer's (address, port)."""
        if self._remote is None:
            name = self._transport.get_extra_info("peername") or ("", 0)
            self._remote = (str(name[0]), int(name[1]))
        return self._remote

    @property
    def peer_certificate(self) -> PeerCertificate | None:
        """The client certificate that TLS verified, if any; read once."""
        if self._peer is False:
            tls: ssl.SSLObject | None = self._transport.get_extra_info("ssl_object")
            self._peer = peer_certificate(tls)
        return cast("PeerCertificate | None", self._peer)

    @property
    def secure(self) -> bool:
        """The connection is encrypted."""
        return self._transport.get_extra_info("ssl_object") is not None

    @property
    def buffered(self) -> int:
        """Bytes written that the socket has not taken yet."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    # -- transport callbacks ------------------------------------------------------------------------------------

    def attach(self, transport: asyncio.BaseTransport) -> None:
        """The socket is accepted; with TLS `connection_made` follows after the handshake."""
        self._transport = cast(asyncio.Transport, transport)
        self.deadline = self._loop.time() + self._server.config.header_timeout
        self._server.connections.add(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._transport is None:
            self.attach(transport)
        self._transport.set_write_buffer_limits(high=self._server.config.write_high_water)
        self._write_soon = getattr(self._transport, "write_soon", self._transport.write)
        if self._server.stopping:
            self.close()

    def data_received(self, data: bytes) -> None:
        if self._raw is not None:
            self._raw.feed(data)
            return
        if self._discarding or self.closed:
            return
        parser = self._parser
        fresh = not parser.in_message
        parser.feed(data)
        if self._active is None:
            if parser.requests or parser.rejected is not None:
                self._next()
            if parser.in_message and self._active is None and not self.closed:
                config = self._server.config
                if parser.head_complete:
                    self.deadline = self._loop.time() + config.body_timeout
                elif fresh:
                    self.deadline = self._loop.time() + config.header_timeout
        elif parser.requests or parser.upgraded is not None:
            self._update_reading()

    def eof_received(self) -> bool:
        if self._raw is not None:
            self._raw.feed_eof()
            return True
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        self._server.connections.discard(self)
        self._parser.close()
        self._pump = None
        if self._task is not None:
            self._task.cancel()
        if self._stream is not None:
            self._stream.connection_lost()
            self._stream = None
        if self._raw is not None:
            self._raw.connection_lost()
            self._raw = None
        self._wake_drainers()

    def pause_writing(self) -> None:
        self.write_paused = True
        self._update_reading()

    def resume_writing(self) -> None:
        self.write_paused = False
        if self._pump is not None:
            self._pump_on()
        self._wake_drainers()
        if self._active is None and self._parser.requests:
            self._loop.call_soon(self._next)
        else:
            self._update_reading()

    # -- from request to answer ---------------------------------------------------------------------------------

    def body_awaited(self) -> None:
        """The parser met `Expect: 100-continue`: allow the body, when it is this request's turn."""
        if self._active is None and not self._parser.requests:
            self._parser.continue_wanted = False
            self._transport.write(_CONTINUE)

    def _next(self) -> None:
        """Handle what is queued, until one has to wait."""
        if self._looping or self._active is not None or self.closed:
            return
        parser = self._parser
        pending = parser.requests
        self._looping = True
        try:
            while pending and self._active is None and not self.write_paused and not self.closed:
                self._start(pending.popleft())
        finally:
            self._looping = False
        if self._active is None and not pending and not self.closed:
            if parser.rejected is not None:
                self._refuse(parser.rejected)
            elif parser.upgraded is not None:  # nobody wanted it (`h2c`): the bytes after it are ordinary requests
                self._loop.call_soon(self._resume_after_upgrade)
            elif parser.continue_wanted:
                self.body_awaited()
        if pending or self._read_paused:
            self._update_reading()

    def _start(self, request: Request) -> None:
        self._active = request
        self._answered = False
        self.deadline = NEVER
        try:
            result = self._handle(request)
            if result.__class__ is not Response and result is not None:
                work = cast("Coroutine[Any, Any, Result]", result)
                try:
                    first = work.send(None)
                except StopIteration as stop:
                    result = stop.value
                else:
                    name = f"http {request.method} {request.path}"
                    self._task = self._loop.create_task(Call(self, request, work, first), name=name)
                    self._server.tasks.add(self._task)
                    return
            self._complete(request, cast(Result, result))
        except Exception as error:
            self._fail(request, error)

    def task_done(self, request: Request, result: Result, error: BaseException | None) -> None:
        """A handler's task ends, with a result or an error."""
        task = self._task
        if task is not None:
            self._server.tasks.discard(task)
            self._task = None
        if isinstance(error, Exception):
            self._fail(request, error)
        elif error is not None:  # cancelled: by us because the client is gone, or by the handler's own doing
            if self._active is request and not self.closed:
                self.abort()
        else:
            try:
                self._complete(request, result)
            except Exception as failure:
                self._fail(request, failure)

    def _complete(self, request: Request, result: Result) -> None:
        if self.closed:
            return
        if result is not None:
            if self._answered:
                raise RuntimeError(f"{request.method} {request.path}: a second answer")
            self._answered = True
            self._write_response(result, request.keep_alive, request)
            if self._pump is None:
                self.finish(request)
        elif not self._answered:
            raise RuntimeError(f"{request.method} {request.path}: the handler gave no answer")

    def _fail(self, request: Request, error: Exception) -> None:
        """A handler raised: 500 if nothing was sent yet, else the connection is cut."""
        if not (self.closed and isinstance(error, ConnectionError)):
            log.error("handler of %s %s failed", request.method, request.path, exc_info=error)
        if self.closed:
            return
        if self._answered or self._active is not request:
            self.abort()
            return
        self._answered = True
        self._write_response(
            self._server.error_response(request, 500, "internal server error"), request.keep_alive, request
        )
        self.finish(request)

    def _refuse(self, rejected: Rejected) -> None:
        """Answer what never became a request, and close; the client may still be sending, so read on for a while."""
        self._discarding = True
        self._write_response(
            self._server.error_response(None, rejected.status, rejected.message), keep_alive=False, request=None
        )
        if rejected.status in (400, 408):
            self.close()
        else:
            self.deadline = self._loop.time() + self._server.config.linger

    def _resume_after_upgrade(self) -> None:
        if self.closed or self._parser.upgraded is None or self._active is not None:
            return
        data = self._parser.restart()
        self._update_reading()
        if data:
            self.data_received(data)

    def _update_reading(self) -> None:
        """Read the socket only while there is room for what it brings."""
        if self.closed or self._raw is not None:
            return
        parser = self._parser
        pause = bool(
            (parser.requests and not self._discarding)
            or (self.write_paused and self._stream is None)
            or (parser.upgraded is not None and len(parser.upgraded) > _UPGRADE_BUFFER)
        )
        if pause != self._read_paused:
            self._read_paused = pause
            if pause:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    # -- answering ----------------------------------------------------------------------------------------------

    def _write_response(self, response: Response, keep_alive: bool, request: Request | None) -> None:
        body: Any = response.body
        status = response.status
        headers: Any = response.headers
        if headers.__class__ is not bytes:
            headers = render_headers(headers)
        joined = body.__class__ is bytes
        size = len(body) if joined else sum(map(len, body))
        if not keep_alive:
            close = b"Connection: close\r\n"
        elif request is not None and request.http_1_0:
            close = b"Connection: keep-alive\r\n"
        else:
            close = b""
        bodiless = status in (204, 304)
        length = b"" if bodiless else b"Content-Length: %d\r\n" % size
        head = b"%b%b%b%b%b\r\n" % (status_line(status), headers, length, self._server.date_line(), close)
        if not size or bodiless or (request is not None and request.method == "HEAD"):
            self._transport.write(head)
        elif size > _BLOCK:
            self._pump = _blocks(head, body)
            self._pump_on()
        else:
            self._transport.write(head + body if joined else b"".join([head, *body]))

    def _pump_on(self) -> None:
        """Hand over blocks of a large body while the transport takes them."""
        pump = self._pump
        assert pump is not None
        while not self.write_paused and not self.closed:
            block = next(pump, None)
            if block is None:
                self._pump = None
                if self._active is not None:
                    self._loop.call_soon(self.finish, self._active)
                return
            self._transport.write(block)

    def start_stream(self, request: Request, status: int, headers: Sequence[Header] | bytes) -> Stream:
        """See `Request.stream`."""
        block = headers if isinstance(headers, bytes) else render_headers(headers)
        self._claim(request)
        if request.http_1_0:
            request.keep_alive = False
        framing = b"" if request.http_1_0 else b"Transfer-Encoding: chunked\r\n"
        close = b"" if request.keep_alive else b"Connection: close\r\n"
        self._transport.write(
            b"%b%b%b%b%b\r\n" % (status_line(status), block, framing, self._server.date_line(), close)
        )
        self._stream = Stream(self, request, request.http_1_0, request.method == "HEAD")
        return self._stream

    def open_stream(self, request: Request) -> Stream | None:
        """See `Request.open_stream`."""
        return self._stream if self._active is request else None

    def hijack(self, request: Request) -> RawConnection:
        """See `Request.hijack`."""
        self._claim(request)
        received = bytes(self._parser.upgraded or b"")
        self._parser.close()
        if self._read_paused:
            self._read_paused = False
            self._transport.resume_reading()
        self._raw = RawConnection(self, received)
        return self._raw

    def _claim(self, request: Request) -> None:
        if self.closed:
            raise ConnectionResetError("the client closed the connection")
        if self._active is not request or self._answered:
            raise RuntimeError(f"{request.method} {request.path} already has its answer")
        self._answered = True

    def finish(self, request: Request) -> None:
        """The answer to `request` is completely written."""
        if self._active is not request:
            return
        self._active = None
        self._stream = None
        if self.closed:
            return
        if not request.keep_alive or self._server.stopping:
            self.close()
            return
        config = self._server.config
        parser = self._parser
        self.deadline = self._loop.time() + (config.body_timeout if parser.in_message else config.idle_timeout)
        if not self._looping and (
            parser.requests or parser.upgraded is not None or parser.rejected is not None or parser.continue_wanted
        ):
            self._loop.call_soon(self._next)  # not from here: this may be some other request's task

    # -- for Stream and RawConnection ---------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send bytes as they are, together with others written in this turn of the loop."""
        if data and not self.closed:
            self._write_soon(data)

    async def drain(self) -> None:
        """Wait while more than the high-water mark is buffered, or until the connection is gone."""
        while self.write_paused and not self.closed:
            waiter: asyncio.Future[None] = self._loop.create_future()
            if self._drainers is None:
                self._drainers = []
            self._drainers.append(waiter)
            await waiter

    def _wake_drainers(self) -> None:
        waiters, self._drainers = self._drainers, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)

    def pause_reading(self) -> None:
        if not self.closed:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if not self.closed:
            self._transport.resume_reading()

    def close(self) -> None:
        """Send what is buffered, then close; nothing more is accepted for writing."""
        if not self.closed:
            self.closed = True
            self.deadline = self._loop.time() + self._server.config.linger  # a peer that never reads must not keep it
            self._transport.close()

    def close_gently(self) -> None:
        """As `close`, but read on (and drop) until the peer has seen the end: closing with bytes unread would reset the
        connection, and the peer could lose the last of what it was sent."""
        if self.closed:
            return
        self._discarding = True
        self._raw = None
        if self._read_paused:
            self._read_paused = False
            self._transport.resume_reading()
        try:
            self._transport.write_eof()
        except (NotImplementedError, RuntimeError, OSError):
            self.close()
            return
        self.closed = True
        self.deadline = self._loop.time() + self._server.config.linger

    def abort(self) -> None:
        """Cut the connection now."""
        self.closed = True
        self._transport.abort()

    def shut_down(self) -> None:
        """The server stops: end what is idle or endless, let the rest finish."""
        if self._task is not None:
            return
        if self._stream is not None:
            self._stream.end()
        elif self._raw is not None:
            self._raw.close()
        elif self._pump is None:
            self.close()

    def expire(self) -> None:
        """The sweeper found the deadline passed."""
        if self.closed or self.write_paused:
            self.abort()
        elif self._parser.in_message and not self._discarding:
            self._refuse(Rejected(408, "the request took too long to arrive"))
        else:
            self.close()


def _blocks(head: bytes, body: bytes | list[bytes]) -> Iterator[bytes | memoryview]:
    """`head` and `body` in pieces of at most about `_BLOCK` bytes."""
    parts: list[bytes] = [head]
    size = len(head)
    for part in [body] if isinstance(body, bytes) else body:
        if size + len(part) > _BLOCK:
            yield b"".join(parts)
            parts, size = [], 0
        if len(part) > _BLOCK:
            view = memoryview(part)
            for start in range(0, len(view), _BLOCK):
                yield view[start : start + _BLOCK]
        else:
            parts.append(part)
            size += len(part)
    if parts:
        yield b"".join(parts)
