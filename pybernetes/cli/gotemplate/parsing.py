"""Tokens to nodes: recursive descent, with Go's messages for what is wrong."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import Any

from pybernetes.cli.gotemplate import lexing
from pybernetes.cli.gotemplate.errors import NAME, ParseError
from pybernetes.cli.gotemplate.functions import FUNCTIONS
from pybernetes.cli.gotemplate.lexing import Token
from pybernetes.cli.gotemplate.nodes import (
    Action,
    Branch,
    Chain,
    Command,
    Dot,
    Include,
    Int,
    Leave,
    Literal,
    Node,
    Pipe,
    Text,
    Variable,
    Word,
)

_BRANCHES = ("if", "with", "range")
_LAZY = ("and", "or")


@dataclass
class Template:
    """The main template's nodes, and those of every `define`."""

    text: str
    templates: dict[str, list[Node]] = field(default_factory=dict)


def parse(text: str) -> Template:
    """Raises ParseError."""
    return _Parser(text).whole()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = lexing.tokens(text)
        self._index = 0
        self._variables = ["$"]
        self._loops = 0
        self._made = Template(text)

    def whole(self) -> Template:
        body, stop = self._list(top=True)
        if stop != "end of text":
            raise self._error(f"unexpected {{{{{stop}}}}}")
        self._made.templates[NAME] = body
        return self._made

    # Tokens

    def _next(self) -> Token:
        token = self._peek()
        self._index += 1
        return token

    def _peek(self) -> Token:
        token = self._tokens[self._index]
        if token.kind == "error":
            raise ParseError(self._text, token.at, token.text)
        return token

    def _skip_space(self) -> Token:
        while self._peek().kind == "space":
            self._index += 1
        return self._peek()

    def _error(self, message: str, at: int | None = None) -> ParseError:
        return ParseError(self._text, self._peek().at if at is None else at, message)

    def _unexpected(self, token: Token, where: str) -> ParseError:
        shown = "EOF" if token.kind == "end" else f'"{token.text}"' if token.kind == "right" else f"<{token.text}>"
        return self._error(f"unexpected {shown} in {where}", token.at)

    # Nodes

    def _list(self, *, top: bool = False) -> tuple[list[Node], str]:
        """Nodes up to `{{end}}`, `{{else}}` or the end of the text, and which of them it was."""
        found: list[Node] = []
        while True:
            token = self._next()
            if token.kind == "text":
                found.append(Text(token.at, token.text))
                continue
            if token.kind == "end":
                if not top:
                    raise ParseError(self._text, token.at, "unexpected EOF")
                return found, "end of text"
            first = self._skip_space()
            word = first.text if first.kind == "word" else ""
            if word in ("end", "else"):
                self._index += 1
                return found, word
            if word == "define" and top:
                self._index += 1
                self._define()
                continue
            found.append(self._action(first, word))

    def _close(self, where: str) -> None:
        token = self._skip_space()
        self._index += 1
        if token.kind != "right":
            raise self._unexpected(token, where)

    def _action(self, first: Token, word: str) -> Node:
        if word in _BRANCHES:
            self._index += 1
            return self._branch(first.at, word)
        if word in ("template", "block"):
            self._index += 1
            return self._include(word)
        if word in ("break", "continue"):
            self._index += 1
            if not self._loops:
                raise self._error(f"{{{{{word}}}}} outside {{{{range}}}}", first.at)
            self._close(f"{{{{{word}}}}}")
            return Leave(first.at, word)
        pipe = self._pipe("command")
        self._close("command")
        return Action(first.at, pipe)

    def _branch(self, at: int, word: str) -> Branch:
        seen = len(self._variables)
        pipe = self._pipe(word)
        self._close(word)
        self._loops += word == "range"
        body, stop = self._list()
        self._loops -= word == "range"
        otherwise: list[Node] = []
        if stop == "else":
            after = self._skip_space()
            if after.kind == "word" and after.text in ("if", "with") and after.text == word:
                self._index += 1
                otherwise = [self._branch(after.at, word)]  # its `end` is ours as well
                del self._variables[seen:]
                return Branch(at, word, pipe, body, otherwise)
            self._close("else")
            otherwise, stop = self._list()
            if stop == "else":
                raise self._error("expected end; found {{else}}")
        self._close("end")
        del self._variables[seen:]
        return Branch(at, word, pipe, body, otherwise)

    def _name(self, where: str) -> str:
        token = self._skip_space()
        self._index += 1
        if token.kind not in ("string", "raw"):
            raise self._unexpected(token, where)
        return str(_constant(token))

    def _define(self) -> None:
        name = self._name("define clause")
        self._close("define clause")
        self._made.templates[name] = self._body()

    def _body(self) -> list[Node]:
        outer, self._variables = self._variables, ["$"]
        body, stop = self._list()
        if stop != "end":
            raise self._error(f"unexpected {{{{{stop}}}}}")
        self._close("end")
        self._variables = outer
        return body

    def _include(self, word: str) -> Include:
        at = self._skip_space().at
        name = self._name(f"{word} clause")
        pipe = None
        if self._skip_space().kind != "right":
            pipe = self._pipe(f"{word} clause")
        self._close(f"{word} clause")
        if word == "block":
            self._made.templates.setdefault(name, self._body())
        return Include(at, name, pipe)

    def _pipe(self, where: str) -> Pipe:
        token = self._skip_space()
        pipe = Pipe(token.at, [])
        declared = self._declaration(where, pipe)
        while True:
            token = self._skip_space()
            if token.kind in ("right", "close"):
                if not pipe.commands:
                    raise self._error(f"missing value for {where}")
                for stage, command in enumerate(pipe.commands[1:], 2):
                    if isinstance(command.arguments[0], Literal | Dot):
                        raise self._error(f"non executable command in pipeline stage {stage}", command.at)
                self._variables += declared
                return pipe
            if token.kind == "pipe" or token.kind == "end":
                raise self._unexpected(token, where)
            pipe.commands.append(self._command())
            if self._skip_space().kind == "pipe":
                self._index += 1

    def _declaration(self, where: str, pipe: Pipe) -> list[str]:
        """`$x :=`, `$x =` or `$i, $x :=`; the variables that become known after the pipeline."""
        start = self._index
        names: list[str] = []
        while self._skip_space().kind == "variable":
            names.append(self._next().text)
            sign = self._skip_space()
            self._index += 1
            if sign.kind in ("declare", "assign"):
                if len(names) > 1 and where != "range":
                    raise self._error(f"too many declarations in {where}")
                pipe.variables, pipe.assigns = names, sign.kind == "assign"
                return [] if pipe.assigns else names
            if sign.kind != "comma":
                break
        self._index = start
        return []

    def _command(self) -> Command:
        command = Command(self._peek().at, [])
        while True:
            token = self._skip_space()
            if token.kind in ("right", "close", "pipe", "end"):
                return command
            command.arguments.append(self._operand())
            after = self._peek()
            if after.kind not in ("space", "right", "close", "pipe", "end"):
                raise self._unexpected(after, "operand")

    def _operand(self) -> Node:
        base = self._term()
        fields = []
        at = self._peek().at
        while self._peek().kind == "field":
            fields.append(self._next().text[1:])
        if not fields:
            return base
        if isinstance(base, Chain):
            return Chain(at, base.base, base.fields + fields)
        if isinstance(base, Literal):
            raise self._error(f"unexpected . after term {_quoted(base.source)}", at)
        return Chain(at, base, fields)

    def _term(self) -> Node:
        token = self._next()
        match token.kind:
            case "field":
                return Chain(token.at, None, [token.text[1:]])
            case "dot":
                return Dot(token.at)
            case "variable":
                if token.text not in self._variables:
                    raise self._error(f"undefined variable {_quoted(token.text)}", token.at)
                return Variable(token.at, token.text)
            case "string" | "raw" | "char" | "number":
                return Literal(token.at, _constant(token), token.text)
            case "open":
                pipe = self._pipe("parenthesized pipeline")
                self._index += 1
                return pipe
            case "word":
                if token.text in ("true", "false"):
                    return Literal(token.at, token.text == "true", token.text)
                if token.text == "nil":
                    return Literal(token.at, None, "nil")
                if token.text not in FUNCTIONS and token.text not in _LAZY:
                    raise self._error(f"function {_quoted(token.text)} not defined", token.at)
                return Word(token.at, token.text)
        raise self._unexpected(token, "operand")


def _quoted(text: str) -> str:
    return f'"{text}"'


def _constant(token: Token) -> Any:
    if token.kind == "raw":
        return token.text[1:-1]
    if token.kind == "number":
        try:
            return Int(int(token.text, 0))
        except ValueError:
            return float(token.text)
    text: str = ast.literal_eval(token.text)  # Go's escapes are Python's, but for \u in bytes nobody writes
    return Int(ord(text)) if token.kind == "char" else text
