"""Nodes and data to text.

A key that a map does not have gives `MISSING`, which is not the same as a JSON null: fields of the former are missing
as well, fields of the latter are an error.
"""

from __future__ import annotations

from typing import Any, Final

from pybernetes.cli.gotemplate import formatting
from pybernetes.cli.gotemplate.errors import NAME, CallError, ExecError
from pybernetes.cli.gotemplate.functions import FUNCTIONS, truth
from pybernetes.cli.gotemplate.nodes import (
    Action,
    Branch,
    Chain,
    Command,
    Dot,
    Include,
    Leave,
    Literal,
    Node,
    Pipe,
    Text,
    Variable,
    Word,
)
from pybernetes.cli.gotemplate.parsing import Template

MISSING: Final = type("Missing", (), {"__bool__": lambda self: False})()
_DEEPEST = 1000


class _Left(Exception):
    """`break` or `continue` on its way to the loop."""

    def __init__(self, word: str) -> None:
        self.word = word


def execute(template: Template, data: Any, *, strict: bool = False) -> str:
    """The text. `strict` makes missing keys an error. Raises ExecError; what was written before is in `written`."""
    run = _Run(template, strict)
    try:
        run.nodes(template.templates[NAME], data, [("$", data)])
    except ExecError as error:
        error.add_note("".join(run.out))
        raise
    return "".join(run.out)


