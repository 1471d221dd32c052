"""The work queue: keys, each at most once waiting and at most once in work.

A key added while it is being worked on comes back when it is done, so one key is never reconciled by two workers and
no change is lost, and a hundred changes to one object are one reconcile. Delayed keys share one heap and one timer of
the loop: an idle queue costs nothing, and only the earliest of several delays for one key counts.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

from pybernetes.aio import clock
from pybernetes.aio.backoff import ItemBackoff, TokenBucket

K = TypeVar("K", bound=Hashable)


class Queue(Generic[K]):
    """Deduplicating queue with delays and per-key back-off (5 ms to 1000 s; 10 retries a second after 100 at once)."""

    def __init__(self, *, backoff: ItemBackoff | None = None, bucket: TokenBucket | None = None) -> None:
        self._waiting: deque[K] = deque()
        self._dirty: set[K] = set()  # waiting, or to be added again when done
        self._working: set[K] = set()
        self._getters: deque[asyncio.Future[None]] = deque()
        self._heap: list[tuple[float, int, K]] = []
        self._due: dict[K, float] = {}
        self._sequence = 0
        self._timer: asyncio.TimerHandle | None = None
        self._backoff = backoff or ItemBackoff()
        self._bucket = bucket or TokenBucket(10.0, 100)

    def __len__(self) -> int:
        """Keys waiting now (not the delayed, not those in work)."""
        return len(self._waiting)

    @property
    def idle(self) -> bool:
        """Nothing is waiting or in work (delayed keys do not count)."""
        return not self._dirty and not self._working

    def add(self, key: K) -> None:
        """Let `key` be worked on soon."""
        if key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._working:
            self._waiting.append(key)
            self._wake()

    def add_after(self, key: K, seconds: float) -> None:
        """Add `key` in that time; of several delays for one key the earliest counts."""
        if seconds <= 0:
            self.add(key)
            return
        due = clock.monotonic() + seconds
        if (before := self._due.get(key)) is not None and before <= due:
            return
        self._due[key] = due
        self._sequence += 1
        heapq.heappush(self._heap, (due, self._sequence, key))
        if self._heap[0][0] == due:
            self._set_timer()

    def add_rate_limited(self, key: K) -> None:
        """Add `key` after its back-off, which grows until `forget`."""
        self.add_after(key, max(self._backoff.next(key), self._bucket.reserve()))

    def failures(self, key: K) -> int:
        """How often `key` was added rate limited since it was forgotten."""
        return self._backoff.failures(key)

    def forget(self, key: K) -> None:
        """`key` succeeded: its next back-off starts small again."""
        self._backoff.forget(key)

    async def get(self) -> K:
        """The next key; call `done` with it afterwards, always."""
        while not self._waiting:
            getter = asyncio.get_running_loop().create_future()
            self._getters.append(getter)
            try:
                await getter
            except asyncio.CancelledError:
                if getter.done() and not getter.cancelled():
                    self._wake()  # pass the wake-up on
                raise
        key = self._waiting.popleft()
        self._dirty.discard(key)
        self._working.add(key)
        return key

    def done(self, key: K) -> None:
        """Work on `key` has ended."""
        self._working.discard(key)
        if key in self._dirty:
            self._waiting.append(key)
            self._wake()

    def close(self) -> None:
        """Drop the timer; a closed queue delivers no more delayed keys."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        self._heap.clear()
        self._due.clear()

    def _wake(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return

    def _set_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(self._heap[0][0], self._fire)

    def _fire(self) -> None:
        self._timer = None
        now = clock.monotonic()
        while self._heap and self._heap[0][0] <= now:
            due, _, key = heapq.heappop(self._heap)
            if self._due.get(key) == due:
                del self._due[key]
                self.add(key)
        if self._heap:
            self._set_timer()
