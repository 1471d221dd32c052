"""YAML with Kubernetes' habits; ages."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybernetes.machinery import table, yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: yes", True), ("a: Off", False), ("a: 'yes'", "yes"), ("a: 80:80", "80:80"),
        ("a: 2026-01-02", "2026-01-02"),
        ("a: 1e3", 1000), ("a: 010", 8), ("a: 0x1F", 31), ("a: 1_000", 1000), ("a: 1.0", 1), ("a: .5", 0.5),
        ("a:", None), ("a: ~", None), ("a: 1.5.0", "1.5.0"), ("a: -1", -1), ("a: !!str 12", "12"),
        ("a: 22:22", "22:22"),
        ("a: |\n  x\n  y\n", "x\ny\n"), ("a: [1, x]", [1, "x"]),
    ],
)  # fmt: skip
def test_plain_scalars(text: str, value: Any) -> None:
    assert yaml.load(text) == {"a": value}


def test_keys_are_strings_and_merges_work() -> None:
    assert yaml.load("1: a\ntrue: b\n") == {"1": "a", "true": "b"}
    assert yaml.load("x: &x {a: 1, b: 2}\nz: {<<: *x, b: 3}\n")["z"] == {"a": 1, "b": 3}


def test_streams_and_repeated_keys() -> None:
    assert list(yaml.load_all("---\na: 1\n---\n# nothing\n---\nb: 2\n")) == [{"a": 1}, {"b": 2}]
    repeated: list[str] = []
    assert yaml.load("a: 1\nb: 1\na: 2\n", repeated=repeated) == {"a": 2, "b": 1}
    assert repeated == ['line 3: key "a" already set in map']
    assert yaml.load(b'{"a": 1}') == {"a": 1}
    assert yaml.load("") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: b\nc:\n\td: e\n", "yaml: line 3: found character that cannot start any token"),
        ("a: b\n c: d\n", "yaml: line 2: mapping values are not allowed in this context"),
        ("a: b\n- c\n", "yaml: line 1: did not find expected key"),
        ("a: \x00", "yaml: control characters are not allowed"),
    ],
)
def test_errors(text: str, message: str) -> None:
    with pytest.raises(yaml.YAMLError) as caught:
        yaml.load(text)
    assert str(caught.value) == message


def test_a_tab_gets_a_hint() -> None:
    with pytest.raises(yaml.YAMLError) as caught:
        yaml.load("a:\n\tb: 1\n")
    assert "tab" in caught.value.hint


def test_style() -> None:
    obj = {
        "kind": "Pod",
        "apiVersion": "v1",
        "spec": {"args": ["yes", "1", "", "a: b", "x\ny\n", "80:80"], "b": [], "c": {}},
        "metadata": {"creationTimestamp": "2026-01-02T03:04:05Z", "labels": {"p10": "a", "p9": "b"}, "x": None},
    }
    assert (
        yaml.dump(obj)
        == """\
apiVersion: v1
kind: Pod
metadata:
  creationTimestamp: "2026-01-02T03:04:05Z"
  labels:
    p9: b
    p10: a
  x: null
spec:
  args:
  - "yes"
  - "1"
  - ""
  - 'a: b'
  - |
    x
    y
  - 80:80
  b: []
  c: {}
"""
    )


values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**60), 2**60), st.floats(allow_nan=False, allow_infinity=False),
        st.text(st.characters(exclude_categories=["Cs", "Cc", "Co", "Cn"]), max_size=12),
        st.sampled_from(["yes", "y", "1", "0x1", "1:30", "~", "null", "- a", "a: b", "# x", "<<", "=", ".inf", "1e5"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text("aby1 :-", max_size=4), inner, max_size=3)
    ),
    max_leaves=10,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(["a", "y", "1", "no", "<<"]), values, max_size=3))
def test_what_is_dumped_loads_as_the_same(value: dict[str, Any]) -> None:
    assert yaml.load(yaml.dump(value)) == value


@given(st.text("ab:-[]{}\n \t\"'&*!|>%@`#,?0", max_size=20))
def test_any_text_loads_or_is_a_yaml_error(text: str) -> None:
    try:
        list(yaml.load_all(text))
    except yaml.YAMLError as error:
        assert str(error).startswith("yaml: ")


@pytest.mark.parametrize(
    ("seconds", "long", "short"),
    [
        (-5, "<invalid>", "<invalid>"), (-1, "0s", "0s"), (0, "0s", "0s"), (90, "90s", "1m"), (125, "2m5s", "2m"),
        (120, "2m", "2m"), (600, "10m", "10m"), (3 * 3600, "3h", "3h"), (3 * 3600 + 60, "3h1m", "3h"),
        (9 * 3600 + 60, "9h", "9h"), (47 * 3600, "47h", "1d"), (76 * 3600, "3d4h", "3d"), (10 * 86400, "10d", "10d"),
        ((2 * 365 + 10) * 86400, "2y10d", "2y"), (9 * 365 * 86400, "9y", "9y"),
    ],
)  # fmt: skip
def test_durations(seconds: float, long: str, short: str) -> None:
    assert table.duration(seconds) == long
    assert table.duration_short(seconds) == short


def test_age() -> None:
    assert table.age(None, 5.0) == "<unknown>"
    assert table.age(1.0, 91.0) == "90s"