class _Run:
    def __init__(self, template: Template, strict: bool) -> None:
        self._template = template
        self._strict = strict
        self._name = NAME
        self._depth = 0
        self.out: list[str] = []

    def _error(self, node: Node, message: str) -> ExecError:
        text = self._template.text
        line = text.count("\n", 0, node.at) + 1
        column = len(text[text.rfind("\n", 0, node.at) + 1 : node.at].encode())
        return ExecError(f'template: {NAME}:{line}:{column}: executing "{self._name}" at <{node}>: {message}')

    # Statements. Variables are a stack of pairs: a later one hides an earlier one, and a block forgets its own.

    def nodes(self, found: list[Node], dot: Any, variables: list[tuple[str, Any]]) -> None:
        for node in found:
            match node:
                case Text():
                    self.out.append(node.text)
                case Action():
                    value = self._pipe(node.pipe, dot, variables)
                    if not node.pipe.variables:
                        self.out.append("<no value>" if value is None or value is MISSING else formatting.text(value))
                case Branch():
                    self._branch(node, dot, variables)
                case Include():
                    self._include(node, dot, variables)
                case Leave():
                    raise _Left(node.word)
                case _:
                    raise AssertionError(f"unknown node {node!r}")

    def _branch(self, node: Branch, dot: Any, variables: list[tuple[str, Any]]) -> None:
        mark = len(variables)
        try:
            if node.word == "range":
                self._range(node, dot, variables)
                return
            value = self._pipe(node.pipe, dot, variables)
            if truth(value):
                self.nodes(node.body, value if node.word == "with" else dot, variables)
            else:
                self.nodes(node.otherwise, dot, variables)
        finally:
            del variables[mark:]

    def _range(self, node: Branch, dot: Any, variables: list[tuple[str, Any]]) -> None:
        plain = Pipe(node.pipe.at, node.pipe.commands)
        value = self._pipe(plain, dot, variables)
        pairs: list[tuple[Any, Any]]
        match value:
            case dict():
                pairs = sorted(value.items())
            case list():
                pairs = list(enumerate(value))
            case int() if not isinstance(value, bool):
                pairs = [(i, i) for i in range(value)]
            case _ if value is None or value is MISSING:
                pairs = []
            case _:
                raise self._error(
                    node.pipe.commands[-1].arguments[0], f"range can't iterate over {formatting.text(value)}"
                )
        if not pairs:
            self.nodes(node.otherwise, dot, variables)
            return
        mark = len(variables)
        names = node.pipe.variables
        for key, item in pairs:
            given = [] if not names else [(names[0], item)] if len(names) == 1 else [(names[0], key), (names[1], item)]
            if node.pipe.assigns:
                for name, content in given:
                    _assign(variables, name, content)
            else:
                variables += given
            try:
                self.nodes(node.body, item, variables)
            except _Left as left:
                if left.word == "break":
                    break
            finally:
                del variables[mark:]

    def _include(self, node: Include, dot: Any, variables: list[tuple[str, Any]]) -> None:
        if node.name not in self._template.templates:
            raise self._error(Word(node.at, f'{{{{template "{node.name}"}}}}'), f'template "{node.name}" not defined')
        self._depth += 1
        if self._depth > _DEEPEST // 20:
            raise self._error(Word(node.at, node.name), "exceeded maximum template depth")
        value = None if node.pipe is None else self._pipe(node.pipe, dot, variables)
        outer, self._name = self._name, node.name
        self.nodes(self._template.templates[node.name], value, [("$", value)])
        self._name = outer
        self._depth -= 1

    # Expressions

    def _pipe(self, pipe: Pipe, dot: Any, variables: list[tuple[str, Any]]) -> Any:
        value: Any = None
        for index, command in enumerate(pipe.commands):
            value = self._command(command, dot, variables, (value,) if index else ())
        for name in pipe.variables:
            if pipe.assigns:
                _assign(variables, name, value)
            else:
                variables.append((name, value))
        return value

    def _command(self, command: Command, dot: Any, variables: list[tuple[str, Any]], final: tuple[Any, ...]) -> Any:
        first = command.arguments[0]
        if isinstance(first, Word):
            return self._call(first, command, dot, variables, final)
        if len(command.arguments) > 1 or final:
            if isinstance(first, Chain):
                last = first.fields[-1]
                raise self._error(first, f"{last} is not a method but has arguments")
            raise self._error(first, f"can't give argument to non-function {first}")
        if isinstance(first, Literal) and first.value is None:
            raise self._error(first, "nil is not a command")
        return self._value(first, dot, variables)

    def _value(self, node: Node, dot: Any, variables: list[tuple[str, Any]]) -> Any:
        match node:
            case Literal():
                return node.value
            case Dot():
                return dot
            case Variable():
                return next(value for name, value in reversed(variables) if name == node.name)
            case Pipe():
                return self._pipe(node, dot, variables)
            case Word():
                return self._call(node, Command(node.at, [node]), dot, variables, ())
            case Chain():
                value = dot if node.base is None else self._value(node.base, dot, variables)
                for name in node.fields:
                    value = self._field(node, value, name)
                return value
        raise AssertionError(f"unknown operand {node!r}")

    def _field(self, node: Node, value: Any, name: str) -> Any:
        if value is MISSING:
            if self._strict:
                raise self._error(node, f'nil data; no entry for key "{name}"')
            return MISSING
        if value is None:
            raise self._error(node, f"nil pointer evaluating interface {{}}.{name}")
        if not isinstance(value, dict):
            raise self._error(node, f"can't evaluate field {name} in type interface {{}}")
        if name not in value:
            if self._strict:
                raise self._error(node, f'map has no entry for key "{name}"')
            return MISSING
        return value[name]

    def _call(
        self, word: Word, command: Command, dot: Any, variables: list[tuple[str, Any]], final: tuple[Any, ...]
    ) -> Any:
        given = command.arguments[1:]
        if word.name in ("and", "or"):
            value: Any = None
            for argument in given:
                value = self._value(argument, dot, variables)
                if truth(value) == (word.name == "or"):
                    return value
            if not given and not final:
                raise self._error(word, f"wrong number of args for {word.name}: want at least 1 got 0")
            return final[0] if final else value
        function, least, most = FUNCTIONS[word.name]
        count = len(given) + len(final)
        if count < least or 0 <= most < count:
            want = f"at least {least}" if most < 0 else str(least)
            raise self._error(word, f"wrong number of args for {word.name}: want {want} got {count}")
        values = [self._value(argument, dot, variables) for argument in given] + list(final)
        try:
            return function(*(None if v is MISSING else v for v in values))
        except CallError as error:
            raise self._error(command, f"error calling {word.name}: {error}") from None


def _assign(variables: list[tuple[str, Any]], name: str, value: Any) -> None:
    for index in range(len(variables) - 1, -1, -1):
        if variables[index][0] == name:
            variables[index] = (name, value)
            return
