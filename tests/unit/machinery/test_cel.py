"""CEL: values of expressions, and what is refused before any value is there."""

from __future__ import annotations

from typing import Any

import pytest

from pybernetes.machinery import cel, schema

SHAPE = schema.of_crd(
    {
        "type": "object",
        "properties": {
            "a": {"type": "integer"},
            "b": {"type": "array", "items": {"type": "integer"}},
            "s": {"type": "string"},
            "m": {"type": "object", "additionalProperties": {"type": "string"}},
            "foo-bar": {"type": "string"},
        },
    }
)
VALUES = {"self": {"a": 1, "b": [1, 2, 3], "s": "Hi", "m": {"x": "y"}, "foo-bar": "q"}}


def run(text: str) -> Any:
    return cel.compile(text, {"self": SHAPE})(VALUES)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("self.a == 1", True),
        ("1 + 2 * 3", 7),
        ("-7 / 2", -3),
        ("-7 % 2", -1),
        ("self.b.all(x, x > 0)", True),
        ("self.b.exists_one(x, x == 1)", True),
        ("self.b.map(x, x > 1, x * 2)", [4, 6]),
        ("self.b.filter(x, x != 2)", [1, 3]),
        ("self.b.all(i, v, v > i)", True),
        ("{'a': 1}.transformMap(k, v, v + 1)", {"a": 2}),
        ("self.b.isSorted() && self.b.sum() == 6", True),
        ("self.s.lowerAscii() + '!'", "hi!"),
        ("'a,b'.split(',').join('-')", "a-b"),
        ("'%s is %d'.format(['a', 3])", "a is 3"),
        ("self.foo__dash__bar", "q"),
        ("has(self.a) && 'x' in self.m", True),
        ("self.?s.orValue('none')", "Hi"),
        ("[1, ?optional.none(), 3]", [1, 3]),
        ("self.m[?'z'].hasValue()", False),
        ("duration('1h') > duration('5m')", True),
        ("timestamp('2026-01-01T00:00:00Z').getFullYear()", 2026),
        ("quantity('1Gi').isGreaterThan(quantity('1M'))", True),
        ("cidr('10.0.0.0/8').containsIP('10.1.2.3')", True),
        ("url('https://a.example.com:80/b').getHostname()", "a.example.com"),
        ("semver('1.2.3').isLessThan(semver('1.10.0'))", True),
        ("format.dns1123Label().validate('A').hasValue()", True),
        ("cel.bind(x, 2, x * x)", 4),
        ("1 / 0 == 1 || true", True),
        ("false && 1 / 0 == 1", False),
        ("type(self.a) == int", True),
        ("Object{spec: Object.spec{replicas: 3}}", {"spec": {"replicas": 3}}),
        (r"'\u00e9' == r'é' && b'a' == b'a'", True),
        ("1 < 2 ? 'y' : 'n'", "y"),
        ("1.5 > 1 && 2u < 3u", True),
    ],
)
def test_values(text: str, value: Any) -> None:
    assert run(text) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("self.z == 1", "undefined field 'z'"),
        ("has(self.z)", "undefined field 'z'"),
        ("other == 1", "undeclared reference to 'other'"),
        ("foo(1)", "undeclared reference to 'foo'"),
        ("self.a > 'x'", "found no matching overload for '_>_' applied to '(int, string)'"),
        ("self.a ==", "Syntax error"),
        ("self.a.b", "does not support field selection"),
        ("for", "reserved identifier"),
    ],
)
def test_what_does_not_compile(text: str, message: str) -> None:
    with pytest.raises(cel.CelError, match="<input>") as caught:
        run(text)
    assert message in str(caught.value)


@pytest.mark.parametrize("text", ["self.b[5]", "self.m.z == ''", "1 / 0", "duration('x')", "int('x')", "'a'.foo()"])
def test_what_can_not_be_evaluated(text: str) -> None:
    with pytest.raises(cel.CelError):
        run(text)


def test_the_error_shows_where() -> None:
    with pytest.raises(cel.CelError) as caught:
        run("self.a == 1 && self.z")
    assert str(caught.value) == (
        "ERROR: <input>:1:20: undefined field 'z'\n | self.a == 1 && self.z\n | ...................^"
    )


def test_the_result_has_the_type_asked_for() -> None:
    with pytest.raises(cel.CelError, match="must evaluate to bool"):
        cel.compile("self.a", {"self": SHAPE}, "bool")


def test_runaway_expressions_end() -> None:
    program = cel.compile("l.all(a, l.all(b, l.all(c, a + b + c >= 0)))", {"l": cel.DYN})
    with pytest.raises(cel.CelError, match="cost limit"):
        program({"l": list(range(300))})
