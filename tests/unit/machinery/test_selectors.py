"""Label and field selectors: grammar, texts of errors, meaning."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybernetes.machinery import fields, labels
from pybernetes.machinery.meta import LabelSelector, LabelSelectorRequirement


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("a=b,c!=d,e in (x,y),f notin (z),g,!h,k>3,l<4", "a=b,c!=d,e in (x,y),f notin (z),g,!h,k>3,l<4"),
        ("b=1,a=2", "a=2,b=1"),
        (" a = b , c in ( y , x ) ", "a=b,c in (x,y)"),
        ("x==y", "x==y"),
        ("a in (,b)", "a in (,b)"),
        ("a=", "a="),
        ("in", "in"),
        ("in in (in)", "in in (in)"),
        ("example.com/a-b=c_d", "example.com/a-b=c_d"),
        ("", ""),
    ],
)
def test_grammar(text: str, canonical: str) -> None:
    assert str(labels.parse(text)) == canonical
    assert labels.parse(canonical) == labels.parse(text)


KEY = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a,", "found '', expected: identifier after ','"),
        ("=", "found '=', expected: !, identifier, or 'end of string'"),
        ("a in x", "unable to parse requirement: found 'x' expected: '('"),
        ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("a=b=c", "found '=', expected: ',' or 'end of string'"),
        ("-a=b", f'unable to parse requirement: <nil>: Invalid value: "-a": {KEY}'),
        (
            "x>a",
            "unable to parse requirement: values[0]: Invalid value: \"a\": for 'Gt', 'Lt' operators, "
            "the value must be an integer",
        ),
        (
            "x in ()",
            "unable to parse requirement: values: Invalid value: []: for 'in', 'notin' operators, "
            "values set can't be empty",
        ),
    ],
)
def test_errors(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        labels.parse(text)
    assert str(caught.value) == message


def test_meaning() -> None:
    have = {"a": "b", "n": "5"}
    for text, wanted in [
        ("a=b", True), ("a=c", False), ("a!=c", True), ("x!=c", True), ("a in (b,c)", True), ("a notin (b)", False),
        ("x notin (b)", True), ("a", True), ("x", False), ("!x", True), ("!a", False), ("n>4", True), ("n<5", False),
        ("a>1", False), ("x>1", False), ("a=b,n=5", True), ("a=b,n=6", False),
    ]:  # fmt: skip
        assert labels.parse(text).matches(have) is wanted, text
    assert labels.EVERYTHING.matches(None)
    assert not labels.NOTHING.matches(have)
    assert not labels.parse("a=b").matches(None)
    assert labels.parse("!a").matches(None)
    assert labels.parse("a=b,c in (d),e in (f,g)").requires == (("a", "b"), ("c", "d"))


def test_from_structs() -> None:
    assert labels.from_struct(None) is labels.NOTHING
    assert labels.from_struct(LabelSelector()) is labels.EVERYTHING
    selector = LabelSelector(
        match_labels={"a": "b"},
        match_expressions=[
            LabelSelectorRequirement(key="t", operator="NotIn", values=["x"]),
            LabelSelectorRequirement(key="u", operator="DoesNotExist"),
        ],
    )
    assert str(labels.from_struct(selector)) == "a=b,t notin (x),!u"
    with pytest.raises(ValueError, match='"Near" is not a valid label selector operator'):
        labels.from_struct(LabelSelector(match_expressions=[LabelSelectorRequirement(key="a", operator="Near")]))
    assert labels.from_map({"b": "1", "a": "2"}) == labels.parse("a=2,b=1")


@given(st.text("ab=!,()<> in", max_size=14))
def test_any_text_parses_or_is_a_value_error(text: str) -> None:
    try:
        selector = labels.parse(text)
    except ValueError:
        return
    assert labels.parse(str(selector)) == selector


pairs = st.dictionaries(st.sampled_from("abc"), st.sampled_from("xyz"), max_size=3)


@given(pairs, pairs)
def test_a_map_selects_its_supersets(wanted: dict[str, str], have: dict[str, str]) -> None:
    assert labels.from_map(wanted).matches(have) is (wanted.items() <= have.items())


def test_fields() -> None:
    selector = fields.parse(r"metadata.name=x,spec.nodeName!=y,status.phase==a\,b")
    assert selector.terms == (("metadata.name", "=", "x"), ("spec.nodeName", "!=", "y"), ("status.phase", "=", "a,b"))
    assert fields.parse(str(selector)) == selector
    assert selector.exact("metadata.name") == "x"
    assert selector.exact("spec.nodeName") is None
    have = {"metadata.name": "x", "status.phase": "a,b"}
    assert selector.matches(have)
    assert selector.matches(lambda path: have.get(path, ""))
    assert not selector.matches({**have, "spec.nodeName": "y"})
    assert fields.parse("").empty
    with pytest.raises(ValueError, match="invalid selector: 'foo'; can't understand 'foo'"):
        fields.parse("foo")
    with pytest.raises(ValueError, match="unescaped character in value"):
        fields.parse("a=b=c")


@given(st.lists(st.tuples(st.sampled_from(["a", "b.c"]), st.sampled_from(["=", "!="]), st.text("x,=\\", max_size=4))))
def test_field_selectors_survive_their_text(terms: list[tuple[str, str, str]]) -> None:
    assert fields.parse(str(fields.FieldSelector(terms))).terms == tuple(terms)
