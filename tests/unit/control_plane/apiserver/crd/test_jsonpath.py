"""JSONPath: what paths find, and what is no path."""

from __future__ import annotations

from typing import Any

import pytest

from pybernetes.control_plane.apiserver.crd import jsonpath

VALUE: dict[str, Any] = {
    "spec": {"a": 1, "list": [1, 2, 3], "m": {"x.y": "z"}},
    "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Other", "status": "False"}]},
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".spec.a", [1]),
        ("{.spec.list[1]}", [2]),
        (".spec.list[-1]", [3]),
        (".spec.list[*]", [1, 2, 3]),
        (".spec.list[0:2]", [1, 2]),
        (r".spec.m.x\.y", ["z"]),
        (".spec.m['x.y']", ["z"]),
        ('.status.conditions[?(@.type=="Ready")].status', ["True"]),
        (".spec.missing.deep", []),
        ("..status", [{"conditions": VALUE["status"]["conditions"]}, "True", "False"]),
    ],
)
def test_paths(path: str, found: list[Any]) -> None:
    assert jsonpath.compile(path)(VALUE) == found


def test_what_is_no_path() -> None:
    with pytest.raises(jsonpath.JSONPathError):
        jsonpath.compile(".spec[")
