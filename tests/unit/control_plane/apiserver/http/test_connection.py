"""The connection without a socket: bytes in, bytes out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pybernetes.aio import clock
from pybernetes.control_plane.apiserver.http import (
    Config,
    Connection,
    HTTPServer,
    RawConnection,
    Request,
    Response,
    Stream,
    ensure_task,
    frame,
)

GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"


class Wire(asyncio.Transport):
    """What a socket's transport is to the connection. `block` stops the peer from reading."""

    def __init__(self) -> None:
        super().__init__()
        self.connection: Connection
        self.sent = b""
        self.buffer = b""
        self.block = False
        self.reading = True
        self.closing = False
        self.ended = False
        self.high = 1 << 20

    def write(self, data: Any) -> None:
        if self.block:
            self.buffer += bytes(data)
            if len(self.buffer) > self.high and not self.connection.write_paused:
                self.connection.pause_writing()
        else:
            self.sent += bytes(data)

    def flush(self) -> None:
        self.block = False
        self.sent, self.buffer = self.sent + self.buffer, b""
        if self.connection.write_paused:
            self.connection.resume_writing()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.high = high or 0

    def get_write_buffer_size(self) -> int:
        return len(self.buffer)

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def write_eof(self) -> None:
        self.ended = True

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("192.0.2.1", 4711) if name == "peername" else default

    def close(self) -> None:
        if not self.closing:
            self.closing = True
            asyncio.get_running_loop().call_soon(self.connection.connection_lost, None)

    abort = close


def connect(handler: Callable[[Request], Any], **limits: Any) -> tuple[Connection, Wire]:
    server = HTTPServer(handler, Config(**limits))
    server.loop = asyncio.get_running_loop()
    connection, wire = Connection(server), Wire()
    wire.connection = connection
    connection.connection_made(wire)
    return connection, wire


def bodies(sent: bytes) -> list[bytes]:
    """The bodies of answers that have a Content-Length."""
    found = []
    while sent:
        head, _, rest = sent.partition(b"\r\n\r\n")
        size = next(int(x.split(b":")[1]) for x in head.split(b"\r\n") if x.lower().startswith(b"content-length"))
        found.append(rest[:size])
        sent = rest[size:]
    return found


def echo(request: Request) -> Response:
    return Response(200, b"", f"{request.method} {request.path}?{request.query} ".encode() + request.body)


async def tick(times: int = 5) -> None:
    for _ in range(times):
        await clock.sleep(0)


async def test_an_answer() -> None:
    connection, wire = connect(lambda r: Response(201, [(b"Content-Type", b"text/plain")], [b"one", b"two"]))
    connection.data_received(GET)
    assert wire.sent == (
        b"HTTP/1.1 201 Created\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n"
        b"Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\nonetwo"
    )
    assert not wire.closing


async def test_request_is_decoded_on_demand() -> None:
    seen: list[Request] = []

    def handler(request: Request) -> Response:
        seen.append(request)
        return Response()

    connection, _ = connect(handler)
    connection.data_received(
        b"PUT /a%20b/%C3%A9?x=1&y=a%2Bb+c&x=2&z HTTP/1.1\r\nHost: h\r\nX-Multi: one \r\nx-multi: two\r\n"
        b"Content-Length: 3\r\n\r\nabc"
    )
    (request,) = seen
    assert (request.method, request.path, request.raw_path) == ("PUT", "/a b/é", b"/a%20b/%C3%A9")
    assert request.params == {"x": ["1", "2"], "y": ["a+b c"], "z": [""]}
    assert request.param("x") == "1" and request.param("none", "d") == "d"
    assert request.header(b"x-multi").strip() == b"one"
    assert [v.strip() for v in request.header_values(b"x-multi")] == [b"one", b"two"]
    assert request.body == b"abc" and request.remote == ("192.0.2.1", 4711) and request.peer_certificate is None


async def test_pipelined_requests_are_answered_in_order() -> None:
    gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def slow() -> Response:
        await gate
        return Response(200, b"", b"slow")

    connection, wire = connect(lambda r: slow() if r.path == "/slow" else echo(r))
    connection.data_received(GET.replace(b"/a", b"/slow") + GET + GET.replace(b"/a", b"/b"))
    await tick()
    assert wire.sent == b"" and not wire.reading
    gate.set_result(None)
    await tick()
    assert bodies(wire.sent) == [b"slow", b"GET /a? ", b"GET /b? "]
    assert wire.reading


