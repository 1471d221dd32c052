"""What only the world in memory promises: virtual time, trimming, synchronous delivery."""

from __future__ import annotations

import asyncio

import pytest

from pybernetes.aio import clock
from pybernetes.store import Compacted, Entry, Event, StoreClosed
from pybernetes.store.memory import MemoryStore
from pybernetes.store.state import Retention
from tests.suites.store_contract import stamp, take


async def count_to(store: MemoryStore, number: int) -> Entry:
    entry = await store.create("/counter", b"0")
    for value in range(1, number):
        entry = await store.update("/counter", b"%d" % value, entry.revision)
    return entry


async def test_retention_by_number() -> None:
    store = MemoryStore(stamp=stamp, retention=Retention(max_events=100))
    entry = await count_to(store, 1000)
    assert 100 <= entry.revision - store.compacted_revision <= 111
    assert len(await take(store, "", store.compacted_revision, entry.revision)) <= 110
    with pytest.raises(Compacted):
        store.watch("", after_revision=store.compacted_revision - 1)


async def test_retention_by_age() -> None:
    store = MemoryStore(retention=Retention(max_age=300))
    old = await count_to(store, 10)
    await clock.sleep(200)
    young = await store.create("/young", b"")
    assert store.compacted_revision == 0
    await clock.sleep(150)
    await store.create("/trigger", b"")
    assert old.revision <= store.compacted_revision < young.revision
    await clock.sleep(3600)
    last = await store.create("/later", b"")
    assert store.compacted_revision == last.revision - 1


async def test_the_past_is_delivered_before_subscribe_returns_and_the_present_before_the_write_does() -> None:
    store = MemoryStore(stamp=stamp)
    await store.create("/a", b"")
    await store.create("/b", b"")
    batches: list[list[Event]] = []
    store.subscribe("/", after_revision=1, on_events=lambda events, _: batches.append(events))
    assert [[event.key for event in batch] for batch in batches] == [["/a", "/b"]]
    await store.create("/c", b"")
    assert [event.key for event in batches[-1]] == ["/c"]


async def test_a_subscriber_may_leave_or_join_while_events_are_delivered() -> None:
    store = MemoryStore()
    joined: list[int] = []

    def first(events: list[Event], _: int) -> None:
        leaver.close()
        store.subscribe("/", after_revision=1, on_events=lambda events, _: joined.extend(e.revision for e in events))

    store.subscribe("/", after_revision=1, on_events=first)
    left: list[Event] = []
    leaver = store.subscribe("/", after_revision=1, on_events=lambda events, _: left.extend(events))
    await store.create("/a", b"")
    assert left == [] and joined == [2]


async def test_caught_up_waits_for_the_future() -> None:
    store = MemoryStore()
    subscription = store.subscribe("/", after_revision=1, on_events=lambda *_: None)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(subscription.caught_up(3), name="waiting")
        await store.create("/a", b"")
        await clock.sleep(1)
        assert not waiting.done()
        await store.create("/b", b"")
    subscription.close()
    with pytest.raises(StoreClosed):
        await subscription.caught_up(2)


async def test_watching_from_the_future_skips_what_comes_before_it() -> None:
    store = MemoryStore()
    watch = store.watch("/", after_revision=3)
    for key in ("/2", "/3", "/4"):
        await store.create(key, b"")
    assert (await anext(watch)).key == "/4"
    watch.close()
