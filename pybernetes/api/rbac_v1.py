"""Types of rbac/v1: rbac_v1."""

from __future__ import annotations

from typing import Annotated

from pybernetes.machinery.meta import LabelSelector, Object, ObjectMeta
from pybernetes.machinery.types import ATOMIC, Struct, constant, empty_list, field, null, zero_str


class AggregationRule(Struct):
    cluster_role_selectors: Annotated[list[LabelSelector], ATOMIC] | None = None


class PolicyRule(Struct):
    verbs: Annotated[list[str], ATOMIC] = field(default_factory=empty_list)
    api_groups: Annotated[list[str], ATOMIC] | None = None
    resources: Annotated[list[str], ATOMIC] | None = None
    resource_names: Annotated[list[str], ATOMIC] | None = None
    non_resource_urls: Annotated[list[str], ATOMIC] | None = field(name="nonResourceURLs", default=None)


class ClusterRole(Object):
    api_version: str = field(default_factory=constant("rbac.authorization.k8s.io/v1"))
    kind: str = field(default_factory=constant("ClusterRole"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    rules: Annotated[list[PolicyRule], ATOMIC] | None = field(default_factory=null)
    aggregation_rule: AggregationRule | None = None


class RoleRef(Struct):
    kind: str = field(default_factory=zero_str)
    api_group: str | None = None
    name: str = field(default_factory=zero_str)


class Subject(Struct):
    kind: str = field(default_factory=zero_str)
    api_group: str | None = None
    name: str = field(default_factory=zero_str)
    namespace: str | None = None


class ClusterRoleBinding(Object):
    api_version: str = field(default_factory=constant("rbac.authorization.k8s.io/v1"))
    kind: str = field(default_factory=constant("ClusterRoleBinding"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    subjects: Annotated[list[Subject], ATOMIC] | None = None
    role_ref: RoleRef = field(default_factory=RoleRef)


class Role(Object):
    api_version: str = field(default_factory=constant("rbac.authorization.k8s.io/v1"))
    kind: str = field(default_factory=constant("Role"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    rules: Annotated[list[PolicyRule], ATOMIC] | None = field(default_factory=null)


class RoleBinding(Object):
    api_version: str = field(default_factory=constant("rbac.authorization.k8s.io/v1"))
    kind: str = field(default_factory=constant("RoleBinding"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    subjects: Annotated[list[Subject], ATOMIC] | None = None
    role_ref: RoleRef = field(default_factory=RoleRef)
