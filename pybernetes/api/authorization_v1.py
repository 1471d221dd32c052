"""Types of authorization/v1: authorization_v1."""

from __future__ import annotations

from typing import Annotated

from pybernetes.machinery.meta import FieldSelectorRequirement, LabelSelectorRequirement, Object, ObjectMeta
from pybernetes.machinery.types import ATOMIC, Struct, constant, empty_list, field, zero_bool


class FieldSelectorAttributes(Struct):
    raw_selector: str | None = None
    requirements: Annotated[list[FieldSelectorRequirement], ATOMIC] | None = None


class LabelSelectorAttributes(Struct):
    raw_selector: str | None = None
    requirements: Annotated[list[LabelSelectorRequirement], ATOMIC] | None = None


class NonResourceAttributes(Struct):
    path: str | None = None
    verb: str | None = None


class ResourceAttributes(Struct):
    namespace: str | None = None
    verb: str | None = None
    group: str | None = None
    version: str | None = None
    resource: str | None = None
    subresource: str | None = None
    name: str | None = None
    field_selector: FieldSelectorAttributes | None = None
    label_selector: LabelSelectorAttributes | None = None


class SubjectAccessReviewSpec(Struct):
    resource_attributes: ResourceAttributes | None = None
    non_resource_attributes: NonResourceAttributes | None = None
    user: str | None = None
    groups: Annotated[list[str], ATOMIC] | None = None
    extra: dict[str, list[str]] | None = None
    uid: str | None = None


class SubjectAccessReviewStatus(Struct):
    allowed: bool = field(default_factory=zero_bool)
    denied: bool | None = None
    reason: str | None = None
    evaluation_error: str | None = None


class LocalSubjectAccessReview(Object):
    api_version: str = field(default_factory=constant("authorization.k8s.io/v1"))
    kind: str = field(default_factory=constant("LocalSubjectAccessReview"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    spec: SubjectAccessReviewSpec = field(default_factory=SubjectAccessReviewSpec)
    status: SubjectAccessReviewStatus = field(default_factory=SubjectAccessReviewStatus)


class NonResourceRule(Struct):
    verbs: Annotated[list[str], ATOMIC] = field(default_factory=empty_list)
    non_resource_urls: Annotated[list[str], ATOMIC] | None = field(name="nonResourceURLs", default=None)


class ResourceRule(Struct):
    verbs: Annotated[list[str], ATOMIC] = field(default_factory=empty_list)
    api_groups: Annotated[list[str], ATOMIC] | None = None
    resources: Annotated[list[str], ATOMIC] | None = None
    resource_names: Annotated[list[str], ATOMIC] | None = None


class SelfSubjectAccessReviewSpec(Struct):
    resource_attributes: ResourceAttributes | None = None
    non_resource_attributes: NonResourceAttributes | None = None


class SelfSubjectAccessReview(Object):
    api_version: str = field(default_factory=constant("authorization.k8s.io/v1"))
    kind: str = field(default_factory=constant("SelfSubjectAccessReview"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    spec: SelfSubjectAccessReviewSpec = field(default_factory=SelfSubjectAccessReviewSpec)
    status: SubjectAccessReviewStatus = field(default_factory=SubjectAccessReviewStatus)


class SelfSubjectRulesReviewSpec(Struct):
    namespace: str | None = None


class SubjectRulesReviewStatus(Struct):
    resource_rules: Annotated[list[ResourceRule], ATOMIC] = field(default_factory=empty_list)
    non_resource_rules: Annotated[list[NonResourceRule], ATOMIC] = field(default_factory=empty_list)
    incomplete: bool = field(default_factory=zero_bool)
    evaluation_error: str | None = None


class SelfSubjectRulesReview(Object):
    api_version: str = field(default_factory=constant("authorization.k8s.io/v1"))
    kind: str = field(default_factory=constant("SelfSubjectRulesReview"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    spec: SelfSubjectRulesReviewSpec = field(default_factory=SelfSubjectRulesReviewSpec)
    status: SubjectRulesReviewStatus = field(default_factory=SubjectRulesReviewStatus)


class SubjectAccessReview(Object):
    api_version: str = field(default_factory=constant("authorization.k8s.io/v1"))
    kind: str = field(default_factory=constant("SubjectAccessReview"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    spec: SubjectAccessReviewSpec = field(default_factory=SubjectAccessReviewSpec)
    status: SubjectAccessReviewStatus = field(default_factory=SubjectAccessReviewStatus)
