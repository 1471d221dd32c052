"""Every kind has defaults that may run twice and validation that survives an empty object."""

from __future__ import annotations

import pytest

from pybernetes.api import kinds, rules
from pybernetes.machinery import codec


@pytest.mark.parametrize("kind", kinds.KINDS, ids=lambda k: f"{k.api_version}/{k.kind}")
def test_every_kind(kind: kinds.Kind) -> None:
    defaults, validation = rules.defaults_of(kind), rules.validation_of(kind)
    obj = kind.type()
    if defaults is not None:
        defaults(obj)
        once = codec.encode(obj)
        defaults(obj)
        assert codec.encode(obj) == once
    found = [error.field for error in validation.create(obj)]
    assert "metadata.name" in found or kind.kind == "Binding"
    same = codec.copy(obj)
    assert not [e for e in validation.status(same, obj) if e.field.startswith("metadata")]


def test_a_kind_without_rules_gets_those_of_metadata() -> None:
    kind = kinds.by_kind("v1", "PodTemplate")
    assert kind is not None
    obj = kind.type()
    obj.metadata.name, obj.metadata.namespace = "A_b", "default"
    assert any("RFC 1123" in str(error) for error in rules.validation_of(kind).create(obj))
