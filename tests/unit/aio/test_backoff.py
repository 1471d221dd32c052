"""Delays that grow, and tokens that come back."""

from __future__ import annotations

from pybernetes.aio import clock
from pybernetes.aio.backoff import Backoff, ItemBackoff, TokenBucket


def test_delays_double_up_to_the_limit() -> None:
    backoff = Backoff(1.0, 5.0, jitter=0.0)
    assert [backoff.next() for _ in range(4)] == [1.0, 2.0, 4.0, 5.0]
    backoff.reset()
    assert backoff.next() == 1.0


def test_jitter_only_adds() -> None:
    backoff = Backoff(1.0, 1.0, jitter=0.5)
    assert all(1.0 <= backoff.next() <= 1.5 for _ in range(100))


def test_items_fail_apart() -> None:
    backoff = ItemBackoff(0.005, 1000.0)
    assert [backoff.next("a") for _ in range(3)] == [0.005, 0.01, 0.02]
    assert backoff.next("b") == 0.005
    for _ in range(100):
        backoff.next("a")
    assert backoff.next("a") == 1000.0
    backoff.forget("a")
    assert backoff.failures("a") == 0


async def test_tokens_come_back_with_time() -> None:
    bucket = TokenBucket(2.0, 3)
    assert [bucket.take() for _ in range(4)] == [True, True, True, False]
    await clock.sleep(1)
    assert [bucket.take() for _ in range(3)] == [True, True, False]
    assert [bucket.reserve() for _ in range(2)] == [0.5, 1.0]
