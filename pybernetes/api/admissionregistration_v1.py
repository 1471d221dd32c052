"""Types of admissionregistration/v1: admissionregistration_v1."""

from __future__ import annotations

from typing import Annotated

from pybernetes.machinery.meta import Condition, LabelSelector, Object, ObjectMeta
from pybernetes.machinery.types import (
    ATOMIC,
    BY_NAME,
    SET,
    Base64,
    Int32,
    Merge,
    Struct,
    constant,
    empty_list,
    field,
    zero_str,
)


class ApplyConfiguration(Struct):
    expression: str | None = None


class AuditAnnotation(Struct):
    key: str = field(default_factory=zero_str)
    value_expression: str = field(default_factory=zero_str)


class ExpressionWarning(Struct):
    field_ref: str = field(default_factory=zero_str)
    warning: str = field(default_factory=zero_str)


class JSONPatch(Struct):
    expression: str | None = None


class MatchCondition(Struct):
    name: str = field(default_factory=zero_str)
    expression: str = field(default_factory=zero_str)


class NamedRuleWithOperations(Struct):
    resource_names: Annotated[list[str], ATOMIC] | None = None
    api_groups: Annotated[list[str], ATOMIC] | None = None
    api_versions: Annotated[list[str], ATOMIC] | None = None
    operations: Annotated[list[str], ATOMIC] | None = None
    resources: Annotated[list[str], ATOMIC] | None = None
    scope: str | None = None


class MatchResources(Struct):
    namespace_selector: LabelSelector | None = None
    object_selector: LabelSelector | None = None
    resource_rules: Annotated[list[NamedRuleWithOperations], ATOMIC] | None = None
    exclude_resource_rules: Annotated[list[NamedRuleWithOperations], ATOMIC] | None = None
    match_policy: str | None = None


class Mutation(Struct):
    patch_type: str = field(default_factory=zero_str)
    apply_configuration: ApplyConfiguration | None = None
    json_patch: JSONPatch | None = None


class ParamKind(Struct):
    api_version: str | None = None
    kind: str | None = None


class Variable(Struct):
    expression: str = field(default_factory=zero_str)
    name: str = field(default_factory=zero_str)


class MutatingAdmissionPolicySpec(Struct):
    param_kind: ParamKind | None = None
    match_constraints: MatchResources | None = None
    variables: Annotated[list[Variable], ATOMIC] | None = None
    mutations: Annotated[list[Mutation], ATOMIC] | None = None
    failure_policy: str | None = None
    match_conditions: Annotated[list[MatchCondition], BY_NAME] | None = None
    reinvocation_policy: str | None = None


