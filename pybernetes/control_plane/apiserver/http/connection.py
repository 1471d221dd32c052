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
import types
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

import httptools

from pybernetes.control_plane.apiserver.http.hijack import RawConnection
from pybernetes.control_plane.apiserver.http.messages import Header, Request, Response, render_headers, status_line
from pybernetes.control_plane.apiserver.http.peer import PeerCertificate, peer_certificate
from pybernetes.control_plane.apiserver.http.stream import Stream

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.http.server import HTTPServer

log = logging.getLogger(__name__)

Result = Response | None
Handler = Callable[[Request], Result | Coroutine[Any, Any, Result]]

NEVER = float("inf")
_BLOCK = 128 * 1024  # large bodies are handed to the transport in blocks of this size, as it takes them
_UPGRADE_BUFFER = 64 * 1024


class Rejected(Exception):
    """Raised inside parser callbacks: answer `status` and close."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@types.coroutine
def _reschedule() -> Generator[None, None, None]:
    yield


async def ensure_task() -> None:
    """In a handler: make sure the rest runs inside a task (for `asyncio.timeout()`, `TaskGroup`, `current_task()`)."""
    if asyncio.current_task() is None:
        await _reschedule()


class _Call(Coroutine[Any, Any, None]):
    """The rest of a handler's coroutine after its first suspension, in the shape a task wants.

    A class and not a wrapping coroutine, because a task cancelled before its first step throws into the
    outermost coroutine only: one that had not started would swallow the cancellation.
    """

    __slots__ = ("_connection", "_first", "_inner", "_request", "_resumed")

    def __init__(self, connection: Connection, request: Request, inner: Coroutine[Any, Any, Result], first: Any) -> None:
        self._connection = connection
        self._request = request
        self._inner = inner
        self._first = first
        self._resumed = False

    def send(self, value: Any) -> Any:
        if not self._resumed:
            self._resumed = True
            first, self._first = self._first, None
            return first
        return self._step(self._inner.send, value)

    def throw(self, *error: Any) -> Any:
        self._resumed = True
        self._first = None
        return self._step(self._inner.throw, *error)

    def close(self) -> None:
        self._inner.close()

    def __await__(self) -> Generator[Any, None, None]:
        raise TypeError("driven by a task only")

    def _step(self, step: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return step(*arguments)
        except StopIteration as stop:
            self._connection.task_done(self._request, stop.value, None)
            raise StopIteration(None) from None
        except Exception as error:
            self._connection.task_done(self._request, None, error)
            raise StopIteration(None) from None
        except BaseException:
            self._connection.task_done(self._request, None, None, cancelled=True)
            raise


class Connection(asyncio.Protocol):
    """See the module. Attributes for others: `remote`, `peer_certificate`, `state` (a dict for the request chain, one
    per connection), `buffered`, `write_paused`, `closed`, `deadline`."""

    __slots__ = (
        "_active",
        "_body",
        "_body_parts",
        "_body_size",
        "_continue_later",
        "_discarding",
        "_drainers",
        "_handle",
        "_head_bytes",
        "_headers",
        "_in_message",
        "_looping",
        "_loop",
        "_parser",
        "_peer",
        "_pending",
        "_pump",
        "_raw",
        "_read_paused",
        "_rejection",
        "_remote",
        "_responded",
        "_server",
        "_stream",
        "_tail",
        "_task",
        "_transport",
        "_url",
        "_headers_done",
        "closed",
        "deadline",
        "state",
        "write_paused",
        "__weakref__",
    )

    def __init__(self, server: HTTPServer) -> None:
        self._server = server
        self._loop = server.loop
        self._handle = server.handler
        self._transport = cast(asyncio.Transport, None)
        self._parser: Any = httptools.HttpRequestParser(self)
        self._active: Request | None = None
        self._responded = False  # the active request has its answer (or a stream, or is hijacked)
        self._pending: deque[Request] = deque()
        self._looping = False
        self._task: asyncio.Task[None] | None = None
        self._stream: Stream | None = None
        self._raw: RawConnection | None = None
        self._pump: Iterator[bytes | memoryview] | None = None
        self._tail: bytearray | None = None  # bytes after an upgrade request that nobody has hijacked yet
        self._rejection: Rejected | None = None
        self._discarding = False
        self._read_paused = False
        self._drainers: list[asyncio.Future[None]] = []
        self._peer: PeerCertificate | None | bool = False
        self._remote: tuple[str, int] | None = None
        self._url = b""
        self._headers: list[Header] = []
        self._headers_done = False
        self._body = b""
        self._body_parts: list[bytes] | None = None
        self._body_size = 0
        self._head_bytes = 0
        self._in_message = False
        self._continue_later = False
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
            self._remote = (str(name[0]), int(name[1])) if len(name) >= 2 else (str(name), 0)
        return self._remote

    @property
    def peer_certificate(self) -> PeerCertificate | None:
        """The client certificate that TLS verified, if any; read once."""
        if self._peer is False:
            tls: ssl.SSLObject | None = self._transport.get_extra_info("ssl_object")
            self._peer = peer_certificate(tls)
        return cast("PeerCertificate | None", self._peer)

    @property
    def buffered(self) -> int:
        """Bytes written that the socket has not taken yet."""
        return 0 if self.closed else self._transport.get_write_buffer_size()

    @property
    def idle(self) -> bool:
        """Nothing is being read, handled or answered."""
        return self._active is None and not self._in_message and self._raw is None and not self._pending

    # -- transport callbacks ------------------------------------------------------------------------------------

    def attach(self, transport: asyncio.BaseTransport) -> None:
        """The socket is accepted; with TLS `connection_made` follows after the handshake."""
        self._transport = cast(asyncio.Transport, transport)
        server = self._server
        self.deadline = self._loop.time() + server.config.header_timeout
        server.connections.add(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._transport is None:
            self.attach(transport)
        self._transport.set_write_buffer_limits(high=self._server.config.write_high_water)
        if self._server.stopping:
            self.close()

    def data_received(self, data: bytes) -> None:
        if self._raw is not None:
            self._raw.feed(data)
            return
        if self._discarding or self.closed:
            return
        if self._tail is not None:
            self._tail += data
            self._update_reading()
            return
        self._feed(data)
        if self._active is None and self._pending:
            self._next()
        elif self._pending:
            self._update_reading()
        if self._active is None and self._rejection is not None:
            self._send_rejection()

    def eof_received(self) -> bool:
        if self._raw is not None:
            self._raw.feed_eof()
            return True
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        self._server.connections.discard(self)
        self._parser = None  # it refers back to us
        self._pump = None
        self._pending.clear()
        if self._task is not None:
            self._task.cancel()
        if self._stream is not None:
            self._stream.connection_lost()
            self._stream = None
        if self._raw is not None:
            self._raw.connection_lost()
        self._wake_drainers()

    def pause_writing(self) -> None:
        self.write_paused = True
        self._update_reading()

    def resume_writing(self) -> None:
        self.write_paused = False
        if self._pump is not None:
            self._pump_on()
        self._wake_drainers()
        if self._pending and self._active is None:
            self._loop.call_soon(self._next)
        else:
            self._update_reading()

    # -- parser callbacks ---------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._url = b""
        self._headers = []
        self._headers_done = False
        self._body = b""
        self._body_parts = None
        self._in_message = True

    def on_url(self, url: bytes) -> None:
        self._url = self._url + url if self._url else url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._headers_done:  # trailers come this way too, and must not pass for headers
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self._headers_done = True
        config = self._server.config
        if self._head_bytes + len(self._url) > config.max_header_bytes or (
            self._head_bytes + sum([len(name) + len(value) for name, value in self._headers]) > config.max_header_bytes
        ):
            raise Rejected(431, "the request's header is too large")
        self._head_bytes = 0
        if self._parser.get_method() not in _NO_BODY:
            self._check_body()

    def _check_body(self) -> None:
        """Refuse a body that is announced as too large, and allow one that waits for it."""
        self._body_size = 0
        config = self._server.config
        for name, value in self._headers:
            if name == b"content-length":
                if int(value) > config.max_body_bytes:
                    raise Rejected(413, f"limit is {config.max_body_bytes}")
            elif name == b"expect":
                if value.lower() != b"100-continue":
                    raise Rejected(417, "only 100-continue can be expected")
                if self._active is None and not self._pending:
                    self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                else:
                    self._continue_later = True

    def on_body(self, body: bytes) -> None:
        self._body_size += len(body)
        if self._body_size > self._server.config.max_body_bytes:
            raise Rejected(413, f"limit is {self._server.config.max_body_bytes}")
        if self._body_parts is not None:
            self._body_parts.append(body)
        elif self._body:
            self._body_parts = [self._body, body]
        else:
            self._body = body

    def on_message_complete(self) -> None:
        self._in_message = False
        self._continue_later = False
        parser = self._parser
        url = self._url
        path, _, query = url.partition(b"?")
        if path[:1] != b"/" and path != b"*":
            path, query = _absolute(url)
        headers = self._headers
        http_1_0 = parser.get_http_version() != "1.1"
        if not http_1_0 and not any([name == b"host" for name, _ in headers]):
            raise Rejected(400, "missing required Host header")
        parts = self._body_parts
        self._body_size = 0
        self._pending.append(
            Request(
                self,
                parser.get_method().decode("ascii"),
                path,
                query,
                headers,
                self._body if parts is None else b"".join(parts),
                parser.should_keep_alive(),
                parser.should_upgrade(),
                http_1_0,
            )
        )

    # -- reading ------------------------------------------------------------------------------------------------

    def _feed(self, data: bytes) -> None:
        """Parse; complete requests are in `_pending` afterwards, a refusal in `_rejection`."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._tail = bytearray(data[upgrade.args[0] :])
            return
        except httptools.HttpParserCallbackError as failure:
            cause = failure.__context__
            if not isinstance(cause, Rejected):
                log.error("parser callback failed", exc_info=cause)
                cause = Rejected(400, "bad request")
            self._reject(cause)
            return
        except httptools.HttpParserError as error:
            last = self._pending[-1] if self._pending else self._active
            if last is None or last.keep_alive:  # what follows a last request is not ours to judge
                self._reject(Rejected(400, str(error)))
            return
        if self._in_message:
            if not self._headers_done:
                if self._head_bytes == 0:
                    self.deadline = self._loop.time() + self._server.config.header_timeout
                self._head_bytes += len(data)
                if self._head_bytes > self._server.config.max_header_bytes:
                    self._reject(Rejected(431, "the request's header is too large"))
            elif self._active is None and self.deadline is not NEVER:
                self.deadline = max(self.deadline, self._loop.time() + self._server.config.body_timeout)

    def _next(self) -> None:
        """Handle what is queued, until one has to wait."""
        if self._looping:
            return
        self._looping = True
        pending = self._pending
        try:
            while pending and self._active is None and not self.write_paused and not self.closed:
                self._start(pending.popleft())
        finally:
            self._looping = False
        if self._active is None and not pending and not self.closed:
            if self._tail is not None:
                self._loop.call_soon(self._resume_after_upgrade)
            elif self._rejection is not None:
                self._send_rejection()
            elif self._continue_later:
                self._continue_later = False
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if pending or self._read_paused:
            self._update_reading()

    def _start(self, request: Request) -> None:
        self._active = request
        self._responded = False
        self.deadline = NEVER
        try:
            result = self._handle(request)
            if result.__class__ is Response:
                self._respond(request, cast(Response, result))
                return
            if result is None:
                self._complete(request, None)
                return
            work = cast("Coroutine[Any, Any, Result]", result)
            first = work.send(None)
        except StopIteration as stop:
            self._complete(request, stop.value)
            return
        except Exception as error:
            self._fail(request, error)
            return
        task = self._loop.create_task(_Call(self, request, work, first), name=f"http {request.method} {request.path}")
        self._task = task
        self._server.tasks.add(task)

    def task_done(
        self, request: Request, result: Result, error: Exception | None, *, cancelled: bool = False
    ) -> None:
        """A handler's task ends."""
        task = self._task
        if task is not None:
            self._server.tasks.discard(task)
            self._task = None
        if cancelled:
            if self._active is request:
                self.abort()
        elif error is not None:
            self._fail(request, error)
        else:
            try:
                self._complete(request, result)
            except Exception as failure:
                self._fail(request, failure)

    def _complete(self, request: Request, result: Result) -> None:
        if self.closed:
            return
        if result is not None:
            if self._responded:
                raise RuntimeError(f"{request.method} {request.path}: a second answer")
            self._respond(request, result)
        elif not self._responded:
            raise RuntimeError(f"{request.method} {request.path}: the handler gave no answer")

    def _fail(self, request: Request, error: Exception) -> None:
        """A handler raised: 500 if nothing was sent yet, else the connection is cut."""
        if self.closed:
            if not isinstance(error, ConnectionError):
                log.error("handler of %s %s failed", request.method, request.path, exc_info=error)
            return
        log.error("handler of %s %s failed", request.method, request.path, exc_info=error)
        if self._responded or self._active is not request:
            self.abort()
        else:
            self._respond(request, self._server.error_response(request, 500, "internal server error"))

    def _reject(self, rejected: Rejected) -> None:
        if self._rejection is None:
            self._rejection = rejected

    def _send_rejection(self) -> None:
        """Answer a request that never became one, and close; the client may still be sending, so read on for a while."""
        rejected = self._rejection
        assert rejected is not None
        self._rejection = None
        self._discarding = True
        response = self._server.error_response(None, rejected.status, rejected.message)
        self._write_response(response, keep_alive=False, head_only=False)
        if rejected.status == 400:
            self.close()
        else:
            self._transport.resume_reading() if self._read_paused else None
            self.deadline = self._loop.time() + self._server.config.linger

    def _resume_after_upgrade(self) -> None:
        """An upgrade that the handler did not want (`h2c`): the bytes after it are ordinary requests."""
        if self.closed or self._tail is None or self._active is not None:
            return
        data, self._tail = bytes(self._tail), None
        self._parser = httptools.HttpRequestParser(self)
        self._update_reading()
        if data:
            self.data_received(data)

    def _update_reading(self) -> None:
        """Read the socket only while there is room for what it brings."""
        if self.closed or self._raw is not None:
            return
        pause = bool(
            self._pending
            or (self.write_paused and self._stream is None)
            or (self._tail is not None and len(self._tail) > _UPGRADE_BUFFER)
        )
        if pause != self._read_paused:
            self._read_paused = pause
            if pause:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    # -- answering ----------------------------------------------------------------------------------------------

    def _respond(self, request: Request, response: Response) -> None:
        self._responded = True
        self._write_response(response, keep_alive=request.keep_alive, head_only=request.method == "HEAD", request=request)
        if self._pump is None:
            self.finish(request)

    def _write_response(
        self, response: Response, *, keep_alive: bool, head_only: bool, request: Request | None = None
    ) -> None:
        body = response.body
        status = response.status
        headers = response.headers
        if headers.__class__ is not bytes:
            headers = render_headers(cast("Sequence[Header]", headers))
        size = len(body) if body.__class__ is bytes else sum([len(part) for part in body])  # type: ignore[arg-type]
        if not keep_alive:
            close = b"Connection: close\r\n"
        elif request is not None and request.http_1_0:
            close = b"Connection: keep-alive\r\n"
        else:
            close = b""
        length = b"" if status in (204, 304) else b"Content-Length: %d\r\n" % size
        head = b"%b%b%b%b%b\r\n" % (status_line(status), headers, length, self._server.date_line(), close)
        if not size or head_only or status in (204, 304):
            self._transport.write(head)
        elif size <= _BLOCK:
            if body.__class__ is bytes:
                self._transport.write(head + cast(bytes, body))
            else:
                self._transport.write(b"".join([head, *cast("list[bytes]", body)]))
        else:
            self._pump = _blocks(head, body)
            self._pump_on()

    def _pump_on(self) -> None:
        """Hand over blocks of a large body while the transport takes them."""
        pump = self._pump
        assert pump is not None
        while not self.write_paused and not self.closed:
            block = next(pump, None)
            if block is None:
                self._pump = None
                if self._active is not None and self._responded:
                    self._loop.call_soon(self.finish, self._active)
                return
            self._transport.write(block)

    def start_stream(self, request: Request, status: int, headers: Sequence[Header] | bytes) -> Stream:
        """See `Request.stream`."""
        self._claim(request)
        block = headers if isinstance(headers, bytes) else render_headers(headers)
        if request.http_1_0:
            request.keep_alive = False
        framing = b"" if request.http_1_0 else b"Transfer-Encoding: chunked\r\n"
        close = b"" if request.keep_alive else b"Connection: close\r\n"
        self._transport.write(
            b"%b%b%b%b%b\r\n" % (status_line(status), block, framing, self._server.date_line(), close)
        )
        self._stream = Stream(self, request, request.http_1_0, request.method == "HEAD")
        return self._stream

    def hijack(self, request: Request) -> RawConnection:
        """See `Request.hijack`."""
        self._claim(request)
        received = bytes(self._tail or b"")
        self._tail = None
        self._pending.clear()
        if self._read_paused:
            self._read_paused = False
            self._transport.resume_reading()
        self._raw = RawConnection(self, received)
        return self._raw

    def _claim(self, request: Request) -> None:
        if self.closed:
            raise ConnectionResetError("the client closed the connection")
        if self._active is not request or self._responded:
            raise RuntimeError(f"{request.method} {request.path} already has its answer")
        self._responded = True

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
        self.deadline = self._loop.time() + self._server.config.idle_timeout
        if (self._pending or self._tail is not None or self._rejection or self._continue_later) and not self._looping:
            self._loop.call_soon(self._next)

    # -- writing, for Stream and RawConnection ------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send bytes as they are."""
        if data and not self.closed:
            self._transport.write(data)

    async def drain(self) -> None:
        """Wait while more than the high-water mark is buffered, or until the connection is gone."""
        while self.write_paused and not self.closed:
            waiter: asyncio.Future[None] = self._loop.create_future()
            self._drainers.append(waiter)
            await waiter

    def _wake_drainers(self) -> None:
        waiters, self._drainers = self._drainers, []
        for waiter in waiters:
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
            self._transport.close()
            # A peer that never reads must not keep it open.
            self.deadline = self._loop.time() + self._server.config.linger

    def abort(self) -> None:
        """Cut the connection now."""
        self.closed = True
        if self._transport is not None:
            self._transport.abort()

    def shut_down(self) -> None:
        """The server stops: end what is idle or endless, let the rest finish."""
        if self._stream is not None and self._task is None:
            self._stream.end()
        elif self._active is None or self._transport is None:
            self.close()
        elif self._raw is not None and self._task is None:
            self._raw.close()

    def expire(self) -> None:
        """The sweeper found the deadline passed."""
        if self.closed or not self._in_message or self._active is not None:
            self.abort() if self.closed or self.write_paused else self.close()
        else:
            self._reject(Rejected(408, "the request took too long to arrive"))
            self._send_rejection()
            self.close()


