"""meta/v1 Table: what `kubectl get` shows, and the cells that every kind has.

A Table is made by the server; the columns of a kind are beside its strategy there. Here are the wire form and the few
texts that upstream spells in a special way (ages, missing times).
"""

from __future__ import annotations

from typing import Annotated, Any

from pybernetes.machinery.meta import ListMeta
from pybernetes.machinery.types import (
    ATOMIC,
    Int32,
    Struct,
    constant,
    empty_list,
    field,
    zero_int,
    zero_str,
)

__all__ = ["Table", "TableColumnDefinition", "TableRow", "age", "column", "duration", "duration_short"]


class TableColumnDefinition(Struct):
    name: str = field(default_factory=zero_str)
    type: str = field(default_factory=zero_str)
    format: str = field(default_factory=zero_str)
    description: str = field(default_factory=zero_str)
    priority: Int32 = field(default_factory=zero_int)


class TableRowCondition(Struct):
    type: str = field(default_factory=zero_str)
    status: str = field(default_factory=zero_str)
    reason: str | None = None
    message: str | None = None


class TableRow(Struct):
    cells: Annotated[list[Any], ATOMIC] = field(default_factory=empty_list)
    conditions: Annotated[list[TableRowCondition], ATOMIC] | None = None
    #: The object, its metadata (PartialObjectMetadata) or nothing, as the client asked by `includeObject`.
    object: Any = None


class Table(Struct):
    kind: str = field(default_factory=constant("Table"))
    api_version: str = field(default_factory=constant("meta.k8s.io/v1"))
    metadata: ListMeta = field(default_factory=ListMeta)
    column_definitions: Annotated[list[TableColumnDefinition], ATOMIC] = field(default_factory=empty_list)
    rows: Annotated[list[TableRow], ATOMIC] = field(default_factory=empty_list)


def column(
    name: str, description: str = "", *, type: str = "string", format: str = "", priority: int = 0
) -> TableColumnDefinition:
    """A column. Priority 0 is always shown, 1 only with `-o wide`; the name column has `format="name"`."""
    return TableColumnDefinition(name=name, type=type, format=format, description=description, priority=priority)


#: The first and the last column of nearly every kind.
NAME = column("Name", "Name must be unique within a namespace.", format="name")
AGE = column("Age", "CreationTimestamp is a timestamp representing the server time when this object was created.")

UNKNOWN = "<unknown>"
NONE = "<none>"


def age(then: float | None, now: float) -> str:
    """The age of a moment (Unix seconds both); `<unknown>` for none."""
    return UNKNOWN if then is None else duration(now - then)


def duration(seconds: float) -> str:
    """A duration as `kubectl` shows ages: `5m30s`, `3d4h`, `2y10d`; two units while the larger one is small."""
    total = int(seconds)
    if total < 0:
        return "<invalid>" if total < -1 else "0s"
    if total < 120:
        return f"{total}s"
    minutes = total // 60
    if minutes < 10:
        return _two(minutes, "m", total % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    hours = minutes // 60
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    days = hours // 24
    if days < 8:
        return _two(days, "d", hours % 24, "h")
    if days < 730:
        return f"{days}d"
    if days < 8 * 365:
        return _two(days // 365, "y", days % 365, "d")
    return f"{days // 365}y"


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}{small}{small_unit}" if small else f"{large}{large_unit}"


def duration_short(seconds: float) -> str:
    """A duration in one unit, rounded down: `5m`, `3d`, `2y`."""
    total = int(seconds)
    if total < 0:
        return "<invalid>" if total < -1 else "0s"
    for limit, unit, size in ((60, "s", 1), (3600, "m", 60), (86400, "h", 3600), (365 * 86400, "d", 86400)):
        if total < limit:
            return f"{total // size}{unit}"
    return f"{total // (365 * 86400)}y"
