"""The functions of templates: Go's own, and kubectl's `exists` and `base64decode`.

`and` and `or` are not here: they stop at the first argument that decides, so the evaluator does them.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any
from urllib.parse import quote_plus

from pybernetes.cli.gotemplate import formatting
from pybernetes.cli.gotemplate.errors import CallError


def truth(value: Any) -> bool:
    """What `if` makes of a value."""
    return bool(value)


def _kind(value: Any) -> str:
    match value:
        case bool():
            return "bool"
        case int():
            return "int"
        case float():
            return "float"
        case str():
            return "string"
    return ""


def _bad(a: Any, b: Any) -> CallError:
    return CallError(f"incompatible types for comparison: {formatting.type_name(a)} and {formatting.type_name(b)}")


def _same(a: Any, b: Any) -> bool:
    first, second = _kind(a), _kind(b)
    if first != second:
        if a is not None and b is not None:
            raise _bad(a, b)
        return False
    if not first and (isinstance(a, dict | list) or isinstance(b, dict | list)):
        if a is None or b is None:
            return False
        found = a if isinstance(a, dict | list) else b
        raise CallError(f"non-comparable type {formatting.sprintf('%s', [found])}: {formatting.type_name(found)}")
    return bool(a == b)


def _equal(first: Any, *others: Any) -> bool:
    if not others:
        raise CallError("missing argument for comparison")
    return any(_same(first, other) for other in others)


def _less(a: Any, b: Any) -> bool:
    first, second = _kind(a), _kind(b)
    if not first or not second or first == second == "bool":
        raise CallError("invalid type for comparison")
    if first != second:
        raise _bad(a, b)
    return bool(a < b)


def _length(value: Any) -> int:
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, dict | list):
        return len(value)
    if value is None:
        raise CallError("reflect: call of reflect.Value.Type on zero Value")
    raise CallError(f"len of type {formatting.type_name(value)}")


def _position(index: Any, size: int) -> int:
    if index is None:
        raise CallError("cannot index slice/array with nil")
    if not isinstance(index, int) or isinstance(index, bool):
        raise CallError(f"cannot index slice/array with type {formatting.type_name(index)}")
    if not 0 <= index < size:
        raise CallError(f"index out of range: {int(index)}")
    return index


def _index(value: Any, *indexes: Any) -> Any:
    if value is None:
        raise CallError("index of untyped nil")
    for index in indexes:
        match value:
            case None:
                raise CallError("index of nil pointer")
            case dict():
                if not isinstance(index, str):
                    raise CallError(f"value has type {formatting.type_name(index)}; should be string")
                value = value.get(index)
            case list():
                value = value[_position(index, len(value))]
            case str():
                encoded = value.encode()
                value = encoded[_position(index, len(encoded))]
            case _:
                raise CallError(f"can't index item of type {formatting.type_name(value)}")
    return value


def _slice(value: Any, *indexes: Any) -> Any:
    if not isinstance(value, str | list):
        raise CallError(f"can't slice item of type {formatting.type_name(value)}")
    bounds = [_position(i, len(value) + 1) for i in indexes]
    low = bounds[0] if bounds else 0
    high = bounds[1] if len(bounds) > 1 else len(value)
    if low > high:
        raise CallError(f"invalid slice index: {low} > {high}")
    return value[low:high]


_HTML = str.maketrans({"&": "&amp;", "'": "&#39;", "<": "&lt;", ">": "&gt;", '"': "&#34;", "\0": "\ufffd"})
_JS = str.maketrans(
    {c: f"\\u{ord(c):04X}" for c in "<>&="} | {"\\": "\\\\", "'": "\\'", '"': '\\"', "\n": "\\u000A", "\r": "\\u000D"}
)


def _exists(value: Any, *path: Any) -> bool:
    for step in path:
        in_map = isinstance(value, dict) and isinstance(step, str) and step in value
        in_list = isinstance(value, list) and isinstance(step, int) and 0 <= step < len(value)
        if not in_map and not in_list:
            return False
        value = value[step]
    return value is not None


def _base64decode(value: Any) -> str:
    try:
        return base64.b64decode(str(value), validate=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        good = 0
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        while good < len(value) and value[good] in alphabet:
            good += 1
        raise CallError(f"base64 decode failed: illegal base64 data at input byte {good}") from None


def _printf(template: Any, *values: Any) -> str:
    return formatting.sprintf(str(template), list(values))


def _sprint(*values: Any) -> str:
    return formatting.sprint(list(values))


#: name -> (function, least number of arguments, most or -1)
FUNCTIONS: dict[str, tuple[Callable[..., Any], int, int]] = {
    "not": (lambda v: not truth(v), 1, 1),
    "len": (_length, 1, 1),
    "index": (_index, 1, -1),
    "slice": (_slice, 1, -1),
    "print": (_sprint, 0, -1),
    "println": (lambda *v: " ".join(map(formatting.text, v)) + "\n", 0, -1),
    "printf": (_printf, 1, -1),
    "html": (lambda *v: _sprint(*v).translate(_HTML), 0, -1),
    "js": (lambda *v: _sprint(*v).translate(_JS), 0, -1),
    "urlquery": (lambda *v: quote_plus(_sprint(*v), safe="~"), 0, -1),
    "eq": (_equal, 1, -1),
    "ne": (lambda a, b: not _same(a, b), 2, 2),
    "lt": (_less, 2, 2),
    "le": (lambda a, b: _less(a, b) or _same(a, b), 2, 2),
    "gt": (lambda a, b: not (_less(a, b) or _same(a, b)), 2, 2),
    "ge": (lambda a, b: not _less(a, b), 2, 2),
    "exists": (_exists, 1, -1),
    "base64decode": (_base64decode, 1, 1),
}
