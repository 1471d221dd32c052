"""JSONPath templates as Kubernetes reads them."""

from __future__ import annotations

from typing import Any

import pytest

from pybernetes.cli.errors import CLIError
from pybernetes.cli.printers import jsonpath

PODS: dict[str, Any] = {
    "kind": "List",
    "items": [
        {"metadata": {"name": "a", "labels": {"app.io/x": "1"}}, "spec": {"n": 3, "ready": True}},
        {"metadata": {"name": "b"}, "spec": {"n": 5, "ports": [80, 443]}},
    ],
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{.kind}", "List"),
        ("kind={.kind}!", "kind=List!"),
        ("{.items[*].metadata.name}", "a b"),
        ("{.items[0].metadata.name}{'\\n'}", "a\n"),
        ("{.items[-1].metadata.name}", "b"),
        ("{.items[0:1].metadata.name}", "a"),
        ("{range .items[*]}{.metadata.name}={.spec.n};{end}", "a=3;b=5;"),
        ("{.items[?(@.spec.n>3)].metadata.name}", "b"),
        ('{.items[?(@.metadata.name=="a")].spec.n}', "3"),
        ("{.items[?(@.spec.ports)].metadata.name}", "b"),
        ("{.items[0].metadata.labels.app\\.io/x}", "1"),
        ("{.items[0].metadata.labels['app\\.io/x']}", "1"),
        ("{..name}", "a b"),
        ("{.items[1].spec.ports}", "[80,443]"),
        ("{.items[0].spec.ready}", "true"),
        ("{.items[*]['metadata.name', 'spec.n']}", ""),
        ("{.absent}", ""),
    ],
)
def test_render(template: str, text: str) -> None:
    assert jsonpath.compile(template).render(PODS) == text


def test_a_missing_key_is_named_when_strict() -> None:
    with pytest.raises(jsonpath.NotFound, match="absent is not found"):
        jsonpath.compile("{.absent}").render(PODS, strict=True)


@pytest.mark.parametrize("template", ["{.a", "{range .items[*]}", "{end}", "{.a[}"])
def test_what_does_not_parse(template: str) -> None:
    with pytest.raises(CLIError):
        jsonpath.compile(template)


@pytest.mark.parametrize("text", ["metadata.name", ".metadata.name", "{metadata.name}", "{.metadata.name}"])
def test_relaxed(text: str) -> None:
    assert jsonpath.relaxed(text) == "{.metadata.name}"
