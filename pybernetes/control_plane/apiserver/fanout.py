"""From one change to all its watchers, at a few microseconds per event and watcher.

Watchers that see the same (namespace, selectors, representation) form a `Group`. A change is matched once per group,
encoded once per representation, and what a group has to say in one tick of the event loop is joined into one payload
that is written to each of its watchers. Groups that ask for one node's pods, one object or one namespace are found
by that value, so that five thousand kubelets cost a change two look-ups.

Under load the next flush waits as long as the last one took (at most `LONGEST_PAUSE`): half of the time goes to
writers, and the batches grow just as far as needed. A watcher that does not read is dropped, never waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.cache import Change, Item, Storage, WatchCache

#: Seconds between bookmarks.
BOOKMARK_INTERVAL = 60.0
#: Flushes shorter than this (seconds) are not followed by a pause.
SHORT_FLUSH = 0.001
LONGEST_PAUSE = 0.05

#: (ADDED, MODIFIED or DELETED; what to show)
WatchEvent = tuple[str, "Item"]


class Encoding(Protocol):
    """A representation of events. `name` tells encodings apart; equal names must encode equally."""

    name: str

    def payload(self, events: list[WatchEvent], memo: dict[Any, Any]) -> Any:
        """What sinks of this encoding take, for a batch. `memo` lives for one flush and is shared by all groups."""

    def bookmark(self, revision: int, annotations: dict[str, str] | None) -> Any:
        """A bookmark as payload."""


class Sink(Protocol):
    """Where a watcher's payloads go."""

    def send(self, payload: Any) -> None:
        """Take a payload; never blocks. Drops itself (`closed`) when its reader is too slow."""

    def end(self, payload: Any = None) -> None:
        """No more comes, after this last payload."""


class Watcher:
    """One watch that is up to date."""

    __slots__ = ("bookmarks", "group", "sink")

    def __init__(self, sink: Sink, bookmarks: bool) -> None:
        self.sink = sink
        self.bookmarks = bookmarks
        self.group: Group | None = None


class Group:
    """Watchers that see the same. `matches` is None when everything under `index` does."""

    __slots__ = ("encoding", "index", "key", "matches", "pending", "storage", "watchers")

    def __init__(
        self,
        storage: Storage,
        key: tuple[Any, ...],
        index: tuple[str, str],
        matches: Callable[[Item], bool] | None,
        encoding: Encoding,
    ) -> None:
        self.storage = storage
        self.key = key
        self.index = index
        self.matches = matches
        self.encoding = encoding
        self.watchers: dict[Watcher, None] = {}
        self.pending: list[WatchEvent] = []

    def offer(self, change: Change) -> bool:
        """Queue the change if it concerns this group."""
        event = transition(change, self.matches)
        if event is None:
            return False
        self.pending.append(event)
        return True


def transition(change: Change, matches: Callable[[Item], bool] | None) -> WatchEvent | None:
    """What a change means to whom `matches` selects for: entering is ADDED, leaving DELETED. Pure."""
    previous = change.previous
    if change.deleted:
        return ("DELETED", change.item) if previous is not None and (matches is None or matches(previous)) else None
    if matches is None:
        return ("ADDED" if previous is None else "MODIFIED", change.item)
    before = previous is not None and matches(previous)
    if matches(change.item):
        return ("MODIFIED" if before else "ADDED", change.item)
    return ("DELETED", change.departed()) if before else None


class Groups:
    """The groups of one storage, by key and by index value."""

    __slots__ = ("_by_index", "_by_key", "indexed")

    def __init__(self) -> None:
        self._by_key: dict[tuple[Any, ...], Group] = {}
        self._by_index: dict[tuple[str, str], dict[Group, None]] = {}
        #: The indexed field of an object, if the kind has one.
        self.indexed: Callable[[Any], str] | None = None

    def __bool__(self) -> bool:
        return bool(self._by_key)

    def __iter__(self) -> Iterator[Group]:
        return iter(self._by_key.values())

    def get(self, key: tuple[Any, ...]) -> Group | None:
        return self._by_key.get(key)

    def add(self, group: Group) -> None:
        self._by_key[group.key] = group
        self._by_index.setdefault(group.index, {})[group] = None

    def remove(self, group: Group) -> None:
        self._by_key.pop(group.key, None)
        same = self._by_index.get(group.index)
        if same is not None:
            same.pop(group, None)
            if not same:
                del self._by_index[group.index]

    def concerned(self, change: Change) -> list[Group]:
        """The groups a change may concern."""
        by_index = self._by_index
        item = change.item
        found: list[Group] = []
        for index in (("", ""), ("namespace", item.namespace), ("name", item.name)):
            if (groups := by_index.get(index)) is not None:
                found.extend(groups)
        indexed = self.indexed
        if indexed is not None and len(by_index) > 0:
            value = indexed(item.obj)
            if (groups := by_index.get(("field", value))) is not None:
                found.extend(groups)
            before = indexed(change.previous.obj) if change.previous is not None else value
            if before != value and (groups := by_index.get(("field", before))) is not None:
                found.extend(groups)
        return found


