"""JSONPath as printer columns, selectable fields and the scale subresource use it.

A path (`.status.conditions[?(@.type=="Ready")].status`) is compiled once into steps. Supported: fields (quoted and
escaped ones too), indexes (negative ones too), slices, wildcards, recursive descent and filters that compare one path
with a constant.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

Step = Callable[[list[Any]], list[Any]]

_TOKEN = re.compile(
    r"""\.\.(?P<deep>[A-Za-z0-9_\-]+|\*)
      | \.(?P<field>(?:\\.|[^.\[\\\s])+)
      | \[\s*(?P<quoted>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")\s*\]
      | \[\s*(?P<slice>-?\d*\s*:\s*-?\d*(?:\s*:\s*-?\d*)?)\s*\]
      | \[\s*(?P<index>-?\d+)\s*\]
      | \[\s*(?P<star>\*)\s*\]
      | \[\?\((?P<filter>.*?)\)\]
      | \.?(?P<lone>\*)""",
    re.VERBOSE,
)
_FILTER = re.compile(r"^\s*@(?P<path>[^=!<>]*?)\s*(?:(?P<op>==|!=|<=|>=|<|>)\s*(?P<value>.+?))?\s*$")


class JSONPathError(ValueError):
    """A path that is none."""


@lru_cache(4096)
def compile(path: str) -> Callable[[Any], list[Any]]:
    """A function from a JSON value to all values that the path finds in it. Raises JSONPathError."""
    text = path.strip()
    if text.startswith("{") and text.endswith("}"):
        text = text[1:-1].strip()
    if text.startswith("$"):
        text = text[1:]
    steps: list[Step] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or match.end() == at:
            raise JSONPathError(f"invalid JSONPath {path!r}")
        steps.append(_step(match, path))
        at = match.end()

    def find(value: Any) -> list[Any]:
        found = [value]
        for step in steps:
            found = step(found)
        return found

    return find


def first(path: str, value: Any) -> Any:
    """The first value found, or None."""
    found = compile(path)(value)
    return found[0] if found else None


def _step(match: re.Match[str], path: str) -> Step:
    groups = match.groupdict()
    if (name := groups["field"]) is not None:
        return _field(re.sub(r"\\(.)", r"\1", name))
    if (quoted := groups["quoted"]) is not None:
        return _field(re.sub(r"\\(.)", r"\1", quoted[1:-1]))
    if (index := groups["index"]) is not None:
        return _index(int(index))
    if groups["star"] is not None or groups["lone"] is not None:
        return lambda found: [child for value in found for child in _children(value)]
    if (span := groups["slice"]) is not None:
        parts = [int(p) if p.strip() else None for p in span.split(":")]
        cut = slice(*parts)
        return lambda found: [child for value in found if isinstance(value, list) for child in value[cut]]
    if (deep := groups["deep"]) is not None:
        return lambda found: [hit for value in found for hit in _descend(value, deep)]
    return _filter(groups["filter"], path)


def _field(name: str) -> Step:
    return lambda found: [v[name] for v in found if isinstance(v, dict) and name in v]


def _index(index: int) -> Step:
    return lambda found: [v[index] for v in found if isinstance(v, list) and -len(v) <= index < len(v)]


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _descend(value: Any, name: str) -> list[Any]:
    found: list[Any] = []
    if isinstance(value, dict):
        if name == "*":
            found.extend(value.values())
        elif name in value:
            found.append(value[name])
    for child in _children(value):
        found.extend(_descend(child, name))
    return found


def _filter(text: str, path: str) -> Step:
    match = _FILTER.match(text)
    if match is None:
        raise JSONPathError(f"invalid filter in JSONPath {path!r}")
    find = compile(match["path"] or "") if match["path"] else (lambda value: [value])
    operator, raw = match["op"], match["value"]
    wanted = _constant(raw) if raw is not None else None

    def holds(value: Any) -> bool:
        found = find(value)
        if operator is None:
            return bool(found)
        if not found:
            return False
        have = found[0]
        if operator == "==":
            return bool(have == wanted)
        if operator == "!=":
            return bool(have != wanted)
        try:
            return bool({"<": have < wanted, ">": have > wanted, "<=": have <= wanted, ">=": have >= wanted}[operator])
        except TypeError:
            return False

    return lambda values: [child for value in values for child in _children(value) if holds(child)]


def _constant(text: str) -> Any:
    if text[:1] in "'\"" and text[-1:] == text[:1]:
        return text[1:-1]
    if text in ("true", "false"):
        return text == "true"
    try:
        return int(text)
    except ValueError:
        try:
            return float(text)
        except ValueError:
            return text
