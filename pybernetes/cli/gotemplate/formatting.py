"""Go's `fmt` for the values JSON has: `%v` of maps and lists, `printf` verbs, and the complaints about wrong ones."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

from pybernetes.cli.gotemplate.nodes import Int

_VERB = re.compile(r"%([-+# 0]*)(\*|\d+)?(?:\.(\d+)?)?(.)?", re.DOTALL)


def type_name(value: Any) -> str:
    """Go's name of a value's type."""
    match value:
        case None:
            return "<nil>"
        case bool():
            return "bool"
        case Int():
            return "int"
        case int():
            return "int64"
        case float():
            return "float64"
        case str():
            return "string"
        case dict():
            return "map[string]interface {}"
    return "[]interface {}"


def text(value: Any) -> str:
    """`%v`."""
    match value:
        case None:
            return "<nil>"
        case bool():
            return "true" if value else "false"
        case float():
            return number(value)
        case dict():
            return "map[" + " ".join(f"{k}:{text(v)}" for k, v in sorted(value.items())) + "]"
        case list():
            return "[" + " ".join(map(text, value)) + "]"
    return str(value)


def number(value: float, verb: str = "g", precision: int | None = None) -> str:
    """A float: the shortest text that reads back the same, unless a precision is given."""
    if precision is not None or verb in "ef":
        return format(value, f".{6 if precision is None else precision}{verb}")
    if value == 0 or value in (float("inf"), float("-inf")) or value != value:
        return {"inf": "+Inf", "-inf": "-Inf", "nan": "NaN"}.get(repr(value), "0")
    digits = Decimal(repr(value)).normalize()
    sign, numbers, _ = digits.as_tuple()
    power = digits.adjusted()
    if -4 <= power < 6:
        return format(digits, "f")
    mantissa = "".join(map(str, numbers))
    shown = mantissa[0] + (f".{mantissa[1:]}" if len(mantissa) > 1 else "")
    return f"{'-' if sign else ''}{shown}e{'-' if power < 0 else '+'}{abs(power):02}"


def sprint(values: list[Any]) -> str:
    """`print`: spaces only between two values of which neither is a string."""
    out = ""
    for index, value in enumerate(values):
        if index and not isinstance(value, str) and not isinstance(values[index - 1], str):
            out += " "
        out += text(value)
    return out


def sprintf(template: str, values: list[Any]) -> str:
    """`printf`."""
    rest = list(values)

    def one(match: re.Match[str]) -> str:
        flags, width, precision, verb = match[1], match[2], match[3], match[4]
        if verb is None:
            return "%!(NOVERB)"
        if verb == "%":
            return "%"
        if width == "*":
            width = str(rest.pop(0)) if rest else ""
        if not rest:
            return f"%!{verb}(MISSING)"
        exact = None if "." not in match[0] else int(precision or 0)
        shown = _verb(verb, flags, exact, rest.pop(0))
        return _padded(shown, flags, int(width or 0), verb)

    out = _VERB.sub(one, template)
    if rest:
        extra = ", ".join("<nil>" if v is None else f"{type_name(v)}={text(v)}" for v in rest)
        out += f"%!(EXTRA {extra})"
    return out


def _padded(shown: str, flags: str, width: int, verb: str) -> str:
    if "-" in flags:
        return shown.ljust(width)
    if "0" in flags and verb not in "sqv":
        sign = shown[:1] if shown[:1] in ("+", "-") else ""
        return sign + shown[len(sign) :].rjust(width - len(sign), "0")
    return shown.rjust(width)


def _verb(verb: str, flags: str, precision: int | None, value: Any) -> str:
    if verb == "T":
        return type_name(value)
    if verb == "v":
        return text(value) if not isinstance(value, float) else number(value, "g", precision)
    if isinstance(value, list):
        return "[" + " ".join(_verb(verb, flags, precision, v) for v in value) + "]"
    if isinstance(value, dict):
        pairs = (
            f"{_verb(verb, flags, precision, k)}:{_verb(verb, flags, precision, v)}" for k, v in sorted(value.items())
        )
        return "map[" + " ".join(pairs) + "]"
    shown: str | None = None
    if isinstance(value, str):
        shown = _string(verb, precision, value)
    elif isinstance(value, bool):
        shown = text(value) if verb == "t" else None
    elif isinstance(value, int):
        shown = _integer(verb, value)
    elif isinstance(value, float) and verb.lower() in ("e", "f", "g"):
        shown = number(value, verb.lower(), precision)
    if shown is None:
        return f"%!{verb}({'<nil>' if value is None else f'{type_name(value)}={text(value)}'})"
    if "+" in flags and isinstance(value, int | float) and not shown.startswith("-"):
        shown = "+" + shown
    return shown


def _string(verb: str, precision: int | None, value: str) -> str | None:
    cut = value if precision is None else value[:precision]
    match verb:
        case "s":
            return cut
        case "q":
            return json.dumps(cut, ensure_ascii=False)
        case "x":
            return cut.encode().hex()
        case "X":
            return cut.encode().hex().upper()
    return None


def _integer(verb: str, value: int) -> str | None:
    match verb:
        case "d":
            return str(int(value))
        case "x" | "X" | "o" | "b":
            return format(int(value), verb)
        case "c":
            return chr(value)
        case "q":
            return f"'{chr(value)}'"
        case "U":
            return f"U+{value:04X}"
    return None
