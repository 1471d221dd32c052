"""Delays that grow: for connections that fail, and per item for queues."""

from __future__ import annotations

from collections.abc import Hashable

from pybernetes.aio import clock


class Backoff:
    """Exponential delays with jitter: `await backoff.wait()` after a failure, `reset()` after a success.

    Jitter is up to `jitter` of the delay on top of it, so that many that failed together do not return together.
    """

    def __init__(self, first: float = 0.1, limit: float = 30.0, factor: float = 2.0, jitter: float = 0.5) -> None:
        self.first, self.limit, self.factor, self.jitter = first, limit, factor, jitter
        self._next = first

    def next(self) -> float:
        """The next delay in seconds; grows with every call."""
        delay = self._next
        self._next = min(self._next * self.factor, self.limit)
        return delay * (1 + self.jitter * clock.rng.random())

    async def wait(self) -> None:
        """Sleep for the next delay."""
        await clock.sleep(self.next())

    def reset(self) -> None:
        """Start again from `first`."""
        self._next = self.first


class ItemBackoff:
    """Exponential delays per item, without jitter: `first` * 2^failures up to `limit`, until forgotten."""

    def __init__(self, first: float = 0.005, limit: float = 1000.0) -> None:
        self.first, self.limit = first, limit
        self._failures: dict[Hashable, int] = {}

    def next(self, item: Hashable) -> float:
        """The delay for one more failure of `item`, in seconds."""
        failures = self._failures.get(item, 0)
        self._failures[item] = failures + 1
        return min(self.first * 2.0 ** min(failures, 60), self.limit)

    def failures(self, item: Hashable) -> int:
        return self._failures.get(item, 0)

    def forget(self, item: Hashable) -> None:
        self._failures.pop(item, None)


class TokenBucket:
    """`rate` tokens a second, up to `burst` saved. All time is the loop's."""

    def __init__(self, rate: float, burst: int) -> None:
        self.rate, self.burst = rate, burst
        self._tokens = float(burst)
        self._at = 0.0
        self._started = False

    def _refill(self) -> None:
        now = clock.monotonic()
        if self._started:
            self._tokens = min(self.burst, self._tokens + (now - self._at) * self.rate)
        self._at, self._started = now, True

    def take(self) -> bool:
        """Take a token if there is one."""
        self._refill()
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def reserve(self) -> float:
        """Take a token, on credit if need be: the seconds until it is there."""
        self._refill()
        self._tokens -= 1
        return 0.0 if self._tokens >= 0 else -self._tokens / self.rate
