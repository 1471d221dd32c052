"""Field selectors: `metadata.name=x,spec.nodeName!=y`.

Which fields a kind can be selected by is the server's knowledge; here are the grammar and the test. A selector is asked
with a function from the field's path to its text, so that it works on structs, dicts and cached tuples alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache

__all__ = ["EVERYTHING", "FieldSelector", "escape", "parse"]


class FieldSelector:
    """Terms that must all hold. `terms`: (path, operator `=` or `!=`, value)."""

    __slots__ = ("_text", "terms")

    def __init__(self, terms: Iterable[tuple[str, str, str]] = ()) -> None:
        self.terms = tuple(terms)
        self._text = ",".join(f"{path}{operator}{escape(value)}" for path, operator, value in self.terms)

    @property
    def empty(self) -> bool:
        """True when it selects everything."""
        return not self.terms

    @property
    def paths(self) -> list[str]:
        return [term[0] for term in self.terms]

    def exact(self, path: str) -> str | None:
        """The value that the selector demands of `path`: for `metadata.name` a list becomes a get."""
        for name, operator, value in self.terms:
            if name == path and operator == "=":
                return value
        return None

    def matches(self, fields: Mapping[str, str] | Callable[[str], str]) -> bool:
        """True when all terms hold. An absent field counts as the empty text."""
        if isinstance(fields, Mapping):
            return all((fields.get(path, "") == value) is (operator == "=") for path, operator, value in self.terms)
        return all((fields(path) == value) is (operator == "=") for path, operator, value in self.terms)

    def transform(self, change: Callable[[str, str], tuple[str, str]]) -> FieldSelector:
        """A selector with each (path, value) replaced: for older names of fields."""
        return FieldSelector((new[0], term[1], new[1]) for term in self.terms for new in [change(term[0], term[2])])

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"FieldSelector({self._text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FieldSelector) and self.terms == other.terms

    def __hash__(self) -> int:
        return hash(self.terms)


EVERYTHING = FieldSelector()


def escape(value: str) -> str:
    """A value as it must be written inside a selector."""
    if "\\" in value or "," in value or "=" in value:
        return value.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")
    return value


@lru_cache(maxsize=4096)
def parse(text: str) -> FieldSelector:
    """The selector of a query parameter. Raises ValueError with upstream's message."""
    if not text:
        return EVERYTHING
    terms = []
    for part in _split(text):
        if part:
            terms.append(_term(part, text))
    return FieldSelector(terms)


def _split(text: str) -> list[str]:
    parts, start, escaped = [], 0, False
    for i, char in enumerate(text):
        if escaped:
            escaped = False
        elif char == "\\":
            escaped = True
        elif char == ",":
            parts.append(text[start:i])
            start = i + 1
    parts.append(text[start:])
    return parts


def _term(part: str, text: str) -> tuple[str, str, str]:
    escaped = False
    for i, char in enumerate(part):
        if escaped:
            escaped = False
            continue
        if char == "\\":
            escaped = True
            continue
        for operator in ("!=", "==", "="):
            if part.startswith(operator, i):
                return part[:i], "!=" if operator == "!=" else "=", _unescape(part[i + len(operator) :])
    raise ValueError(f"invalid selector: '{text}'; can't understand '{part}'")


def _unescape(value: str) -> str:
    if "\\" not in value and "=" not in value and "," not in value:
        return value
    out, escaped = [], False
    for char in value:
        if escaped:
            if char not in "\\,=":
                raise ValueError(f"invalid field selector: invalid escape sequence: \\{char}")
            out.append(char)
            escaped = False
        elif char == "\\":
            escaped = True
        elif char in "=,":
            raise ValueError(f"invalid field selector: unescaped character in value: {char}")
        else:
            out.append(char)
    if escaped:
        raise ValueError("invalid field selector: invalid escape sequence: \\")
    return "".join(out)
