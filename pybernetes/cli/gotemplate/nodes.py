"""The tree of a template. `str()` of a node is its source in Go's spacing, which error messages quote."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


class Int(int):
    """A whole number written in the template: Go's `int`, where numbers of the data are `int64`."""


@dataclass
class Node:
    """`at` is an offset into the template."""

    at: int


@dataclass
class Text(Node):
    text: str


@dataclass
class Literal(Node):
    """A constant; `nil` is None."""

    value: Any
    source: str

    def __str__(self) -> str:
        return self.source


@dataclass
class Dot(Node):
    def __str__(self) -> str:
        return "."


@dataclass
class Variable(Node):
    name: str

    def __str__(self) -> str:
        return self.name


@dataclass
class Word(Node):
    """The name of a function."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass
class Chain(Node):
    """`.a.b`, `$x.a`, `(f).a`: fields of a value; of the dot when `base` is None."""

    base: Node | None
    fields: list[str]

    def __str__(self) -> str:
        base = "" if self.base is None else f"({self.base})" if isinstance(self.base, Pipe) else str(self.base)
        return base + "".join(f".{name}" for name in self.fields)


@dataclass
class Command(Node):
    arguments: list[Node]

    def __str__(self) -> str:
        return " ".join(f"({a})" if isinstance(a, Pipe) else str(a) for a in self.arguments)


@dataclass
class Pipe(Node):
    commands: list[Command]
    variables: list[str] = field(default_factory=list)
    #: `=` and not `:=`.
    assigns: bool = False

    def __str__(self) -> str:
        text = " | ".join(map(str, self.commands))
        if self.variables:
            return f"{', '.join(self.variables)} {'=' if self.assigns else ':='} {text}"
        return text


@dataclass
class Action(Node):
    pipe: Pipe


@dataclass
class Branch(Node):
    """`if`, `with` or `range`."""

    word: str
    pipe: Pipe
    body: list[Node]
    otherwise: list[Node]


@dataclass
class Include(Node):
    """`{{template "name" pipeline}}`."""

    name: str
    pipe: Pipe | None


@dataclass
class Leave(Node):
    """`break` or `continue`."""

    word: str
