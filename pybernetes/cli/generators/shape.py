"""What a generator of `kubectl create KIND` is: a function from flags to the wire form of one object."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pybernetes.cli.errors import CLIError

if TYPE_CHECKING:
    from pybernetes.cli.flags import Flags
    from pybernetes.cli.session import Session


Object = dict[str, Any]


class Missing(CLIError):
    """Something is missing or too much; the caller points at the help."""


@dataclass(frozen=True)
class Generator:
    """One `create` subcommand. `make` gives the object, or None when it has done all there is to do."""

    summary: str
    make: Callable[[Session, Flags, str, list[str]], Object | None]
    flags: str = ""
    usage: str = "NAME [flags]"
    required: tuple[str, ...] = ()
    prints: bool = True
    #: The kind in `failed to create KIND: ...`; empty for generators that say nothing.
    said: str = ""


def new(api_version: str, kind: str, name: str, **fields: Any) -> Object:
    """The frame of an object."""
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, **fields}


def words(flags: Flags, name: str) -> list[str]:
    """All values of a repeatable flag whose values may hold commas."""
    return [w for given in flags.many(name) for w in given.split(",")]
