"""Paths into objects, and what can be wrong at one: the vocabulary of validation.

A path is a chain of small links and becomes text only when an error is made, because validation of a good object walks
many paths and reports none.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from pybernetes.machinery.text import join_quoted, show

__all__ = [
    "OMIT",
    "FieldError",
    "Path",
    "aggregate",
    "duplicate",
    "forbidden",
    "internal",
    "invalid",
    "not_found",
    "not_supported",
    "required",
    "too_long",
    "too_many",
    "type_invalid",
]


class Path:
    """A path such as `spec.containers[0].env[NAME]`. Immutable; `child`, `index` and `key` extend it."""

    __slots__ = ("_name", "_parent")

    def __init__(self, name: str = "", *more: str, _parent: Path | None = None) -> None:
        if more:
            parent: Path = Path(name, _parent=_parent)
            for middle in more[:-1]:
                parent = Path(middle, _parent=parent)
            self._parent: Path | None = parent
            self._name = more[-1]
        else:
            self._parent = _parent
            self._name = name

    def child(self, name: str, *more: str) -> Path:
        """A field of an object."""
        path = Path(name, _parent=self)
        for further in more:
            path = Path(further, _parent=path)
        return path

    def index(self, index: int) -> Path:
        """An item of a list."""
        return Path(f"[{index}]", _parent=self)

    def key(self, key: str) -> Path:
        """An entry of a map."""
        return Path(f"[{key}]", _parent=self)

    def __str__(self) -> str:
        parts: list[str] = []
        link: Path | None = self
        while link is not None:
            if link._name:
                parts.append(link._name)
            link = link._parent
        out = ""
        for part in reversed(parts):
            out = out + part if part[0] == "[" or not out else f"{out}.{part}"
        return out

    def __repr__(self) -> str:
        return f"Path({str(self)!r})"


class _Omit:
    def __repr__(self) -> str:
        return "OMIT"


#: A value that is not to be shown.
OMIT: Final = _Omit()

_BODY = {
    "FieldValueNotFound": "Not found",
    "FieldValueRequired": "Required value",
    "FieldValueDuplicate": "Duplicate value",
    "FieldValueInvalid": "Invalid value",
    "FieldValueNotSupported": "Unsupported value",
    "FieldValueForbidden": "Forbidden",
    "FieldValueTooLong": "Too long",
    "FieldValueTooMany": "Too many",
    "InternalError": "Internal error",
    "FieldValueTypeInvalid": "Invalid value",
}
_VALUE_HIDDEN = frozenset({"FieldValueRequired", "FieldValueForbidden", "FieldValueTooLong", "InternalError"})


@dataclass(slots=True)
class FieldError:
    """One finding: `type` is the cause's reason on the wire (`FieldValueInvalid` ...), `field` the path as text."""

    type: str
    field: str
    value: Any = OMIT
    detail: str = ""

    @property
    def body(self) -> str:
        """The message without the path, as a Status cause carries it."""
        text = _BODY[self.type]
        if self.type not in _VALUE_HIDDEN and self.value is not OMIT:
            text = f"{text}: {show(self.value)}"
        return f"{text}: {self.detail}" if self.detail else text

    def __str__(self) -> str:
        return f"{self.field}: {self.body}"


def _text(path: Path | str | None) -> str:
    return "<nil>" if path is None else path if isinstance(path, str) else str(path)


def required(path: Path | str | None, detail: str = "") -> FieldError:
    return FieldError("FieldValueRequired", _text(path), "", detail)


def invalid(path: Path | str | None, value: Any, detail: str) -> FieldError:
    return FieldError("FieldValueInvalid", _text(path), value, detail)


def not_supported(path: Path | str | None, value: Any, supported: Iterable[str] = ()) -> FieldError:
    """`supported` is shown in the order given; upstream sorts most of them."""
    values = list(supported)
    return FieldError(
        "FieldValueNotSupported", _text(path), value, f"supported values: {join_quoted(values)}" if values else ""
    )


def duplicate(path: Path | str | None, value: Any) -> FieldError:
    return FieldError("FieldValueDuplicate", _text(path), value)


def forbidden(path: Path | str | None, detail: str) -> FieldError:
    return FieldError("FieldValueForbidden", _text(path), "", detail)


def too_long(path: Path | str | None, value: Any, maximum: int) -> FieldError:
    """`maximum` in bytes; negative when unknown."""
    unit = "byte" if maximum == 1 else "bytes"
    detail = f"may not be more than {maximum} {unit}" if maximum >= 0 else "value is too long"
    return FieldError("FieldValueTooLong", _text(path), value, detail)


def too_many(path: Path | str | None, actual: int, maximum: int) -> FieldError:
    """`actual` and `maximum` negative when unknown."""
    unit = "item" if maximum == 1 else "items"
    detail = f"must have at most {maximum} {unit}" if maximum >= 0 else "has too many items"
    return FieldError("FieldValueTooMany", _text(path), actual if actual >= 0 else OMIT, detail)


def not_found(path: Path | str | None, value: Any) -> FieldError:
    return FieldError("FieldValueNotFound", _text(path), value)


def internal(path: Path | str | None, error: object) -> FieldError:
    return FieldError("InternalError", _text(path), None, str(error))


def type_invalid(path: Path | str | None, value: Any, detail: str) -> FieldError:
    return FieldError("FieldValueTypeInvalid", _text(path), value, detail)


def aggregate(errors: Iterable[object]) -> str:
    """Several errors as one text: `a`, or `[a, b]`, each only once."""
    texts = list(dict.fromkeys(str(e) for e in errors))
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
