"""etcd as the store: for several control planes, or an etcd that is there already.

Speaks the v3 gRPC API. Each write is one transaction that compares the key's modification revision, as Kubernetes does
it; values are stored as given and stamped when read. Nothing is cached here: every read is linearizable and goes to the
server. A writer that must see its own write through a subscription awaits `Subscription.caught_up(revision)`.

Refused with a plain StoreError: what etcd refuses for good (value too large, out of space, no permission).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from io import FileIO
from pathlib import Path
from typing import Any, cast

from grpclib.const import Status
from grpclib.exceptions import GRPCError

from pybernetes.aio import clock
from pybernetes.aio.tasks import Nursery
from pybernetes.store.errors import (
    Compacted,
    FutureRevision,
    KeyExists,
    RevisionConflict,
    StoreClosed,
    StoreError,
    StoreUnavailable,
)
from pybernetes.store.etcd_channel import BROKEN, TLS, Endpoints
from pybernetes.store.etcd_watch import EtcdSubscription
from pybernetes.store.etcd_wire import DELETE, EQUAL, MESSAGES, MOD
from pybernetes.store.protocol import Entry, Event, OnEnd, OnEvents, Page, Seal, Stamp, Subscription, unstamped
from pybernetes.store.state import check_key
from pybernetes.store.watch import Watch

LIST_CHUNK = 2000  # entries in one answer of an unlimited list: bounds the message


class EtcdStore:
    """`Store` over etcd. `prefix` is put before every key and taken off again. user: name and password, if etcd wants
    them. seal: what values are kept as."""

    def __init__(
        self,
        endpoints: Sequence[tuple[str, int]],
        *,
        stamp: Stamp = unstamped,
        prefix: str = "",
        tls: TLS | None = None,
        timeout: float = 10.0,
        user: tuple[str, str] | None = None,
        seal: Seal | None = None,
    ) -> None:
        if not endpoints:
            raise StoreError("etcd: no endpoint given")
        self._endpoints = Endpoints(endpoints, tls, timeout, user)
        self._stamped = stamp
        self._seal = seal
        self._prefix = prefix
        self._compacted = 0
        self._ordered_progress = False
        self._nursery = Nursery("etcd")
        self._subscriptions: set[EtcdSubscription] = set()
        self._open = False

    @property
    def prefix(self) -> str:
        """What stands before every key."""
        return self._prefix

    # -- life -----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        self._endpoints.open()
        self._open = True
        self._ordered_progress = orders_progress((await self.status())[0])

    async def close(self) -> None:
        self._open = False
        for subscription in tuple(self._subscriptions):
            subscription.end(StoreClosed("the store was closed"))
        await self._nursery.close()
        self._endpoints.close()

    async def status(self) -> tuple[str, int]:
        """(version of the server, bytes its database takes)."""
        answer = await self._call("status", MESSAGES["StatusRequest"](), repeat=True)
        return answer.version, answer.dbSize

    async def snapshot(self, target: str | Path) -> None:
        """Save the server's whole database to a file (0600) that `etcdctl snapshot restore` takes."""
        target = Path(target)
        part = target.with_name(target.name + ".part")
        channel = await self._endpoints.connected()
        try:
            file = await asyncio.to_thread(_create_private, part)
            with file:
                async with self._endpoints.stream(channel, "snapshot", both=False) as stream:
                    await stream.send_message(MESSAGES["SnapshotRequest"](), end=True)
                    async for answer in stream:
                        await asyncio.to_thread(file.write, answer.blob)
                await asyncio.to_thread(os.fsync, file.fileno())
            part.replace(target)
        except (GRPCError, *BROKEN) as error:
            raise StoreUnavailable(f"etcd snapshot: {error}") from error
        finally:
            part.unlink(missing_ok=True)

    # -- reading --------------------------------------------------------------------------------------------------

    async def get(self, key: str) -> Entry | None:
        answer = await self._range(key=self._key(key))
        return self._entry(answer.kvs[0]) if answer.kvs else None

    async def list(self, prefix: str, *, limit: int = 0, after: str = "", revision: int = 0) -> Page:
        start, stop = self._bounds(prefix)
        found: list[Entry] = []
        at = revision
        if after and (behind := self._key(after) + b"\0") > start:
            start = behind
        while True:
            chunk = min(limit - len(found), LIST_CHUNK) if limit else LIST_CHUNK
            if start >= stop:
                return Page(found, at or await self.current_revision(), 0)
            try:
                answer = await self._range(key=start, range_end=stop, limit=chunk, revision=at)
            except _Refused as refusal:
                raise await self._explain(refusal, revision) from None
            at = at or answer.header.revision
            found.extend(map(self._entry, answer.kvs))
            remaining = answer.count - len(answer.kvs)
            if remaining <= 0 or len(found) == limit:
                return Page(found, at, max(remaining, 0))
            start = answer.kvs[-1].key + b"\0"

    async def current_revision(self) -> int:
        answer = await self._range(key=self._key("\x01"), count_only=True)
        return cast(int, answer.header.revision)

    @property
    def compacted_revision(self) -> int:
        """The highest revision this store compacted or met as compacted; others may have compacted further."""
        return self._compacted

    def watch(self, prefix: str, *, after_revision: int) -> Watch:
        watch = Watch()
        subscription = self.subscribe(
            prefix, after_revision=after_revision, on_events=watch.on_events, on_end=watch.on_end
        )
        return watch.attach(subscription)

    def subscribe(
        self, prefix: str, *, after_revision: int, on_events: OnEvents, on_end: OnEnd | None = None
    ) -> Subscription:
        if not self._open:
            raise StoreClosed("the store is not open")
        if after_revision < self._compacted:
            raise Compacted(after_revision, self._compacted)
        start, stop = self._bounds(prefix)

        def ended(error: Exception) -> None:
            if isinstance(error, Compacted):
                self._compacted = max(self._compacted, error.compact_revision)
            if on_end is not None:
                on_end(error)

        subscription = EtcdSubscription(
            self._endpoints, start, stop, after_revision, self._event, on_events, ended, lambda: self._ordered_progress
        )
        task = self._nursery.start(subscription.run(), f"watch {prefix}")
        subscription.own(task)
        self._subscriptions.add(subscription)
        task.add_done_callback(lambda _: self._subscriptions.discard(subscription))
        return subscription

    # -- writing --------------------------------------------------------------------------------------------------

    async def create(self, key: str, value: bytes) -> Entry:
        check_key(key)
        kept = value if self._seal is None else self._seal.seal(key, value)
        put = {"request_put": {"key": self._key(key), "value": kept}}
        answer = await self._txn(key, 0, [put], [])
        if not answer.succeeded:
            raise KeyExists(key)
        revision = answer.header.revision
        return Entry(key, self._stamped(value, revision), revision, revision)

    async def update(self, key: str, value: bytes, expected_revision: int) -> Entry:
        name = self._key(key)
        kept = value if self._seal is None else self._seal.seal(key, value)
        put = {"request_put": {"key": name, "value": kept}}
        created = {"request_range": {"key": name, "keys_only": True}}  # of the key just written, without its value
        answer = await self._compare_and(key, expected_revision, [put, created])
        revision = answer.header.revision
        before = answer.responses[1].response_range.kvs[0].create_revision
        return Entry(key, self._stamped(value, revision), revision, before)

    async def delete(self, key: str, expected_revision: int) -> Entry:
        remove = {"request_delete_range": {"key": self._key(key), "prev_kv": True}}
        answer = await self._compare_and(key, expected_revision, [remove])
        revision = answer.header.revision
        last = answer.responses[0].response_delete_range.prev_kvs[0]
        return Entry(key, self._stamp(key, last.value, revision), revision, last.create_revision)

    async def _compare_and(self, key: str, expected_revision: int, then: Sequence[dict[str, Any]]) -> Any:
        if expected_revision < 1:  # to etcd 0 means "absent", here it matches nothing
            raise RevisionConflict(key, expected_revision, await self.get(key))
        answer = await self._txn(key, expected_revision, then, [{"request_range": {"key": self._key(key)}}])
        if not answer.succeeded:
            found = answer.responses[0].response_range.kvs
            raise RevisionConflict(key, expected_revision, self._entry(found[0]) if found else None)
        return answer

    async def _txn(
        self, key: str, revision: int, then: Sequence[dict[str, Any]], otherwise: Sequence[dict[str, Any]]
    ) -> Any:
        compare = {"result": EQUAL, "target": MOD, "key": self._key(key), "mod_revision": revision}
        request = MESSAGES["TxnRequest"](compare=[compare], success=then, failure=otherwise)
        return await self._call("txn", request, repeat=False)

    async def compact(self, revision: int) -> None:
        if revision <= self._compacted:
            return
        try:
            await self._call("compact", MESSAGES["CompactionRequest"](revision=revision), repeat=True)
        except _Refused as refusal:
            if not refusal.compacted:
                raise await self._explain(refusal, revision) from None
        self._compacted = max(self._compacted, revision)

    # -- to and from the wire -------------------------------------------------------------------------------------

    def _stamp(self, key: str, data: bytes, revision: int) -> bytes:
        """What was kept under a key, as a value."""
        return self._stamped(data if self._seal is None else self._seal.unseal(key, data), revision)

    def _key(self, key: str) -> bytes:
        return (self._prefix + key).encode()

    def _bounds(self, prefix: str) -> tuple[bytes, bytes]:
        """The range of keys that start with the prefix."""
        start = self._key(prefix)
        if not start:
            return b"\0", b"\xff"  # UTF-8 text has no byte 0xff
        return start, start[:-1] + bytes([start[-1] + 1])

    def _entry(self, kv: Any) -> Entry:
        key = kv.key[len(self._prefix.encode()) :].decode()
        return Entry(key, self._stamp(key, kv.value, kv.mod_revision), kv.mod_revision, kv.create_revision)

    def _event(self, event: Any) -> Event:
        kv, revision = event.kv, event.kv.mod_revision
        key = kv.key[len(self._prefix.encode()) :].decode()
        if event.type != DELETE and kv.create_revision == revision:
            return Event("put", key, self._stamp(key, kv.value, revision), None, revision, revision, 0)
        if not event.HasField("prev_kv"):  # compacted while the server looked for it
            raise Compacted(revision - 1, revision)
        before = event.prev_kv
        previous = self._stamp(key, before.value, before.mod_revision)
        created = before.create_revision
        if event.type == DELETE:
            value = self._stamp(key, before.value, revision)
            return Event("delete", key, value, previous, revision, created, before.mod_revision)
        return Event("put", key, self._stamp(key, kv.value, revision), previous, revision, created, before.mod_revision)

    async def _range(self, **fields: Any) -> Any:
        return await self._call("range", MESSAGES["RangeRequest"](**fields), repeat=True)

    async def _call(self, name: str, request: Any, *, repeat: bool) -> Any:
        if not self._open:
            raise StoreClosed("the store is not open")
        if asyncio.current_task() is None:
            await clock.sleep(0)  # the API server makes a task of a request when it waits first, and gRPC needs one
        try:
            return await self._endpoints.call(name, request, repeat=repeat)
        except GRPCError as error:
            raise _Refused(name, error) from error

    async def _explain(self, refusal: _Refused, revision: int) -> StoreError:
        """A refusal in the contract's words."""
        if refusal.future:
            return FutureRevision(revision, await self.current_revision())
        if refusal.compacted:
            self._compacted = max(self._compacted, await self._ask_compacted(), revision + 1)
            return Compacted(revision, self._compacted)
        return refusal

    async def _ask_compacted(self) -> int:
        """The compacted revision. etcd tells it only to a watch that starts too early."""
        channel = await self._endpoints.connected()
        create = {"key": self._key("\x01"), "start_revision": 1}
        try:
            async with self._endpoints.stream(channel, "watch", both=True) as stream:
                await stream.send_message(MESSAGES["WatchRequest"](create_request=create))
                while (answer := await stream.recv_message()) is not None and not answer.canceled:
                    pass
                await stream.cancel()
                return answer.compact_revision if answer is not None else 0
        except (GRPCError, *BROKEN):
            return 0


class _Refused(StoreError):
    """etcd answered, and said no."""

    def __init__(self, name: str, error: GRPCError) -> None:
        super().__init__(f"etcd {name}: {error.message}")
        reach = error.status is Status.OUT_OF_RANGE
        self.compacted = reach and "compacted" in (error.message or "")
        self.future = reach and "future" in (error.message or "")


def _create_private(path: Path) -> FileIO:
    return FileIO(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w")


def orders_progress(version: str) -> bool:
    """Whether a server of this version sends progress reports in order with events (3.4.31, 3.5.13 and later)."""
    numbers = [int(part) if part.isdigit() else 0 for part in version.split("-")[0].split(".")[:3]]
    major, minor, patch = [*numbers, 0, 0, 0][:3]
    if (major, minor) == (3, 4):
        return patch >= 31
    if (major, minor) == (3, 5):
        return patch >= 13
    return (major, minor) > (3, 5)
