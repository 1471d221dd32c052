"""Quantities: canonical forms as resource.Quantity has them, and exact arithmetic."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybernetes.machinery import quantity as q


@pytest.mark.parametrize(
    ("text", "canonical", "value", "milli"),
    [
        ("0", "0", 0, 0),
        ("1000m", "1", 1, 1000),
        ("100m", "100m", 1, 100),
        ("0.5", "500m", 1, 500),
        (".5", "500m", 1, 500),
        ("5.", "5", 5, 5000),
        ("-1500m", "-1500m", -2, -1500),
        ("1024Mi", "1Gi", 2**30, 2**30 * 1000),
        ("1.5Gi", "1536Mi", 3 * 2**29, 3 * 2**29 * 1000),
        ("1000Ki", "1000Ki", 1024000, 1024000000),
        ("512Ki", "512Ki", 524288, 524288000),
        ("0.1Ki", "102400m", 103, 102400),
        ("1000k", "1M", 10**6, 10**9),
        ("1e3", "1e3", 1000, 10**6),
        ("12e-3", "12e-3", 1, 12),
        ("1E", "1E", 10**18, 10**21),
        ("1E3", "1e3", 1000, 10**6),
        ("0.00000000001", "1n", 1, 1),
        ("100000Ei", "9223372036854775807", 2**63 - 1, (2**63 - 1) * 1000),
        ("+3", "3", 3, 3000),
        ("1u", "1u", 1, 1),
    ],
)
def test_canonical(text: str, canonical: str, value: int, milli: int) -> None:
    assert q.canonical(text) == canonical
    assert q.value(text) == value
    assert q.milli(text) == milli


def test_json_numbers() -> None:
    assert [q.canonical(n) for n in (1, 0.5, 2.0, 1e21)] == ["1", "500m", "2", "1e21"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", q.FORMAT_WRONG),
        ("a", q.FORMAT_WRONG),
        ("1.1.1", q.FORMAT_WRONG),
        ("1 Gi", q.FORMAT_WRONG),
        ("1Gib", q.FORMAT_WRONG),
        ("-", q.NUMERIC_WRONG),
        ("1ki", q.SUFFIX_WRONG),
        ("1mm", q.SUFFIX_WRONG),
    ],
)
def test_errors(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        q.parse(text)
    assert str(caught.value) == message


def test_arithmetic_keeps_the_family() -> None:
    assert q.add("1Gi", "512Mi") == "1536Mi"
    assert q.sub("1", "250m") == "750m"
    assert q.add("0", "1Gi") == "1Gi"
    assert q.cmp("1024Mi", "1Gi") == 0
    assert q.cmp("1k", "1Ki") == -1
    assert str(q.parse("100m") * 3) == "300m"
    assert sorted([q.parse("2"), q.parse("1500m")])[0] == q.parse("1.5")


texts = st.builds(
    lambda sign, whole, fraction, suffix: f"{sign}{whole}{fraction}{suffix}",
    st.sampled_from(["", "-", "+"]),
    st.integers(0, 10**9).map(str),
    st.one_of(st.just(""), st.integers(0, 999999).map(lambda n: f".{n}")),
    st.sampled_from(["", "n", "u", "m", "k", "M", "G", "Ki", "Mi", "Gi", "e3", "E-2", "e+6"]),
)


@given(texts)
def test_the_canonical_form_has_the_same_value_and_is_stable(text: str) -> None:
    exact = q.parse(text)
    again = q.canonical(text)
    assert q.parse(again) == exact
    assert q.canonical(again) == again
    assert "." not in again


@given(texts, texts)
def test_sums_and_order_are_exact(a: str, b: str) -> None:
    x, y = (Fraction(q.parse(t).nano, 10**9) for t in (a, b))
    assert Fraction(q.parse(q.add(a, b)).nano, 10**9) == x + y
    assert q.cmp(a, b) == (x > y) - (x < y)
    assert abs(q.value(a)) == -(-abs(x) // 1)
