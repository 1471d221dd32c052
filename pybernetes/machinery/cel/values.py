"""Values of CEL that JSON does not have, and how values show their type."""

from __future__ import annotations

import datetime as dt
from typing import Any

__all__ = ["MISSING", "CelError", "CelType", "Optional", "UInt", "type_name"]


class CelError(ValueError):
    """An expression does not compile, or cannot be evaluated."""


class UInt(int):
    """An unsigned integer."""

    __slots__ = ()


class CelType:
    """A type as a value: `type(1) == int`."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CelType) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __str__(self) -> str:
        return self.name


class _Missing:
    __slots__ = ()


#: No value, inside an Optional.
MISSING = _Missing()


class Optional:
    """An optional value; `value` is MISSING when there is none."""

    __slots__ = ("value",)

    def __init__(self, value: Any = MISSING) -> None:
        self.value = value

    @property
    def present(self) -> bool:
        return self.value is not MISSING

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Optional) and other.value == self.value

    __hash__ = None  # type: ignore[assignment]


def type_name(value: Any) -> str:
    """`int`, `string`, `map` ..."""
    if value is None:
        return "null_type"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, UInt):
        return "uint"
    if isinstance(value, int):
        return "int"
    if isinstance(value, float):
        return "double"
    if isinstance(value, str):
        return "string"
    if isinstance(value, bytes):
        return "bytes"
    if isinstance(value, list):
        return "list"
    if isinstance(value, dict):
        return "map"
    if isinstance(value, dt.datetime):
        return "google.protobuf.Timestamp"
    if isinstance(value, dt.timedelta):
        return "google.protobuf.Duration"
    if isinstance(value, CelType):
        return "type"
    if isinstance(value, Optional):
        return "optional_type"
    return str(getattr(type(value), "cel_type", type(value).__name__))
