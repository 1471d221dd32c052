"""Schemas of structs and CRDs: pruning, defaults, validation in upstream's words."""

from __future__ import annotations

from typing import Any

import pytest

from pybernetes.api.apiextensions_v1 import JSONSchemaProps
from pybernetes.api.core_v1 import Pod
from pybernetes.machinery import codec, schema
from pybernetes.machinery.schema_validation import compile_pattern, list_errors, validate
from pybernetes.machinery.structural import structural_errors

CRON: dict[str, Any] = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "required": ["schedule"],
            "properties": {
                "schedule": {"type": "string", "pattern": r"^(\d+|\*)(/\d+)?$", "maxLength": 5, "minLength": 1},
                "replicas": {"type": "integer", "minimum": 1, "maximum": 10, "default": 1},
                "mode": {"type": "string", "enum": ["A", "B"]},
                "port": {"x-kubernetes-int-or-string": True},
                "when": {"type": "string", "format": "date-time", "nullable": True},
                "ips": {
                    "type": "array",
                    "items": {"type": "string", "format": "ipv4"},
                    "maxItems": 2,
                    "x-kubernetes-list-type": "set",
                },
                "rules": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["name"],
                    "items": {
                        "type": "object",
                        "required": ["name"],
                        "properties": {"name": {"type": "string"}, "on": {"type": "boolean", "default": True}},
                    },
                },
                "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                "ratio": {"type": "number", "multipleOf": 0.5},
            },
            "oneOf": [{"required": ["mode"]}, {"required": ["port"]}],
        },
        "status": {"type": "object", "default": {"phase": "New"}, "properties": {"phase": {"type": "string"}}},
    },
}
SCHEMA = schema.of_crd(CRON)


def errors(spec: dict[str, Any]) -> list[str]:
    return [str(e) for e in validate({"apiVersion": "x/v1", "kind": "Cron", "metadata": {}, "spec": spec}, SCHEMA)]


GOOD: dict[str, Any] = {"schedule": "1/2", "mode": "A"}


def test_a_good_object_has_no_errors() -> None:
    assert (
        errors({**GOOD, "when": None, "ips": ["10.0.0.1"], "ratio": 1.5, "labels": {"a": "b"}, "any": {"x": [1]}}) == []
    )


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            {"replicas": "3"},
            'spec.replicas: Invalid value: "string": spec.replicas in body must be of type integer: "string"',
        ),
        (
            {"replicas": 0},
            "spec.replicas: Invalid value: 0: spec.replicas in body should be greater than or equal to 1",
        ),
        (
            {"replicas": 11},
            "spec.replicas: Invalid value: 11: spec.replicas in body should be less than or equal to 10",
        ),
        ({"mode": "C"}, 'spec.mode: Unsupported value: "C": supported values: "A", "B"'),
        (
            {"schedule": "x"},
            r'spec.schedule: Invalid value: "x": spec.schedule in body should match ' + r"'^(\d+|\*)(/\d+)?$'",
        ),
        ({"schedule": "123456"}, "spec.schedule: Too long: may not be more than 5 bytes"),
        ({"when": "soon"}, 'spec.when: Invalid value: "soon": spec.when in body must be of type date-time: "soon"'),
        ({"ips": ["1.2.3"]}, 'spec.ips[0]: Invalid value: "1.2.3": spec.ips[0] in body must be of type ipv4: "1.2.3"'),
        ({"ips": ["1.2.3.4"] * 3}, "spec.ips: Too many: 3: must have at most 2 items"),
        ({"rules": [{"on": True}]}, "spec.rules[0].name: Required value"),
        (
            {"labels": {"a": 1}},
            'spec.labels.a: Invalid value: "integer": spec.labels.a in body must be of type string: "integer"',
        ),
        ({"ratio": 0.7}, "spec.ratio: Invalid value: 0.7: spec.ratio in body should be a multiple of 0.5"),
        (
            {"port": 1},
            '<nil>: Invalid value: "": "spec" must validate one and only one schema (oneOf). '
            "Found 2 valid alternatives",
        ),
        (
            {"replicas": None},
            'spec.replicas: Invalid value: "null": spec.replicas in body must be of type integer: "null"',
        ),
    ],
)
def test_errors_of_custom_resources(change: dict[str, Any], text: str) -> None:
    assert errors({**GOOD, **change}) == [text]


