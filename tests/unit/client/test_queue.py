"""The work queue: once waiting, once in work, and the delays."""

from __future__ import annotations

from pybernetes.aio import clock
from pybernetes.aio.tasks import Nursery
from pybernetes.client.queue import Queue


async def test_a_key_waits_once_and_comes_back_if_added_while_in_work() -> None:
    queue: Queue[str] = Queue()
    queue.add("a")
    queue.add("a")
    assert len(queue) == 1
    assert await queue.get() == "a"
    queue.add("a")
    assert len(queue) == 0  # never two workers on one key
    queue.done("a")
    assert await queue.get() == "a"
    queue.done("a")
    assert queue.idle


async def test_delays_come_in_order_and_the_earliest_counts() -> None:
    queue: Queue[str] = Queue()
    queue.add_after("late", 10)
    queue.add_after("soon", 1)
    queue.add_after("late", 5)
    queue.add_after("late", 20)
    got = []
    for _ in range(2):
        got.append((await queue.get(), clock.monotonic()))
        queue.done(got[-1][0])
    assert got == [("soon", 1.0), ("late", 5.0)]
    await clock.sleep(100)
    assert queue.idle


async def test_retries_wait_twice_as_long_each_time_until_forgotten() -> None:
    queue: Queue[str] = Queue()
    times = []
    for _ in range(4):
        before = clock.monotonic()
        queue.add_rate_limited("a")
        queue.done(await queue.get())
        times.append(round(clock.monotonic() - before, 4))
    assert times == [0.005, 0.01, 0.02, 0.04]
    queue.forget("a")
    assert queue.failures("a") == 0


async def test_many_retries_share_a_bucket() -> None:
    queue: Queue[int] = Queue()
    for key in range(150):
        queue.add_rate_limited(key)
    await clock.sleep(0.1)
    assert len(queue) == 101  # a hundred at once, then ten a second
    await clock.sleep(5)
    assert len(queue) == 150


async def test_a_cancelled_getter_loses_no_key() -> None:
    queue: Queue[str] = Queue()
    got: list[str] = []

    async def take() -> None:
        got.append(await queue.get())

    async with Nursery("test") as nursery:
        first = nursery.start(take(), "first")
        nursery.start(take(), "second")
        await clock.sleep(0.1)
        queue.add("a")
        first.cancel()
        await clock.sleep(0.1)
    assert got == ["a"]
