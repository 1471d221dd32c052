"""The only source of time and chance.

Every other module asks here, so that a whole cluster can run under virtual time: with a virtual
event loop (`looptime`) `monotonic()` and `sleep()` follow the loop by themselves, and
`use_virtual_epoch()` ties the wall clock to the loop as well. Not an object handed through every
constructor: there is one time in a process, and a parameter in two hundred signatures would say no more.
"""

from __future__ import annotations

import asyncio
import datetime as _dt
import random as _random
import time as _time

#: The seeded generator for jitter, generated names and simulations. `seed()` makes a run reproducible.
rng = _random.Random()

_epoch: float | None = None  # wall time at loop time 0, when the wall clock is virtual


def seed(value: int) -> None:
    """Make all chance in this process reproducible."""
    rng.seed(value)


def use_virtual_epoch(epoch: float | None) -> None:
    """Tie the wall clock to the running loop's time, starting at `epoch` (Unix seconds); None undoes it."""
    global _epoch
    _epoch = epoch


def timestamp() -> float:
    """Wall time in Unix seconds."""
    if _epoch is not None:
        return _epoch + asyncio.get_running_loop().time()
    return _time.time()


def monotonic() -> float:
    """Seconds on a clock that never goes back; the loop's own where one runs."""
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:
        return _time.monotonic()


def now() -> _dt.datetime:
    """Wall time as an aware UTC datetime."""
    return _dt.datetime.fromtimestamp(timestamp(), _dt.UTC)


_last: tuple[int, str] = (-1, "")


def rfc3339() -> str:
    """Now as metav1.Time writes it: `2026-01-02T03:04:05Z`."""
    global _last
    second = int(timestamp())
    if _last[0] != second:  # one formatting a second: this is on the path of every write
        _last = (second, format_rfc3339(second))
    return _last[1]


def rfc3339_micro() -> str:
    """Now as metav1.MicroTime writes it: `2026-01-02T03:04:05.000006Z`."""
    return now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def format_rfc3339(unix_seconds: float) -> str:
    """Unix seconds as metav1.Time text, rounded down to the second."""
    return _dt.datetime.fromtimestamp(int(unix_seconds), _dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def is_day(text: str) -> bool:
    """Whether it is a date as `2026-01-31`."""
    try:
        return _dt.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def parse_rfc3339(text: str) -> float:
    """Unix seconds of an RFC 3339 text, with or without fraction and offset. Raises ValueError."""
    value = _dt.datetime.fromisoformat(text)
    if value.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return value.timestamp()


async def sleep(seconds: float) -> None:
    """Wait on the loop's time (virtual under a virtual loop)."""
    await asyncio.sleep(seconds)
