"""The functions of CEL: `GLOBAL` by name, `METHODS` by name with the target first; `kubernetes` adds the API's own.

Functions look at the types of their arguments themselves and raise `NoOverload` for what they do not take.
"""

from __future__ import annotations

import datetime as dt
import re
from base64 import b64decode, b64encode
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from typing import Any

from pybernetes.machinery.cel.values import CelError, CelType, Optional, UInt, type_name

Function = Callable[..., Any]

GLOBAL: dict[str, Function] = {}
METHODS: dict[str, Function] = {}


class NoOverload(CelError):
    """No version of a function takes these types."""


def _global(*called: str) -> Callable[[Function], Function]:
    def register(function: Function) -> Function:
        for name in called or (function.__name__.strip("_"),):
            GLOBAL[name] = function
        return function

    return register


def _method(*called: str) -> Callable[[Function], Function]:
    def register(function: Function) -> Function:
        for name in called:
            METHODS[name] = function
        return function

    return register


def _need(ok: bool) -> None:
    if not ok:
        raise NoOverload("no such overload")


# Types and conversions -----------------------------------------------------------------------------------------------


def is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@_global("type")
def _type(value: Any) -> CelType:
    return CelType(type_name(value))


@_global("dyn")
def _dyn(value: Any) -> Any:
    return value


@_global("int")
def _int(value: Any) -> int:
    if isinstance(value, dt.datetime):
        return int(value.timestamp())
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            raise CelError(f'type conversion error from "{value}" to int') from None
    _need(is_number(value))
    out = int(value)
    if not -(2**63) <= out < 2**63:
        raise CelError("integer overflow")
    return out


@_global("uint")
def _uint(value: Any) -> UInt:
    out = _int(value)
    if out < 0:
        raise CelError("unsigned integer overflow")
    return UInt(out)


@_global("double")
def _double(value: Any) -> float:
    _need(is_number(value) or isinstance(value, str))
    try:
        return float(value)
    except ValueError:
        raise CelError(f'type conversion error from "{value}" to double') from None


@_global("string")
def _string(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, dt.datetime):
        return show_time(value)
    if isinstance(value, dt.timedelta):
        return f"{value.total_seconds():g}s"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    _need(is_int(value) or hasattr(value, "cel_type"))
    return str(int(value)) if is_int(value) else str(value)


@_global("bytes")
def _bytes(value: Any) -> bytes:
    _need(isinstance(value, str | bytes))
    return value.encode() if isinstance(value, str) else bytes(value)


@_global("bool")
def _bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if value in ("true", "True", "TRUE", "t", "1"):
        return True
    if value in ("false", "False", "FALSE", "f", "0"):
        return False
    raise CelError(f'type conversion error from "{value}" to bool')


def show_time(value: dt.datetime) -> str:
    text = value.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f"{value.microsecond:06d}".rstrip("0")
    return f"{text}.{fraction}Z" if fraction else f"{text}Z"


@_global("timestamp")
def parse_time(value: Any) -> dt.datetime:
    if isinstance(value, dt.datetime):
        return value
    if is_int(value):
        return dt.datetime.fromtimestamp(value, dt.UTC)
    _need(isinstance(value, str))
    try:
        found = dt.datetime.fromisoformat(value)
    except ValueError as error:
        raise CelError(f"type conversion error: {error}") from None
    if found.tzinfo is None:
        raise CelError(f'cannot parse "{value}" as a timestamp')
    return found


_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|h|m|s)")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


@_global("duration")
def parse_duration(value: Any) -> dt.timedelta:
    if isinstance(value, dt.timedelta):
        return value
    _need(isinstance(value, str))
    body = value.lstrip("+-")
    if body == "0":
        return dt.timedelta()
    parts = _DURATION.findall(body)
    if not parts or "".join(n + u for n, u in parts) != body:
        raise CelError(f'time: invalid duration "{value}"')
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    return dt.timedelta(seconds=-seconds if value.startswith("-") else seconds)


# Collections and strings ---------------------------------------------------------------------------------------------


@_global("size")
def size(value: Any) -> int:
    _need(isinstance(value, str | bytes | list | dict))
    return len(value)


METHODS["size"] = size


@_method("contains")
def _contains(value: Any, other: Any) -> bool:
    _need(isinstance(value, str) and isinstance(other, str))
    return other in value


@_method("startsWith")
def _starts(value: str, other: str) -> bool:
    _need(isinstance(value, str) and isinstance(other, str))
    return value.startswith(other)


