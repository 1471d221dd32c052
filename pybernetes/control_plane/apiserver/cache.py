"""The watch cache: every stored object as its bytes and its decoded form, and what happened to it lately.

One subscription on the whole store feeds one `Storage` per resource. A GET writes an item's bytes, a LIST joins them,
a watch starts from the `window` of recent changes and goes on by the fan-out; nothing here touches the disk, and an
object is decoded when somebody looks inside for the first time, or never: a writer hands over the object that it has
just encoded. Items are immutable: a write makes a new one, so readers need no locks and an old list stays valid.

Why not ask the store for everything: its history is one for all resources, and it knows only bytes.
"""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable
from typing import Any, TypeAlias

from pybernetes.aio import clock
from pybernetes.control_plane.apiserver.fanout import Fanout, Groups
from pybernetes.control_plane.apiserver.objects import AnyObject, Codec, CustomCodec, stamp
from pybernetes.machinery import errors
from pybernetes.machinery.meta import StatusCause
from pybernetes.store import Entry, Event, Store, Subscription

log = logging.getLogger(__name__)

ROOT = "/registry/"
#: Seconds a request for a revision from the future waits for it.
FUTURE_WAIT = 3.0
#: Changes per resource whose past states stay decoded: those that a flush or a watch just begun may ask about.
_WARM = 256


class Item:
    """An object as it was at one revision. `data`: its JSON with the revision in it. Shared: never change anything."""

    __slots__ = ("_obj", "_wire", "create_revision", "data", "key", "name", "namespace", "revision", "storage")

    def __init__(
        self, storage: Storage, key: str, data: bytes, revision: int, create_revision: int, obj: AnyObject | None = None
    ) -> None:
        self.storage = storage
        self.key = key
        self.data = data
        self.revision = revision
        self.create_revision = create_revision
        self.namespace, _, self.name = key[len(storage.prefix) :].rpartition("/")
        self._obj = obj
        self._wire: dict[str, Any] | None = None

    @property
    def obj(self) -> AnyObject:
        """The decoded object; shared."""
        obj = self._obj
        if obj is None:
            obj = self._obj = self.storage.codec.decode(self.data)
        return obj

    @property
    def wire(self) -> dict[str, Any]:
        """The object as a wire dict; shared."""
        wire = self._wire
        if wire is None:
            wire = self._wire = self.storage.codec.to_wire(self.obj)
        return wire


class Change:
    """One write. `item` is what was written, or for a deletion the last state bearing the deletion's revision."""

    __slots__ = ("deleted", "item", "previous", "revision")

    def __init__(self, item: Item, previous: Item | None, deleted: bool) -> None:
        self.item = item
        self.previous = previous
        self.deleted = deleted
        self.revision = item.revision

    def departed(self) -> Item:
        """The state before, bearing this change's revision: for watchers whose selector it no longer meets."""
        before = self.previous
        assert before is not None
        data = stamp(before.data, self.revision)
        return Item(before.storage, before.key, data, self.revision, before.create_revision)


Items: TypeAlias = list[Item]
Changes: TypeAlias = list[Change]


