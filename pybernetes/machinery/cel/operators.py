"""What operators and comprehension macros do with values."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

from pybernetes.machinery.cel.functions import NoOverload, is_number
from pybernetes.machinery.cel.values import CelError, UInt, type_name

__all__ = ["MACROS", "NONE", "OPERATORS", "TWO_VARIABLES", "at", "fits", "truth"]


class _None:
    pass


NONE = _None()


def at(value: Any, key: Any) -> Any:
    if isinstance(value, list):
        if isinstance(key, bool) or not isinstance(key, int | float) or key != int(key):
            raise NoOverload(f"unsupported index type '{type_name(key)}' in list")
        return value[int(key)] if 0 <= key < len(value) else NONE
    if isinstance(value, dict):
        return value.get(key, NONE) if not isinstance(key, bool | list | dict) or key in value else NONE
    raise NoOverload(f"no such overload: {type_name(value)}[{type_name(key)}]")


def truth(value: Any) -> bool:
    if value is True or value is False:
        return bool(value)
    raise NoOverload("no such overload")


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if is_number(a) and is_number(b):
        return bool(a == b)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(_equal(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_equal(a[k], b[k]) for k in a)
    return type_name(a) == type_name(b) and bool(a == b)


def _in(a: Any, b: Any) -> bool:
    if isinstance(b, list):
        return any(_equal(a, item) for item in b)
    if isinstance(b, dict):
        return a in b
    raise NoOverload("no such overload")


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def run(a: Any, b: Any) -> bool:
        if (is_number(a) and is_number(b)) or type_name(a) == type_name(b):
            return bool(compare(a, b))
        raise NoOverload("no such overload")

    return run


def _number(value: Any) -> Any:
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        raise CelError("integer overflow")
    return value


def _add(a: Any, b: Any) -> Any:
    if is_number(a) and is_number(b):
        return _number(type(a)(a + b) if isinstance(a, UInt) else a + b)
    if type_name(a) == type_name(b) and isinstance(a, str | bytes | list | dt.timedelta):
        return a + b
    if isinstance(a, dt.datetime | dt.timedelta) and isinstance(b, dt.datetime | dt.timedelta):
        return a + b  # type: ignore[operator]
    raise NoOverload("no such overload")


def _sub(a: Any, b: Any) -> Any:
    if (is_number(a) and is_number(b)) or isinstance(a, dt.datetime | dt.timedelta):
        return _number(a - b)
    raise NoOverload("no such overload")


def _mul(a: Any, b: Any) -> Any:
    if is_number(a) and is_number(b):
        return _number(a * b)
    raise NoOverload("no such overload")


def _div(a: Any, b: Any) -> Any:
    if not (is_number(a) and is_number(b)):
        raise NoOverload("no such overload")
    if isinstance(a, float) or isinstance(b, float):
        return a / b if b else float("inf") * (1 if a > 0 else -1)
    if b == 0:
        raise CelError("division by zero")
    out = abs(a) // abs(b)
    return out if (a < 0) == (b < 0) else -out


def _mod(a: Any, b: Any) -> Any:
    if not (isinstance(a, int) and isinstance(b, int)):
        raise NoOverload("no such overload")
    if b == 0:
        raise CelError("modulus by zero")
    return abs(a) % abs(b) * (-1 if a < 0 else 1)


def _negate(a: Any) -> Any:
    if not is_number(a):
        raise NoOverload("no such overload")
    return -a


OPERATORS: dict[str, Callable[..., Any]] = {
    "_==_": _equal,
    "_!=_": lambda a, b: not _equal(a, b),
    "_<_": _ordered(lambda a, b: a < b),
    "_<=_": _ordered(lambda a, b: a <= b),
    "_>_": _ordered(lambda a, b: a > b),
    "_>=_": _ordered(lambda a, b: a >= b),
    "@in": _in,
    "_+_": _add,
    "_-_": _sub,
    "_*_": _mul,
    "_/_": _div,
    "_%_": _mod,
    "-_": _negate,
    "!_": lambda a: not truth(a),
}
_NUMERIC = frozenset({"int", "uint", "double"})


def fits(operator: str, a: str, b: str) -> bool:
    """Whether an operator takes two scalar types. Only what is surely wrong is refused."""
    if operator == "@in":
        return b in ("list", "map")
    if operator in ("_==_", "_!=_"):
        return a == b or "null" in (a, b) or (a in _NUMERIC and b in _NUMERIC)
    if operator in ("_<_", "_<=_", "_>_", "_>=_"):
        return (a == b and a not in ("list", "map", "null")) or (a in _NUMERIC and b in _NUMERIC)
    if operator == "_+_":
        times = {"timestamp", "duration"}
        return (a == b and a not in ("bool", "map", "null")) or (a in times and b in times)
    if operator == "_-_":
        return (a == b and a in _NUMERIC) or {a, b} <= {"timestamp", "duration"}
    return a == b and a in _NUMERIC


def _all(pairs: Any, bodies: Any, bound: Any, two: bool, is_map: bool) -> bool:
    test, failure = bodies[0], None
    for pair in pairs:
        try:
            if not truth(test(bound(pair))):
                return False
        except CelError as error:
            failure = error
    if failure is not None:
        raise failure
    return True


def _exists(pairs: Any, bodies: Any, bound: Any, two: bool, is_map: bool) -> bool:
    test, failure = bodies[0], None
    for pair in pairs:
        try:
            if truth(test(bound(pair))):
                return True
        except CelError as error:
            failure = error
    if failure is not None:
        raise failure
    return False


def _exists_one(pairs: Any, bodies: Any, bound: Any, two: bool, is_map: bool) -> bool:
    return sum(truth(bodies[0](bound(pair))) for pair in pairs) == 1


def _map(pairs: Any, bodies: Any, bound: Any, two: bool, is_map: bool) -> Any:
    if len(bodies) == 1:
        return [bodies[0](bound(pair)) for pair in pairs]
    out = []
    for pair in pairs:
        env = bound(pair)
        if truth(bodies[0](env)):
            out.append(bodies[1](env))
    return out


def _filter(pairs: Any, bodies: Any, bound: Any, two: bool, is_map: bool) -> Any:
    return [pair[0] if is_map else pair[1] for pair in pairs if truth(bodies[0](bound(pair)))]


def _transform_map(pairs: Any, bodies: Any, bound: Any, two: bool, is_map: bool) -> Any:
    out = {}
    for pair in pairs:
        env = bound(pair)
        if len(bodies) == 1 or truth(bodies[0](env)):
            out[pair[0]] = bodies[-1](env)
    return out


def _transform_entry(pairs: Any, bodies: Any, bound: Any, two: bool, is_map: bool) -> Any:
    out: dict[Any, Any] = {}
    for pair in pairs:
        env = bound(pair)
        if len(bodies) == 1 or truth(bodies[0](env)):
            out.update(bodies[-1](env))
    return out


def _sort_by(pairs: Any, bodies: Any, bound: Any, two: bool, is_map: bool) -> Any:
    return sorted((pair[1] for pair in pairs), key=lambda value: bodies[0](bound((0, value))))


MACROS: dict[str, Callable[..., Any]] = {
    "all": _all,
    "exists": _exists,
    "exists_one": _exists_one,
    "existsOne": _exists_one,
    "map": _map,
    "filter": _filter,
    "transformList": _map,
    "transformMap": _transform_map,
    "transformMapEntry": _transform_entry,
    "sortBy": _sort_by,
}
#: Those that take a variable for the key and one for the value.
TWO_VARIABLES = frozenset(
    {"all", "exists", "exists_one", "existsOne", "transformList", "transformMap", "transformMapEntry"}
)
