"""Rules in schemas: where they stand, transitions, messages, and what a schema may not say."""

from __future__ import annotations

from typing import Any

from pybernetes.machinery import schema, schema_rules

SCHEMA = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "x-kubernetes-validations": [
                {"rule": "self.low <= self.high", "messageExpression": "'%d above %d'.format([self.low, self.high])"},
                {"rule": "self.low >= oldSelf.low", "message": "may not sink", "reason": "FieldValueForbidden"},
            ],
            "properties": {
                "low": {"type": "integer"},
                "high": {"type": "integer"},
                "parts": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["name"],
                    "items": {
                        "type": "object",
                        "properties": {"name": {"type": "string"}, "size": {"type": "integer"}},
                        "x-kubernetes-validations": [{"rule": "self.size == oldSelf.size", "fieldPath": ".size"}],
                    },
                },
            },
        }
    },
}


def judge(new: dict[str, Any], old: dict[str, Any] | None = None) -> list[str]:
    run = schema_rules.evaluator(schema.of_crd(SCHEMA))
    before = {"metadata": {"name": "x"}, "spec": old} if old is not None else None
    return [str(error) for error in run({"metadata": {"name": "x"}, "spec": new}, before)]


def test_rules_and_messages() -> None:
    assert judge({"low": 1, "high": 2}) == []
    assert judge({"low": 3, "high": 2}) == ['spec: Invalid value: "object": 3 above 2']


def test_transitions_need_an_old_value() -> None:
    assert judge({"low": 1, "high": 2}, {"low": 2, "high": 2}) == ["spec: Forbidden: may not sink"]


def test_entries_of_a_map_list_are_told_by_key() -> None:
    old = {"low": 1, "high": 2, "parts": [{"name": "a", "size": 1}, {"name": "b", "size": 2}]}
    moved = {**old, "parts": [{"name": "b", "size": 2}, {"name": "c", "size": 9}, {"name": "a", "size": 1}]}
    assert judge(moved, old) == []
    grown = {**old, "parts": [{"name": "a", "size": 5}]}
    expected = 'spec.parts[0].size: Invalid value: "object": failed rule: self.size == oldSelf.size'
    assert judge(grown, old) == [expected]


def test_what_did_not_change_is_not_judged_again() -> None:
    bad = {"low": 3, "high": 2}
    assert judge(bad, dict(bad)) == []


def check(rule: dict[str, Any]) -> list[str]:
    props = {"type": "object", "properties": {"a": {"type": "string"}}, "x-kubernetes-validations": [rule]}
    return [str(error) for error in schema_rules.check(schema.of_crd(props), "s")]


def test_schemas_are_checked() -> None:
    assert check({"rule": "self.a == 'x' && self.metadata.name != ''"}) == []
    assert "undefined field 'b'" in check({"rule": "self.b == 'x'"})[0]
    assert "must evaluate to a bool" in check({"rule": "self.a"})[0]
    assert check({"rule": ""}) == ["s.x-kubernetes-validations[0].rule: Required value: rule is not specified"]
