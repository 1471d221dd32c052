"""Flags as pflag reads them."""

from __future__ import annotations

import pytest

from pybernetes.cli.errors import CLIError
from pybernetes.cli.flags import declare, parse

DECLARED = declare("n:namespace= i:stdin? t:tty? l:labels* c:columns, tail#-1 dry-run~unchanged:none wait?true")


def test_all_forms() -> None:
    flags, rest = parse(["x", "-it", "-nfoo", "--tail=3", "--labels", "a", "--labels=b", "-c", "p,q", "y"], DECLARED)
    assert rest == ["x", "y"]
    assert flags.on("stdin") and flags.on("tty") and flags.on("wait")
    assert (flags.text("namespace"), flags.number("tail")) == ("foo", 3)
    assert (flags.many("labels"), flags.many("columns")) == (["a", "b"], ["p", "q"])


def test_everything_after_two_dashes_is_an_argument() -> None:
    flags, rest = parse(["pod", "--", "ls", "-l", "--wait"], DECLARED)
    assert (rest, flags.dash) == (["pod", "ls", "-l", "--wait"], 1)


@pytest.mark.parametrize(
    ("word", "value"), [([], "none"), (["--dry-run"], "unchanged"), (["--dry-run=server"], "server")]
)
def test_a_value_that_may_be_left_out(word: list[str], value: str) -> None:
    assert parse(word, DECLARED)[0].text("dry-run") == value


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--absent"], "unknown flag: --absent"),
        (["-x"], "unknown shorthand flag: 'x' in -x"),
        (["--namespace"], "flag needs an argument: --namespace"),
        (["-n"], "flag needs an argument: 'n' in -n"),
        (["--tail=x"], 'invalid argument "x" for "--tail" flag: strconv.ParseInt: parsing "x": invalid syntax'),
        (["--wait=x"], 'invalid argument "x" for "--wait" flag: strconv.ParseBool: parsing "x": invalid syntax'),
    ],
)
def test_errors_are_upstreams(words: list[str], message: str) -> None:
    with pytest.raises(CLIError) as error:
        parse(words, DECLARED)
    assert str(error.value) == message
