"""What every store must do, by `pybernetes.store.protocol`: one suite, a harness per implementation.

A test module derives `StoreContract` and provides the fixture `harness`. Revisions are judged relative to where a store
begins, because the stores of one etcd share their count.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pybernetes.store import (
    Compacted,
    Entry,
    Event,
    FutureRevision,
    KeyExists,
    RevisionConflict,
    Store,
    StoreClosed,
    StoreError,
)


def stamp(value: bytes, revision: int) -> bytes:
    """Revision behind an `@`; replaces an earlier stamp, as the contract asks."""
    return value.partition(b"@")[0] + b"@%d" % revision


class Harness(ABC):
    """Makes stores of one kind, each empty, with `stamp`."""

    #: Concurrent writers in the counter test, and examples of the model test: etcd is a process of its own.
    writers = 100
    examples = 60

    @abstractmethod
    def make(self) -> Store:
        """A new store, not started."""

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Store]:
        store = self.make()
        await store.start()
        try:
            yield store
        finally:
            await store.close()


async def take(store: Store, prefix: str, after: int, upto: int) -> list[Event]:
    """Events of a watch on `prefix` in `(after, upto]`, closed by an event of the caller at `upto` or before."""
    events: list[Event] = []
    subscription = store.subscribe(prefix, after_revision=after, on_events=lambda batch, _: events.extend(batch))
    await subscription.caught_up(upto)
    subscription.close()
    return events


class Model:
    """The contract once more, in the simplest way: every state ever, as a dict."""

    def __init__(self, revision: int) -> None:
        self.states: dict[int, dict[str, Entry]] = {revision: {}}
        self.now: dict[str, Entry] = {}
        self.events: list[Event] = []

    def put(self, key: str, value: bytes, revision: int) -> Entry:
        before = self.now.get(key)
        created = before.create_revision if before else revision
        entry = Entry(key, stamp(value, revision), revision, created)
        old, old_revision = (before.value, before.revision) if before else (None, 0)
        self.events.append(Event("put", key, entry.value, old, revision, created, old_revision))
        self._become({**self.now, key: entry}, revision)
        return entry

    def delete(self, key: str, revision: int) -> Entry:
        before = self.now[key]
        value = stamp(before.value, revision)
        event = Event("delete", key, value, before.value, revision, before.create_revision, before.revision)
        self.events.append(event)
        self._become({k: v for k, v in self.now.items() if k != key}, revision)
        return Entry(key, value, revision, before.create_revision)

    def _become(self, state: dict[str, Entry], revision: int) -> None:
        self.now = state
        self.states[revision] = state

    def page(self, prefix: str, revision: int) -> list[Entry]:
        return [entry for key, entry in sorted(self.states[revision].items()) if key.startswith(prefix)]


KEYS = ["/a/x", "/a/y", "/a/y/z", "/ab", "/b/x", "/b/é", "/b/\U0001f600"]
OPERATIONS = st.tuples(
    st.sampled_from(["create", "update", "update", "delete", "stale", "compact"]),
    st.sampled_from(KEYS),
    st.binary(max_size=3).map(lambda value: value.replace(b"@", b"")),
)


class StoreContract:
    async def test_life_of_a_key(self, harness: Harness) -> None:
        async with harness.opened() as store:
            assert await store.get("/a/x") is None
            start = await store.current_revision()
            made = await store.create("/a/x", b"1")
            assert made == Entry("/a/x", b"1@%d" % made.revision, made.revision, made.revision)
            assert made.revision > start >= 1
            changed = await store.update("/a/x", b"2", made.revision)
            assert changed == Entry("/a/x", b"2@%d" % changed.revision, changed.revision, made.revision)
            assert await store.get("/a/x") == changed
            assert await store.current_revision() == changed.revision > made.revision
            gone = await store.delete("/a/x", changed.revision)
            assert gone == Entry("/a/x", b"2@%d" % gone.revision, gone.revision, made.revision)
            assert await store.get("/a/x") is None
            again = await store.create("/a/x", b"3")
            assert again.create_revision == again.revision > gone.revision

    async def test_conflicts_change_nothing(self, harness: Harness) -> None:
        async with harness.opened() as store:
            made = await store.create("/a/x", b"1")
            with pytest.raises(KeyExists):
                await store.create("/a/x", b"2")
            for wrong in (0, made.revision - 1, made.revision + 1):
                with pytest.raises(RevisionConflict) as caught:
                    await store.update("/a/x", b"2", wrong)
                assert caught.value.current == made
                with pytest.raises(RevisionConflict):
                    await store.delete("/a/x", wrong)
            for revision in (0, made.revision):
                with pytest.raises(RevisionConflict) as caught:
                    await store.update("/a/other", b"2", revision)
                assert caught.value.current is None
                with pytest.raises(RevisionConflict):
                    await store.delete("/a/other", revision)
            assert await store.current_revision() == made.revision
            assert (await store.list("/")).entries == [made]

    @pytest.mark.parametrize("key", ["", "/a\0b", "/a/\ud800"])
    async def test_what_is_no_key(self, harness: Harness, key: str) -> None:
        async with harness.opened() as store:
            with pytest.raises(StoreError):
                await store.create(key, b"1")
            assert (await store.create("/fine", b"1")).key == "/fine"

    async def test_list(self, harness: Harness) -> None:
        async with harness.opened() as store:
            names = ["/a/3", "/a/1", "/ab", "/a/2", "/b/1", "/a", "/a/é", "/a/\U0001f600"]
            for name in names:
                await store.create(name, b"v")
            mine = sorted(name for name in names if name.startswith("/a/"))
            page = await store.list("/a/")
            assert [entry.key for entry in page.entries] == mine
            assert (page.revision, page.remaining) == (await store.current_revision(), 0)
            page = await store.list("/a/", limit=2)
            assert ([entry.key for entry in page.entries], page.remaining) == (mine[:2], 3)
            page = await store.list("/a/", limit=2, after=mine[1])
            assert ([entry.key for entry in page.entries], page.remaining) == (mine[2:4], 1)
            page = await store.list("/a/", limit=2, after=mine[3])
            assert ([entry.key for entry in page.entries], page.remaining) == (mine[4:], 0)
            page = await store.list("/a/", after="/a/11")
            assert [entry.key for entry in page.entries] == mine[1:]
            assert (await store.list("/a/", after="/b")).entries == []
            assert (await store.list("/none/")).entries == []
            assert len((await store.list("")).entries) == len(names)

    async def test_pages_of_one_revision_ignore_later_writes(self, harness: Harness) -> None:
        async with harness.opened() as store:
            first = [await store.create(f"/a/{i:02}", b"old") for i in range(20)]
            page = await store.list("/a/", limit=7)
            seen, at = list(page.entries), page.revision
            while page.remaining:
                await store.create(f"/a/{len(seen):02}-new", b"new")
                await store.update(f"/a/{len(seen):02}", b"new", first[len(seen)].revision)
                await store.delete(first[len(seen) + 1].key, first[len(seen) + 1].revision)
                await store.create(first[len(seen) + 1].key, b"second life")
                page = await store.list("/a/", limit=7, after=seen[-1].key, revision=at)
                assert page.revision == at
                seen += page.entries
                assert page.remaining == 20 - len(seen)
            assert seen == first

    async def test_watch_from_every_revision_is_history(self, harness: Harness) -> None:
        async with harness.opened() as store:
            start = await store.current_revision()
            model = Model(start)
            for round_ in range(3):
                for key in ("/a/x", "/a/y", "/b/z"):
                    made = await store.create(key, b"%d" % round_)
                    model.put(key, b"%d" % round_, made.revision)
                    changed = await store.update(key, b"+", made.revision)
                    model.put(key, b"+", changed.revision)
                    gone = await store.delete(key, changed.revision)
                    model.delete(key, gone.revision)
            end = await store.current_revision()

            async def compare(prefix: str, after: int) -> None:
                wanted = [e for e in model.events if e.revision > after and e.key.startswith(prefix)]
                assert await take(store, prefix, after, end) == wanted

            async with asyncio.TaskGroup() as group:
                for after in range(start, end + 1):
                    for prefix in ("/", "/a/", "/b/"):
                        group.create_task(compare(prefix, after), name=f"{prefix} after {after}")
            assert [event.create for event in model.events[:3]] == [True, False, False]

    async def test_watch_iterates_past_and_present(self, harness: Harness) -> None:
        async with harness.opened() as store:
            one = await store.create("/a/1", b"")
            async with store.watch("/a/", after_revision=one.revision - 1) as watch:
                assert (await anext(watch)).key == "/a/1"
                async with asyncio.TaskGroup() as group:
                    waiting = group.create_task(anext(watch), name="reader")
                    await store.create("/b/1", b"")
                    two = await store.create("/a/2", b"")
                assert waiting.result().revision == two.revision
            with pytest.raises(StopAsyncIteration):
                await anext(watch)

    async def test_a_subscriber_sees_a_write_when_its_writer_goes_on(self, harness: Harness) -> None:
        async with harness.opened() as store:
            cache: dict[str, bytes] = {}

            def feed(events: list[Event], revision: int) -> None:
                assert revision >= max((event.revision for event in events), default=0)
                for event in events:
                    cache[event.key] = event.value

            subscription = store.subscribe("/", after_revision=await store.current_revision(), on_events=feed)

            async def write(key: str) -> None:
                entry = await store.create(key, b"0")
                for value in (b"1", b"2", b"3"):
                    await subscription.caught_up(entry.revision)
                    assert cache[key] == entry.value
                    entry = await store.update(key, value, entry.revision)

            async with asyncio.TaskGroup() as group:
                for number in range(20):
                    group.create_task(write(f"/a/{number}"), name=f"writer-{number}")
            subscription.close()
            size = len(cache)
            await store.create("/late", b"")
            assert len(cache) == size

    async def test_progress_without_events(self, harness: Harness) -> None:
        async with harness.opened() as store:
            events: list[Event] = []
            start = await store.current_revision()
            subscription = store.subscribe("/a/", after_revision=start, on_events=lambda batch, _: events.extend(batch))
            entry = await store.create("/b/x", b"not ours")
            await subscription.caught_up(entry.revision)
            assert subscription.revision >= entry.revision and events == []
            subscription.close()

    async def test_a_failing_subscriber_harms_nobody_else(self, harness: Harness) -> None:
        async with harness.opened() as store:
            ends: list[Exception] = []
            events: list[Event] = []

            def fail(batch: list[Event], revision: int) -> None:
                if batch:
                    raise ValueError("subscriber")

            start = await store.current_revision()
            bad = store.subscribe("/", after_revision=start, on_events=fail, on_end=ends.append)
            good = store.subscribe("/", after_revision=start, on_events=lambda batch, _: events.extend(batch))
            entry = await store.create("/x", b"")
            await good.caught_up(entry.revision)
            with pytest.raises(ValueError, match="subscriber"):
                await bad.caught_up(entry.revision)
            assert [str(error) for error in ends] == ["subscriber"]
            assert [event.key for event in events] == ["/x"]

    async def test_compaction(self, harness: Harness) -> None:
        async with harness.opened() as store:
            a = await store.create("/a", b"1")
            b = await store.create("/b", b"1")
            a2 = await store.update("/a", b"2", a.revision)
            await store.delete("/b", b.revision)
            a3 = await store.update("/a", b"3", a2.revision)
            with pytest.raises(FutureRevision):
                await store.compact(a3.revision + 1)
            await store.compact(a2.revision)
            await store.compact(b.revision)  # done already
            assert store.compacted_revision == a2.revision
            assert (await store.list("/", revision=a2.revision)).entries == [a2, b]
            with pytest.raises(Compacted) as caught:
                await store.list("/", revision=a2.revision - 1)
            assert caught.value.compact_revision == a2.revision
            kinds = [event.kind for event in await take(store, "/", a2.revision, a3.revision)]
            assert kinds == ["delete", "put"]
            with pytest.raises(Compacted):
                await anext(store.watch("/", after_revision=a.revision - 1))
            with pytest.raises(FutureRevision) as future:
                await store.list("/", revision=a3.revision + 7)
            assert future.value.current_revision == a3.revision
            await store.compact(a3.revision)
            assert (await store.list("/")).entries == [a3]

    async def test_a_counter_loses_nothing(self, harness: Harness) -> None:
        async with harness.opened() as store:
            await store.create("/counter", b"0")

            async def increment() -> None:
                while True:
                    entry = await store.get("/counter")
                    assert entry is not None
                    value = int(entry.value.partition(b"@")[0])
                    try:
                        await store.update("/counter", b"%d" % (value + 1), entry.revision)
                    except RevisionConflict:
                        continue
                    return

            async with asyncio.TaskGroup() as group:
                for number in range(harness.writers):
                    group.create_task(increment(), name=f"writer-{number}")
            entry = await store.get("/counter")
            assert entry is not None and entry.value == stamp(b"%d" % harness.writers, entry.revision)

    async def test_of_many_creators_one_wins(self, harness: Harness) -> None:
        async with harness.opened() as store:
            outcomes: list[str] = []

            async def create(number: int) -> None:
                try:
                    await store.create("/x", b"%d" % number)
                    outcomes.append("made")
                except KeyExists:
                    assert await store.get("/x") is not None
                    outcomes.append("exists")

            async with asyncio.TaskGroup() as group:
                for number in range(20):
                    group.create_task(create(number), name=f"creator-{number}")
            assert sorted(outcomes) == ["exists"] * 19 + ["made"]

    async def test_close(self, harness: Harness) -> None:
        store = harness.make()
        await store.start()
        ends: list[Exception] = []
        store.subscribe(
            "/", after_revision=await store.current_revision(), on_events=lambda *_: None, on_end=ends.append
        )
        watch = store.watch("/", after_revision=await store.current_revision())
        await store.close()
        await store.close()
        assert [type(error) for error in ends] == [StoreClosed]
        with pytest.raises(StoreClosed):
            await anext(watch)
        with pytest.raises(StoreClosed):
            await store.create("/x", b"")
        with pytest.raises(StoreClosed):
            store.watch("/", after_revision=1)

    def test_model(self, harness: Harness) -> None:
        """Any sequence of operations leaves the store as the model says, now and at every revision since."""

        async def play(operations: list[tuple[str, str, bytes]]) -> None:
            async with harness.opened() as store:
                start = await store.current_revision()
                model, floor = Model(start), start
                for kind, key, value in operations:
                    before = model.now.get(key)
                    known = before.revision if before else start
                    if kind == "create" and before is None:
                        entry = await store.create(key, value)
                        assert entry == model.put(key, value, entry.revision)
                    elif kind == "create":
                        with pytest.raises(KeyExists):
                            await store.create(key, value)
                    elif kind == "compact":
                        floor = max(floor, max(model.states))
                        await store.compact(floor)
                    elif before is None or kind == "stale":
                        with pytest.raises(RevisionConflict) as caught:
                            await store.update(key, value, known if before is None else known - 1)
                        assert caught.value.current == before
                    elif kind == "update":
                        entry = await store.update(key, value, known)
                        assert entry == model.put(key, value, entry.revision)
                    else:
                        entry = await store.delete(key, known)
                        assert entry == model.delete(key, entry.revision)
                    assert await store.get(key) == model.now.get(key)
                for revision in [at for at in model.states if at >= floor]:
                    for prefix in ("", "/a/"):
                        page = await store.list(prefix, revision=revision)
                        assert page.entries == model.page(prefix, revision)
                    half = await store.list("/a/", limit=1, revision=revision)
                    rest = await store.list(
                        "/a/", after=(half.entries or [Entry("", b"", 0, 0)])[-1].key, revision=revision
                    )
                    assert half.entries + rest.entries == model.page("/a/", revision)
                    assert half.remaining == len(rest.entries)
                wanted = [event for event in model.events if event.revision > floor]
                if wanted:
                    assert await take(store, "", floor, wanted[-1].revision) == wanted

        @settings(max_examples=harness.examples, deadline=None, suppress_health_check=list(HealthCheck))
        @given(st.lists(OPERATIONS, max_size=25))
        def check(operations: list[tuple[str, str, bytes]]) -> None:
            asyncio.run(play(operations))

        check()