class MutatingAdmissionPolicy(Object):
    api_version: str = field(default_factory=constant("admissionregistration.k8s.io/v1"))
    kind: str = field(default_factory=constant("MutatingAdmissionPolicy"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    spec: MutatingAdmissionPolicySpec = field(default_factory=MutatingAdmissionPolicySpec)


class ParamRef(Struct):
    name: str | None = None
    namespace: str | None = None
    selector: LabelSelector | None = None
    parameter_not_found_action: str | None = None


class MutatingAdmissionPolicyBindingSpec(Struct):
    policy_name: str | None = None
    param_ref: ParamRef | None = None
    match_resources: MatchResources | None = None


class MutatingAdmissionPolicyBinding(Object):
    api_version: str = field(default_factory=constant("admissionregistration.k8s.io/v1"))
    kind: str = field(default_factory=constant("MutatingAdmissionPolicyBinding"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    spec: MutatingAdmissionPolicyBindingSpec = field(default_factory=MutatingAdmissionPolicyBindingSpec)


class ServiceReference(Struct):
    namespace: str = field(default_factory=zero_str)
    name: str = field(default_factory=zero_str)
    path: str | None = None
    port: Int32 | None = None


class WebhookClientConfig(Struct):
    url: str | None = None
    service: ServiceReference | None = None
    ca_bundle: Base64 | None = None


class RuleWithOperations(Struct):
    operations: Annotated[list[str], ATOMIC] | None = None
    api_groups: Annotated[list[str], ATOMIC] | None = None
    api_versions: Annotated[list[str], ATOMIC] | None = None
    resources: Annotated[list[str], ATOMIC] | None = None
    scope: str | None = None


class MutatingWebhook(Struct):
    name: str = field(default_factory=zero_str)
    client_config: WebhookClientConfig = field(default_factory=WebhookClientConfig)
    rules: Annotated[list[RuleWithOperations], ATOMIC] | None = None
    failure_policy: str | None = None
    match_policy: str | None = None
    namespace_selector: LabelSelector | None = None
    object_selector: LabelSelector | None = None
    side_effects: str = field(default_factory=zero_str)
    timeout_seconds: Int32 | None = None
    admission_review_versions: Annotated[list[str], ATOMIC] = field(default_factory=empty_list)
    reinvocation_policy: str | None = None
    match_conditions: Annotated[list[MatchCondition], BY_NAME] | None = None


class MutatingWebhookConfiguration(Object):
    api_version: str = field(default_factory=constant("admissionregistration.k8s.io/v1"))
    kind: str = field(default_factory=constant("MutatingWebhookConfiguration"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    webhooks: Annotated[list[MutatingWebhook], BY_NAME] | None = None


class TypeChecking(Struct):
    expression_warnings: Annotated[list[ExpressionWarning], ATOMIC] | None = None


class Validation(Struct):
    message: str | None = None
    reason: str | None = None
    message_expression: str | None = None
    expression: str = field(default_factory=zero_str)


class ValidatingAdmissionPolicySpec(Struct):
    param_kind: ParamKind | None = None
    match_constraints: MatchResources | None = None
    validations: Annotated[list[Validation], ATOMIC] | None = None
    failure_policy: str | None = None
    audit_annotations: Annotated[list[AuditAnnotation], ATOMIC] | None = None
    match_conditions: Annotated[list[MatchCondition], BY_NAME] | None = None
    variables: Annotated[list[Variable], BY_NAME] | None = None


class ValidatingAdmissionPolicyStatus(Struct):
    observed_generation: int | None = None
    type_checking: TypeChecking | None = None
    conditions: Annotated[list[Condition], Merge(keys=("type",))] | None = None


class ValidatingAdmissionPolicy(Object):
    api_version: str = field(default_factory=constant("admissionregistration.k8s.io/v1"))
    kind: str = field(default_factory=constant("ValidatingAdmissionPolicy"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    spec: ValidatingAdmissionPolicySpec = field(default_factory=ValidatingAdmissionPolicySpec)
    status: ValidatingAdmissionPolicyStatus = field(default_factory=ValidatingAdmissionPolicyStatus)


class ValidatingAdmissionPolicyBindingSpec(Struct):
    policy_name: str = field(default_factory=zero_str)
    param_ref: ParamRef | None = None
    match_resources: MatchResources | None = None
    validation_actions: Annotated[list[str], SET] = field(default_factory=empty_list)


class ValidatingAdmissionPolicyBinding(Object):
    api_version: str = field(default_factory=constant("admissionregistration.k8s.io/v1"))
    kind: str = field(default_factory=constant("ValidatingAdmissionPolicyBinding"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    spec: ValidatingAdmissionPolicyBindingSpec = field(default_factory=ValidatingAdmissionPolicyBindingSpec)


class ValidatingWebhook(Struct):
    name: str = field(default_factory=zero_str)
    client_config: WebhookClientConfig = field(default_factory=WebhookClientConfig)
    rules: Annotated[list[RuleWithOperations], ATOMIC] | None = None
    failure_policy: str | None = None
    match_policy: str | None = None
    namespace_selector: LabelSelector | None = None
    object_selector: LabelSelector | None = None
    side_effects: str = field(default_factory=zero_str)
    timeout_seconds: Int32 | None = None
    admission_review_versions: Annotated[list[str], ATOMIC] = field(default_factory=empty_list)
    match_conditions: Annotated[list[MatchCondition], BY_NAME] | None = None


class ValidatingWebhookConfiguration(Object):
    api_version: str = field(default_factory=constant("admissionregistration.k8s.io/v1"))
    kind: str = field(default_factory=constant("ValidatingWebhookConfiguration"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    webhooks: Annotated[list[ValidatingWebhook], BY_NAME] | None = None
