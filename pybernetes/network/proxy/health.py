"""Health check ports: how a load balancer learns whether this node has endpoints of a Service with policy Local.

A port answers any HTTP request: 200 with at least one ready endpoint here, else 503, with upstream's JSON body.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping

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
        for address in self._addresses:
            try:
                opened.append(await asyncio.start_server(self._answerer(port), address, port))
            except OSError as error:
                log.error("health check port %s:%d: %s", address, port, error)

    def _answerer(self, port: int):  # type: ignore[no-untyped-def]
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                async with asyncio.timeout(10.0):
                    await reader.readuntil(b"\r\n\r\n")
                    writer.write(response(*self._wanted.get(port, ("/", 0))))
                    await writer.drain()
            except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                pass
            finally:
                writer.close()

        return answer


def response(service: str, count: int) -> bytes:
    """The HTTP answer for a Service with that many ready endpoints on this node."""
    namespace, _, name = service.partition("/")
    body = json.dumps(
        {"service": {"namespace": namespace, "name": name}, "localEndpoints": count, "serviceProxyHealthy": True}
    ).encode()
    status = "200 OK" if count else "503 Service Unavailable"
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nX-Content-Type-Options: nosniff\r\n"
        f"X-Load-Balancing-Endpoint-Weight: {count}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
