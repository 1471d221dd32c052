"""`--sort-by`: by a JSONPath; numbers, quantities and times in their own order, texts in natural order."""

from __future__ import annotations

import re
from typing import Any

from pybernetes.cli.errors import CLIError
from pybernetes.cli.printers import jsonpath


def by_path(items: list[dict[str, Any]], path: str) -> list[dict[str, Any]]:
    """The objects, sorted. Raises CLIError for a field that no object has."""
    return [item for _, item in _sorted([(item, item) for item in items], path)]


def rows_by_path(rows: list[dict[str, Any]], path: str) -> list[dict[str, Any]]:
    """The rows of a table, sorted by their objects."""
    return [row for _, row in _sorted([(row.get("object") or {}, row) for row in rows], path)]


def _sorted(pairs: list[tuple[dict[str, Any], Any]], path: str) -> list[tuple[dict[str, Any], Any]]:
    compiled = jsonpath.compile(jsonpath.relaxed(path))
    keyed = [(compiled.find(value), value, item) for value, item in pairs]
    if keyed and not any(found for found, _, _ in keyed):
        raise CLIError(f'couldn\'t find any field with path "{jsonpath.relaxed(path)}" in the list of objects')
    keyed.sort(key=lambda k: _key(k[0][0] if k[0] else None))
    return [(value, item) for _, value, item in keyed]


def _key(value: Any) -> tuple[Any, ...]:
    if value is None:
        return (0,)
    if isinstance(value, bool | int | float):
        return (1, float(value))
    text = jsonpath.text_of(value)
    if re.fullmatch(r"[+-]?[0-9.]+([eE][+-]?[0-9]+|[numkMGTPE]i?)?", text):
        from pybernetes.machinery import quantity

        try:
            return (1, float(quantity.milli(text)) / 1000)
        except ValueError:
            pass
    return (2, [(0, int(p), "") if p.isdigit() else (1, 0, p) for p in re.split(r"(\d+)", text) if p])
