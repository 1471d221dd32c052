"""JSONPath templates: `{.items[*].metadata.name}`, `{range .items[*]}...{end}`, filters, slices, unions, `..`.

The dialect is Kubernetes' own: text outside braces is printed, several results are joined by spaces, keys with dots are
written `\\.`, and a missing key prints nothing unless the caller is strict.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pybernetes.cli.errors import CLIError


class NotFound(CLIError):
    """A key that the object does not have."""


_Step = Callable[[list[Any], Any, bool], list[Any]]


@dataclass
class _Range:
    path: list[_Step]
    body: list[Any] = field(default_factory=list)


class Path:
    """A compiled template: a list of texts, paths and ranges."""

    def __init__(self, parts: list[Any]) -> None:
        self._parts = parts

    def render(self, value: Any, *, strict: bool = False) -> str:
        """The text of the template for an object. Raises NotFound when strict."""
        return _render(self._parts, value, value, strict)

    def find(self, value: Any, *, strict: bool = False) -> list[Any]:
        """The values of all paths of the template."""
        out: list[Any] = []
        _collect(self._parts, value, value, strict, out)
        return out


def compile(text: str) -> Path:
    """Parse a template. Raises CLIError."""
    parts, rest = _template(text, 0, False)
    if rest != len(text):
        raise CLIError(f"error parsing jsonpath {text}, unexpected {{end}}")
    return Path(parts)


def relaxed(text: str) -> str:
    """`x.y`, `.x.y` and `{x.y}` as `{.x.y}`: what custom-columns, --sort-by and wait accept. Raises CLIError."""
    text = text.strip()
    inner = text[1:-1] if text.startswith("{") and text.endswith("}") else text
    if not inner:
        return text
    if "{" in inner.replace("{", "", 0) and inner.count("{") != inner.count("}"):
        raise CLIError(
            "unexpected path string, expected a 'name1.name2' or '.name1.name2' or '{name1.name2}' or '{.name1.name2}'"
        )
    if inner[0] not in ".[@$":
        inner = f".{inner}"
    return f"{{{inner}}}"


def text_of(value: Any) -> str:
    """A result as printed: strings plain, the rest as JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        from pybernetes.cli.printers.objects import compact_json

        return compact_json(value)
    if isinstance(value, float):
        from pybernetes.machinery.text import show_float

        return show_float(value)
    return str(value)


def _render(parts: list[Any], value: Any, root: Any, strict: bool) -> str:
    out = []
    for part in parts:
        if isinstance(part, str):
            out.append(part)
        elif isinstance(part, _Range):
            for item in _apply(part.path, value, root, strict):
                out.append(_render(part.body, item, root, strict))
        else:
            out.append(" ".join(text_of(v) for v in _apply(part, value, root, strict)))
    return "".join(out)


def _collect(parts: list[Any], value: Any, root: Any, strict: bool, out: list[Any]) -> None:
    for part in parts:
        if isinstance(part, _Range):
            for item in _apply(part.path, value, root, strict):
                _collect(part.body, item, root, strict, out)
        elif not isinstance(part, str):
            out.extend(_apply(part, value, root, strict))


def _apply(path: list[_Step], value: Any, root: Any, strict: bool) -> list[Any]:
    values = [value]
    for step in path:
        values = step(values, root, strict)
    return values


def _template(text: str, index: int, nested: bool) -> tuple[list[Any], int]:
    parts: list[Any] = []
    while index < len(text):
        start = text.find("{", index)
        if start < 0:
            parts.append(text[index:])
            return parts, len(text)
        if start > index:
            parts.append(text[index:start])
        end = _closing(text, start)
        inner = text[start + 1 : end].strip()
        index = end + 1
        if inner == "end":
            if not nested:
                raise CLIError(f"error parsing jsonpath {text}, not in range, nothing to end")
            return parts, index
        if inner.startswith("range") and inner[5:6] in (" ", ".", "["):
            body, index = _template(text, index, True)
            parts.append(_Range(_path(inner[5:].strip()), body))
        else:
            for word in _words(inner):
                if word[0] in "'\"":
                    parts.append(_unquoted(word))
                else:
                    parts.append(_path(word))
    if nested:
        raise CLIError(f"error parsing jsonpath {text}, unclosed range")
    return parts, index


