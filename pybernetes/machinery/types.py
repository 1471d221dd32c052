"""The building blocks of API types.

An API type is a `msgspec.Struct`: decoding checks its shape at C speed, encoding omits what is unset. Three rules make
the wire form equal to upstream's:

* An optional field defaults to `None` and is omitted when unset; `null` and absent are the same.
* A field that upstream always writes (no `omitempty`: `restartCount: 0`, `ready: false`) has a default *factory*,
  which `omit_defaults` never omits.
* Attributes are snake_case; the wire name comes from `rename="camel"` or, where that differs (`podIP`), from
  `field(name=)`.

What cannot be seen from a Python type (list kinds and merge keys for patches and server-side apply) is a `Merge`
annotation on the field. `Quantity`, `Time` and the like are aliases that carry a `Format`, which normalisation and
schemas read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeVar

import msgspec
from msgspec import field

__all__ = [
    "ATOMIC",
    "BY_NAME",
    "BY_TYPE",
    "BY_UID",
    "SET",
    "Base64",
    "Counting",
    "Format",
    "Int32",
    "IntOrString",
    "Merge",
    "MicroTime",
    "Quantity",
    "Struct",
    "Time",
    "constant",
    "empty_dict",
    "empty_list",
    "field",
    "null",
    "zero_bool",
    "zero_float",
    "zero_int",
    "zero_str",
]

T = TypeVar("T")


class Struct(msgspec.Struct, omit_defaults=True, kw_only=True, rename="camel", gc=False, forbid_unknown_fields=True):
    """Base of every API type. Unknown fields fail the fast decode; `machinery.codec` then prunes and reports them.

    `gc=False`: API objects are trees, so reference counting frees them and the collector need not walk them.
    """


class Counting(Struct):
    """A status whose `counts` are left out when they are zero, as upstream leaves them out: waiting for a field to
    be 0 must fail here as it does there."""

    counts: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        for name in self.counts:
            if getattr(self, name) == 0:
                setattr(self, name, None)


@dataclass(frozen=True, slots=True)
class Merge:
    """How a list or map merges: the OpenAPI extensions x-kubernetes-list-type, -list-map-keys, -map-type, -patch-*."""

    keys: tuple[str, ...] = ()  #: list-type map, with these wire names as keys
    set_: bool = False  #: list-type set
    atomic: bool = False  #: list-type or map-type atomic
    patch: str = ""  #: patch strategy: "merge", "retainKeys" or "merge,retainKeys"
    merge_key: str = ""  #: patch merge key (wire name)


ATOMIC = Merge(atomic=True)
SET = Merge(set_=True)
BY_NAME = Merge(keys=("name",), patch="merge", merge_key="name")
BY_TYPE = Merge(keys=("type",), patch="merge", merge_key="type")
BY_UID = Merge(keys=("uid",), patch="merge", merge_key="uid")


@dataclass(frozen=True, slots=True)
class Format:
    """The format of a scalar whose Python type does not tell it."""

    name: str


if TYPE_CHECKING:
    Quantity = str
else:
    #: `resource.Quantity`: text after normalisation; JSON numbers are accepted.
    Quantity = Annotated[str | int | float, Format("quantity")]

#: An absolute number or a percentage / a port number or name.
IntOrString = Annotated[int | str, Format("int-or-string")]
#: RFC 3339 with whole seconds, as text: most are never looked at.
Time = Annotated[str, Format("date-time")]
#: RFC 3339 with six digits of fraction.
MicroTime = Annotated[str, Format("micro-time")]
#: Bytes as base64 text.
Base64 = Annotated[str, Format("byte")]
Int32 = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]


def null() -> None:
    """Of a field that upstream writes as `null` when unset: times that are no pointers, lists without omitempty."""
    return


def zero_str() -> str:
    return ""


def zero_int() -> int:
    return 0


def zero_float() -> float:
    return 0.0


def zero_bool() -> bool:
    return False


def empty_list() -> list[Any]:
    return []


def empty_dict() -> dict[str, Any]:
    return {}


def constant(value: T) -> Callable[[], T]:
    """A factory of one value: a default that is always written (`apiVersion`, `kind`)."""
    return lambda: value
