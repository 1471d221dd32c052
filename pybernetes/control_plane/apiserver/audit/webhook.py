"""Events as EventLists to another server.

They wait for each other for a while and leave together. When the server does not answer it is tried again with
growing pauses; what does not fit into the buffer meanwhile is dropped and counted: the cluster does not wait for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from pybernetes.aio import clock
from pybernetes.control_plane.apiserver.remote_hook import RemoteHook
from pybernetes.machinery.errors import StatusError

log = logging.getLogger(__name__)

_BUFFER = 10_000
_ATTEMPTS = 5
_FIRST_PAUSE = 0.5
#: Seconds for what is left when the server stops.
_LAST = 5.0


class Webhook:
    """See the module. wait: seconds that an event may wait for others; batch: how many go in one list."""

    def __init__(self, config: Path, wait: float, batch: int) -> None:
        self._hook = RemoteHook(config)
        self._wait = wait
        self._batch = batch
        self._events: deque[dict[str, object]] = deque()
        self._full = asyncio.Event()
        self.dropped = 0

    def write(self, events: Sequence[dict[str, object]]) -> None:
        """Queue events."""
        room = _BUFFER - len(self._events)
        if len(events) > room:
            self.dropped += len(events) - room
            log.warning("audit webhook: the buffer is full, %d events dropped so far", self.dropped)
            events = events[:room]
        self._events.extend(events)
        if len(self._events) >= self._batch:
            self._full.set()

    async def run(self) -> None:
        """Send until cancelled, then what is left."""
        try:
            while True:
                try:
                    async with asyncio.timeout(self._wait):
                        await self._full.wait()
                except TimeoutError:
                    pass
                await self._send_all(_ATTEMPTS)
                self._full.clear()
        finally:
            try:
                async with asyncio.timeout(_LAST):
                    await self._send_all(1)
            except TimeoutError:
                log.warning("audit webhook: %d events could not be sent any more", len(self._events))
            await self._hook.close()

    async def _send_all(self, attempts: int) -> None:
        while self._events:
            batch = [self._events.popleft() for _ in range(min(self._batch, len(self._events)))]
            await self._send(batch, attempts)

    async def _send(self, batch: list[dict[str, object]], attempts: int) -> None:
        body = {"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "metadata": {}, "items": batch}
        for attempt in range(attempts):
            try:
                await self._hook.post(body)
                return
            except (OSError, ValueError, StatusError) as error:
                log.warning("audit webhook: %s", error)
            if attempt + 1 < attempts:
                await clock.sleep(_FIRST_PAUSE * 2**attempt)
        self.dropped += len(batch)