@_method("endsWith")
def _ends(value: str, other: str) -> bool:
    _need(isinstance(value, str) and isinstance(other, str))
    return value.endswith(other)


@lru_cache(1024)
def _regex(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern.replace(r"\z", r"\Z"), re.ASCII)
    except re.error as error:
        raise CelError(f"error parsing regexp: {error}") from None


def _matches(value: str, pattern: str) -> bool:
    _need(isinstance(value, str) and isinstance(pattern, str))
    return _regex(pattern).search(value) is not None


GLOBAL["matches"] = METHODS["matches"] = _matches


@_method("find")
def _find(value: str, pattern: str) -> str:
    found = _regex(pattern).search(value)
    return found[0] if found else ""


@_method("findAll")
def _find_all(value: str, pattern: str, limit: int = -1) -> list[str]:
    found = [m[0] for m in _regex(pattern).finditer(value)]
    return found if limit < 0 else found[:limit]


@_method("charAt")
def _char_at(value: str, index: int) -> str:
    if not 0 <= index <= len(value):
        raise CelError(f"index out of range: {index}")
    return value[index : index + 1]


@_method("indexOf")
def _index_of(value: Any, other: Any, start: int = 0) -> int:
    if isinstance(value, list):
        return next((i for i, item in enumerate(value) if item == other), -1)
    _need(isinstance(value, str) and isinstance(other, str))
    return int(value.find(other, start))


@_method("lastIndexOf")
def _last_index_of(value: Any, other: Any, last: int | None = None) -> int:
    if isinstance(value, list):
        return next((i for i in range(len(value) - 1, -1, -1) if value[i] == other), -1)
    end = len(value) if last is None else last + len(other)
    return int(value.rfind(other, 0, end))


@_method("lowerAscii")
def _lower(value: str) -> str:
    return "".join(c.lower() if c.isascii() else c for c in value)


@_method("upperAscii")
def _upper(value: str) -> str:
    return "".join(c.upper() if c.isascii() else c for c in value)


@_method("replace")
def _replace(value: str, old: str, new: str, count: int = -1) -> str:
    return value.replace(old, new, count)


@_method("split")
def _split(value: str, separator: str, limit: int = -1) -> list[str]:
    if limit == 0:
        return []
    if not separator:
        return list(value) if limit < 0 else [*value[: limit - 1], value[limit - 1 :]]
    return value.split(separator, limit - 1 if limit > 0 else -1)


@_method("substring")
def _substring(value: str, start: int, end: int | None = None) -> str:
    stop = len(value) if end is None else end
    if not 0 <= start <= stop <= len(value):
        raise CelError(f"index out of range: {start}")
    return value[start:stop]


@_method("trim")
def _trim(value: str) -> str:
    return value.strip()


@_method("join")
def _join(value: list[str], separator: str = "") -> str:
    _need(all(isinstance(item, str) for item in value))
    return separator.join(value)


@_method("reverse")
def _reverse(value: Any) -> Any:
    return value[::-1]


@_method("format")
def _format(value: str, args: list[Any]) -> str:
    rest = iter(args)

    def one(match: re.Match[str]) -> str:
        spec = match[0]
        if spec == "%%":
            return "%"
        item = next(rest, None)
        verb = spec[-1]
        if verb == "s":
            return show(item)
        if verb == "d":
            return str(int(item or 0))
        if verb in "xXob":
            return format(item if not isinstance(item, str) else int(item.encode().hex(), 16), verb)
        return str(spec % float(item or 0))

    return re.sub(r"%(?:%|(?:\.\d+)?[sdfeboxX])", one, value)


