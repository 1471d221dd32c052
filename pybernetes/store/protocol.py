"""The contract of a revisioned byte store, as etcd sees the world.

A store maps keys to bytes and counts writes: every successful create, update or delete takes the next *revision* of the
whole store, so one number orders everything. Writes are compare-and-swap on the key's last revision; there is no
unconditional put, because no caller of ours has a use for one. Readers list a prefix at a revision (stable paging) and
watch a prefix from a revision (no gap, no duplicate), as far back as history reaches: `compact` forgets what is older.

The store knows nothing of what the bytes mean, with one exception kept at arm's length: a value that should contain its
own revision gets it from the `Stamp` function, at the moment the revision is known. Memory and sqlite keep stamped
values; etcd keeps what was written and stamps what is read. Either way every value that comes out is stamped.

Why not a library's client interface: three implementations must agree on the corners (conflicts, compaction, order of
delivery), and the contract suite in `tests/suites/store_contract.py` judges all three by this file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol, TypeAlias

import msgspec

from pybernetes.store.watch import Watch

#: `stamp(value, revision)` returns the value with the revision written into it. It must be deterministic, and
#: applicable to a value that bears a stamp already (a deletion stamps the last value anew).
Stamp: TypeAlias = Callable[[bytes, int], bytes]


def unstamped(value: bytes, revision: int) -> bytes:
    """The stamp that leaves values as they are."""
    return value


class Seal(Protocol):
    """What turns values into what is kept (encrypted, say) and back. Called from the writer's thread, too."""

    def seal(self, key: str, value: bytes) -> bytes:
        """The value as it is to be kept."""

    def unseal(self, key: str, data: bytes) -> bytes:
        """The value that was kept. Raises StoreCorrupt."""


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A key as it stood at some revision. `gc=False`: holds no containers, so the collector need not visit it."""

    key: str
    value: bytes  # stamped
    revision: int  # of the last write to this key
    create_revision: int  # of the write that created it


class Event(msgspec.Struct, frozen=True, gc=False):
    """One write, as watchers see it."""

    kind: Literal["put", "delete"]
    key: str
    value: bytes  # put: the new value; delete: the last value, stamped with the revision of the deletion
    previous: bytes | None  # the stamped value before; None for a put that created
    revision: int
    create_revision: int  # of the entry written or deleted
    previous_revision: int  # the entry's revision before; 0 for a put that created

    @property
    def create(self) -> bool:
        """Whether this put created the key."""
        return self.previous_revision == 0


class Page(msgspec.Struct, frozen=True):
    """Part of a prefix, in key order."""

    entries: list[Entry]
    revision: int  # the state of which revision this is
    remaining: int  # entries under the prefix after the last one here


#: `on_events(events, revision)`: events in order; with them everything up to `revision` has been delivered.
#: An empty list says only that. Called on the event loop; must not block.
OnEvents: TypeAlias = Callable[[list[Event], int], None]
#: `on_end(error)`: the subscription ended by itself and delivers no more: `Compacted`, `StoreClosed`, or what the
#: subscriber's own callback raised.
OnEnd: TypeAlias = Callable[[Exception], None]


class Subscription(Protocol):
    """A running delivery of events to a callback."""

    @property
    def revision(self) -> int:
        """Everything up to this revision has been delivered."""

    async def caught_up(self, revision: int) -> None:
        """Return once everything up to `revision` has been delivered; waits as long as that takes.

        Immediate in memory and sqlite for the revision of any finished write. Raises what ended the subscription.
        """

    def close(self) -> None:
        """Deliver no more. May be called twice; `on_end` is not called."""


class Store(Protocol):
    """Built without I/O; `start()` before use, `close()` after. All methods belong to one event loop.

    Cancelling a write leaves its outcome open: it may have been made. Keys are non-empty text without NUL, ordered
    by code point (which is the byte order of UTF-8). A fresh store is at revision 1, the first write makes 2.
    """

    async def start(self) -> None:
        """Open. Raises StoreError (locked by another process, corrupt, foreign) or StoreUnavailable."""

    async def close(self) -> None:
        """Finish what is pending, end subscriptions with StoreClosed, release everything. May be called twice."""

    async def get(self, key: str) -> Entry | None:
        """The key as it is now (linearizable), or None."""

    async def list(self, prefix: str, *, limit: int = 0, after: str = "", revision: int = 0) -> Page:
        """Entries whose key starts with `prefix`, in key order.

        `limit` 0 is no limit; `after` is exclusive (the last key of the page before); `revision` 0 is now.
        Raises Compacted when `revision` is below the compacted revision, FutureRevision when above the current one.
        """

    async def create(self, key: str, value: bytes) -> Entry:
        """Write a key that does not exist. Raises KeyExists."""

    async def update(self, key: str, value: bytes, expected_revision: int) -> Entry:
        """Write a key whose last revision is the expected one. Raises RevisionConflict."""

    async def delete(self, key: str, expected_revision: int) -> Entry:
        """Remove a key whose last revision is the expected one. Raises RevisionConflict.

        Returns the last value stamped with the revision of the deletion, which is also the entry's `revision`.
        """

    def watch(self, prefix: str, *, after_revision: int) -> Watch:
        """Iterate over events with `revision > after_revision`. Raises Compacted, here or from the iteration."""

    def subscribe(
        self, prefix: str, *, after_revision: int, on_events: OnEvents, on_end: OnEnd | None = None
    ) -> Subscription:
        """Deliver events with `revision > after_revision` to a callback, in batches.

        Memory and sqlite deliver the past before this returns, and each write before the writer's await returns. etcd
        delivers as the server sends: a writer that needs its own write delivered awaits `caught_up(entry.revision)`.
        Raises Compacted, here or (etcd) through `on_end`.
        """

    async def current_revision(self) -> int:
        """The revision of the last write (linearizable: at least that of every write finished before the call)."""

    async def compact(self, revision: int) -> None:
        """Forget history before `revision`: the state at it, and events after it, stay readable.

        Nothing happens when history was compacted that far already. Raises FutureRevision.
        """

    @property
    def compacted_revision(self) -> int:
        """The highest revision known to be compacted; 0 if none."""
