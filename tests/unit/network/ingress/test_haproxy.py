"""What haproxy itself does with what is rendered: real requests over the loopback address, reloads, moved servers."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pybernetes.bootstrap.ingress import binary
from pybernetes.network.ingress import process, render, slots
from pybernetes.network.ingress.backends import Backend
from pybernetes.network.ingress.plan import REDIRECT, Plan
from pybernetes.network.ingress.process import Haproxy, HaproxyError

from .objects import authority, backend, certificate, ingress, path, planned, rule, secret

pytestmark = [
    pytest.mark.real_time,
    pytest.mark.skipif(binary() is None, reason="haproxy is not installed"),
]


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        told = (self.server.name, self.path, self.headers["X-Forwarded-Proto"], self.headers["X-Forwarded-For"])  # type: ignore[attr-defined]
        body = " ".join(told).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Silent."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """haproxy resets idle connections that it needs no more."""


@contextlib.contextmanager
def web(*names: str) -> Iterator[dict[str, int]]:
    """Servers that tell their names: name -> port."""
    servers = {name: _Server(("127.0.0.1", 0), _Answer) for name in names}
    threads = []
    for name, server in servers.items():
        server.name = name  # type: ignore[attr-defined]
        threads.append(threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}))
        threads[-1].start()
    try:
        yield {name: server.server_port for name, server in servers.items()}
    finally:
        for server in servers.values():
            server.shutdown()
            server.server_close()
        for thread in threads:
            thread.join()


class Front:
    """A running haproxy, and the client before it."""

    def __init__(self, directory: Path) -> None:
        program = binary()
        assert program is not None
        self.haproxy = Haproxy(program, directory / "ingress")
        with socket.socket() as first, socket.socket() as second:
            for probe in (first, second):
                probe.bind(("127.0.0.1", 0))
            ports = first.getsockname()[1], second.getsockname()[1]
        pair = certificate("default.example")
        self.default = {render.DEFAULT_CERTIFICATE: pair.certificate + pair.key}
        self.setting = render.Setting(
            str(self.haproxy.paths.directory),
            ("127.0.0.1",),
            *ports,
            str(self.haproxy.paths.socket),
            process.user(),
        )
        self.seats: dict[str, slots.Slots] = {}

    async def apply(self, plan: Plan, ports: dict[str, int]) -> None:
        """Each Service `x` of the plan is the server `x`."""
        for name, found in plan.backends.items():
            port = ports[name.split("_")[1]]
            plan.backends[name] = Backend(name, (("127.0.0.1", port),), found.sticky, found.options)
        self.seats = slots.arrange(plan.backends, self.seats)
        await self.haproxy.apply(self.files(plan))

    def files(self, plan: Plan) -> dict[str, bytes]:
        return {**render.files(plan, self.seats, self.setting), **self.default}

    async def get(self, host: str, path: str = "/") -> str:
        """Status, then body."""
        return await asyncio.to_thread(self._get, host, path)

    async def get_securely(self, host: str, path: str) -> str:
        """The same over TLS."""
        return await asyncio.to_thread(self._get, host, path, ssl._create_unverified_context())

    def _get(self, host: str, path: str, context: ssl.SSLContext | None = None) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.setting.http_port, timeout=10)
        if context is not None:
            connection = http.client.HTTPSConnection("127.0.0.1", self.setting.https_port, timeout=10, context=context)
        try:
            connection.request("GET", path, headers={"Host": host, "X-Forwarded-For": "203.0.113.9"})
            answer = connection.getresponse()
            return f"{answer.status} {answer.read().decode() or answer.headers['Location']}"
        finally:
            connection.close()

    async def names_of(self, host: str) -> list[str]:
        """The names in the certificate that a TLS client gets."""
        return await asyncio.to_thread(self._names_of, host)

    def _names_of(self, host: str) -> list[str]:
        context = ssl.create_default_context(cadata=authority().certificate.decode())
        context.check_hostname = False
        with (
            socket.create_connection(("127.0.0.1", self.setting.https_port), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname=host) as wrapped,
        ):
            found = wrapped.getpeercert() or {}
        return [value for _, value in found["subjectAltName"]]  # type: ignore[misc, str-unpack]


@contextlib.asynccontextmanager
async def front(directory: Path) -> AsyncIterator[Front]:
    found = Front(directory)
    try:
        yield found
    finally:
        await found.haproxy.stop()
        assert {path.name for path in found.haproxy.paths.directory.iterdir() if path.is_socket()} == set()


async def test_precedence(tmp_path: Path) -> None:
    plan = planned(
        ingress(
            "i",
            rule("h.example", path("/", "a"), path("/x", "b"), path("/x/y", "c"), path("/x", "d", "Exact")),
            rule("*.example", path("/", "e"), path("/only", "a", "Exact")),
            rule("", path("/any", "b")),
        )
    )
    expected = {
        ("h.example", "/"): "a",
        ("H.example:8080", "/x"): "d",
        ("h.example", "/x?q=1"): "d",
        ("h.example", "/x/"): "b",
        ("h.example", "/x/z"): "b",
        ("h.example", "/xz"): "a",
        ("h.example", "/x/y"): "c",
        ("h.example", "/x/y/z"): "c",
        ("h.example", "/x/yz"): "b",
        ("w.example", "/"): "e",
        ("w.example", "/only"): "a",
        ("w.example", "/only/"): "e",
        ("v.w.example", "/any"): "b",
        ("other.test", "/any/thing"): "b",
        ("v.w.example", "/"): "404",
        ("example", "/"): "404",
        ("other.test", "/anything"): "404",
    }
    with web(*"abcde") as ports:
        async with front(tmp_path) as entry:
            await entry.apply(plan, ports)
            found = {place: await entry.get(*place) for place in expected}
    got = {place: "404" if text.startswith("404") else text.split()[1] for place, text in found.items()}
    assert got == expected
    # The request arrives as it was, and says truly where it came from.
    assert found["h.example", "/x?q=1"] == "200 d /x?q=1 http 127.0.0.1"


async def test_plain_http_is_sent_to_https_where_an_ingress_says_so(tmp_path: Path) -> None:
    rules = rule("h.example", path("/", "a"), path("/x", "a", "Exact")), rule("", path("/any", "a"))
    plan = planned(ingress("i", *rules, tls=[{"hosts": ["h.example"]}], annotations={REDIRECT: "true"}))
    with web("a") as ports:
        async with front(tmp_path) as entry:
            await entry.apply(plan, ports)
            there = f"308 https://h.example:{entry.setting.https_port}"
            assert await entry.get("h.example:80", "/x?q=1") == f"{there}/x?q=1"
            assert await entry.get("H.example") == f"{there}/"
            assert await entry.get("other", "/any") == "200 a /any http 127.0.0.1"
            assert (await entry.get_securely("h.example", "/x?q=1")).startswith("200 a /x?q=1 https ")


async def test_certificates_by_name_and_the_default_one(tmp_path: Path) -> None:
    plan = planned(
        ingress(
            "i",
            rule("a.example", path("/", "a")),
            tls=[
                {"hosts": ["a.example"], "secretName": "one"},
                {"hosts": ["*.w.example"], "secretName": "wild"},
                {"hosts": ["nothing.example"]},
            ],
        ),
        secrets=(secret("one", certificate("a.example")), secret("wild", certificate("*.w.example"))),
    )
    with web("a") as ports:
        async with front(tmp_path) as entry:
            await entry.apply(plan, ports)
            assert await entry.names_of("a.example") == ["a.example"]
            assert await entry.names_of("x.w.example") == ["*.w.example"]
            assert await entry.names_of("nothing.example") == ["default.example"]
            # A Secret that is gone leaves no key behind.
            await entry.apply(planned(ingress("i", rule("a.example", path("/", "a")))), ports)
            assert await entry.names_of("a.example") == ["default.example"]
            kept = [*(entry.haproxy.paths.directory / render.CERTIFICATE_DIRECTORY).iterdir()]
            assert [path.name for path in kept] == ["default.pem"]


async def test_reloads_and_moves_fail_no_request(tmp_path: Path) -> None:
    plan = planned(ingress("i", defaultBackend=backend("a")))
    other = planned(ingress("i", rule("x.example", path("/", "b")), defaultBackend=backend("a")))
    with web("a", "b") as ports:
        async with front(tmp_path) as entry:
            await entry.apply(plan, ports)
            answers: list[str] = []
            stop = asyncio.Event()

            async def ask() -> None:
                while not stop.is_set():
                    answers.append(await entry.get("h.example"))

            async with asyncio.TaskGroup() as group:
                askers = [group.create_task(ask()) for _ in range(4)]
                for i in range(3):
                    await entry.apply(other if i % 2 else plan, ports)
                    name = "ns_a_80"
                    moved = {name: (None, ("127.0.0.1", ports["b"]), None, None)}
                    await entry.haproxy.command(slots.commands({name: entry.seats[name]}, moved))
                    assert (await entry.get("h.example")).startswith("200 b")
                stop.set()
            assert all(asker.done() for asker in askers)
            assert {answer[:3] for answer in answers} == {"200"}
            assert (await entry.get("x.example")).startswith("200 b")


async def test_what_haproxy_refuses_changes_nothing(tmp_path: Path) -> None:
    plan = planned(ingress("i", defaultBackend=backend("a")))
    with web("a") as ports:
        async with front(tmp_path) as entry:
            await entry.apply(plan, ports)
            files = entry.files(plan)
            with pytest.raises(HaproxyError, match="refuses its configuration"):
                await entry.haproxy.apply({**files, render.CONFIGURATION: b"nonsense\n"})
            assert (await entry.get("h.example")).startswith("200 a")
            with pytest.raises(HaproxyError, match="No such backend"):
                await entry.haproxy.command(["set server x/s1 state ready"])


async def test_a_missing_backend_is_503_and_no_pods_too(tmp_path: Path) -> None:
    plan = planned(ingress("i", rule("", path("/gone", "nobody"), path("/empty", "a"))))
    async with front(tmp_path) as entry:
        for name, found in plan.backends.items():
            plan.backends[name] = Backend(name, (), found.sticky, found.options)
        entry.seats = slots.arrange(plan.backends, {})
        await entry.haproxy.apply(entry.files(plan))
        assert (await entry.get("x.example", "/gone")).startswith("503 no such backend")
        assert (await entry.get("x.example", "/empty")).startswith("503")
        assert (await entry.get("x.example", "/")).startswith("404")
