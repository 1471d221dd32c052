"""The server on real sockets, plain and with TLS."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from pybernetes.aio import clock
from pybernetes.bootstrap import pki
from pybernetes.control_plane.apiserver.http import Config, HTTPServer, Request, Response, Stream, server_context

pytestmark = pytest.mark.real_time
GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"


@contextlib.asynccontextmanager
async def serving(handler: Any, **config: Any) -> AsyncIterator[tuple[HTTPServer, int]]:
    server = HTTPServer(handler, Config(**config))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(server.run())
        _, port = await server.ready.wait()
        yield server, port
        task.cancel()
    assert not server.tasks


@contextlib.asynccontextmanager
async def connected(port: int, tls: ssl.SSLContext | None = None) -> AsyncIterator[Any]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()


async def ask(reader: Any, writer: Any, request: bytes = GET) -> tuple[bytes, bytes]:
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    size = next(int(x.split(b":")[1]) for x in head.split(b"\r\n") if x.startswith(b"Content-Length"))
    return head, await reader.readexactly(size)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("pki")
    pki.ensure(directory)
    return directory


def server_tls(files: Path) -> ssl.SSLContext:
    cas = [str(files / "ca.crt"), str(files / "front-proxy-ca.crt")]
    return server_context(str(files / "apiserver.crt"), str(files / "apiserver.key"), cas)


def client_tls(files: Path, certificate: str = "") -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(files / "ca.crt"))
    if certificate:
        context.load_cert_chain(files / f"{certificate}.crt", files / f"{certificate}.key")
    return context


def who(request: Request) -> Response:
    peer = request.peer_certificate
    return Response(200, b"", repr((peer.common_name, peer.organizations) if peer else None).encode())


async def test_plain() -> None:
    async with serving(lambda r: Response(200, b"", r.path.encode())) as (server, port), connected(port) as pair:
        assert (await ask(*pair))[1] == b"/a"
        assert (await ask(*pair))[1] == b"/a"
        assert len(server.connections) == 1


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_tls_client_certificates(files: Path, version: ssl.TLSVersion) -> None:
    roots: list[bytes] = []

    def handler(request: Request) -> Response:
        if request.peer_certificate:
            roots.append(request.peer_certificate.root)
        return who(request)

    async with serving(handler, tls=server_tls(files)) as (_, port):
        answers = []
        for name in ("", "apiserver-kubelet-client", "front-proxy-client"):
            context = client_tls(files, name)
            context.maximum_version = version
            async with connected(port, context) as pair:
                answers.append((await ask(*pair))[1].decode())
    assert answers == [
        "None",
        "('kube-apiserver-kubelet-client', ('kubeadm:cluster-admins',))",
        "('front-proxy-client', ())",
    ]
    cas = [ssl.PEM_cert_to_DER_cert((files / name).read_text()) for name in ("ca.crt", "front-proxy-ca.crt")]
    assert roots == cas


async def test_tls_refuses_strangers_and_serving_certificates(files: Path, tmp_path: Path) -> None:
    pki.ensure(tmp_path)  # another cluster
    async with serving(who, tls=server_tls(files)) as (server, port):
        stranger = client_tls(files)
        stranger.load_cert_chain(tmp_path / "apiserver-kubelet-client.crt", tmp_path / "apiserver-kubelet-client.key")
        for context in (stranger, client_tls(files, "apiserver")):  # a serving certificate is no client's
            with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
                async with connected(port, context) as pair:
                    await ask(*pair)
        async with connected(port) as (reader, writer):
            writer.write(GET)
            assert b"HTTP request to an HTTPS server" in await reader.read()
        async with connected(port, client_tls(files)) as pair:
            assert (await ask(*pair))[1] == b"None"
        assert len(server.connections) <= 1


async def test_large_bodies_over_tls(files: Path) -> None:
    body = [bytes([i]) * 50_000 for i in range(100)]
    handler = lambda r: Response(200, b"", [*body, r.body[-3:]])  # noqa: E731
    upload = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000003\r\n\r\n" + b"x" * 1_000_000 + b"end"
    async with serving(handler, tls=server_tls(files)) as (_, port), connected(port, client_tls(files)) as pair:
        assert (await ask(*pair, upload))[1] == b"".join(body) + b"end"


async def test_stream_and_disconnect_over_tls(files: Path) -> None:
    streams: list[Stream] = []
    async with serving(lambda r: streams.append(r.stream()), tls=server_tls(files)) as (server, port):
        async with connected(port, client_tls(files)) as (reader, writer):
            writer.write(GET)
            await reader.readuntil(b"\r\n\r\n")
            streams[0].write(b"event")
            assert await reader.readexactly(10) == b"5\r\nevent\r\n"
        await streams[0].wait_closed()
        assert not streams[0].ended and not server.connections


async def test_stop_ends_streams_finishes_requests_and_cancels_the_rest() -> None:
    cancelled: list[str] = []

    async def slow(request: Request) -> Response:
        try:
            await clock.sleep(0.05 if request.path == "/short" else 60)
        except asyncio.CancelledError:
            cancelled.append(request.path)
            raise
        return Response(200, b"", b"done")

    def handler(request: Request) -> Any:
        return request.stream() and None if request.path == "/watch" else slow(request)

    async with contextlib.AsyncExitStack() as clients:
        pairs = []
        async with serving(handler, drain=0.2) as (server, port):
            for path in (b"/watch", b"/short", b"/long", b""):
                pair = await clients.enter_async_context(connected(port))
                pairs.append(pair)
                if path:
                    pair[1].write(GET.replace(b"/a", path))
            while len(server.connections) < 4 or len(server.tasks) < 2:
                await clock.sleep(0.01)
        answers = [await reader.read() for reader, _ in pairs]
    assert answers[0].endswith(b"\r\n\r\n0\r\n\r\n")
    assert answers[1].endswith(b"done")
    assert answers[2] == answers[3] == b"" and cancelled == ["/long"]


async def test_idle_connections_are_closed() -> None:
    async with serving(who, idle_timeout=0.01) as (_, port), connected(port) as (reader, writer):
        await ask(reader, writer)
        assert await reader.read() == b""


async def test_half_a_handshake_is_cut(files: Path) -> None:
    async with serving(who, tls=server_tls(files), header_timeout=0.01) as (server, port):
        async with connected(port) as (reader, writer):
            writer.write(b"\x16\x03\x01")
            assert await reader.read() == b""
        assert not server.connections