def show(value: Any) -> str:
    """A value as `format` and messages show it."""
    if isinstance(value, list):
        return "[" + ", ".join(show(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{show(k)}: {show(v)}" for k, v in value.items()) + "}"
    return "null" if value is None else _string(value)


def _ordered(value: list[Any]) -> bool:
    return all(a <= b for a, b in pairwise(value))


METHODS["isSorted"] = _ordered


@_method("sum")
def _sum(value: list[Any]) -> Any:
    total: Any = value[0] if value else 0
    for item in value[1:]:
        total = total + item
    return total


@_method("min")
def _min(value: list[Any]) -> Any:
    if not value:
        raise CelError("min called on empty list")
    return min(value)


@_method("max")
def _max(value: list[Any]) -> Any:
    if not value:
        raise CelError("max called on empty list")
    return max(value)


@_method("slice")
def _slice(value: list[Any], start: int, end: int) -> list[Any]:
    return value[start:end]


@_method("flatten")
def _flatten(value: list[Any], depth: int = 1) -> list[Any]:
    out: list[Any] = []
    for item in value:
        out.extend(
            _flatten(item, depth - 1)
            if isinstance(item, list) and depth > 1
            else item
            if isinstance(item, list)
            else [item]
        )
    return out


@_method("sort")
def _sort(value: list[Any]) -> list[Any]:
    return sorted(value)


@_method("distinct")
def _distinct(value: list[Any]) -> list[Any]:
    out: list[Any] = []
    for item in value:
        if item not in out:
            out.append(item)
    return out


GLOBAL["sets.contains"] = lambda a, b: all(item in a for item in b)
GLOBAL["sets.intersects"] = lambda a, b: any(item in a for item in b)
GLOBAL["sets.equivalent"] = lambda a, b: all(i in a for i in b) and all(i in b for i in a)
GLOBAL["base64.encode"] = lambda value: b64encode(value).decode()
GLOBAL["base64.decode"] = lambda value: b64decode(value)
GLOBAL["math.greatest"] = lambda *values: max(values[0] if len(values) == 1 and isinstance(values[0], list) else values)
GLOBAL["math.least"] = lambda *values: min(values[0] if len(values) == 1 and isinstance(values[0], list) else values)
GLOBAL["math.abs"] = abs
GLOBAL["math.ceil"] = lambda value: float(-(-value // 1))
GLOBAL["math.floor"] = lambda value: float(value // 1)
GLOBAL["strings.quote"] = lambda value: '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
GLOBAL["optional.of"] = lambda value: Optional(value)
GLOBAL["optional.none"] = lambda: Optional()
GLOBAL["optional.ofNonZeroValue"] = lambda value: Optional(value) if value else Optional()


@_method("hasValue")
def _has_value(value: Optional) -> bool:
    _need(isinstance(value, Optional))
    return value.present


@_method("orValue")
def _or_value(value: Optional, other: Any) -> Any:
    _need(isinstance(value, Optional))
    return value.value if value.present else other


@_method("or")
def _or(value: Optional, other: Optional) -> Optional:
    _need(isinstance(value, Optional))
    return value if value.present else other


@_method("value")
def _value(value: Any) -> Any:
    if isinstance(value, Optional):
        if not value.present:
            raise CelError("optional.none() dereference")
        return value.value
    raise NoOverload("no such overload")


# Time ----------------------------------------------------------------------------------------------------------------


def _zoned(value: dt.datetime, zone: str | None) -> dt.datetime:
    if zone is None:
        return value.astimezone(dt.UTC)
    if zone[:1] in "+-" or zone[:1].isdigit():
        sign = -1 if zone.startswith("-") else 1
        hours, _, minutes = zone.lstrip("+-").partition(":")
        return value.astimezone(dt.timezone(sign * dt.timedelta(hours=int(hours), minutes=int(minutes or 0))))
    import zoneinfo

    return value.astimezone(zoneinfo.ZoneInfo(zone))


def _part(of_time: Callable[[dt.datetime], int], of_span: Callable[[dt.timedelta], int] | None = None) -> Function:
    def get(value: Any, zone: str | None = None) -> int:
        if isinstance(value, dt.timedelta) and of_span is not None:
            return of_span(value)
        _need(isinstance(value, dt.datetime))
        return of_time(_zoned(value, zone))

    return get


METHODS["getFullYear"] = _part(lambda t: t.year)
METHODS["getMonth"] = _part(lambda t: t.month - 1)
METHODS["getDate"] = _part(lambda t: t.day)
METHODS["getDayOfMonth"] = _part(lambda t: t.day - 1)
METHODS["getDayOfWeek"] = _part(lambda t: t.isoweekday() % 7)
METHODS["getDayOfYear"] = _part(lambda t: t.timetuple().tm_yday - 1)
METHODS["getHours"] = _part(lambda t: t.hour, lambda s: int(s.total_seconds() // 3600))
METHODS["getMinutes"] = _part(lambda t: t.minute, lambda s: int(s.total_seconds() // 60))
METHODS["getSeconds"] = _part(lambda t: t.second, lambda s: int(s.total_seconds()))
METHODS["getMilliseconds"] = _part(lambda t: t.microsecond // 1000, lambda s: int(s.microseconds // 1000))
