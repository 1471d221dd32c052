"""Quantities: fixed-point numbers with a suffix, `100m`, `1.5Gi`, `2e3`.

The value is an exact integer count of nano units (1e-9), the finest step the API has; what is finer rounds up, away
from zero. Beside it goes the family of suffixes it was written in, because the canonical form stays in that family.
Everything that starts from text is cached: a cluster has few different quantities.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

__all__ = [
    "BINARY",
    "DECIMAL",
    "EXPONENT",
    "Quantity",
    "add",
    "canonical",
    "cmp",
    "format",
    "milli",
    "parse",
    "sub",
    "value",
]

DECIMAL: Final = "DecimalSI"
BINARY: Final = "BinarySI"
EXPONENT: Final = "DecimalExponent"

NANO: Final = 10**9
_MILLI: Final = 10**6
_MAX: Final = (2**63 - 1) * NANO

FORMAT_WRONG: Final = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
NUMERIC_WRONG: Final = "unable to parse numeric part of quantity"
SUFFIX_WRONG: Final = "unable to parse quantity's suffix"

_TEXT = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?([eEinumkKMGTP]*[-+]?[0-9]*)", re.ASCII)
_DECIMAL_SUFFIX = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY_SUFFIX = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL_NAME = {exponent: suffix for suffix, exponent in _DECIMAL_SUFFIX.items()}
_BINARY_NAME = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")


class Quantity:
    """An exact value: `nano` in 1e-9 units, `family` one of DECIMAL, BINARY, EXPONENT. Immutable; compares by value."""

    __slots__ = ("family", "nano")

    def __init__(self, nano: int, family: str = DECIMAL) -> None:
        self.nano = nano
        self.family = family

    def __add__(self, other: Quantity) -> Quantity:
        return Quantity(self.nano + other.nano, self.family if self.nano or not other.nano else other.family)

    def __sub__(self, other: Quantity) -> Quantity:
        return Quantity(self.nano - other.nano, self.family if self.nano or not other.nano else other.family)

    def __neg__(self) -> Quantity:
        return Quantity(-self.nano, self.family)

    def __mul__(self, factor: int) -> Quantity:
        return Quantity(self.nano * factor, self.family)

    def __bool__(self) -> bool:
        return self.nano != 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantity) and self.nano == other.nano

    def __hash__(self) -> int:
        return hash(self.nano)

    def __lt__(self, other: Quantity) -> bool:
        return self.nano < other.nano

    def __le__(self, other: Quantity) -> bool:
        return self.nano <= other.nano

    def __gt__(self, other: Quantity) -> bool:
        return self.nano > other.nano

    def __ge__(self, other: Quantity) -> bool:
        return self.nano >= other.nano

    @property
    def milli(self) -> int:
        """In thousandths, rounded away from zero."""
        return _scaled(self.nano, _MILLI)

    @property
    def value(self) -> int:
        """In whole units, rounded away from zero."""
        return _scaled(self.nano, NANO)

    def __float__(self) -> float:
        return self.nano / NANO

    def __str__(self) -> str:
        return format(self)

    def __repr__(self) -> str:
        return f"Quantity({format(self)!r})"


def of(units: int, family: str = DECIMAL) -> Quantity:
    """The quantity of whole units: bytes, cores, pods."""
    return Quantity(units * NANO, family)


def of_milli(thousandths: int, family: str = DECIMAL) -> Quantity:
    return Quantity(thousandths * _MILLI, family)


ZERO: Final = Quantity(0)


def _scaled(nano: int, unit: int) -> int:
    """Division that rounds away from zero."""
    return -(-nano // unit) if nano >= 0 else nano // unit


@lru_cache(maxsize=65536)
def parse(text: str | int | float) -> Quantity:
    """The exact value of a quantity's text (or JSON number). Raises ValueError with upstream's message."""
    if not isinstance(text, str):
        return _parse_number(text)
    text = text.strip()
    match = _TEXT.fullmatch(text)
    if match is None or not text:
        raise ValueError(FORMAT_WRONG)
    sign, whole, fraction, suffix = match.groups()
    fraction = fraction or ""
    if not whole and not fraction:
        raise ValueError(FORMAT_WRONG if not sign and text[0] != "." else NUMERIC_WRONG)
    digits = int(whole + fraction)
    shift = len(fraction)  # decimal places to take away again
    if suffix in _DECIMAL_SUFFIX:
        family, exponent = DECIMAL, _DECIMAL_SUFFIX[suffix]
    elif suffix in _BINARY_SUFFIX:
        family, exponent = BINARY, 0
        digits <<= _BINARY_SUFFIX[suffix]
    elif suffix[0] in "eE" and _is_integer(suffix[1:]):
        family, exponent = EXPONENT, int(suffix[1:])
    else:
        raise ValueError(SUFFIX_WRONG)
    if abs(exponent) > 1000:  # never an amount; and no number of a billion digits
        raise ValueError(NUMERIC_WRONG)
    power = 9 + exponent - shift
    nano = digits * 10**power if power >= 0 else -(-digits // 10**-power)
    if nano > _MAX and (family is BINARY or len(whole) + shift > 18):
        nano = _MAX
    if family is BINARY and 0 < nano < NANO:
        family = DECIMAL
    return Quantity(-nano if sign == "-" else nano, family)


def _is_integer(text: str) -> bool:
    return text[1:].isdigit() if text[:1] in ("+", "-") else text.isdigit()


def _parse_number(number: int | float) -> Quantity:
    if isinstance(number, bool):
        raise ValueError(FORMAT_WRONG)
    return parse(str(number) if isinstance(number, int) else repr(number).removesuffix(".0"))


def format(quantity: Quantity) -> str:
    """The canonical text: no fraction, the largest suffix that loses nothing, in the quantity's family."""
    nano = quantity.nano
    if nano == 0:
        return "0"
    family = quantity.family
    if family == BINARY:
        if -1024 * NANO < nano < 1024 * NANO or nano % NANO:
            family = DECIMAL  # a fraction cannot be shown in this family
        else:
            mantissa, power = nano // NANO, 0
            while power < 6 and mantissa % 1024 == 0:
                mantissa //= 1024
                power += 1
            return f"{mantissa}{_BINARY_NAME[power]}"
    mantissa, exponent = nano, -9
    while mantissa % 1000 == 0 and (exponent < 18 or family == EXPONENT):
        mantissa //= 1000
        exponent += 3
    if family == EXPONENT:
        return f"{mantissa}e{exponent}" if exponent else str(mantissa)
    return f"{mantissa}{_DECIMAL_NAME[exponent]}"


@lru_cache(maxsize=65536)
def canonical(text: str | int | float) -> str:
    """The canonical text of a quantity: `1000m` is `1`, `0.5` is `500m`, `1.5Gi` is `1536Mi`. Raises ValueError."""
    return format(parse(text))


@lru_cache(maxsize=65536)
def milli(text: str | int | float) -> int:
    """In thousandths, rounded up: CPU. Raises ValueError."""
    return parse(text).milli


@lru_cache(maxsize=65536)
def value(text: str | int | float) -> int:
    """In whole units, rounded up: bytes, counts. Raises ValueError."""
    return parse(text).value


def add(a: str, b: str) -> str:
    """The canonical sum, in the family of `a` (of `b` when `a` is zero)."""
    return format(parse(a) + parse(b))


def sub(a: str, b: str) -> str:
    """The canonical difference."""
    return format(parse(a) - parse(b))


def cmp(a: str, b: str) -> int:
    """-1, 0 or 1."""
    x, y = parse(a).nano, parse(b).nano
    return (x > y) - (x < y)
