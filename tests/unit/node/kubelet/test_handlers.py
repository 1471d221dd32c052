"""Probe handlers against real sockets, and the tally of probe outcomes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from pybernetes.api.core_v1 import LifecycleHandler, Probe
from pybernetes.machinery import codec
from pybernetes.node.cri import fake
from pybernetes.node.kubelet import handlers, hooks
from pybernetes.node.kubelet.handlers import FAILURE, SUCCESS, Outcome
from pybernetes.node.kubelet.probes import Tally
from tests.unit.node.kubelet.world import pod

pytestmark = pytest.mark.real_time


@asynccontextmanager
async def web(answer: Callable[[str], str]) -> AsyncIterator[tuple[int, list[str]]]:
    """A server that answers a request's text with a response's text; its port and what it was asked."""
    asked: list[str] = []
    over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        asked.append(request)
        if reply := answer(request):
            writer.write(reply.encode())
        else:
            await over.wait()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], asked
        over.set()
        await asyncio.sleep(0.01)


async def probe(wire: dict[str, Any], timeout: float = 1.0) -> Outcome:
    one = pod("p", {"name": "main", "ports": [{"name": "web", "containerPort": 1}]})
    handler = codec.from_dict(Probe, wire)
    return await handlers.perform(fake.FakeRuntime(), one, one.spec.containers[0], "id", "127.0.0.1", handler, timeout)


def response(status: int, *headers: str) -> str:
    return "\r\n".join([f"HTTP/1.1 {status} X", "Content-Length: 0", *headers, "", ""])


async def test_http() -> None:
    async with web(lambda request: response(204)) as (port, asked):
        headers = [{"name": "X-A", "value": "1"}, {"name": "Host", "value": "example.org"}]
        outcome = await probe({"httpGet": {"port": port, "path": "/x?y=z", "httpHeaders": headers}})
        assert outcome.result == SUCCESS
        lines = asked[0].split("\r\n")
        assert lines[0] == "GET /x?y=z HTTP/1.1" and "Host: example.org" in lines and "X-A: 1" in lines
        assert "User-Agent: kube-probe/1.36" in lines
    async with web(lambda request: response(500)) as (port, _):
        outcome = await probe({"httpGet": {"port": port}})
        assert outcome == Outcome(FAILURE, "HTTP probe failed with statuscode: 500")


async def test_http_redirects() -> None:
    def answer(request: str) -> str:
        return response(200) if request.startswith("GET /there") else response(302, "Location: /there")

    async with web(answer) as (port, asked):
        assert (await probe({"httpGet": {"port": port}})).result == SUCCESS
        assert len(asked) == 2
    for location, wanted in (("./", "/a/"), ("../b?c=d", "/b?c=d"), ("?e", "/a/index.html?e")):

        def relative(request: str, location: str = location, wanted: str = wanted) -> str:
            return response(200 if request.startswith(f"GET {wanted} ") else 301, f"Location: {location}")

        async with web(relative) as (port, asked):
            assert (await probe({"httpGet": {"port": port, "path": "/a/index.html"}})).result == SUCCESS
            assert len(asked) == 2
    async with web(lambda request: response(302, "Location: http://elsewhere.example/")) as (port, _):
        outcome = await probe({"httpGet": {"port": port}})
        assert (outcome.result, outcome.warning) == (SUCCESS, True)
        assert outcome.output.startswith("Probe terminated redirects, Response body: ")
    async with web(lambda request: response(302, "Location: /again")) as (port, _):
        assert (await probe({"httpGet": {"port": port}})).output.endswith("stopped after 10 redirects")


async def hook(wire: dict[str, Any]) -> tuple[str, list[tuple[str, str, str]]]:
    """What went wrong with a hook, and the events."""
    one, told = pod("p", {"name": "main"}), list[tuple[str, str, str]]()
    handler = codec.from_dict(LifecycleHandler, wire)
    problem = await hooks.perform(
        fake.FakeRuntime(), one, one.spec.containers[0], "id", "127.0.0.1", handler, 5.0, lambda *a: told.append(a)
    )
    return problem, told


async def test_an_http_hook_fails_only_when_nobody_answers() -> None:
    async with web(lambda request: response(500)) as (port, asked):
        assert await hook({"httpGet": {"port": port, "path": "/x"}}) == ("", [])
        assert "User-Agent: kube-lifecycle/1.36" in asked[0]
    problem, told = await hook({"httpGet": {"port": port, "path": "/x"}})
    assert problem == (
        'HTTP lifecycle hook (/x) for Container "main" in Pod "p_default()" failed - error: '
        f'Get "http://127.0.0.1:{port}/x": dial tcp 127.0.0.1:{port}: connect: connection refused'
    )
    assert told == []
    assert (await hook({"tcpSocket": {"port": port}}))[0] == "Cannot run handler: invalid handler"


async def test_an_https_hook_that_meets_plain_http_asks_again() -> None:
    asked = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.read(1)
        if first != b"\x16":  # else: the beginning of a TLS handshake
            asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(response(400 if first == b"\x16" else 200).encode())
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        headers = [{"name": "Authorization", "value": "Bearer secret"}, {"name": "X-A", "value": "1"}]
        problem, told = await hook({"httpGet": {"port": port, "scheme": "HTTPS", "httpHeaders": headers}})
        text = f"request to HTTPS lifecycle hook 127.0.0.1:{port} got HTTP response, retry with HTTP succeeded"
        assert (problem, told) == ("", [("Warning", "LifecycleHTTPFallback", text)])
        assert "X-A: 1" in asked[0] and "secret" not in asked[0]
        outcome = await probe({"httpGet": {"port": port, "scheme": "HTTPS", "path": "/"}})
        assert outcome == Outcome(
            FAILURE, f'Get "https://127.0.0.1:{port}/": http: server gave HTTP response to HTTPS client'
        ), "a probe does not"
        await asyncio.sleep(0.01)


async def test_nobody_there_and_nobody_answering() -> None:
    async with web(lambda request: "") as (port, _):
        outcome = await probe({"httpGet": {"port": port}}, 0.1)
        assert outcome.output == (
            f'Get "http://127.0.0.1:{port}/": context deadline exceeded '
            "(Client.Timeout exceeded while awaiting headers)"
        )
        assert (await probe({"tcpSocket": {"port": port}})).result == SUCCESS
    outcome = await probe({"httpGet": {"port": port, "path": "x"}})
    assert outcome.output == (
        f'Get "http://127.0.0.1:{port}/x": dial tcp 127.0.0.1:{port}: connect: connection refused'
    )
    outcome = await probe({"tcpSocket": {"port": port}})
    assert outcome == Outcome(FAILURE, f"dial tcp 127.0.0.1:{port}: connect: connection refused")
    assert "failed to connect service" in (await probe({"grpc": {"port": port}})).output


async def test_named_ports() -> None:
    assert (
        handlers.port_number(
            pod("p", {"name": "m", "ports": [{"name": "w", "containerPort": 8}]}).spec.containers[0], "w"
        )
        == 8
    )
    with pytest.raises(ValueError, match="port nope not found"):
        handlers.port_number(pod("p").spec.containers[0], "nope")


@pytest.mark.parametrize(("status", "result"), [(1, SUCCESS), (2, FAILURE)])
async def test_grpc(status: int, result: str) -> None:
    from grpclib.health.v1.health_grpc import HealthBase
    from grpclib.health.v1.health_pb2 import HealthCheckResponse
    from grpclib.server import Server, Stream

    class Health(HealthBase):
        async def Check(self, stream: Stream[Any, Any]) -> None:
            request = await stream.recv_message()
            assert request is not None and request.service == "svc" * 50
            await stream.send_message(HealthCheckResponse(status=status))  # type: ignore[arg-type]

        async def Watch(self, stream: Stream[Any, Any]) -> None:
            raise NotImplementedError

    server = Server([Health()])
    await server.start("127.0.0.1", 0)
    assert server._server is not None
    port = server._server.sockets[0].getsockname()[1]
    try:
        outcome = await probe({"grpc": {"port": port, "service": "svc" * 50}})
        assert outcome.result == result, outcome
    finally:
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize(
    ("thresholds", "outcomes", "verdicts"),
    [
        ((1, 3), "xx.xxx.", [None, None, True, True, True, False, True]),
        ((2, 1), "..x..", [None, True, False, False, True]),
    ],
)
def test_tally(thresholds: tuple[int, int], outcomes: str, verdicts: list[bool | None]) -> None:
    tally, found = Tally(*thresholds), []
    for mark in outcomes:
        tally.add(mark == ".")
        found.append(tally.verdict)
    assert found == verdicts
