"""What many kinds' cells are made of. Texts are those of upstream's printers: people's scripts parse them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pybernetes.aio import clock
from pybernetes.control_plane.apiserver.resource import Column
from pybernetes.control_plane.apiserver.tables import NAME
from pybernetes.machinery import labels
from pybernetes.machinery.table import duration

NONE = "<none>"
UNSET = "<unset>"
UNKNOWN = "<unknown>"
AGE = Column("Age")


def columns(text: str) -> tuple[Column, ...]:
    """`Name|Ready|*Node|#Data`: `*` is shown only in wide output, `#` is a number, `!` a truth value."""
    made: list[Column] = []
    for word in text.split("|"):
        wide = word.startswith("*")
        word = word.removeprefix("*")
        kind = {"#": "integer", "!": "boolean"}.get(word[0], "string")
        name = word.lstrip("#!")
        made.append(NAME if name == "Name" else Column(name, kind, priority=1 if wide else 0))
    return tuple(made)


def age(obj: Any) -> str:
    """Since its creation."""
    return since(obj.metadata.creation_timestamp)


def since(moment: str | None) -> str:
    """Since an RFC 3339 moment."""
    if not moment:
        return UNKNOWN
    return duration(clock.timestamp() - clock.parse_rfc3339(moment))


def pairs(found: Mapping[str, str] | None) -> str:
    """`a=b,c=d`."""
    return ",".join(f"{key}={value}" for key, value in sorted(found.items())) if found else NONE


def selector(found: Any) -> str:
    """A LabelSelector, as text."""
    text = str(labels.from_struct(found)) if found is not None else ""
    return text or NONE


def joined(found: Iterable[str] | None, empty: str = NONE) -> str:
    """`a,b`."""
    return ",".join(found or ()) or empty


def containers(template: Any) -> tuple[str, str]:
    """Names and images of a Pod spec's containers."""
    found = template.spec.containers if template is not None and template.spec is not None else []
    return ",".join(c.name for c in found), ",".join(c.image or "" for c in found)


def text(value: Any) -> str:
    """A scalar as Go prints it."""
    return "true" if value is True else "false" if value is False else "" if value is None else str(value)