class Fanout:
    """Distributes changes; one per cache."""

    def __init__(self, cache: WatchCache) -> None:
        self._cache = cache
        self._dirty: dict[Group, None] = {}
        self._timer: asyncio.Handle | None = None
        self._last_took = 0.0
        self._last_end = 0.0
        self._bookmark_timer: asyncio.TimerHandle | None = None
        self.watchers = 0

    def publish(self, storage: Storage, change: Change) -> None:
        """Queue a change for the groups it concerns."""
        groups = storage.groups
        if not groups:
            return
        dirty = self._dirty
        for group in groups.concerned(change):
            if group.offer(change):
                dirty[group] = None
        if dirty and self._timer is None:
            loop = asyncio.get_running_loop()
            pause = self._last_end + min(self._last_took, LONGEST_PAUSE) - loop.time()
            if self._last_took < SHORT_FLUSH or pause <= 0:
                self._timer = loop.call_soon(self.flush)
            else:
                self._timer = loop.call_later(pause, self.flush)

    def flush(self) -> None:
        """Deliver all that is queued."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        dirty, self._dirty = self._dirty, {}
        if not dirty:
            return
        time = asyncio.get_running_loop().time
        start = time()
        memo: dict[Any, Any] = {}
        for group in dirty:
            pending, group.pending = group.pending, []
            if pending and group.watchers:
                payload = group.encoding.payload(pending, memo)
                for watcher in tuple(group.watchers):
                    watcher.sink.send(payload)
        self._last_end = time()
        self._last_took = self._last_end - start

    def join(self, watcher: Watcher, group: Group) -> None:
        """From now on `watcher` sees what concerns `group` (a new one, or one of its storage's)."""
        if group.pending:
            self.flush()  # what is queued happened before the watcher's start
        groups = group.storage.groups
        if groups.get(group.key) is not group:
            groups.add(group)
        group.watchers[watcher] = None
        watcher.group = group
        self.watchers += 1
        if watcher.bookmarks and self._bookmark_timer is None:
            self._bookmark_timer = asyncio.get_running_loop().call_later(BOOKMARK_INTERVAL, self._bookmarks)

    def leave(self, watcher: Watcher) -> None:
        """The watch is over."""
        group = watcher.group
        if group is None:
            return
        watcher.group = None
        self.watchers -= 1
        group.watchers.pop(watcher, None)
        if not group.watchers:
            group.storage.groups.remove(group)
            group.pending.clear()

    def _bookmarks(self) -> None:
        self._bookmark_timer = None
        self.flush()
        revision = self._cache.revision
        any_left = False
        for storage in self._cache.storages():
            for group in tuple(storage.groups):
                payload: Any = None
                for watcher in tuple(group.watchers):
                    if watcher.bookmarks:
                        any_left = True
                        if payload is None:
                            payload = group.encoding.bookmark(revision, None)
                        watcher.sink.send(payload)
        if any_left:
            self._bookmark_timer = asyncio.get_running_loop().call_later(BOOKMARK_INTERVAL, self._bookmarks)

    def close(self) -> None:
        """End all watches and timers."""
        for timer in (self._timer, self._bookmark_timer):
            if timer is not None:
                timer.cancel()
        self._timer = self._bookmark_timer = None
        self._dirty.clear()
        for storage in self._cache.storages():
            for group in tuple(storage.groups):
                for watcher in tuple(group.watchers):
                    watcher.sink.end()
