"""Validation of webhook configurations, admission policies and their bindings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pybernetes.api import meta_validation as meta
from pybernetes.api.admissionregistration_v1 import (
    MatchCondition,
    MatchResources,
    MutatingAdmissionPolicy,
    MutatingAdmissionPolicyBinding,
    MutatingWebhook,
    MutatingWebhookConfiguration,
    NamedRuleWithOperations,
    ParamKind,
    ParamRef,
    RuleWithOperations,
    ValidatingAdmissionPolicy,
    ValidatingAdmissionPolicyBinding,
    ValidatingWebhook,
    ValidatingWebhookConfiguration,
)
from pybernetes.api.apiextensions_v1_validation import webhook_service, webhook_url
from pybernetes.machinery import field, names
from pybernetes.machinery.field import FieldError, Path

SPEC = Path("spec")
OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
SCOPES = ("*", "Cluster", "Namespaced")
REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized")
VARIABLES = ("object", "oldObject", "request", "authorizer", "namespaceObject")


def _fully_qualified(name: str, path: Path, errors: list[FieldError]) -> None:
    if not name:
        errors.append(field.required(path))
        return
    for text in names.dns1123_subdomain(name):
        errors.append(field.invalid(path, name, text))
    if len(name.split(".")) < 3:
        text = "should be a domain with at least three segments separated by dots"
        errors.append(field.invalid(path, name, text))


def expression_error(text: str, variables: Iterable[str], result: str) -> str | None:
    """Why an expression does not compile; None when it does."""
    from pybernetes.machinery import cel

    try:
        cel.compile(text, dict.fromkeys(variables, cel.DYN), result)
    except cel.CelError as error:
        return f"compilation failed: {error}"
    return None


def _conditions(
    listed: list[MatchCondition] | None, path: Path, errors: list[FieldError], more: Sequence[str] = ()
) -> None:
    if len(listed or ()) > 64:
        errors.append(field.too_many(path, len(listed or ()), 64))
    seen: set[str] = set()
    for i, condition in enumerate(listed or ()):
        at = path.index(i)
        if not condition.expression.strip():
            errors.append(field.required(at.child("expression")))
        elif (text := expression_error(condition.expression, (*VARIABLES, *more), "bool")) is not None:
            errors.append(field.invalid(at.child("expression"), condition.expression, text))
        if not condition.name:
            errors.append(field.required(at.child("name")))
        else:
            for message in names.qualified_name(condition.name):
                errors.append(field.invalid(at.child("name"), condition.name, message))
        if condition.name in seen:
            errors.append(field.duplicate(at.child("name"), condition.name))
        seen.add(condition.name)


def _rule(rule: RuleWithOperations | NamedRuleWithOperations, path: Path, errors: list[FieldError]) -> None:
    operations = rule.operations or []
    if not operations:
        errors.append(field.required(path.child("operations")))
    if len(operations) > 1 and "*" in operations:
        text = "if '*' is present, must not specify other operations"
        errors.append(field.invalid(path.child("operations"), operations, text))
    for i, operation in enumerate(operations):
        if operation not in OPERATIONS:
            errors.append(field.not_supported(path.child("operations").index(i), operation, OPERATIONS))
    for wire, listed in (
        ("apiGroups", rule.api_groups),
        ("apiVersions", rule.api_versions),
        ("resources", rule.resources),
    ):
        if not listed:
            errors.append(field.required(path.child(wire)))
        elif wire != "resources" and len(listed) > 1 and "*" in listed:
            what = "API groups" if wire == "apiGroups" else "API versions"
            text = f"if '*' is present, must not specify other {what}"
            errors.append(field.invalid(path.child(wire), listed, text))
        if wire != "apiGroups":
            for i, value in enumerate(listed or ()):
                if not value:
                    errors.append(field.required(path.child(wire).index(i)))
    resources = rule.resources or []
    if len(resources) > 1 and "*/*" in resources:
        text = "if '*/*' is present, must not specify other resources"
        errors.append(field.invalid(path.child("resources"), resources, text))
    if rule.scope is not None and rule.scope not in SCOPES:
        errors.append(field.not_supported(path.child("scope"), rule.scope, SCOPES))


def _webhook(hook: MutatingWebhook | ValidatingWebhook, path: Path, errors: list[FieldError]) -> None:
    _fully_qualified(hook.name, path.child("name"), errors)
    for i, rule in enumerate(hook.rules or ()):
        _rule(rule, path.child("rules").index(i), errors)
    if hook.failure_policy not in (None, "Fail", "Ignore"):
        errors.append(field.not_supported(path.child("failurePolicy"), hook.failure_policy, ("Fail", "Ignore")))
    if hook.match_policy not in (None, "Equivalent", "Exact"):
        errors.append(field.not_supported(path.child("matchPolicy"), hook.match_policy, ("Equivalent", "Exact")))
    if hook.side_effects not in ("None", "NoneOnDryRun"):
        at = path.child("sideEffects")
        supported = ("None", "NoneOnDryRun")
        wrong = field.not_supported(at, hook.side_effects, supported)
        missing = field.required(at, "must specify one of None, NoneOnDryRun")
        errors.append(wrong if hook.side_effects else missing)
    seconds = hook.timeout_seconds
    if seconds is not None and not 1 <= seconds <= 30:
        text = "the timeout value must be between 1 and 30 seconds"
        errors.append(field.invalid(path.child("timeoutSeconds"), seconds, text))
    meta.label_selector(hook.namespace_selector, path.child("namespaceSelector"), errors)
    meta.label_selector(hook.object_selector, path.child("objectSelector"), errors)
    versions = hook.admission_review_versions
    at = path.child("admissionReviewVersions")
    if not versions:
        errors.append(field.required(at, "must specify one of v1, v1beta1"))
    elif "v1" not in versions and "v1beta1" not in versions:
        text = "must include at least one of v1, v1beta1"
        errors.append(field.invalid(at, versions, text))
    config = hook.client_config
    at = path.child("clientConfig")
    if (config.url is None) == (config.service is None):
        errors.append(field.required(at, "exactly one of url or service is required"))
    elif config.url is not None:
        errors.extend(webhook_url(config.url, at.child("url")))
    elif config.service is not None:
        errors.extend(webhook_service(config.service, at.child("service")))
    _conditions(hook.match_conditions, path.child("matchConditions"), errors)


def _configuration(
    configuration: MutatingWebhookConfiguration | ValidatingWebhookConfiguration, errors: list[FieldError]
) -> None:
    seen: set[str] = set()
    hooks: Sequence[MutatingWebhook | ValidatingWebhook] = configuration.webhooks or []
    for i, hook in enumerate(hooks):
        at = Path("webhooks").index(i)
        _webhook(hook, at, errors)
        policy = getattr(hook, "reinvocation_policy", None)
        if policy is not None and policy not in ("IfNeeded", "Never"):
            errors.append(field.not_supported(at.child("reinvocationPolicy"), policy, ("IfNeeded", "Never")))
        if hook.name in seen:
            errors.append(field.duplicate(at.child("name"), hook.name))
        seen.add(hook.name)


def validate_mutating_webhook_configuration(configuration: MutatingWebhookConfiguration) -> list[FieldError]:
    errors = meta.object_meta(configuration.metadata, False)
    _configuration(configuration, errors)
    return errors


def validate_validating_webhook_configuration(configuration: ValidatingWebhookConfiguration) -> list[FieldError]:
    errors = meta.object_meta(configuration.metadata, False)
    _configuration(configuration, errors)
    return errors


def _match(match: MatchResources | None, path: Path, errors: list[FieldError], rules_needed: bool) -> None:
    if match is None:
        if rules_needed:
            errors.append(field.required(path))
        return
    if match.match_policy not in (None, "Equivalent", "Exact"):
        errors.append(field.not_supported(path.child("matchPolicy"), match.match_policy, ("Equivalent", "Exact")))
    meta.label_selector(match.namespace_selector, path.child("namespaceSelector"), errors)
    meta.label_selector(match.object_selector, path.child("objectSelector"), errors)
    if rules_needed and not match.resource_rules:
        errors.append(field.required(path.child("resourceRules")))
    for wire, rules in (
        ("resourceRules", match.resource_rules),
        ("excludeResourceRules", match.exclude_resource_rules),
    ):
        for i, rule in enumerate(rules or ()):
            _rule(rule, path.child(wire).index(i), errors)


def _param_kind(kind: ParamKind | None, path: Path, errors: list[FieldError]) -> None:
    if kind is None:
        return
    if not kind.api_version:
        errors.append(field.required(path.child("apiVersion")))
    if not kind.kind:
        errors.append(field.required(path.child("kind")))


def _policy(spec: Any, errors: list[FieldError]) -> list[str]:
    """What both kinds of policy share; returns the names of the variables that expressions may use."""
    if spec.failure_policy not in ("Fail", "Ignore"):
        at = SPEC.child("failurePolicy")
        wrong = field.not_supported(at, spec.failure_policy, ("Fail", "Ignore"))
        errors.append(wrong if spec.failure_policy else field.required(at))
    _param_kind(spec.param_kind, SPEC.child("paramKind"), errors)
    _match(spec.match_constraints, SPEC.child("matchConstraints"), errors, True)
    more = ["variables", *(["params"] if spec.param_kind is not None else [])]
    _conditions(spec.match_conditions, SPEC.child("matchConditions"), errors, more)
    for i, variable in enumerate(spec.variables or ()):
        at = SPEC.child("variables").index(i)
        for text in names.c_identifier(variable.name):
            errors.append(field.invalid(at.child("name"), variable.name, text))
        if not variable.expression.strip():
            errors.append(field.required(at.child("expression"), "expression is not specified"))
        elif (wrong_text := expression_error(variable.expression, (*VARIABLES, *more), "")) is not None:
            errors.append(field.invalid(at.child("expression"), variable.expression, wrong_text))
    return [*VARIABLES, *more]


def validate_validating_admission_policy(policy: ValidatingAdmissionPolicy) -> list[FieldError]:
    errors = meta.object_meta(policy.metadata, False)
    spec = policy.spec
    variables = _policy(spec, errors)
    if not spec.validations and not spec.audit_annotations:
        text = "validations or auditAnnotations must contain at least one item"
        errors.append(field.required(SPEC.child("validations"), text))
    for i, validation in enumerate(spec.validations or ()):
        at = SPEC.child("validations").index(i)
        if not validation.expression.strip():
            errors.append(field.required(at.child("expression"), "expression is not specified"))
        elif (text_of := expression_error(validation.expression, variables, "bool")) is not None:
            errors.append(field.invalid(at.child("expression"), validation.expression, text_of))
        if validation.message_expression:
            wrong = expression_error(validation.message_expression, variables, "string")
            if wrong is not None:
                errors.append(field.invalid(at.child("messageExpression"), validation.message_expression, wrong))
        if validation.message is not None and "\n" in validation.message.strip():
            errors.append(
                field.invalid(at.child("message"), validation.message, "message must not contain line breaks")
            )
        if validation.reason is not None and validation.reason not in REASONS:
            errors.append(field.not_supported(at.child("reason"), validation.reason, REASONS))
    for i, annotation in enumerate(spec.audit_annotations or ()):
        at = SPEC.child("auditAnnotations").index(i)
        if not annotation.value_expression.strip():
            errors.append(field.required(at.child("valueExpression"), "valueExpression is not specified"))
        elif (text_of := expression_error(annotation.value_expression, variables, "")) is not None:
            errors.append(field.invalid(at.child("valueExpression"), annotation.value_expression, text_of))
    return errors


def validate_mutating_admission_policy(policy: MutatingAdmissionPolicy) -> list[FieldError]:
    errors = meta.object_meta(policy.metadata, False)
    spec = policy.spec
    variables = _policy(spec, errors)
    if not spec.mutations:
        errors.append(field.required(SPEC.child("mutations"), "mutations must contain at least one item"))
    for i, mutation in enumerate(spec.mutations or ()):
        at = SPEC.child("mutations").index(i)
        if mutation.patch_type == "ApplyConfiguration":
            source, wire = mutation.apply_configuration, "applyConfiguration"
        elif mutation.patch_type == "JSONPatch":
            source, wire = mutation.json_patch, "jsonPatch"  # type: ignore[assignment]
        else:
            supported = ("ApplyConfiguration", "JSONPatch")
            errors.append(field.not_supported(at.child("patchType"), mutation.patch_type, supported))
            continue
        if source is None or not (source.expression or "").strip():
            errors.append(field.required(at.child(wire, "expression")))
        elif (text := expression_error(source.expression or "", variables, "")) is not None:
            errors.append(field.invalid(at.child(wire, "expression"), source.expression, text))
    if spec.reinvocation_policy not in ("IfNeeded", "Never"):
        at = SPEC.child("reinvocationPolicy")
        errors.append(field.not_supported(at, spec.reinvocation_policy or "", ("IfNeeded", "Never")))
    return errors


def _param_ref(ref: ParamRef | None, path: Path, errors: list[FieldError]) -> None:
    if ref is None:
        return
    if ref.name and ref.selector is not None:
        errors.append(field.forbidden(path.child("name"), "name and selector are mutually exclusive"))
    elif not ref.name and ref.selector is None:
        errors.append(field.required(path, "one of name or selector must be specified"))
    meta.label_selector(ref.selector, path.child("selector"), errors)
    if ref.parameter_not_found_action not in ("Allow", "Deny"):
        at = path.child("parameterNotFoundAction")
        wrong = field.not_supported(at, ref.parameter_not_found_action, ("Deny", "Allow"))
        errors.append(wrong if ref.parameter_not_found_action else field.required(at))


def _binding(spec: Any, errors: list[FieldError]) -> None:
    if not spec.policy_name:
        errors.append(field.required(SPEC.child("policyName")))
    else:
        for text in names.dns1123_subdomain(spec.policy_name):
            errors.append(field.invalid(SPEC.child("policyName"), spec.policy_name, text))
    _param_ref(spec.param_ref, SPEC.child("paramRef"), errors)
    _match(spec.match_resources, SPEC.child("matchResouces"), errors, False)


def validate_validating_admission_policy_binding(binding: ValidatingAdmissionPolicyBinding) -> list[FieldError]:
    errors = meta.object_meta(binding.metadata, False)
    _binding(binding.spec, errors)
    actions = binding.spec.validation_actions
    at = SPEC.child("validationActions")
    if not actions:
        errors.append(field.required(at, "at least one validation action is required"))
    for i, action in enumerate(actions):
        if action not in ("Audit", "Deny", "Warn"):
            errors.append(field.not_supported(at.index(i), action, ("Audit", "Deny", "Warn")))
        if action in actions[:i]:
            errors.append(field.duplicate(at.index(i), action))
    if "Deny" in actions and "Warn" in actions:
        text = (
            "must not contain both Deny and Warn (repeating the same validation failure information "
            "in the API response and headers serves no purpose)"
        )
        errors.append(field.invalid(at, actions, text))
    return errors


def validate_mutating_admission_policy_binding(binding: MutatingAdmissionPolicyBinding) -> list[FieldError]:
    errors = meta.object_meta(binding.metadata, False)
    _binding(binding.spec, errors)
    return errors
