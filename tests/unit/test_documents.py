"""What documents say of the tests: every test that the list of conformance descriptions names is there."""

from __future__ import annotations

import importlib
import re
from collections import Counter
from pathlib import Path
from types import ModuleType

TESTS = Path(__file__).parents[1]
ROW = re.compile(r"^\| ([ANSR]) \| .* \| (.*) \|$", re.MULTILINE)
NAMED = re.compile(r"`([\w/]+)\.py::(\w+)(?:\[(.+?)])?`")


def cases(module: ModuleType, name: str) -> set[str]:
    """The cases of a test whose parameters have names, or are them."""
    found: set[str] = set()
    for mark in getattr(getattr(module, name), "pytestmark", ()):
        if mark.name == "parametrize":
            found |= set(mark.kwargs.get("ids") or map(str, mark.args[1]))
    return found


def test_every_test_of_the_conformance_list_exists() -> None:
    text = (TESTS.parent / "docs" / "conformance.md").read_text()
    rows = ROW.findall(text)
    assert Counter(level for level, _ in rows) == {"A": 143, "N": 10, "S": 62, "R": 231}
    for _, tests in rows:
        named = NAMED.findall(tests)
        assert len(named) == tests.count("`") // 2, tests
        for path, name, case in named:
            module = importlib.import_module("tests." + path.replace("/", "."))
            assert callable(getattr(module, name, None)), f"{path}.py::{name}"
            assert not case or case in cases(module, name), f"{path}.py::{name}[{case}]"
