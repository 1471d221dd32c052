"""Validation of FlowSchemas and PriorityLevelConfigurations."""

from __future__ import annotations

from pybernetes.api import meta_validation as meta
from pybernetes.api.flowcontrol_v1 import FlowSchema, PolicyRulesWithSubjects, PriorityLevelConfiguration
from pybernetes.machinery import field, names
from pybernetes.machinery.field import FieldError, Path

SPEC = Path("spec")


def validate_flow_schema(schema: FlowSchema) -> list[FieldError]:
    errors = meta.object_meta(schema.metadata, False)
    spec = schema.spec
    precedence = spec.matching_precedence or 0
    if not 1 <= precedence <= 10000:
        text = "must be positive" if precedence < 1 else "must not be greater than 10000"
        errors.append(field.invalid(SPEC.child("matchingPrecedence"), precedence, text))
    elif precedence == 1 and schema.metadata.name != "exempt":
        text = "only the schema named 'exempt' may have matchingPrecedence 1"
        errors.append(field.invalid(SPEC.child("matchingPrecedence"), precedence, text))
    if spec.distinguisher_method is not None and spec.distinguisher_method.type not in ("ByNamespace", "ByUser"):
        at = SPEC.child("distinguisherMethod", "type")
        errors.append(field.not_supported(at, spec.distinguisher_method.type, ("ByNamespace", "ByUser")))
    reference = SPEC.child("priorityLevelConfiguration", "name")
    if not spec.priority_level_configuration.name:
        errors.append(field.required(reference, "must reference a priority level"))
    else:
        for text in names.dns1123_subdomain(spec.priority_level_configuration.name):
            errors.append(field.invalid(reference, spec.priority_level_configuration.name, text))
    for i, rule in enumerate(spec.rules or ()):
        _rule(rule, SPEC.child("rules").index(i), errors)
    return errors


def _rule(rule: PolicyRulesWithSubjects, path: Path, errors: list[FieldError]) -> None:
    if not rule.subjects:
        errors.append(field.required(path.child("subjects"), "subjects must contain at least one value"))
    for i, subject in enumerate(rule.subjects):
        at = path.child("subjects").index(i)
        if subject.kind not in ("Group", "ServiceAccount", "User"):
            errors.append(field.not_supported(at.child("kind"), subject.kind, ("Group", "ServiceAccount", "User")))
        given = {"User": subject.user, "Group": subject.group, "ServiceAccount": subject.service_account}
        if subject.kind in given and given[subject.kind] is None:
            wire = subject.kind[0].lower() + subject.kind[1:]
            text = f"{wire} is required when subject kind is '{subject.kind}'"
            errors.append(field.required(at.child(wire), text))
    if not rule.resource_rules and not rule.non_resource_rules:
        text = "at least one of resourceRules and nonResourceRules has to be non-empty"
        errors.append(field.required(path, text))
    for i, resource in enumerate(rule.resource_rules or ()):
        at = path.child("resourceRules").index(i)
        for wire, listed in (
            ("verbs", resource.verbs),
            ("apiGroups", resource.api_groups),
            ("resources", resource.resources),
        ):
            if not listed:
                errors.append(field.required(at.child(wire), f"resource rules must supply at least one {wire[:-1]}"))
        if not resource.namespaces and not resource.cluster_scope:
            text = "resource rules that are not cluster scoped must supply at least one namespace"
            errors.append(field.required(at.child("namespaces"), text))
    for i, other in enumerate(rule.non_resource_rules or ()):
        at = path.child("nonResourceRules").index(i)
        if not other.verbs:
            errors.append(field.required(at.child("verbs"), "verbs must contain at least one value"))
        if not other.non_resource_urls:
            errors.append(
                field.required(at.child("nonResourceURLs"), "nonResourceURLs must contain at least one value")
            )


def validate_priority_level_configuration(level: PriorityLevelConfiguration) -> list[FieldError]:
    errors = meta.object_meta(level.metadata, False)
    spec = level.spec
    if spec.type == "Exempt":
        if spec.limited is not None:
            errors.append(field.forbidden(SPEC.child("limited"), "must be nil if the type is not Limited"))
        if spec.exempt is None:
            errors.append(field.required(SPEC.child("exempt"), "must not be nil if type is Exempt"))
    elif spec.type == "Limited":
        if spec.exempt is not None:
            errors.append(field.forbidden(SPEC.child("exempt"), "must be nil if the type is Limited"))
        limited = spec.limited
        if limited is None:
            errors.append(field.required(SPEC.child("limited"), "must not be empty when type is Limited"))
            return errors
        at = SPEC.child("limited")
        shares = limited.nominal_concurrency_shares
        if shares is not None and shares < 0:
            text = "must be a non-negative integer"
            errors.append(field.invalid(at.child("nominalConcurrencyShares"), shares, text))
        if limited.lendable_percent is not None and not 0 <= limited.lendable_percent <= 100:
            text = "must be between 0 and 100, inclusive"
            errors.append(field.invalid(at.child("lendablePercent"), limited.lendable_percent, text))
        response = limited.limit_response
        kind = response.type if response is not None else ""
        where = at.child("limitResponse")
        if kind not in ("Queue", "Reject"):
            wrong = field.not_supported(where.child("type"), kind, ("Queue", "Reject"))
            errors.append(wrong)
        if kind == "Queue" and (response is None or response.queuing is None):
            text = "must not be empty if limited.limitResponse.type is Queue"
            errors.append(field.required(where.child("queuing"), text))
        if kind == "Reject" and response is not None and response.queuing is not None:
            text = "must be nil if limited.limitResponse.type is not Queue"
            errors.append(field.forbidden(where.child("queuing"), text))
        if response is not None and response.queuing is not None:
            queuing = response.queuing
            for wire, value in (
                ("queues", queuing.queues),
                ("handSize", queuing.hand_size),
                ("queueLengthLimit", queuing.queue_length_limit),
            ):
                if value is not None and value <= 0:
                    errors.append(field.invalid(where.child("queuing", wire), value, "must be positive"))
            if (queuing.hand_size or 0) > (queuing.queues or 0):
                text = f"should not be greater than queues ({queuing.queues})"
                errors.append(field.invalid(where.child("queuing", "handSize"), queuing.hand_size, text))
    else:
        errors.append(field.not_supported(SPEC.child("type"), spec.type, ("Exempt", "Limited")))
    return errors