_NO_BODY = frozenset((b"GET", b"HEAD"))


def _absolute(url: bytes) -> tuple[bytes, bytes]:
    """Path and query of `GET http://host/path?query`, which proxies send."""
    try:
        parsed = httptools.parse_url(url)
    except httptools.HttpParserError as error:
        raise Rejected(400, "invalid request target") from error
    if not parsed.schema:
        raise Rejected(400, "invalid request target")
    return parsed.path or b"/", parsed.query or b""


def _blocks(head: bytes, body: bytes | list[bytes]) -> Iterator[bytes | memoryview]:
    """`head` and `body` in pieces of about `_BLOCK` bytes."""
    if isinstance(body, bytes):
        view = memoryview(body)
        yield head + view[: _BLOCK]
        for start in range(_BLOCK, len(view), _BLOCK):
            yield view[start : start + _BLOCK]
        return
    parts = [head]
    size = len(head)
    for part in body:
        if len(part) > _BLOCK:
            if parts:
                yield b"".join(parts)
                parts, size = [], 0
            view = memoryview(part)
            for start in range(0, len(view), _BLOCK):
                yield view[start : start + _BLOCK]
            continue
        parts.append(part)
        size += len(part)
        if size >= _BLOCK:
            yield b"".join(parts)
            parts, size = [], 0
    if parts:
        yield b"".join(parts)
