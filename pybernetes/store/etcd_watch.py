"""Following a prefix of etcd across broken connections.

One gRPC stream per subscription. It remembers the last revision delivered in full, and after a failure asks the next
endpoint for what comes behind it, so events neither get lost nor come twice. That a subscriber "has seen everything up
to R" it learns from events, or, when nothing under the prefix was written at R, by asking for a progress report.

Servers before 3.4.31 and 3.5.13 answer such a request out of order: the report may overtake events still in flight.
With those a report counts only after a quarter of a second in which no event came (their catch-up runs ten times a
second).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from grpclib.client import Stream
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from pybernetes.aio import clock
from pybernetes.store.errors import Compacted, StoreClosed, StoreError, StoreUnavailable
from pybernetes.store.etcd_channel import BROKEN, Endpoints
from pybernetes.store.etcd_wire import MESSAGES
from pybernetes.store.protocol import Event, OnEnd, OnEvents

log = logging.getLogger(__name__)

EXPECT_EVENT = 0.05  # seconds in which the event of one's own write should have come, before asking for progress
ASK_AGAIN = 0.1
QUIET = 0.25
RETRY = (0.05, 5.0)  # seconds between attempts to reconnect: first, longest


class EtcdSubscription:
    """`run()` delivers until it is cancelled or the subscription ends by itself."""

    def __init__(
        self,
        endpoints: Endpoints,
        start: bytes,
        stop: bytes,
        after_revision: int,
        convert: Callable[[Any], Event | None],
        on_events: OnEvents,
        on_end: OnEnd | None,
        ordered_progress: Callable[[], bool],
    ) -> None:
        self._endpoints = endpoints
        self._start, self._stop = start, stop
        self._revision = after_revision
        self._convert = convert
        self._on_events = on_events
        self._on_end = on_end
        self._ordered_progress = ordered_progress
        self._stream: Stream[Any, Any] | None = None
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._report: asyncio.TimerHandle | None = None  # a progress report that is not trusted yet
        self._error: Exception | None = None
        self._task: asyncio.Task[None] | None = None

    def own(self, task: asyncio.Task[None]) -> None:
        """The task that runs `run()`, to be cancelled by `close()`."""
        self._task = task

    @property
    def revision(self) -> int:
        return self._revision

    async def caught_up(self, revision: int) -> None:
        pause = EXPECT_EVENT
        while self._revision < revision:
            if self._error is not None:
                raise self._error
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append((revision, waiter))
            await asyncio.wait([waiter], timeout=pause)
            if not waiter.done() and self._report is None:
                await self._ask()
            pause = ASK_AGAIN
            self._waiters = [item for item in self._waiters if item[1] is not waiter]
        if self._error is not None:
            raise self._error

    async def _ask(self) -> None:
        if self._stream is not None:
            try:
                await self._stream.send_message(MESSAGES["WatchRequest"](progress_request={}))
            except BROKEN:
                pass  # the reading side notices as well, and reconnects

    async def run(self) -> None:
        """Deliver, reconnect, deliver. Returns after telling `on_end`."""
        pause = RETRY[0]
        try:
            while True:
                before = self._revision
                try:
                    await self._follow()
                except StoreUnavailable as error:
                    log.warning("watch of etcd broken after revision %d: %s", self._revision, error)
                if self._revision > before:
                    pause = RETRY[0]
                await clock.sleep(pause * (0.5 + clock.rng.random() / 2))
                pause = min(pause * 2, RETRY[1])
        except StoreError as error:
            self.end(error)
        except Exception as error:
            log.exception("a subscriber failed and is ended")
            self.end(error)

    async def _follow(self) -> None:
        channel = await self._endpoints.connected()
        create = {
            "key": self._start,
            "range_end": self._stop,
            "start_revision": self._revision + 1,
            "prev_kv": True,
            "progress_notify": True,
        }
        failure: Exception | None = None
        try:
            async with self._endpoints.stream(channel, "watch", both=True) as stream:
                await stream.send_message(MESSAGES["WatchRequest"](create_request=create))
                self._stream = stream
                try:
                    while (response := await stream.recv_message()) is not None:
                        self._receive(response)
                finally:
                    self._stream = None
                    self._distrust()
                    await stream.cancel()
        except GRPCError as error:
            if error.status in (Status.PERMISSION_DENIED, Status.UNAUTHENTICATED, Status.UNIMPLEMENTED):
                raise StoreError(f"etcd refuses the watch: {error.message}") from error
            failure = error
        except BROKEN as error:
            failure = error
        self._endpoints.drop(channel)
        raise StoreUnavailable(str(failure) if failure else "the server ended the stream") from failure

    def _receive(self, response: Any) -> None:
        if response.canceled:
            if response.compact_revision:
                raise Compacted(self._revision, response.compact_revision)
            if "permission" in response.cancel_reason:
                raise StoreError(f"etcd refuses the watch: {response.cancel_reason}")
            raise StoreUnavailable(f"etcd ended the watch: {response.cancel_reason}")
        if response.created:
            return
        if not response.events:
            # A report for this watch alone (sent now and then unasked) is in order at any version.
            if self._ordered_progress() or response.watch_id >= 0:
                self._advance([], response.header.revision)
            elif self._report is None and response.header.revision > self._revision:
                loop = asyncio.get_running_loop()
                self._report = loop.call_later(QUIET, self._trust, response.header.revision)
            return
        self._distrust()
        events = [event for event in map(self._convert, response.events) if event is not None]
        # More of the past may follow in the next message: the header's revision says nothing about this watch.
        self._advance(events, response.events[-1].kv.mod_revision)

    def _trust(self, revision: int) -> None:
        self._report = None
        self._advance([], revision)

    def _distrust(self) -> None:
        if self._report is not None:
            self._report.cancel()
            self._report = None

    def _advance(self, events: list[Event], revision: int) -> None:
        if revision <= self._revision:
            return
        self._revision = revision
        self._on_events(events, revision)
        for wanted, waiter in self._waiters:
            if wanted <= revision and not waiter.done():
                waiter.set_result(None)

    def end(self, error: Exception) -> None:
        """End by itself: tell `on_end` and whoever waits."""
        if self._error is not None:
            return
        self._finish(error)
        if self._on_end is not None:
            self._on_end(error)

    def close(self) -> None:
        if self._error is None:
            self._finish(StoreClosed("the subscription was closed"))

    def _finish(self, error: Exception) -> None:
        self._error = error
        self._distrust()
        for _, waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
