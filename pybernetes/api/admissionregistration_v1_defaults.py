"""Defaults of webhook configurations and admission policies."""

from __future__ import annotations

from pybernetes.api.admissionregistration_v1 import (
    MatchResources,
    MutatingAdmissionPolicy,
    MutatingAdmissionPolicyBinding,
    MutatingWebhook,
    MutatingWebhookConfiguration,
    NamedRuleWithOperations,
    ParamRef,
    RuleWithOperations,
    ValidatingAdmissionPolicy,
    ValidatingAdmissionPolicyBinding,
    ValidatingWebhook,
    ValidatingWebhookConfiguration,
)
from pybernetes.machinery.meta import LabelSelector


def default_mutating_webhook_configuration(configuration: MutatingWebhookConfiguration) -> None:
    for webhook in configuration.webhooks or ():
        _webhook(webhook)
        if not webhook.reinvocation_policy:
            webhook.reinvocation_policy = "Never"


def default_validating_webhook_configuration(configuration: ValidatingWebhookConfiguration) -> None:
    for webhook in configuration.webhooks or ():
        _webhook(webhook)


def _webhook(webhook: MutatingWebhook | ValidatingWebhook) -> None:
    webhook.failure_policy = webhook.failure_policy or "Fail"
    webhook.match_policy = webhook.match_policy or "Equivalent"
    if webhook.namespace_selector is None:
        webhook.namespace_selector = LabelSelector()
    if webhook.object_selector is None:
        webhook.object_selector = LabelSelector()
    if webhook.timeout_seconds is None:
        webhook.timeout_seconds = 10
    for rule in webhook.rules or ():
        _scope(rule)
    if (service := webhook.client_config.service) is not None and service.port is None:
        service.port = 443


def _scope(rule: RuleWithOperations | NamedRuleWithOperations) -> None:
    if not rule.scope:
        rule.scope = "*"


def _match_resources(match: MatchResources | None) -> None:
    if match is None:
        return
    match.match_policy = match.match_policy or "Equivalent"
    if match.namespace_selector is None:
        match.namespace_selector = LabelSelector()
    if match.object_selector is None:
        match.object_selector = LabelSelector()
    for rule in (*(match.resource_rules or ()), *(match.exclude_resource_rules or ())):
        _scope(rule)


def default_validating_admission_policy(policy: ValidatingAdmissionPolicy) -> None:
    policy.spec.failure_policy = policy.spec.failure_policy or "Fail"
    _match_resources(policy.spec.match_constraints)


def default_mutating_admission_policy(policy: MutatingAdmissionPolicy) -> None:
    policy.spec.failure_policy = policy.spec.failure_policy or "Fail"
    policy.spec.reinvocation_policy = policy.spec.reinvocation_policy or "Never"
    _match_resources(policy.spec.match_constraints)


def _param_ref(reference: ParamRef | None) -> None:
    if reference is not None and not reference.parameter_not_found_action:
        reference.parameter_not_found_action = "Deny"


def default_validating_admission_policy_binding(binding: ValidatingAdmissionPolicyBinding) -> None:
    _match_resources(binding.spec.match_resources)
    _param_ref(binding.spec.param_ref)


def default_mutating_admission_policy_binding(binding: MutatingAdmissionPolicyBinding) -> None:
    _match_resources(binding.spec.match_resources)
    _param_ref(binding.spec.param_ref)
