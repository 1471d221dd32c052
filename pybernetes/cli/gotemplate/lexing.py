"""Template text to tokens: the first of three passes.

Spaces are tokens, because `.a.b` is one operand and `.a .b` are two. Trim markers are resolved here, so that the parser
sees text as it is printed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_LEFT, _RIGHT = "{{", "}}"
_SPACE = " \t\r\n"
_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]+)
    |(?P<declare>:=)|(?P<assign>=)|(?P<pipe>\|)|(?P<open>\()|(?P<close>\))|(?P<comma>,)
    |(?P<string>"(?:[^"\\\n]|\\.)*")|(?P<raw>`[^`]*`)|(?P<char>'(?:[^'\\\n]|\\.)+')
    |(?P<number>[+-]?(?:0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9]+)?))
    |(?P<variable>\$\w*)|(?P<field>\.[^\W\d]\w*)|(?P<dot>\.)|(?P<word>[^\W\d]\w*)""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Token:
    """`kind` is a group of the expression above, or text, left, right, end, error; `at` an offset in the text."""

    kind: str
    text: str
    at: int


def tokens(template: str) -> list[Token]:
    """All tokens, ending with `end`, or with an `error`: what is wrong before that place is to be told first."""
    found: list[Token] = []
    try:
        _all(template, found)
    except _Wrong as wrong:
        found.append(Token("error", wrong.message, wrong.at))
    return found


class _Wrong(Exception):
    def __init__(self, at: int, message: str) -> None:
        self.at, self.message = at, message


def _all(template: str, found: list[Token]) -> None:
    index, trim = 0, False
    while True:
        start = template.find(_LEFT, index)
        text = template[index:] if start < 0 else template[index:start]
        at = index
        if trim:
            at += len(text) - len(text.lstrip(_SPACE))
            text = text.lstrip(_SPACE)
        if start < 0:
            if text:
                found.append(Token("text", text, at))
            found.append(Token("end", "", len(template)))
            return
        inside = start + len(_LEFT)
        if template.startswith("-", inside) and template[inside + 1 : inside + 2] in tuple(_SPACE):
            text = text.rstrip(_SPACE)
            inside += 2
        if text:
            found.append(Token("text", text, at))
        index, trim = _comment(template, inside) if template.startswith("/*", inside) else (0, False)
        if not index:
            found.append(Token("left", _LEFT, start))
            index, trim = _action(template, inside, found)


def _comment(template: str, inside: int) -> tuple[int, bool]:
    end = template.find("*/", inside)
    if end < 0:
        raise _Wrong(inside, "unclosed comment")
    close = re.compile(r"(\s-)?}}").match(template, end + 2)
    if close is None:
        raise _Wrong(inside, "comment ends before closing delimiter")
    return close.end(), bool(close[1])


def _action(template: str, index: int, found: list[Token]) -> tuple[int, bool]:
    """The tokens up to the closing delimiter; where text goes on, and whether it loses its leading spaces."""
    depth = 0
    while True:
        closing = re.compile(r"([ \t\r\n]-)?}}").match(template, index)
        if closing is not None:
            if depth:
                raise _Wrong(index, "unclosed left paren")
            found.append(Token("right", _RIGHT, index))
            return closing.end(), bool(closing[1])
        if index >= len(template):
            raise _Wrong(index, "unclosed action")
        match = _TOKEN.match(template, index)
        if match is None:
            char = template[index]
            if char == '"':
                raise _Wrong(index, "unterminated quoted string")
            if char == "`":
                raise _Wrong(index, "unterminated raw quoted string")
            if char == "'":
                raise _Wrong(index, "unterminated character constant")
            raise _Wrong(index, f"bad character U+{ord(char):04X} '{char}'")
        kind = match.lastgroup or ""
        depth += {"open": 1, "close": -1}.get(kind, 0)
        if depth < 0:
            raise _Wrong(index, "unexpected right paren")
        found.append(Token(kind, match[0], index))
        index = match.end()
