"""What kube-proxy answers over HTTP: its own health, and that of Services with external policy Local.

A health check port tells a load balancer whether this node has endpoints of its Service. It answers any request: 200
with at least one ready endpoint here, else 503, with upstream's JSON body.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping

from pybernetes.aio import clock
from pybernetes.network.proxy.metrics import Metrics

log = logging.getLogger(__name__)


class HealthPorts:
    """`publish()` says which ports there are and what they answer; `run()` serves them until cancelled."""

    def __init__(self, addresses: tuple[str, ...]) -> None:
        self._addresses = addresses or ("127.0.0.1",)
        self._wanted: dict[int, tuple[str, int]] = {}
        self._servers: dict[int, list[asyncio.Server]] = {}
        self._changed = asyncio.Event()

    def publish(self, ports: Mapping[int, tuple[str, int]]) -> None:
        """Port -> (namespace/name, number of ready endpoints on this node)."""
        if ports.keys() != self._wanted.keys():
            self._changed.set()
        self._wanted = {**ports}

    async def run(self) -> None:
        """See the class."""
        try:
            while True:
                await self._changed.wait()
                self._changed.clear()
                for port in [*self._servers]:
                    if port not in self._wanted:
                        for server in self._servers.pop(port):
                            server.close()
                for port in self._wanted:
                    if port not in self._servers:
                        await self._open(port)
        finally:
            for servers in self._servers.values():
                for server in servers:
                    server.close()

    async def _open(self, port: int) -> None:
        opened = self._servers[port] = []

        def answer(path: str) -> bytes:
            return response(*self._wanted.get(port, ("/", 0)))

        for address in self._addresses:
            try:
                opened.append(await serve(address, port, answer))
            except OSError as error:
                log.error("health check port %s:%d: %s", address, port, error)


class Status:
    """kube-proxy's own ports: whether it works, for load balancers, and what it does, for the curious.

    healthz: (addresses, port) of /healthz (is this node to get traffic?) and /livez; status: the same of /metrics (the
    text of `page`), /proxyMode and /healthz, upstream's on loopback. Port 0: not served. One that is taken is another
    cluster's, and given up.
    """

    def __init__(
        self,
        mode: str,
        metrics: Metrics,
        page: Callable[[], str],
        healthz: tuple[tuple[str, ...], int],
        status: tuple[tuple[str, ...], int],
    ) -> None:
        self._mode, self._places = mode, ((healthz, self._healthz), (status, self._status))
        self._metrics, self._page = metrics, page
        #: When the rules were last known to be right, and whether the node stays.
        self.updated = ""
        self.eligible = True

    async def run(self) -> None:
        """Serve until cancelled."""
        servers: list[asyncio.Server] = []
        try:
            for (addresses, port), answer in self._places:
                for address in addresses if port else ():
                    try:
                        servers.append(await serve(address, port, answer))
                    except OSError as error:
                        log.info("status port %s:%d: %s", address, port, error)
            await asyncio.get_running_loop().create_future()
        finally:
            for server in servers:
                server.close()

    def _healthz(self, path: str) -> bytes:
        if path not in ("/healthz", "/livez"):
            return answered(404, "404 page not found\n", "text/plain; charset=utf-8")
        now = {"lastUpdated": self.updated, "currentTime": clock.rfc3339(), "nodeEligible": self.eligible}
        good = bool(self.updated) and (self.eligible or path == "/livez")
        code = 200 if good else 503
        (self._metrics.livez if path == "/livez" else self._metrics.healthz)[code] += 1
        return answered(code, json.dumps(now), "application/json")

    def _status(self, path: str) -> bytes:
        if path == "/metrics":
            return answered(200, self._page(), "text/plain; version=0.0.4; charset=utf-8")
        texts = {"/healthz": "ok", "/proxyMode": self._mode}
        text = texts.get(path)
        return answered(404 if text is None else 200, text or "404 page not found\n", "text/plain; charset=utf-8")


async def serve(address: str, port: int, answer: Callable[[str], bytes]) -> asyncio.Server:
    """A server that answers each request once, by its path."""

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(10.0):
                head = await reader.readuntil(b"\r\n\r\n")
                words = head.split(b" ", 2)
                writer.write(answer(words[1].decode(errors="replace").partition("?")[0] if len(words) > 2 else ""))
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    return await asyncio.start_server(one, address, port)


def response(service: str, count: int) -> bytes:
    """The HTTP answer for a Service with that many ready endpoints on this node."""
    namespace, _, name = service.partition("/")
    body = {"service": {"namespace": namespace, "name": name}, "localEndpoints": count, "serviceProxyHealthy": True}
    weight = f"X-Load-Balancing-Endpoint-Weight: {count}\r\n"
    return answered(200 if count else 503, json.dumps(body), "application/json", weight)


_REASONS = {200: "OK", 404: "Not Found", 503: "Service Unavailable"}


def answered(code: int, body: str, kind: str, more: str = "") -> bytes:
    """A whole HTTP answer. more: further header lines."""
    head = (
        f"HTTP/1.1 {code} {_REASONS[code]}\r\nContent-Type: {kind}\r\nX-Content-Type-Options: nosniff\r\n{more}"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return (head + body).encode()
