"""Informers: a local copy of a resource, kept current by list and watch, that tells its handlers what changed.

One informer per resource (and selector) in a process, shared by all controllers through `InformerFactory`. Its objects
are the ones that came from the transport; in one process with the API server they are the server's own. Nobody
changes them.

Reading your own writes. A cache lags behind what the same process has just written, and a controller that counts Pods
in it would create too many. Upstream counts "expectations" per controller; here revisions are numbers of one order, so
a controller waits after its writes until the cache has seen them: `await pods.caught_up(created)`, or
`await pods.until(lambda: ...)`. That is one rule for create, update and delete, and it cannot leak.

Handlers are called synchronously and in order, so they must be quick: they put keys into queues. A handler added late
is told of everything there is as added.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from pybernetes.aio import clock
from pybernetes.aio.backoff import Backoff
from pybernetes.client.client import Resource
from pybernetes.client.errors import Unavailable
from pybernetes.machinery.errors import StatusError

log = logging.getLogger(__name__)

#: A watch is asked to last between this and twice as long.
WATCH_SECONDS = 3000.0

T = TypeVar("T")

#: The name of the index by `metadata.namespace`; every informer of a namespaced resource has it.
NAMESPACE = "namespace"
#: The name of the index by the uid of each owner.
OWNER = "owner"


class Matcher(Protocol):
    """`machinery.labels.Selector`, as far as it matters here."""

    def matches(self, labels: Any) -> bool: ...


class Index(Generic[T]):
    """Objects by what a function says of them."""

    __slots__ = ("function", "values")

    def __init__(self, function: Callable[[T], Iterable[str]]) -> None:
        self.function = function
        self.values: dict[str, dict[str, T]] = {}

    def add(self, key: str, obj: T) -> None:
        for value in self.function(obj):
            self.values.setdefault(value, {})[key] = obj

    def remove(self, key: str, obj: T) -> None:
        for value in self.function(obj):
            if (found := self.values.get(value)) is not None:
                found.pop(key, None)
                if not found:
                    del self.values[value]


class Handler(Generic[T]):
    """Three optional callbacks."""

    __slots__ = ("added", "deleted", "updated")

    def __init__(
        self,
        added: Callable[[T], object] | None,
        updated: Callable[[T, T], object] | None,
        deleted: Callable[[T], object] | None,
    ) -> None:
        self.added, self.updated, self.deleted = added, updated, deleted


class Informer(Generic[T]):
    """A cache of one resource. T is a struct kind, or a wire dict for dynamic resources."""

    def __init__(
        self, resource: Resource[T], namespace: str = "", label_selector: str = "", field_selector: str = ""
    ) -> None:
        self.resource = resource
        self._scope: dict[str, Any] = {
            "namespace": namespace,
            "label_selector": label_selector,
            "field_selector": field_selector,
        }
        self._items: dict[str, T] = {}
        self._indexes: dict[str, Index[T]] = {NAMESPACE: Index(_namespaces)}
        self._handlers: list[Handler[T]] = []
        self._synced = asyncio.Event()
        self._waiters: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []
        self._resource_version = ""
        self.revision = 0  #: all that was written up to here is in the cache
        self.relists = 0  #: how often the whole was listed

    # Reading

    def __len__(self) -> int:
        return len(self._items)

    @property
    def has_synced(self) -> bool:
        """Whether the first list has been taken over."""
        return self._synced.is_set()

    async def synced(self) -> None:
        """Wait for the first list."""
        await self._synced.wait()

    def get(self, namespace: str, name: str) -> T | None:
        """One object; `namespace` is "" for cluster-scoped ones."""
        return self._items.get(f"{namespace}/{name}" if namespace else name)

    def by_key(self, key: str) -> T | None:
        """One object by `namespace/name` or `name`."""
        return self._items.get(key)

    def keys(self) -> Iterable[str]:
        """All keys; do not await while iterating."""
        return self._items.keys()

    def list(self, namespace: str = "", selector: Matcher | None = None) -> list[T]:
        """The objects of a namespace, or all; those whose labels match."""
        found = self._indexes[NAMESPACE].values.get(namespace, {}) if namespace else self._items
        if selector is None:
            return [*found.values()]
        return [obj for obj in found.values() if selector.matches(_labels(obj))]

    def by_index(self, index: str, value: str) -> Sequence[T]:
        """The objects under `value` in an index that was added before."""
        found = self._indexes[index].values.get(value)
        return [*found.values()] if found else []

    def index_values(self, index: str) -> Sequence[str]:
        """All values an index has objects for."""
        return [*self._indexes[index].values]

    def add_index(self, name: str, function: Callable[[T], Iterable[str]]) -> None:
        """Index objects by the values `function` returns; adding a name again does nothing."""
        if name not in self._indexes:
            index = self._indexes[name] = Index(function)
            for key, obj in self._items.items():
                index.add(key, obj)

    def add_owner_index(self) -> None:
        """Index by the uids of owner references, as `OWNER`."""
        self.add_index(OWNER, _owners)

    def on(
        self,
        added: Callable[[T], object] | None = None,
        updated: Callable[[T, T], object] | None = None,
        deleted: Callable[[T], object] | None = None,
    ) -> Handler[T]:
        """Call back on changes: `added(new)`, `updated(old, new)`, `deleted(last)`.

        `last` is the final state, or the last that was seen when the deletion itself was missed.
        """
        handler = Handler(added, updated, deleted)
        self._handlers.append(handler)
        if added:
            for obj in [*self._items.values()]:
                self._call(added, obj)
        return handler

    def off(self, handler: Handler[T]) -> None:
        """Stop calling a handler."""
        self._handlers.remove(handler)

    # Waiting

    async def caught_up(self, written: Any, timeout: float = 30.0) -> bool:
        """Wait until the cache has seen a write of this resource: the object it returned, or its resourceVersion.

        Not for informers with a selector, which may never see it. False after `timeout` seconds (the watch is down).
        """
        if not isinstance(written, str):
            written = written["metadata"]["resourceVersion"] if isinstance(written, dict) else _version(written)
        revision = int(written or 0)
        return await self.until(lambda: self.revision >= revision, timeout)

    async def until(self, condition: Callable[[], bool], timeout: float = 30.0) -> bool:
        """Wait until `condition()` holds; looked at after every batch of changes. False after `timeout` seconds."""
        if condition():
            return True
        waiter = asyncio.get_running_loop().create_future()
        entry = (condition, waiter)
        self._waiters.append(entry)
        try:
            async with asyncio.timeout(timeout):
                await waiter
        except TimeoutError:
            return condition()
        finally:
            if entry in self._waiters:
                self._waiters.remove(entry)
        return True

    async def terminating(self, obj: Any, timeout: float = 30.0) -> bool:
        """Wait until the cache shows that `obj` is being deleted, or gone."""
        uid, key = obj.metadata.uid, _key(obj)

        def condition() -> bool:
            current: Any = self._items.get(key)
            return current is None or current.metadata.uid != uid or current.metadata.deletion_timestamp is not None

        return await self.until(condition, timeout)

    # Keeping current

    async def run(self) -> None:
        """List and watch until cancelled. Survives every failure of the server, with back-off."""
        backoff = Backoff(0.1, 5.0)  # a server that is back shall not be found out half a minute later
        listed = False
        while True:
            started = clock.monotonic()
            known = listed
            try:
                if not listed:
                    await self._list()
                    listed = True
                    started = clock.monotonic()
                await self._watch(backoff)
                if clock.monotonic() - started < 1.0:
                    await backoff.wait()  # a server that ends watches at once is not to be hammered
            except StatusError as error:
                if error.code == 410:  # our revision is no longer known: begin anew
                    listed = False
                    if known:  # the server is there: what it was away for has been waited for already
                        backoff.reset()
                    else:
                        await backoff.wait()
                    continue
                (log.info if error.code in (403, 404, 429, 503) else log.warning)(
                    "informer %s: %s", self._describe(), error
                )
                listed = listed and error.code != 404
                await backoff.wait()
            except Unavailable as error:
                log.info("informer %s: server unavailable: %s", self._describe(), error)
                if clock.monotonic() - started > backoff.limit:  # it was there in between, with nothing to tell
                    backoff.reset()
                await backoff.wait()

    def _describe(self) -> str:
        try:
            return str(self.resource.kind.group_resource)
        except LookupError:
            return "(unresolved)"

    async def _list(self) -> None:
        page = await self.resource.list(**self._scope)
        self.relists += 1
        self._replace(page.items)
        self._seen(page.resource_version)
        self._synced.set()
        self._check_waiters()

    async def _watch(self, backoff: Backoff) -> None:
        # Servers end watches by their own clock; a random length keeps many from returning at once.
        timeout = int(WATCH_SECONDS * (1 + clock.rng.random()))
        batches = await self.resource.watch_batches(
            resource_version=self._resource_version, timeout=timeout, **self._scope
        )
        try:
            async for batch in batches:
                backoff.reset()
                self._apply(batch)
                if self._waiters:
                    self._check_waiters()
        finally:
            await batches.close()

    def _replace(self, items: Sequence[T]) -> None:
        """Take over a whole list: handlers hear the difference to what was known."""
        fresh = {_key(obj): obj for obj in items}
        for key in [key for key in self._items if key not in fresh]:
            self._remove(key, self._items[key])
        for key, obj in fresh.items():
            self._put(key, obj)

    def _apply(self, batch: Sequence[tuple[str, T]]) -> None:
        for type_, obj in batch:
            if type_ == "DELETED":
                self._remove(_key(obj), obj)
            elif type_ != "BOOKMARK":
                self._put(_key(obj), obj)
        self._seen(_version(batch[-1][1]))

    def _seen(self, resource_version: str) -> None:
        if resource_version:
            self._resource_version = resource_version
            self.revision = max(self.revision, int(resource_version))

    def _put(self, key: str, obj: T) -> None:
        old = self._items.get(key)
        if old is not None:
            if _version(old) == _version(obj):
                return
            if _uid(old) != _uid(obj):  # deleted and created anew between two looks
                self._remove(key, old)
                old = None
        for index in self._indexes.values():
            if old is not None:
                index.remove(key, old)
            index.add(key, obj)
        self._items[key] = obj
        for handler in self._handlers:
            if old is None:
                if handler.added:
                    self._call(handler.added, obj)
            elif handler.updated:
                self._call(handler.updated, old, obj)

    def _remove(self, key: str, last: T) -> None:
        old = self._items.pop(key, None)
        if old is None:
            return
        for index in self._indexes.values():
            index.remove(key, old)
        for handler in self._handlers:
            if handler.deleted:
                self._call(handler.deleted, last)

    def _call(self, callback: Callable[..., object], *args: T) -> None:
        try:
            callback(*args)
        except Exception:
            log.exception("handler of informer %s failed", self._describe())

    def _check_waiters(self) -> None:
        for condition, waiter in [*self._waiters]:
            if not waiter.done() and condition():
                waiter.set_result(None)


def _key(obj: Any) -> str:
    if isinstance(obj, dict):
        metadata = obj["metadata"]
        namespace = metadata.get("namespace")
        return f"{namespace}/{metadata['name']}" if namespace else str(metadata["name"])
    metadata = obj.metadata
    return f"{metadata.namespace}/{metadata.name}" if metadata.namespace else str(metadata.name)


def _version(obj: Any) -> str:
    if isinstance(obj, dict):
        return str(obj["metadata"].get("resourceVersion", ""))
    return str(obj.metadata.resource_version)


def _uid(obj: Any) -> str:
    return str(obj["metadata"].get("uid", "") if isinstance(obj, dict) else obj.metadata.uid)


def _labels(obj: Any) -> dict[str, str]:
    return (obj["metadata"].get("labels") if isinstance(obj, dict) else obj.metadata.labels) or {}


def _namespaces(obj: Any) -> tuple[str, ...]:
    namespace = obj["metadata"].get("namespace") if isinstance(obj, dict) else obj.metadata.namespace
    return (namespace,) if namespace else ()


def _owners(obj: Any) -> Iterable[str]:
    if isinstance(obj, dict):
        return [o["uid"] for o in obj["metadata"].get("ownerReferences") or ()]
    return [o.uid for o in obj.metadata.owner_references or ()]