class Storage:
    """The live items of one resource, in key order, and the window of changes to them.

    floor: every change above it is in the window. revision: that of the last change.
    """

    def __init__(self, cache: WatchCache, group: str, resource: str) -> None:
        self.cache = cache
        self.group = group
        self.resource = resource
        self.prefix = f"{ROOT}{group or 'core'}/{resource}/"
        self.codec: Codec = CustomCodec()
        self.items: dict[str, Item] = {}
        self.keys: list[str] = []
        self.window: deque[Change] = deque()
        self.floor = cache.revision
        self.revision = 0
        self.groups = Groups()
        #: Called with every change, in order, before the write that made it is answered.
        self.listeners: list[Callable[[Change], None]] = []
        self._handed: dict[str, tuple[bytes, AnyObject]] = {}

    def use(self, codec: Codec, indexed: Any = None) -> None:
        """Decode with `codec` from now on; `indexed(obj)` is the value that watches are indexed by."""
        self.codec = codec
        self.groups.indexed = indexed
        for item in self.items.values():
            item._obj = item._wire = None

    # -- reading ----------------------------------------------------------------------------------------------------

    def span(self, namespace: str) -> tuple[int, int]:
        """Where in `keys` a namespace's objects are; all of them for ""."""
        if not namespace:
            return 0, len(self.keys)
        first = f"{self.prefix}{namespace}/"
        start = bisect_left(self.keys, first)
        return start, bisect_left(self.keys, f"{self.prefix}{namespace}0", start)  # "0" follows "/"

    def list(self, namespace: str = "") -> Items:
        """The items of a namespace, or all, in key order."""
        start, stop = self.span(namespace)
        items = self.items
        return [items[key] for key in (self.keys if stop - start == len(self.keys) else self.keys[start:stop])]

    def since(self, revision: int) -> Changes:
        """Changes above `revision`, oldest first. Raises Expired when the window does not reach that far."""
        if revision < self.floor:
            raise errors.expired(f"too old resource version: {revision} ({self.floor})")
        found: Changes = []
        for change in reversed(self.window):
            if change.revision <= revision:
                break
            found.append(change)
        found.reverse()
        return found

    # -- writing ----------------------------------------------------------------------------------------------------

    async def create(self, key: str, obj: AnyObject) -> Item:
        """Store a new object. Raises store.KeyExists."""
        data = self._hand(key, obj)
        try:
            entry = await self.cache.store.create(key, data)
            return await self._landed(entry, obj)
        finally:
            self._handed.pop(key, None)

    async def update(self, key: str, obj: AnyObject, revision: int) -> Item:
        """Replace an object last written at `revision`. Raises store.RevisionConflict."""
        data = self._hand(key, obj)
        try:
            entry = await self.cache.store.update(key, data, revision)
            return await self._landed(entry, obj)
        finally:
            self._handed.pop(key, None)

    async def delete(self, key: str, revision: int) -> Item:
        """Remove an object last written at `revision`; returns its last state. Raises store.RevisionConflict."""
        entry = await self.cache.store.delete(key, revision)
        return await self._landed(entry, None)

    def _hand(self, key: str, obj: AnyObject) -> bytes:
        obj.metadata.resource_version = ""
        data = self.codec.encode(obj)
        self._handed[key] = (data, obj)
        return data

    async def _landed(self, entry: Entry, obj: AnyObject | None) -> Item:
        """The item of a write that is done; the cache has applied it when this returns."""
        cache = self.cache
        if entry.revision > cache.revision:
            await cache.caught_up(entry.revision)
        item = self.items.get(entry.key)
        if item is not None and item.revision == entry.revision:
            return item
        if obj is not None:  # overtaken by a later write
            obj.metadata.resource_version = str(entry.revision)
        return Item(self, entry.key, entry.value, entry.revision, entry.create_revision, obj)

    # -- what the store tells -----------------------------------------------------------------------------------------

    def load(self, entry: Entry) -> None:
        """An entry that was there at the start; `keys` are sorted by the caller's order."""
        self.items[entry.key] = Item(self, entry.key, entry.value, entry.revision, entry.create_revision)
        self.keys.append(entry.key)
        self.revision = max(self.revision, entry.revision)

    def apply(self, event: Event) -> Change:
        """One write has happened."""
        key = event.key
        previous = self.items.get(key)
        item = Item(self, key, event.value, event.revision, event.create_revision)
        deleted = event.kind == "delete"
        if deleted:
            if previous is not None:
                del self.items[key]
                del self.keys[bisect_left(self.keys, key)]
        else:
            handed = self._handed.get(key)
            if handed is not None and _same(handed[0], event.value):
                handed[1].metadata.resource_version = str(event.revision)
                item._obj = handed[1]
            self.items[key] = item
            if previous is None:
                insort(self.keys, key)
        self.revision = event.revision
        change = Change(item, previous, deleted)
        window = self.window
        window.append(change)
        if len(window) > _WARM:
            cool(window[-_WARM])
        if len(window) > self.cache.window_limit:
            for _ in range(len(window) // 10):
                self.floor = window.popleft().revision
        return change

    def forget(self, revision: int) -> None:
        """Drop changes up to `revision` from the window."""
        window = self.window
        while window and window[0].revision <= revision:
            window.popleft()
        self.floor = max(self.floor, revision)


def too_large_revision(revision: int, current: int) -> errors.StatusError:
    """A revision that has not happened: 504 with the cause clients know to retry on."""
    text = "Too large resource version"
    error = errors.timeout(f"{text}: {revision}, current: {current}", 1)
    assert error.details is not None
    error.details.causes = [StatusCause(reason="ResourceVersionTooLarge", message=text)]
    return error


def _same(data: bytes, stamped: bytes) -> bool:
    """Whether `stamped` is `data` with a revision in it."""
    start = data.index(b'"metadata":{') + 12
    rest = len(stamped) - (len(data) - start)
    return stamped[rest:] == data[start:] and stamped[:start] == data[:start]


def cool(change: Change) -> None:
    """Give up what was decoded of a state that is past: few will look at it again, and bytes are smaller."""
    past = change.previous
    if past is not None:
        past._obj = past._wire = None
    if change.deleted:
        change.item._obj = change.item._wire = None


class WatchCache:
    """All storages, kept equal to the store. `start()` before use, `close()` after."""

    def __init__(self, store: Store, *, window_limit: int = 50_000) -> None:
        self.store = store
        self.window_limit = window_limit
        self.revision = 0
        self.fanout = Fanout(self)
        self.failed: asyncio.Event = asyncio.Event()  # the subscription ended by itself
        self._storages: dict[tuple[str, str], Storage] = {}
        self._subscription: Subscription | None = None

    async def start(self) -> None:
        """Load everything and follow the store from there."""
        page = await self.store.list(ROOT)
        self.revision = page.revision
        for entry in page.entries:
            if (storage := self._of(entry.key)) is not None:
                storage.load(entry)
        for storage in self._storages.values():
            storage.floor = page.revision
        self._subscription = self.store.subscribe(
            ROOT, after_revision=page.revision, on_events=self._on_events, on_end=self._on_end
        )

    def close(self) -> None:
        """Follow no more; ends all watches."""
        if self._subscription is not None:
            self._subscription.close()
        self.fanout.close()

    def storage(self, group: str, resource: str) -> Storage:
        """The storage of a resource, made at first use."""
        storage = self._storages.get((group, resource))
        if storage is None:
            storage = self._storages[group, resource] = Storage(self, group, resource)
        return storage

    def storages(self) -> list[Storage]:
        return list(self._storages.values())

    async def fresh(self) -> int:
        """Make reads consistent: return once everything written before this call is here. No wait when embedded."""
        revision = await self.store.current_revision()
        if revision > self.revision:
            await self.caught_up(revision)
        return self.revision

    async def caught_up(self, revision: int) -> None:
        """Return once `revision` is here."""
        assert self._subscription is not None
        await self._subscription.caught_up(revision)

    async def reach(self, revision: int) -> None:
        """Wait a moment for a revision the client has seen somewhere. Raises Timeout when it does not come."""
        if revision <= self.revision or await self.fresh() >= revision:
            return
        deadline = clock.monotonic() + FUTURE_WAIT
        while revision > self.revision and (left := deadline - clock.monotonic()) > 0:
            await clock.sleep(min(left, 0.05))  # rare: only a replica that lags, or a client's mistake
        if revision > self.revision:
            raise too_large_revision(revision, self.revision)

    def forget(self, revision: int) -> None:
        """History before `revision` is compacted."""
        for storage in self._storages.values():
            storage.forget(revision)

    def _of(self, key: str) -> Storage | None:
        parts = key.split("/", 4)
        if len(parts) < 5:
            return None
        group = parts[2]
        return self.storage("" if group == "core" else group, parts[3])

    def _on_events(self, events: list[Event], revision: int) -> None:
        publish = self.fanout.publish
        for event in events:
            storage = self._of(event.key)
            self.revision = event.revision
            if storage is not None:
                change = storage.apply(event)
                for listener in storage.listeners:
                    listener(change)
                publish(storage, change)
        if revision > self.revision:
            self.revision = revision

    def _on_end(self, error: Exception) -> None:
        log.error("the watch cache lost the store: %s", error)
        self.failed.set()