async def test_a_coroutine_that_does_not_wait_needs_no_task() -> None:
    async def handler(request: Request) -> Response:
        assert asyncio.current_task() is me or asyncio.current_task() is None
        return Response()

    me = asyncio.current_task()
    connection, wire = connect(handler)
    connection.data_received(GET)
    assert wire.sent.startswith(b"HTTP/1.1 200 OK") and len(asyncio.all_tasks()) == 1


async def test_ensure_task_gives_one() -> None:
    async def handler(request: Request) -> Response:
        await ensure_task()
        async with asyncio.timeout(1):
            await clock.sleep(0.5)
        return Response()

    connection, wire = connect(handler)
    asyncio.get_running_loop().call_soon(connection.data_received, GET)
    await clock.sleep(1)
    assert wire.sent.startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize("ticks", [0, 1, 3])
async def test_client_gone_cancels_the_handler(ticks: int) -> None:
    ended: list[str] = []

    async def handler(request: Request) -> Response:
        try:
            await clock.sleep(1000)
        except asyncio.CancelledError:
            await clock.sleep(0)  # cleaning up may wait
            ended.append("cancelled")
            raise
        return Response()

    connection, wire = connect(handler)
    connection.data_received(GET)
    await tick(ticks)
    connection.connection_lost(None)
    await tick()
    assert ended == ["cancelled"] and wire.sent == b"" and len(asyncio.all_tasks()) == 1


async def test_handler_errors_are_500_and_the_connection_lives(caplog: pytest.LogCaptureFixture) -> None:
    async def late() -> Response:
        await clock.sleep(0)
        raise ValueError("late")

    def handler(request: Request) -> Any:
        if request.path == "/late":
            return late()
        if request.path == "/none":
            return None
        raise ValueError("early")

    connection, wire = connect(handler)
    for path in (b"/early", b"/late", b"/none"):
        connection.data_received(GET.replace(b"/a", path))
        await tick()
    assert wire.sent.count(b"HTTP/1.1 500 Internal Server Error") == 3 and not wire.closing
    assert len(caplog.records) == 3


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET /a HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"400"),
        (b"GET a HTTP/1.1\r\nHost: a\r\n\r\n", b"400"),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"400"),
        (b"GET /a HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 2000 + b"\r\n\r\n", b"431"),
        (b"GET /" + b"x" * 2000, b"431"),
        (b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 101\r\n\r\n", b"413"),
        (b"POST /a HTTP/1.1\r\nHost: h\r\nExpect: magic\r\nContent-Length: 1\r\n\r\n", b"417"),
        (b"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n" + b"x" * 101, b"413"),
    ],
)
async def test_refused(sent: bytes, status: bytes) -> None:
    connection, wire = connect(echo, max_header_bytes=1000, max_body_bytes=100)
    connection.data_received(GET + sent)
    first, second = wire.sent.split(b"HTTP/1.1 ")[1:]
    assert first.startswith(b"200") and second.startswith(status) and b"Connection: close" in second
    connection.data_received(GET)
    assert wire.sent.count(b"HTTP/1.1 ") == 2
    if not wire.closing:
        connection.expire()
    assert wire.closing


async def test_refusal_waits_for_the_answers_before_it() -> None:
    gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def handler(request: Request) -> Response:
        await gate
        return Response(200, b"", b"first")

    connection, wire = connect(handler)
    connection.data_received(GET + b"garbage\r\n\r\n")
    assert wire.sent == b""
    gate.set_result(None)
    await tick()
    assert wire.sent.startswith(b"HTTP/1.1 200 OK") and b"HTTP/1.1 400 Bad Request" in wire.sent and wire.closing


async def test_trailers_are_no_headers() -> None:
    connection, wire = connect(lambda r: Response(200, b"", repr(dict(r.headers)).encode() + r.body))
    connection.data_received(
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nImpersonate-User: admin\r\n\r\n"
    )
    assert b"impersonate" not in wire.sent and wire.sent.endswith(b"abcde")


