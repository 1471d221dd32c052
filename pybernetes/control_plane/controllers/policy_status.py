"""Type checking of admission policies: expressions are compiled against the kinds a policy matches.

The server accepts expressions without knowing types, for kinds may be defined later. Here they are compiled again with
the schema of each matched kind, and what does not fit (an undefined field, mostly) becomes a warning in the status.
Variables and parameters stay dynamic: they warn of nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pybernetes.api import kinds as built_in
from pybernetes.api.admissionregistration_v1 import ExpressionWarning, TypeChecking, ValidatingAdmissionPolicy
from pybernetes.api.apiextensions_v1 import CustomResourceDefinition
from pybernetes.api.core_v1 import Namespace
from pybernetes.client.controller import Controller
from pybernetes.machinery import cel, codec, schema

#: Kinds that one policy is checked against at most, as upstream limits it.
MOST_KINDS = 10
_DYNAMIC = ("request", "params", "authorizer", "variables")


def expressions(policy: ValidatingAdmissionPolicy) -> Iterator[tuple[str, str]]:
    """(field, expression) of what is checked."""
    for i, validation in enumerate(policy.spec.validations or ()):
        yield f"spec.validations[{i}].expression", validation.expression
        if validation.message_expression:
            yield f"spec.validations[{i}].messageExpression", validation.message_expression


def matched(policy: ValidatingAdmissionPolicy) -> list[tuple[str, str, str]]:
    """(group, version, resource) that the policy names without wildcards and subresources, sorted."""
    found = set()
    constraints = policy.spec.match_constraints
    for rule in (constraints.resource_rules if constraints else None) or ():
        for group in rule.api_groups or ():
            for version in rule.api_versions or ():
                for resource in rule.resources or ():
                    if "*" not in (group, version) and "*" not in resource and "/" not in resource:
                        found.add((group, version, resource))
    return sorted(found)[:MOST_KINDS]


class ValidatingAdmissionPolicyStatusController(Controller):
    """Keys are policies."""

    name = "validatingadmissionpolicy-status-controller"

    def setup(self) -> None:
        """Policies, and definitions of custom resources for their schemas."""
        self.policies = self.informers.informer(ValidatingAdmissionPolicy)
        self.definitions = self.informers.informer(CustomResourceDefinition)
        self.policies.on(self.enqueue, self.enqueue_updated)

    async def reconcile(self, key: str) -> None:
        """Check a generation that has not been checked."""
        policy = self.policies.get("", key)
        if policy is None or policy.status.observed_generation == policy.metadata.generation:
            return
        warnings = self._warnings(policy)
        changed = codec.copy(policy)
        changed.status.observed_generation = policy.metadata.generation
        changed.status.type_checking = TypeChecking(expression_warnings=warnings or None)
        resource = self.client.resource(ValidatingAdmissionPolicy)
        await self.policies.caught_up(await resource.update_status(changed))

    def _warnings(self, policy: ValidatingAdmissionPolicy) -> list[ExpressionWarning]:
        shapes = [(name, shape) for row in matched(policy) for name, shape in self._shapes(*row)]
        found = []
        for field, text in expressions(policy):
            problems = [f"{name}: {problem}" for name, shape in shapes if (problem := _problem(text, shape))]
            if problems:
                found.append(ExpressionWarning(field_ref=field, warning="\n".join(problems)))
        return found

    def _shapes(self, group: str, version: str, resource: str) -> Iterator[tuple[str, Any]]:
        """The schema of a resource's kind, if it is known here, under the name upstream gives it."""
        prefix = f"{group}/{version}" if group else f"/{version}"
        if (kind := built_in.by_resource(group, version, resource)) is not None:
            yield f"{prefix}, Kind={kind.kind}", schema.of_struct(kind.type)
            return
        definition = self.definitions.get("", f"{resource}.{group}")
        for one in definition.spec.versions if definition is not None else ():
            if one.name == version and one.schema is not None and definition is not None:
                yield f"{prefix}, Kind={definition.spec.names.kind}", schema.of_crd(one.schema.open_apiv3_schema)


def _problem(text: str, shape: Any) -> str:
    """What is wrong with an expression for objects of one schema; "" if nothing."""
    variables: dict[str, Any] = dict.fromkeys(_DYNAMIC, cel.DYN)
    variables |= {"object": shape, "oldObject": shape, "namespaceObject": schema.of_struct(Namespace)}
    try:
        cel.compile(text, variables)
    except cel.CelError as error:
        return str(error)
    return ""
