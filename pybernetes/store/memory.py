"""The store that forgets: for tests, simulations and throw-away clusters.

Everything is in `State`; a write is done when its call returns. No thread, no file, no waiting, so that it
runs under virtual time.
"""

from __future__ import annotations

from pybernetes.store.errors import KeyExists, RevisionConflict, StoreClosed
from pybernetes.store.protocol import Entry, Event, OnEnd, OnEvents, Page, Stamp, Subscription, unstamped
from pybernetes.store.state import Retention, State, check_key
from pybernetes.store.watch import Watch


class MemoryStore:
    """`Store` in memory. Readable and writable from construction on; `start()` is for symmetry."""

    def __init__(self, *, stamp: Stamp = unstamped, retention: Retention = Retention()) -> None:  # noqa: B008 frozen
        self._state = State(stamp, retention)
        self._open = True

    async def start(self) -> None:
        self._open = True

    async def close(self) -> None:
        self._open = False
        self._state.end()

    async def get(self, key: str) -> Entry | None:
        return self._state.entries.get(key)

    async def list(self, prefix: str, *, limit: int = 0, after: str = "", revision: int = 0) -> Page:
        return self._state.page(prefix, limit, after, revision)

    async def create(self, key: str, value: bytes) -> Entry:
        check_key(key)
        if key in self._state.entries:
            raise KeyExists(key)
        return self._commit(self._state.put(key, value, None, self._state.revision + 1))

    async def update(self, key: str, value: bytes, expected_revision: int) -> Entry:
        current = self._state.entries.get(key)
        if current is None or current.revision != expected_revision:
            raise RevisionConflict(key, expected_revision, current)
        return self._commit(self._state.put(key, value, current, self._state.revision + 1))

    async def delete(self, key: str, expected_revision: int) -> Entry:
        current = self._state.entries.get(key)
        if current is None or current.revision != expected_revision:
            raise RevisionConflict(key, expected_revision, current)
        return self._commit(self._state.removal(current, self._state.revision + 1))

    def watch(self, prefix: str, *, after_revision: int) -> Watch:
        if not self._open:
            raise StoreClosed("the store is not open")
        return self._state.watch(prefix, after_revision)

    def subscribe(
        self, prefix: str, *, after_revision: int, on_events: OnEvents, on_end: OnEnd | None = None
    ) -> Subscription:
        if not self._open:
            raise StoreClosed("the store is not open")
        return self._state.subscribe(prefix, after_revision, on_events, on_end)

    async def current_revision(self) -> int:
        return self._state.revision

    async def compact(self, revision: int) -> None:
        self._state.compact(revision)

    @property
    def compacted_revision(self) -> int:
        return self._state.compacted_revision

    def _commit(self, event: Event) -> Entry:
        if not self._open:
            raise StoreClosed("the store was closed")
        state = self._state
        entry = state.apply(event)
        state.publish([event])
        if overdue := state.overdue():
            state.compact(overdue)
        return entry