async def test_continue_is_said_in_turn() -> None:
    gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def slow() -> Response:
        await gate
        return Response(200, b"", b"slow")

    connection, wire = connect(lambda r: slow() if r.path == "/slow" else echo(r))
    head = b"POST /a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    connection.data_received(head)
    assert wire.sent == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.data_received(b"ok")
    assert wire.sent.endswith(b"POST /a? ok")
    wire.sent = b""
    connection.data_received(GET.replace(b"/a", b"/slow") + head)
    await tick()
    assert wire.sent == b""
    gate.set_result(None)
    await tick()
    assert wire.sent.endswith(b"slowHTTP/1.1 100 Continue\r\n\r\n")


async def test_head_and_bodiless_answers() -> None:
    connection, wire = connect(lambda r: Response(204 if r.path == "/none" else 200, b"", b"abc"))
    connection.data_received(b"HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n")
    assert b"Content-Length: 3" in wire.sent and wire.sent.endswith(b"\r\n\r\n")
    wire.sent = b""
    connection.data_received(GET.replace(b"/a", b"/none"))
    assert b"Content-Length" not in wire.sent and wire.sent.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("request_bytes", "closes"),
    [
        (b"GET /a HTTP/1.0\r\n\r\n", True),
        (b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", False),
        (b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", True),
        (b"GET http://h/a HTTP/1.1\r\nHost: h\r\n\r\n", False),
    ],
)
async def test_keep_alive(request_bytes: bytes, closes: bool) -> None:
    connection, wire = connect(echo)
    connection.data_received(request_bytes)
    assert wire.sent.endswith(b"GET /a? ")
    assert wire.closing is closes and (b"Connection: close" in wire.sent) is closes


async def test_large_bodies_wait_for_the_reader() -> None:
    body = [bytes([i % 256]) * 70_000 for i in range(40)]
    connection, wire = connect(lambda r: Response(200, b"", body) if r.path == "/a" else echo(r))
    wire.block = True
    connection.data_received(GET + GET.replace(b"/a", b"/b"))
    assert len(wire.buffer) < 600_000  # not all of it
    assert not wire.reading
    for _ in range(20):
        wire.flush()
        wire.block = True
        await tick(2)
    wire.flush()
    await tick()
    assert bodies(wire.sent) == [b"".join(body), b"GET /b? "] and wire.reading


async def test_stream() -> None:
    streams: list[Stream] = []
    connection, wire = connect(lambda r: streams.append(r.stream(200, [(b"A", b"b")])) if r.path == "/w" else echo(r))
    connection.data_received(GET.replace(b"/a", b"/w"))
    (stream,) = streams
    assert b"Transfer-Encoding: chunked" in wire.sent
    wire.sent = b""
    event = frame(b"event\n")
    stream.write_framed(event)
    stream.write(b"more")
    connection.data_received(GET)  # comes too early, is answered later
    ends: list[int] = []
    stream.on_close(lambda: ends.append(1))
    stream.end()
    stream.end()
    stream.write(b"late")
    await tick()
    assert wire.sent.startswith(b"6\r\nevent\n\r\n4\r\nmore\r\n0\r\n\r\nHTTP/1.1 200 OK")
    assert ends == [1] and stream.closed and stream.ended


async def test_slow_reader_of_a_stream() -> None:
    streams: list[Stream] = []
    connection, wire = connect(lambda r: streams.append(r.stream()), write_high_water=1000)
    connection.data_received(GET)
    (stream,) = streams
    wire.block = True
    for _ in range(20):
        stream.write(b"x" * 100)
    assert stream.paused and stream.buffered == 20 * 106
    async with asyncio.TaskGroup() as group:
        task = group.create_task(stream.drain())
        await tick()
        assert not task.done()
        wire.flush()
    assert not stream.paused
    wire.block = True
    stream.write(b"x" * 2000)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(expect_reset(stream))
        await tick()
        stream.abort()
    assert wire.closing


async def expect_reset(stream: Stream) -> None:
    with pytest.raises(ConnectionResetError):
        await stream.drain()


async def test_stream_tells_that_the_client_is_gone() -> None:
    streams: list[Stream] = []
    connection, _ = connect(lambda r: streams.append(r.stream()))
    connection.data_received(GET)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(streams[0].wait_closed())
        await tick()
        connection.connection_lost(None)
    assert waiting.done() and streams[0].closed and not streams[0].ended


async def test_old_clients_get_streams_unframed() -> None:
    streams: list[Stream] = []
    connection, wire = connect(lambda r: streams.append(r.stream()))
    connection.data_received(b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    streams[0].write_framed(frame(b"event"))
    streams[0].end(b"last")
    assert wire.sent.endswith(b"\r\n\r\neventlast") and wire.closing


async def test_hijack_hands_over_what_follows() -> None:
    raws: list[RawConnection] = []

    def handler(request: Request) -> None:
        raw = request.hijack()
        raw.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        raws.append(raw)

    connection, wire = connect(handler)
    connection.data_received(
        b"POST /exec HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
        b"Content-Length: 0\r\n\r\n\x80\x03"
    )
    (raw,) = raws
    connection.data_received(b"\x00\x01")
    assert await raw.read_exactly(4) == b"\x80\x03\x00\x01"
    connection.eof_received()
    assert await raw.read() == b""
    raw.write(b"bye")
    raw.close()
    await tick()
    assert wire.sent == b"HTTP/1.1 101 Switching Protocols\r\n\r\nbye" and wire.ended and not wire.closing
    connection.data_received(b"unread")  # the peer may still be sending
    assert connection.deadline < 10
    connection.expire()
    assert wire.closing
    with pytest.raises(asyncio.IncompleteReadError):
        await raw.read_exactly(1)


async def test_hijacked_connection_is_read_as_fast_as_it_is_used() -> None:
    raws: list[RawConnection] = []
    connection, wire = connect(lambda r: raws.append(r.hijack()))
    connection.data_received(GET)
    connection.data_received(b"x" * 300_000)
    assert not wire.reading
    while len(await raws[0].read()) == 65536:
        pass
    assert wire.reading


async def test_unwanted_upgrade_is_an_ordinary_request() -> None:
    connection, wire = connect(echo)
    connection.data_received(
        b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n" + GET
    )
    await tick()
    connection.data_received(GET)
    assert bodies(wire.sent) == [b"GET /a? "] * 3


async def test_deadlines() -> None:
    connection, wire = connect(echo, header_timeout=10, body_timeout=20, idle_timeout=30)
    assert connection.deadline == 10
    await clock.sleep(1)
    connection.data_received(GET)
    assert connection.deadline == 31
    await clock.sleep(1)
    connection.data_received(GET[:5])
    assert connection.deadline == 12
    await clock.sleep(1)
    connection.data_received(GET[5:9])
    assert connection.deadline == 12  # trickling does not help
    connection.expire()
    assert b"HTTP/1.1 408 Request Timeout" in wire.sent and wire.closing


async def test_header_with_line_break_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    connection, wire = connect(lambda r: Response(200, [(b"A", b"b\r\nSet-Cookie: x")]))
    connection.data_received(GET)
    await tick()
    assert b"Set-Cookie" not in wire.sent and "line break" in caplog.text


def run(coroutine: Any) -> Any:
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(coroutine)
    finally:
        loop.close()


POST = b"POST /b%20?q=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"PUT /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n"


@given(st.lists(st.sampled_from([GET, POST, CHUNKED]), min_size=1, max_size=6), st.data())
@settings(max_examples=80, deadline=None)
def test_any_split_gives_the_same_answers(requests: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(requests)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=12)))
    wait = data.draw(st.booleans())

    async def maybe_slow(request: Request) -> Response:
        await clock.sleep(0)
        return echo(request)

    async def main() -> bytes:
        connection, wire = connect(maybe_slow if wait else echo)
        for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
            connection.data_received(whole[start:end])
            if data.draw(st.booleans()):
                await tick(1)
        await tick(40)
        return wire.sent

    expected = {GET: b"GET /a? ", POST: b"POST /b ?q=1 hello", CHUNKED: b"PUT /c? abcde"}
    assert bodies(run(main())) == [expected[r] for r in requests]


@given(st.lists(st.one_of(st.binary(max_size=60), st.sampled_from([GET, POST, CHUNKED, b"\r\n", b": x"])), max_size=8))
@settings(max_examples=150, deadline=None)
def test_garbage_never_raises_and_leaves_no_task(pieces: list[bytes]) -> None:
    async def slow(request: Request) -> Response:
        await clock.sleep(0)
        return echo(request)

    async def main() -> None:
        connection, wire = connect(slow, max_header_bytes=200, max_body_bytes=20)
        for piece in pieces:
            if not wire.closing:
                connection.data_received(piece)
            await tick(1)
        connection.connection_lost(None)
        await tick()
        assert len(asyncio.all_tasks()) == 1

    run(main())
