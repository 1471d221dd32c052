"""Types of flowcontrol/v1: flowcontrol_v1."""

from __future__ import annotations

from typing import Annotated

from pybernetes.machinery.meta import Object, ObjectMeta
from pybernetes.machinery.types import (
    ATOMIC,
    BY_TYPE,
    SET,
    Int32,
    Struct,
    Time,
    constant,
    empty_list,
    field,
    null,
    zero_str,
)


class ExemptPriorityLevelConfiguration(Struct):
    nominal_concurrency_shares: Int32 | None = None
    lendable_percent: Int32 | None = None


class FlowDistinguisherMethod(Struct):
    type: str = field(default_factory=zero_str)


class PriorityLevelConfigurationReference(Struct):
    name: str = field(default_factory=zero_str)


class NonResourcePolicyRule(Struct):
    verbs: Annotated[list[str], SET] = field(default_factory=empty_list)
    non_resource_urls: Annotated[list[str], SET] = field(name="nonResourceURLs", default_factory=empty_list)


class ResourcePolicyRule(Struct):
    verbs: Annotated[list[str], SET] = field(default_factory=empty_list)
    api_groups: Annotated[list[str], SET] = field(default_factory=empty_list)
    resources: Annotated[list[str], SET] = field(default_factory=empty_list)
    cluster_scope: bool | None = None
    namespaces: Annotated[list[str], SET] | None = field(default_factory=null)


class GroupSubject(Struct):
    name: str = field(default_factory=zero_str)


class ServiceAccountSubject(Struct):
    namespace: str = field(default_factory=zero_str)
    name: str = field(default_factory=zero_str)


class UserSubject(Struct):
    name: str = field(default_factory=zero_str)


class Subject(Struct):
    kind: str = field(default_factory=zero_str)
    user: UserSubject | None = None
    group: GroupSubject | None = None
    service_account: ServiceAccountSubject | None = None


class PolicyRulesWithSubjects(Struct):
    subjects: Annotated[list[Subject], ATOMIC] = field(default_factory=empty_list)
    resource_rules: Annotated[list[ResourcePolicyRule], ATOMIC] | None = None
    non_resource_rules: Annotated[list[NonResourcePolicyRule], ATOMIC] | None = None


class FlowSchemaSpec(Struct):
    priority_level_configuration: PriorityLevelConfigurationReference = field(
        default_factory=PriorityLevelConfigurationReference
    )
    matching_precedence: Int32 | None = None
    distinguisher_method: FlowDistinguisherMethod | None = None
    rules: Annotated[list[PolicyRulesWithSubjects], ATOMIC] | None = None


class FlowSchemaCondition(Struct):
    type: str | None = None
    status: str | None = None
    last_transition_time: Time | None = field(default_factory=null)
    reason: str | None = None
    message: str | None = None


class FlowSchemaStatus(Struct):
    conditions: Annotated[list[FlowSchemaCondition], BY_TYPE] | None = None


class FlowSchema(Object):
    api_version: str = field(default_factory=constant("flowcontrol.apiserver.k8s.io/v1"))
    kind: str = field(default_factory=constant("FlowSchema"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    spec: FlowSchemaSpec = field(default_factory=FlowSchemaSpec)
    status: FlowSchemaStatus = field(default_factory=FlowSchemaStatus)


class QueuingConfiguration(Struct):
    queues: Int32 | None = None
    hand_size: Int32 | None = None
    queue_length_limit: Int32 | None = None


class LimitResponse(Struct):
    type: str = field(default_factory=zero_str)
    queuing: QueuingConfiguration | None = None


class LimitedPriorityLevelConfiguration(Struct):
    nominal_concurrency_shares: Int32 | None = None
    limit_response: LimitResponse | None = None
    lendable_percent: Int32 | None = None
    borrowing_limit_percent: Int32 | None = None


class PriorityLevelConfigurationSpec(Struct):
    type: str = field(default_factory=zero_str)
    limited: LimitedPriorityLevelConfiguration | None = None
    exempt: ExemptPriorityLevelConfiguration | None = None


class PriorityLevelConfigurationCondition(Struct):
    type: str | None = None
    status: str | None = None
    last_transition_time: Time | None = field(default_factory=null)
    reason: str | None = None
    message: str | None = None


class PriorityLevelConfigurationStatus(Struct):
    conditions: Annotated[list[PriorityLevelConfigurationCondition], BY_TYPE] | None = None


class PriorityLevelConfiguration(Object):
    api_version: str = field(default_factory=constant("flowcontrol.apiserver.k8s.io/v1"))
    kind: str = field(default_factory=constant("PriorityLevelConfiguration"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    spec: PriorityLevelConfigurationSpec = field(default_factory=PriorityLevelConfigurationSpec)
    status: PriorityLevelConfigurationStatus = field(default_factory=PriorityLevelConfigurationStatus)
