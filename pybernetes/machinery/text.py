"""Text as Go prints it: quoted strings and values inside error messages, which clients compare and users search for."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["join_quoted", "quote", "show"]

_PLAIN = re.compile(r"[ !#-\[\]-~]*")
_ESCAPES = {
    '"': '\\"',
    "\\": "\\\\",
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
}


def quote(text: str) -> str:
    """`%q` of Go: double quotes, backslash escapes, printable non-ASCII kept."""
    if _PLAIN.fullmatch(text):
        return f'"{text}"'
    out = []
    for char in text:
        code = ord(char)
        if char in _ESCAPES:
            out.append(_ESCAPES[char])
        elif char.isprintable():
            out.append(char)
        elif code < 0x80:
            out.append(f"\\x{code:02x}")
        elif code < 0x10000:
            out.append(f"\\u{code:04x}")
        else:
            out.append(f"\\U{code:08x}")
    return '"' + "".join(out) + '"'


def join_quoted(values: list[str] | tuple[str, ...]) -> str:
    """`"a", "b"`."""
    return ", ".join(quote(v) for v in values)


def show(value: Any) -> str:
    """A value inside an error message: strings quoted, scalars plain, the rest as JSON."""
    if value is None:
        return '"null"'
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return show_float(value)
    import msgspec

    try:
        return msgspec.json.encode(value).decode()
    except (TypeError, ValueError):
        return str(value)


def show_float(value: float) -> str:
    """`%v` of Go for a float64: no fraction when whole, exponent from 1e+21 on."""
    if value == int(value) and abs(value) < 1e21:
        return str(int(value))
    text = repr(value)
    if "e" in text:
        mantissa, exponent = text.split("e")
        number = int(exponent)
        return f"{mantissa.removesuffix('.0')}e{'-' if number < 0 else '+'}{abs(number):02d}"
    return text