def test_duplicates_in_sets_and_maps() -> None:
    value = {"spec": {"ips": ["a", "b", "a"], "rules": [{"name": "x"}, {"name": "x", "on": False}]}}
    assert [str(e) for e in list_errors(value, SCHEMA)] == [
        'spec.ips[2]: Duplicate value: "a"',
        'spec.rules[1]: Duplicate value: {"name":"x"}',
    ]


def test_defaults() -> None:
    value: dict[str, Any] = {
        "spec": {"schedule": "1", "replicas": None, "rules": [{"name": "a"}, {"name": "b", "on": False}]}
    }
    schema.apply_defaults(value, SCHEMA)
    assert value == {
        "spec": {"schedule": "1", "replicas": 1, "rules": [{"name": "a", "on": True}, {"name": "b", "on": False}]},
        "status": {"phase": "New"},
    }
    other: dict[str, Any] = {}
    schema.apply_defaults(other, SCHEMA)
    value["status"]["phase"] = "Old"
    assert other["status"]["phase"] == "New"  # defaults are not shared


def test_pruning_reports_paths_and_keeps_what_is_preserved() -> None:
    value: dict[str, Any] = {
        "apiVersion": "x/v1",
        "kind": "Cron",
        "metadata": {"name": "x", "custom": 1},
        "extra": 1,
        "spec": {"foo": 1, "rules": [{"name": "a", "bar": 2}], "any": {"deep": {"x": 1}}, "labels": {"a": "b"}},
    }
    found: list[str] = []
    schema.prune(value, SCHEMA, found.append)
    assert sorted(found) == ["extra", "metadata.custom", "spec.foo", "spec.rules[0].bar"]
    assert value["spec"] == {"rules": [{"name": "a"}], "any": {"deep": {"x": 1}}, "labels": {"a": "b"}}
    assert value["metadata"] == {"name": "x"}


def test_a_crd_schema_may_come_as_a_struct() -> None:
    made = schema.of_crd(codec.from_dict(JSONSchemaProps, CRON))
    assert validate({"spec": GOOD}, made) == []
    assert made.properties["spec"].properties["rules"].list_map_keys == ("name",)


def test_schemas_of_structs_know_lists_and_recursion() -> None:
    pod = schema.of_struct(Pod)
    containers = pod.properties["spec"].properties["containers"]
    assert (containers.list_type, containers.list_map_keys, containers.patch_merge_key) == ("map", ("name",), "name")
    limits = containers.items.properties["resources"].properties["limits"]  # type: ignore[union-attr]
    assert limits.additional is not None
    assert limits.additional.format == "quantity"
    props = schema.of_struct(JSONSchemaProps)
    assert props.properties["not"] is props
    assert pod.properties["metadata"] is schema.of_struct(Pod).properties["metadata"]


def test_patterns_are_gos() -> None:
    search = compile_pattern(r"^[[:alpha:]]+$")
    assert search is not None
    assert search("abc") and not search("abc\n") and not search("a1")
    assert compile_pattern("(") is None


def test_structural_rules() -> None:
    assert structural_errors(CRON, "s") == []
    bad = {
        "type": "object",
        "properties": {
            "a": {},
            "b": {"type": "array"},
            "c": {
                "type": "object",
                "properties": {"x": {"type": "string"}},
                "additionalProperties": {"type": "string"},
            },
            "d": {"type": "string", "anyOf": [{"type": "string"}]},
            "e": {"type": "array", "x-kubernetes-list-type": "map", "items": {"type": "object"}},
            "f": {"type": "string", "pattern": "("},
            "g": {"type": "array", "uniqueItems": True, "items": {"type": "string"}},
        },
    }
    assert [str(e) for e in structural_errors(bad, "s")] == [
        "s.properties[a].type: Required value: must not be empty for specified object fields",
        "s.properties[b].items: Required value: must be specified",
        "s.properties[c].additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive",
        "s.properties[d].anyOf[0].type: Forbidden: must be empty to be structural",
        "s.properties[e].x-kubernetes-list-map-keys: Required value: "
        "must not be empty if x-kubernetes-list-type is map",
        's.properties[f].pattern: Invalid value: "(": '
        "must be a valid regular expression, but isn't: error parsing regexp",
        "s.properties[g].uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity "
        "becomes quadratic",
    ]
    assert [str(e) for e in structural_errors({"type": "string"}, "s")] == [
        's.type: Invalid value: "string": must be object at the root'
    ]
