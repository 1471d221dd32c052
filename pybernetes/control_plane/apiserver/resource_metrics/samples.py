"""Asking kubelets what their Pods use, when somebody wants to know.

Nothing is scraped in the background: an idle cluster stays idle. Who asks gets the rates since the last question if
that is recent, else a second sample is taken a second after the first. Autoscalers ask every fifteen seconds, so they
see what metrics-server would show them. Nodes without a kubelet's port play their Pods, and are not asked.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from pybernetes.aio import clock
from pybernetes.api.core_v1 import Node, Pod
from pybernetes.control_plane.apiserver.http.calls import ensure_task
from pybernetes.control_plane.apiserver.resource_metrics.usage import (
    NODE,
    Sample,
    Usage,
    Used,
    between,
    parse,
    played,
)
from pybernetes.machinery.errors import StatusError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import aiohttp

    from pybernetes.control_plane.apiserver.connect.relay import Backend
    from pybernetes.control_plane.apiserver.core import Core

#: Seconds: how long an answer is good, how old the sample before may be, between two when there is none before.
FRESH, STALE, PAUSE = 10.0, 120.0, 1.0
_TIMEOUT = 10.0
#: Kubelets asked at once.
_AT_ONCE = 32


class Samples:
    """Usage by node. `close()` when done."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._last: dict[str, Sample] = {}
        self._usage: dict[str, Usage] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def of(self, names: Iterable[str], pods: Iterable[Pod]) -> dict[str, Usage]:
        """By node name; nodes that do not answer are missing. `pods`: those that fake nodes speak for."""
        found: dict[str, Usage] = {}
        real: list[str] = []
        fake: dict[str, Usage] = {}
        for name in dict.fromkeys(names):
            item = self._core.item("", "nodes", "", name)
            if item is None:
                continue
            if _has_kubelet(cast(Node, item.obj)):
                real.append(name)
            else:
                fake[name] = Usage(clock.timestamp(), PAUSE, {NODE: Used(0, 0)})
        for pod in pods:
            if (usage := fake.get(pod.spec.node_name or "")) is not None:
                usage.used.update(played(pod))
        for name, usage in fake.items():
            each = [used for key, used in usage.used.items() if key != NODE]
            usage.used[NODE] = Used(sum(u.nanocores for u in each), sum(u.bytes for u in each))
            found[name] = usage
        if not real:
            return found
        await ensure_task()
        turns = asyncio.Semaphore(_AT_ONCE)

        async def ask(name: str) -> None:
            async with turns:
                if (usage := await self._node(name)) is not None:
                    found[name] = usage

        async with asyncio.TaskGroup() as group:
            for name in real:
                group.create_task(ask(name), name=f"apiserver/metrics/{name}")
        return found

    async def _node(self, name: str) -> Usage | None:
        async with self._locks.setdefault(name, asyncio.Lock()):
            now = clock.timestamp()
            known = self._usage.get(name)
            if known is not None and now - known.time < FRESH:
                return known
            before = self._last.get(name)
            if before is None or now - before.time > STALE:
                before = await self._sample(name)
                await clock.sleep(PAUSE)
            after = await self._sample(name) if before is not None else None
            if before is None or after is None:
                return None
            self._usage[name] = between(before, after)
            return self._usage[name]

    async def _sample(self, name: str) -> Sample | None:
        import aiohttp

        try:
            backend: Backend = self._core.connector.kubelet(name)
            if self._session is None:
                connector = aiohttp.TCPConnector(limit=0, ttl_dns_cache=None)
                self._session = aiohttp.ClientSession(connector=connector, trust_env=False)
            scheme = "https" if backend.tls is not None else "http"
            async with self._session.get(
                f"{scheme}://{backend.authority}/metrics/resource",
                ssl=backend.tls if backend.tls is not None else True,
                timeout=aiohttp.ClientTimeout(total=_TIMEOUT),
            ) as response:
                if response.status != 200:
                    return None
                self._last[name] = parse(await response.text(), clock.timestamp())
                return self._last[name]
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, StatusError):
            self._last.pop(name, None)
            return None


def _has_kubelet(node: Node) -> bool:
    endpoints = node.status.daemon_endpoints
    return endpoints is not None and endpoints.kubelet_endpoint is not None and bool(endpoints.kubelet_endpoint.port)
