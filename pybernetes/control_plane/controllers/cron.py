"""Cron schedules: when is the next time? The five fields, names, steps, `@daily` and the like; time zones by name.

A day matches when either day field does, if both are restricted: what Vixie's cron has always done. A time that a
change to summer time skips does not happen; one that happens twice happens once, at its first coming.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import lru_cache
from zoneinfo import ZoneInfo

_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTHS = {m: i + 1 for i, m in enumerate(_MONTH_NAMES)}
_DAYS = {d: i for i, d in enumerate(["sun", "mon", "tue", "wed", "thu", "fri", "sat"])}
_UNITS = {"h": 3600, "m": 60, "s": 1}


@dataclass(frozen=True)
class Schedule:
    """The allowed values of each field; or a fixed distance in seconds (`@every`)."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    any_day: bool  # the day of the month is not restricted
    any_weekday: bool
    every: int = 0

    def after(self, unix_seconds: float, zone: str = "UTC") -> float | None:
        """The first time after `unix_seconds`, in Unix seconds; None within five years means never."""
        if self.every:
            return int(unix_seconds) + self.every
        tz = ZoneInfo(zone)
        start = dt.datetime.fromtimestamp(unix_seconds, tz).replace(second=0, microsecond=0, tzinfo=None)
        at = start + dt.timedelta(minutes=1)
        limit = at.year + 5
        while at.year <= limit:
            if at.month not in self.months:
                year, month = (at.year + 1, 1) if at.month == 12 else (at.year, at.month + 1)
                at = dt.datetime(year, month, 1)
            elif not self._day(at):
                at = dt.datetime(at.year, at.month, at.day) + dt.timedelta(days=1)
            elif at.hour not in self.hours:
                at = at.replace(minute=0) + dt.timedelta(hours=1)
            elif at.minute not in self.minutes:
                at += dt.timedelta(minutes=1)
            else:
                found = at.replace(tzinfo=tz).timestamp()
                back = dt.datetime.fromtimestamp(found, tz).replace(tzinfo=None)
                if back == at and found > unix_seconds:
                    return found
                at += dt.timedelta(minutes=1)
        return None

    def _day(self, at: dt.datetime) -> bool:
        day, weekday = at.day in self.days, (at.weekday() + 1) % 7 in self.weekdays
        return (day and weekday) if self.any_day or self.any_weekday else (day or weekday)


def is_zone(name: str) -> bool:
    """Whether the machine knows a time zone of that name."""
    try:
        ZoneInfo(name or "UTC")
    except (KeyError, OSError, ValueError):
        return False
    return True


def in_zone(unix_seconds: float, zone: str | None) -> str:
    """A time as the clocks of a zone show it, with their distance to UTC."""
    text = dt.datetime.fromtimestamp(int(unix_seconds), ZoneInfo(zone or "UTC")).isoformat()
    return text.replace("+00:00", "Z")


@lru_cache(maxsize=1024)
def parse(text: str) -> tuple[Schedule, str]:
    """The schedule, and the time zone it names itself (`TZ=Europe/Berlin ...`) or "". Raises ValueError."""
    zone = ""
    if text.startswith(("TZ=", "CRON_TZ=")):
        prefix, _, text = text.partition(" ")
        zone = prefix.partition("=")[2]
        if not is_zone(zone):
            raise ValueError(f"provided bad location {zone}: unknown time zone {zone}")
    text = text.strip()
    if text.startswith("@every "):
        nothing: frozenset[int] = frozenset()
        seconds = _duration(text[7:])
        return Schedule(nothing, nothing, nothing, nothing, nothing, True, True, max(1, seconds)), zone
    if text.startswith("@"):
        if text not in _MACROS:
            raise ValueError(f"unrecognized descriptor: {text}")
        text = _MACROS[text]
    fields = text.split()
    if len(fields) != 5:
        raise ValueError(f"expected exactly 5 fields, found {len(fields)}: {text}")
    weekdays = {0 if day == 7 else day for day in _field(fields[4], 0, 7, _DAYS)}
    return (
        Schedule(
            frozenset(_field(fields[0], 0, 59, {})),
            frozenset(_field(fields[1], 0, 23, {})),
            frozenset(_field(fields[2], 1, 31, {})),
            frozenset(_field(fields[3], 1, 12, _MONTHS)),
            frozenset(weekdays),
            fields[2].startswith(("*", "?")),
            fields[4].startswith(("*", "?")),
        ),
        zone,
    )


def _field(text: str, low: int, high: int, names: dict[str, int]) -> set[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, slash, step_text = part.partition("/")
        step = _number(step_text, {}) if slash else 1
        if step == 0:
            raise ValueError(f"step of range should be a positive number: {part}")
        first_text, dash, last_text = span.partition("-")
        if span in ("*", "?"):
            first, last = low, min(high, 6) if high == 7 else high
        else:
            first = _number(first_text, names)
            last = _number(last_text, names) if dash else (high if slash else first)
        if first < low or last > high or first > last:
            raise ValueError(f"value outside of {low}-{high}: {part}")
        found.update(range(first, last + 1, step))
    return found


def _number(text: str, names: dict[str, int]) -> int:
    if text.lower() in names:
        return names[text.lower()]
    if not text.isdigit():
        raise ValueError(f"failed to parse int from {text!r}")
    return int(text)


def _duration(text: str) -> int:
    total, digits = 0.0, ""
    for character in text.strip():
        if character.isdigit() or character == ".":
            digits += character
        elif character in _UNITS and digits:
            total += float(digits) * _UNITS[character]
            digits = ""
        else:
            raise ValueError(f"failed to parse duration {text!r}")
    if digits:
        raise ValueError(f"missing unit in duration {text!r}")
    return int(total)
