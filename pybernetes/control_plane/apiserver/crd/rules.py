"""x-kubernetes-validations of a custom kind. CEL is imported only where there are any."""

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
    return any(child is not None and child is not schema and has_rules(child) for child in children)


def rules_of(schema: Schema) -> Rules | None:
    """The function that evaluates all rules of a schema; None when there are none."""
    if not has_rules(schema):
        return None
    from pybernetes.machinery.schema_rules import evaluator

    return evaluator(schema)