def _closing(text: str, start: int) -> int:
    quote = ""
    index = start + 1
    while index < len(text):
        char = text[index]
        if quote:
            if char == "\\":
                index += 1
            elif char == quote:
                quote = ""
        elif char in "'\"":
            quote = char
        elif char == "}":
            return index
        index += 1
    raise CLIError(f"error parsing jsonpath {text}, unclosed action")


def _words(text: str) -> list[str]:
    """Split at blanks that are outside quotes and brackets."""
    words, depth, quote, word = [], 0, "", ""
    index = 0
    while index < len(text):
        char = text[index]
        if char == "\\" and index + 1 < len(text):
            word += text[index : index + 2]
            index += 2
            continue
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char in "[(":
            depth += 1
        elif char in "])":
            depth -= 1
        if char.isspace() and not depth and not quote:
            if word:
                words.append(word)
            word = ""
        else:
            word += char
        index += 1
    return [*words, word] if word else words


def _unquoted(word: str) -> str:
    body = word[1:-1]
    return re.sub(r"\\(.)", lambda m: {"n": "\n", "t": "\t", "r": "\r"}.get(m[1], m[1]), body)


_NAME = re.compile(r"(?:\\.|[^.\[\]\\\s])+")


def _path(text: str) -> list[_Step]:
    steps: list[_Step] = []
    index = 0
    if text[:1] in "$@":
        if text[0] == "$":
            steps.append(lambda values, root, strict: [root])
        index = 1
    while index < len(text):
        char = text[index]
        if text.startswith("..", index):
            index += 2
            steps.append(_recursive)
            if index < len(text) and text[index] not in "[":
                match = _NAME.match(text, index)
                if match:
                    steps.append(_key_or_all(_plain(match[0]), quiet=True))
                    index = match.end()
            continue
        if char == ".":
            index += 1
            if index == len(text) or text[index] in ".[":
                continue
            match = _NAME.match(text, index)
            if match is None:
                raise CLIError(f"error parsing jsonpath {{{text}}}, unrecognized character in action: {text[index]!r}")
            steps.append(_key_or_all(_plain(match[0])))
            index = match.end()
        elif char == "[":
            end = _bracket(text, index)
            steps.append(_subscript(text[index + 1 : end].strip()))
            index = end + 1
        else:
            match = _NAME.match(text, index)
            if match is None or index != 0:
                raise CLIError(
                    f"error parsing jsonpath {{{text}}}, unrecognized character in action: U+{ord(char):04X} '{char}'"
                )
            raise CLIError(f"error parsing jsonpath {{{text}}}, unrecognized identifier {match[0]}")
    return steps


def _plain(name: str) -> str:
    return re.sub(r"\\(.)", r"\1", name)


def _bracket(text: str, start: int) -> int:
    depth, quote = 0, ""
    for index in range(start, len(text)):
        char = text[index]
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char == "[":
            depth += 1
        elif char == "]":
            depth -= 1
            if not depth:
                return index
    raise CLIError(f"error parsing jsonpath {{{text}}}, unterminated array")


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [value[k] for k in sorted(value)]
    return list(value) if isinstance(value, list) else []


def _recursive(values: list[Any], root: Any, strict: bool) -> list[Any]:
    out: list[Any] = []

    def walk(value: Any) -> None:
        out.append(value)
        for child in _children(value):
            walk(child)

    for value in values:
        walk(value)
    return out


