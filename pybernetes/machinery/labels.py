"""Label selectors, from text (`app=web,tier in (a,b),!old`) and from the `LabelSelector` of specs.

A selector is a list of requirements that must all hold. Asking is on the path of every watch event, so requirements of
equality are tested first, as plain dictionary look-ups, and parsed selectors are cached.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

from pybernetes.machinery import field, names
from pybernetes.machinery.meta import LabelSelector

__all__ = ["EVERYTHING", "NOTHING", "Requirement", "Selector", "from_map", "from_struct", "parse"]

_EQUAL: Final = ("=", "==", "in")
_UNEQUAL: Final = ("!=", "notin")
_OPERATORS: Final = ("in", "notin", "=", "==", "!=", "gt", "lt")
_PRESENCE: Final = ("exists", "!")
_INT: Final = re.compile(r"[+-]?[0-9]+", re.ASCII)


class Requirement:
    """One condition: `key`, `operator` (one of `= == != in notin exists ! gt lt`), `values` (sorted)."""

    __slots__ = ("key", "operator", "values")

    def __init__(self, key: str, operator: str, values: Iterable[str] = ()) -> None:
        self.key = key
        self.operator = operator
        self.values = tuple(sorted(set(values)))

    def matches(self, labels: Mapping[str, str]) -> bool:
        operator = self.operator
        found = labels.get(self.key)
        if operator in _EQUAL:
            return found is not None and found in self.values
        if operator in _UNEQUAL:
            return found is None or found not in self.values
        if operator == "exists":
            return found is not None
        if operator == "!":
            return found is None
        if found is None or not _is_int64(found):
            return False
        bound = int(self.values[0])
        return int(found) > bound if operator == "gt" else int(found) < bound

    def __str__(self) -> str:
        if self.operator == "exists":
            return self.key
        if self.operator == "!":
            return f"!{self.key}"
        if self.operator in ("in", "notin"):
            return f"{self.key} {self.operator} ({','.join(self.values)})"
        sign = {"gt": ">", "lt": "<"}.get(self.operator, self.operator)
        return f"{self.key}{sign}{self.values[0]}"

    def __repr__(self) -> str:
        return f"Requirement({str(self)!r})"


def _is_int64(text: str) -> bool:
    return _INT.fullmatch(text) is not None and -(2**63) <= int(text) < 2**63


class Selector:
    """Requirements that must all hold; `nothing` selects none at all."""

    __slots__ = ("_others", "_text", "nothing", "requirements", "requires")

    def __init__(self, requirements: Iterable[Requirement] = (), *, nothing: bool = False) -> None:
        self.requirements = tuple(sorted(requirements, key=lambda r: r.key))
        self.nothing = nothing
        #: (key, value) pairs that every selected object has: for look-ups by index.
        self.requires: tuple[tuple[str, str], ...] = tuple(
            (r.key, r.values[0]) for r in self.requirements if r.operator in _EQUAL and len(r.values) == 1
        )
        self._others = tuple(r for r in self.requirements if r.operator not in _EQUAL or len(r.values) != 1)
        self._text = ",".join(str(r) for r in self.requirements)

    @property
    def empty(self) -> bool:
        """True when it selects everything."""
        return not self.requirements and not self.nothing

    def matches(self, labels: Mapping[str, str] | None) -> bool:
        """True when an object with these labels is selected. None is no labels."""
        if self.nothing:
            return False
        if not labels:
            return not self.requires and all(r.matches({}) for r in self._others)
        get = labels.get
        for key, value in self.requires:
            if get(key) != value:
                return False
        return not self._others or all(r.matches(labels) for r in self._others)

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "Selector(nothing=True)" if self.nothing else f"Selector({self._text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Selector) and self.nothing == other.nothing and self._text == other._text

    def __hash__(self) -> int:
        return hash((self.nothing, self._text))


EVERYTHING: Final = Selector()
NOTHING: Final = Selector(nothing=True)


def from_map(labels: Mapping[str, str] | None) -> Selector:
    """All pairs must be there: the `selector` of a Service or ReplicationController. Empty selects everything."""
    return _of_pairs(tuple(sorted(labels.items()))) if labels else EVERYTHING


@lru_cache(maxsize=8192)
def _of_pairs(pairs: tuple[tuple[str, str], ...]) -> Selector:
    return Selector(Requirement(key, "=", (value,)) for key, value in pairs)


_STRUCT_OPERATORS: Final = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}


def from_struct(selector: LabelSelector | None) -> Selector:
    """The selector of a spec. None selects nothing, an empty one everything. Raises ValueError for a bad one."""
    if selector is None:
        return NOTHING
    if not selector.match_expressions:
        return from_map(selector.match_labels)
    pairs = tuple(sorted(selector.match_labels.items())) if selector.match_labels else ()
    expressions = tuple((e.key, e.operator, tuple(e.values or ())) for e in selector.match_expressions)
    return _of_struct(pairs, expressions)


@lru_cache(maxsize=8192)
def _of_struct(
    pairs: tuple[tuple[str, str], ...], expressions: tuple[tuple[str, str, tuple[str, ...]], ...]
) -> Selector:
    requirements = [_checked(key, "=", (value,)) for key, value in pairs]
    for key, name, values in expressions:
        operator = _STRUCT_OPERATORS.get(name)
        if operator is None:
            raise ValueError(f'"{name}" is not a valid label selector operator')
        requirements.append(_checked(key, operator, values))
    return Selector(requirements)


def _checked(key: str, operator: str, values: Iterable[str]) -> Requirement:
    """A requirement whose key and values are sound. Raises ValueError with upstream's text."""
    listed = list(values)
    errors = []
    if messages := names.qualified_name(key):
        errors.append(field.invalid("key", key, "; ".join(messages)))
    if operator in ("in", "notin"):
        if not listed:
            errors.append(field.invalid("values", listed, "for 'in', 'notin' operators, values set can't be empty"))
    elif operator in ("=", "==", "!="):
        if len(listed) != 1:
            errors.append(field.invalid("values", listed, "exact-match compatibility requires one single value"))
    elif operator in _PRESENCE:
        if listed:
            errors.append(field.invalid("values", listed, "values set must be empty for exists and does not exist"))
    else:
        if len(listed) != 1:
            errors.append(field.invalid("values", listed, "for 'Gt', 'Lt' operators, exactly one value is required"))
        for i, value in enumerate(listed):
            if not _is_int64(value):
                text = "for 'Gt', 'Lt' operators, the value must be an integer"
                errors.append(field.invalid(f"values[{i}]", value, text))
    for i, value in enumerate(listed):
        if messages := names.label_value(value):
            errors.append(field.invalid(f"values[{i}][{key}]", value, "; ".join(messages)))
    if errors:
        raise ValueError(field.aggregate(errors))
    return Requirement(key, operator, listed)


