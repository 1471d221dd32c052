"""x-kubernetes-validations: CEL rules inside a schema, evaluated where they stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pybernetes.machinery.schema import Schema

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.crd.strategy import Rules


def has_rules(schema: Schema) -> bool:
    """Whether there is a rule anywhere in a schema."""
    if schema.validations:
        return True
    children = [*schema.properties.values(), schema.items, schema.additional]
    return any(child is not None and has_rules(child) for child in children)


def rules_of(schema: Schema) -> Rules | None:
    """The function that evaluates all rules of a schema; None when there are none."""
    if not has_rules(schema):
        return None
    from pybernetes.control_plane.apiserver.crd.rule_evaluation import evaluator

    return evaluator(schema)