def _key_or_all(name: str, *, quiet: bool = False) -> _Step:
    if name == "*":
        return lambda values, root, strict: [c for v in values for c in _children(v)]

    def step(values: list[Any], root: Any, strict: bool) -> list[Any]:
        out = []
        for value in values:
            if isinstance(value, dict) and name in value:
                out.append(value[name])
            elif strict and not quiet:
                raise NotFound(f"{name} is not found")
        return out

    return step


def _subscript(inner: str) -> _Step:
    if inner == "*":
        return lambda values, root, strict: [c for v in values for c in _children(v)]
    if inner.startswith("?("):
        return _filter(inner[2:].rstrip().removesuffix(")"))
    parts = _split(inner, ",")
    if len(parts) > 1:
        steps = [_subscript(p.strip()) for p in parts]
        return lambda values, root, strict: [r for v in values for s in steps for r in s([v], root, strict)]
    if inner[:1] in "'\"":
        return _key_or_all(_plain(inner[1:-1]))
    if re.fullmatch(r"-?\d*(:-?\d*){0,2}", inner) and inner:
        return _slice(inner)
    return _key_or_all(_plain(inner))


def _slice(inner: str) -> _Step:
    bounds = [int(b) if b else None for b in inner.split(":")]

    def step(values: list[Any], root: Any, strict: bool) -> list[Any]:
        out: list[Any] = []
        for value in values:
            if not isinstance(value, list):
                if strict:
                    raise NotFound(f"{value} is not array or slice")
                continue
            if len(bounds) > 1:
                out += value[slice(*bounds)]
                continue
            index = bounds[0] or 0
            if -len(value) <= index < len(value):
                out.append(value[index])
            elif True:
                if not value and not strict:
                    continue
                raise CLIError(
                    f"error executing jsonpath: array index out of bounds: index {index}, length {len(value)}"
                )
        return out

    return step


def _split(text: str, separator: str) -> list[str]:
    parts, quote, depth, word = [], "", 0, ""
    for char in text:
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char in "([":
            depth += 1
        elif char in ")]":
            depth -= 1
        if char == separator and not quote and not depth:
            parts.append(word)
            word = ""
        else:
            word += char
    return [*parts, word]


_OPERATORS = re.compile(r"(==|!=|<=|>=|<|>)")


def _filter(text: str) -> _Step:
    left, operator, right = text, "", ""
    quote = ""
    for index, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif match := _OPERATORS.match(text, index):
            left, operator, right = text[:index].strip(), match[0], text[match.end() :].strip()
            break
    first, second = _operand(left.strip()), _operand(right) if operator else None

    def step(values: list[Any], root: Any, strict: bool) -> list[Any]:
        out = []
        for value in values:
            for item in _children(value):
                found = first(item, root)
                if second is None:
                    if found:
                        out.append(item)
                    continue
                other = second(item, root)
                if found and other and _compare(found[0], operator, other[0]):
                    out.append(item)
        return out

    return step


def _operand(text: str) -> Callable[[Any, Any], list[Any]]:
    if text[:1] in "'\"":
        literal: Any = _unquoted(text)
    elif text[:1] in "@$.":
        path = _path(text)
        return lambda item, root: _apply(path, item, root, False)
    else:
        try:
            literal = json.loads(text)
        except ValueError:
            raise CLIError(f"error parsing jsonpath filter: unrecognized {text!r}") from None
    return lambda item, root: [literal]


def _compare(a: Any, operator: str, b: Any) -> bool:
    number = int | float
    if isinstance(a, bool) != isinstance(b, bool) or (isinstance(a, number) != isinstance(b, number)):
        if operator == "==" or operator == "!=":
            return (text_of(a) == text_of(b)) == (operator == "==")
        return False
    try:
        return bool(
            {
                "==": lambda: a == b,
                "!=": lambda: a != b,
                "<": lambda: a < b,
                ">": lambda: a > b,
                "<=": lambda: a <= b,
                ">=": lambda: a >= b,
            }[operator]()
        )
    except TypeError:
        return False
