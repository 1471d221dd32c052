"""Objects as KYAML (KEP-5295): YAML in flow style that neither indentation nor an unquoted word can break.

All strings are quoted, keys where a YAML reader might take them for something else, every line ends in a comma, and
lists of maps or lists open and close on the lines of their items (`[{ ... }, { ... }]`). Our YAML library can not be
told to write so; it is little enough to write here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_STEP = "  "
#: Words that a reader may take for true, false or nothing.
_WORDS = {"y", "n", "t", "f", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf", "infinity", "0", "1"}
_PLAIN = re.compile(r"\w(?:[-\w./]*\w)?")
_DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}")
_INTEGER = re.compile(r"0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+|[0-9]+")
_FLOAT = re.compile(r"[0-9]+\.?[0-9]*(?:[eE][-+]?[0-9]+)?|0[xX][0-9a-fA-F]*\.?[0-9a-fA-F]*[pP][-+]?[0-9]+")

_ESCAPES = {
    "\0": "\\0", "\a": "\\a", "\b": "\\b", "\v": "\\v", "\f": "\\f", "\r": "\\r", "\x1b": "\\e", '"': '\\"',
    "\\": "\\\\", "\x85": "\\N", "\xa0": "\\_", "\u2028": "\\L", "\u2029": "\\P",
}  # fmt: skip


def document(value: Mapping[str, Any]) -> str:
    """One document, with its first and last line."""
    return f"---\n{''.join(_value(value, ''))}\n"


def _value(value: Any, indent: str) -> Iterator[str]:
    """The text of a value whose first line begins at `indent`."""
    if isinstance(value, str):
        yield _string(value, indent + _STEP)
    elif isinstance(value, Mapping):
        yield from _map(value, indent)
    elif isinstance(value, list):
        yield from _list(value, indent)
    else:
        yield _scalar(value)


def _map(value: Mapping[str, Any], indent: str) -> Iterator[str]:
    if not value:
        yield "{}"
        return
    inner = indent + _STEP
    yield "{\n"
    for key in sorted(value):
        yield f"{inner}{_key(key)}: "
        yield from _value(value[key], inner)
        yield ",\n"
    yield f"{indent}}}"


def _list(value: list[Any], indent: str) -> Iterator[str]:
    if not value:
        yield "[]"
        return
    if all(isinstance(item, Mapping | list) for item in value):
        for i, item in enumerate(value):
            yield ", " if i else "["
            yield from _value(item, indent)
        yield "]"
        return
    inner = indent + _STEP
    yield "[\n"
    for item in value:
        yield inner
        yield from _value(item, inner)
        yield ",\n"
    yield f"{indent}]"


def _scalar(value: Any) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    return json.dumps(value)


def _key(key: str) -> str:
    bare = key.replace("_", "")
    ambiguous = (
        key.lower() in _WORDS
        or _DATE.match(key) is not None
        or _INTEGER.fullmatch(bare) is not None
        or _FLOAT.fullmatch(bare) is not None
    )
    if ambiguous or (_PLAIN.fullmatch(key) is None):
        return f'"{_escaped(key)}"'
    return key


def _string(text: str, indent: str) -> str:
    """In quotes; one of several lines a line each, as they are read back together."""
    if "\n" not in text:
        return f'"{_escaped(text)}"'
    *lines, last = text.split("\n")
    shown = [f"{indent}{_lead(line)}{_escaped(line)}\\n\\\n" for line in lines]
    if last:
        shown.append(f"{indent}{_lead(last)}{_escaped(last)}\\\n")
    return '"\\\n' + "".join(shown) + f'{indent}"'


def _lead(line: str) -> str:
    """What protects the white space that a line begins with."""
    return "\\" if line[:1] in (" ", "\t") else " "


def _escaped(text: str) -> str:
    return "".join(_char(char) for char in text)


def _char(char: str) -> str:
    if (escape := _ESCAPES.get(char)) is not None:
        return escape
    if char == "\t" or char.isprintable():
        return char
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
