"""Templates: the texts were read off the official kubectl 1.36."""

from __future__ import annotations

from typing import Any

import pytest

from pybernetes.cli.gotemplate.errors import ExecError, ParseError
from pybernetes.cli.gotemplate.parsing import parse
from pybernetes.cli.gotemplate.running import execute

DATA: dict[str, Any] = {
    "kind": "Deployment",
    "metadata": {"name": "web", "labels": {"app": "httpd", "b": "c"}},
    "spec": {"replicas": 1, "none": None, "half": 0.5, "containers": [{"name": "a", "image": "x:1"}, {"name": "b"}]},
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("plain", "plain"),
        ("{{.spec.replicas}} {{.metadata.labels}}", "1 map[app:httpd b:c]"),
        ("{{.nope}} {{.nope.nope}} {{.spec.none}}", "<no value> <no value> <no value>"),
        ("{{range $k, $v := .metadata.labels}}{{$k}}={{$v}};{{else}}none{{end}}", "app=httpd;b=c;"),
        ("{{range .absent}}x{{else}}none{{end}}", "none"),
        ("{{range .spec.containers}}{{.name}}{{break}}{{end}}", "a"),
        ('{{range .spec.containers}}{{if eq .name "a"}}{{continue}}{{end}}{{.name}}{{end}}', "b"),
        ("{{range 3}}{{.}}{{end}}", "012"),
        ('{{with .spec}}{{.replicas}}{{end}}{{define "T"}}hi {{.}}{{end}}{{template "T" .kind}}', "1hi Deployment"),
        ('{{block "b" .kind}}[{{.}}]{{end}}', "[Deployment]"),
        ("{{if .absent}}a{{else if .spec}}b{{else}}c{{end}}", "b"),
        ("{{- 3 -}}   x  {{- /* c */ -}} y", "3xy"),
        ("{{$x := 3}}{{$x}} {{$x = 4}}{{$x}}", "3 4"),
        ("{{$x := 1}}{{if true}}{{$x = 2}}{{$x := 3}}{{end}}{{$x}}", "2"),
        (
            '{{exists . "spec" "replicas"}} {{exists .spec "x"}} {{len .spec}} {{"aGk=" | base64decode}}',
            "true false 4 hi",
        ),
        ('{{html "<a>"}} {{js "<a>"}} {{urlquery "a b"}}', "&lt;a&gt; \\u003Ca\\u003E a+b"),
        ('{{print 1 2 "a" "b" 3}} {{println 1 2}}', "1 2ab3 1 2\n"),
        ('{{lt 1 2}} {{ge 2 2}} {{ne "a" "b"}} {{and 1 0 2}} {{or 0 "" "x"}} {{not 0}}', "true true true 0 x true"),
        ('{{(index .spec.containers 0).image}} {{index .metadata.labels "app" | printf "%s-%s" "x"}}', "x:1 x-httpd"),
        (
            '{{slice "abcdef" 1 3}} {{1.5}} {{1e6}} {{1e21}} {{1e-7}} {{123456789.5}} {{100000.0}}',
            "bc 1.5 1e+06 1e+21 1e-07 1.234567895e+08 100000",
        ),
        ('{{printf "%d %s" "x" 3 4}}', "%!d(string=x) %!s(int=3)%!(EXTRA int=4)"),
        ('{{printf "%d"}} {{printf "%v %s" .nope nil}}', "%!d(MISSING) <nil> %!s(<nil>)"),
        (
            '{{printf "%T %T" 1 .spec.replicas}} {{printf "%6.2f|%+d|%-3s|%03d" 1.0 5 "a" 7}}',
            "int int64   1.00|+5|a  |007",
        ),
        ('{{printf "%x %X %t %c %U %q" 255 "hi" true 65 65 "a"}}', 'ff 6869 true A U+0041 "a"'),
    ],
)
def test_text(template: str, text: str) -> None:
    assert execute(parse(template), DATA) == text


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{if", "template: output:1: unclosed action"),
        ("\n{{.a | foo}}", 'template: output:2: function "foo" not defined'),
        ('{{"a', "template: output:1: unterminated quoted string"),
        ("{{.a}", "template: output:1: bad character U+007D '}'"),
        ("{{end}}", "template: output:1: unexpected {{end}}"),
        ("{{range .items}}", "template: output:1: unexpected EOF"),
        ("{{$x}}", 'template: output:1: undefined variable "$x"'),
        ("{{}}", "template: output:1: missing value for command"),
        ("{{1 | 2}}", "template: output:1: non executable command in pipeline stage 2"),
        ("{{break}}", "template: output:1: {{break}} outside {{range}}"),
        ("{{/* a", "template: output:1: unclosed comment"),
    ],
)
def test_templates_that_are_none(template: str, message: str) -> None:
    with pytest.raises(ParseError) as error:
        parse(template)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (
            "{{if eq .spec.replicas 1.0}}y{{end}}",
            "1:5: <eq .spec.replicas 1.0>: error calling eq: incompatible types for comparison: int64 and float64",
        ),
        ("{{index .spec.containers 3}}", "1:2: <index .spec.containers 3>: error calling index: index out of range: 3"),
        ("x{{.spec.replicas.z}}", "1:8: <.spec.replicas.z>: can't evaluate field z in type interface {}"),
        ("{{.spec.none.z}}", "1:7: <.spec.none.z>: nil pointer evaluating interface {}.z"),
        ("{{len 3}}", "1:2: <len 3>: error calling len: len of type int"),
        ('{{template "no"}}', '1:11: <{{template "no"}}>: template "no" not defined'),
        (
            '{{"!!" | base64decode}}',
            "1:9: <base64decode>: error calling base64decode: base64 decode failed: "
            "illegal base64 data at input byte 0",
        ),
        ("{{nil}}", "1:2: <nil>: nil is not a command"),
        ("{{not}}", "1:2: <not>: wrong number of args for not: want 1 got 0"),
    ],
)
def test_templates_that_do_not_fit(template: str, message: str) -> None:
    with pytest.raises(ExecError) as error:
        execute(parse(template), DATA)
    place, _, rest = message.partition(": ")
    assert str(error.value) == f'template: output:{place}: executing "output" at {rest}'


def test_strict_missing_keys() -> None:
    with pytest.raises(ExecError, match='map has no entry for key "nope"'):
        execute(parse("{{.nope}}"), DATA, strict=True)
