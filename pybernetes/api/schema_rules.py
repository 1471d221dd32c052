"""The CEL rules in a CRD's schema, checked when the definition is written: they parse, and name fields that exist."""

from __future__ import annotations

from pybernetes.api.apiextensions_v1 import JSONSchemaProps
from pybernetes.machinery.field import FieldError


def rule_errors(props: JSONSchemaProps, path: str) -> list[FieldError]:
    """What is wrong with the rules of a schema and of everything below it."""
    if not _has_rules(props):
        return []
    from pybernetes.machinery import schema, schema_rules

    return schema_rules.check(schema.of_crd(props), path)


def _has_rules(props: JSONSchemaProps) -> bool:
    if props.x_kubernetes_validations:
        return True
    children = list((props.properties or {}).values())
    for child in (props.items, props.additional_properties):
        if isinstance(child, JSONSchemaProps):
            children.append(child)
    return any(_has_rules(child) for child in children)