# The text grammar. Tokens: ( ) , ! = == != > < in notin, everything else up to white space or a sign is an identifier.

_TOKEN = re.compile(r"\s*(?:([=!<>(),]+)|([^\s=!<>(),]+))")
_DOUBLE = ("==", "!=")
_END: Final = ""


def _scan(text: str) -> list[tuple[str, str]]:
    """Tokens as (kind, text): kind is the sign itself, `word`, `error`, or "" at the end."""
    tokens: list[tuple[str, str]] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            break
        signs, word = match.groups()
        if word is not None:
            tokens.append(("word", word))
            at = match.end()
            continue
        sign = signs[:2] if signs[:2] in _DOUBLE else signs[0]
        tokens.append((sign, sign))
        at = match.start(1) + len(sign)
    tokens.append((_END, ""))
    return tokens


class _Parser:
    def __init__(self, text: str) -> None:
        self.tokens = _scan(text)
        self.at = 0

    def look(self) -> tuple[str, str]:
        return self.tokens[self.at]

    def take(self) -> tuple[str, str]:
        token = self.tokens[self.at]
        if token[0] != _END:
            self.at += 1
        return token

    def parse(self) -> list[Requirement]:
        requirements: list[Requirement] = []
        while True:
            kind, text = self.look()
            if kind == _END:
                return requirements
            if kind not in ("word", "!"):
                raise ValueError(f"found '{text}', expected: !, identifier, or 'end of string'")
            try:
                requirements.append(self.requirement())
            except ValueError as error:
                raise ValueError(f"unable to parse requirement: {error}") from None
            kind, text = self.take()
            if kind == _END:
                return requirements
            if kind != ",":
                raise ValueError(f"found '{text}', expected: ',' or 'end of string'")
            kind, text = self.look()
            if kind not in ("word", "!"):
                raise ValueError(f"found '{text}', expected: identifier after ','")

    def requirement(self) -> Requirement:
        kind, key = self.take()
        absent = kind == "!"
        if absent:
            kind, key = self.take()
        if kind != "word":
            raise ValueError(f"found '{key}', expected: identifier")
        if messages := names.qualified_name(key):
            raise ValueError(str(field.invalid(None, key, "; ".join(messages))))
        if absent:
            return Requirement(key, "!")
        if self.look()[0] in (_END, ","):
            return Requirement(key, "exists")
        kind, text = self.take()
        if kind == "word" and text in ("in", "notin"):
            return _checked(key, text, self.values())
        operator = {">": "gt", "<": "lt"}.get(kind, kind)
        if operator not in ("=", "==", "!=", "gt", "lt"):
            raise ValueError(f"found '{text}', expected: {', '.join(_OPERATORS)}")
        return _checked(key, operator, self.exact_value())

    def exact_value(self) -> list[str]:
        if self.look()[0] in (_END, ","):
            return [""]
        kind, text = self.take()
        if kind != "word":
            raise ValueError(f"found '{text}', expected: identifier")
        return [text]

    def values(self) -> list[str]:
        kind, text = self.take()
        if kind != "(":
            raise ValueError(f"found '{text}' expected: '('")
        kind, text = self.look()
        if kind == ")":
            self.take()
            return []
        if kind not in ("word", ","):
            raise ValueError(f"found '{text}', expected: ',', ')' or identifier")
        found: list[str] = []
        empty = True  # a comma without a word on one side stands for the empty value
        while True:
            kind, text = self.take()
            if kind == "word":
                if not empty:
                    raise ValueError(f"found '{text}', expected: ',' or ')'")
                found.append(text)
                empty = False
            elif kind in (",", ")"):
                if empty:
                    found.append("")
                empty = True
                if kind == ")":
                    return found
            else:
                expected = "',', or identifier" if empty else "',' or ')'"
                raise ValueError(f"found '{text}', expected: {expected}")


@lru_cache(maxsize=8192)
def parse(text: str) -> Selector:
    """The selector of a query parameter or of `kubectl -l`. Raises ValueError with upstream's message."""
    if not text:
        return EVERYTHING
    requirements = _Parser(text).parse()
    return Selector(requirements) if requirements else EVERYTHING
