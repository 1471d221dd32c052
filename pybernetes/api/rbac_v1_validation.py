"""Validation of roles and bindings."""

from __future__ import annotations

from pybernetes.api import meta_validation as meta
from pybernetes.api.rbac_v1 import ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, Subject
from pybernetes.machinery import field, names
from pybernetes.machinery.field import FieldError, Path

GROUP = "rbac.authorization.k8s.io"
RULES = Path("rules")


def _rule(rule: PolicyRule, namespaced: bool, path: Path, errors: list[FieldError]) -> None:
    if not rule.verbs:
        errors.append(field.required(path.child("verbs"), "verbs must contain at least one value"))
    if rule.non_resource_urls:
        if namespaced:
            text = "namespaced rules cannot apply to non-resource URLs"
            errors.append(field.invalid(path.child("nonResourceURLs"), rule.non_resource_urls, text))
        if rule.api_groups or rule.resources or rule.resource_names:
            text = "rules cannot apply to both regular resources and non-resource URLs"
            errors.append(field.invalid(path.child("nonResourceURLs"), rule.non_resource_urls, text))
        return
    if not rule.api_groups:
        errors.append(field.required(path.child("apiGroups"), "resource rules must supply at least one api group"))
    if not rule.resources:
        errors.append(field.required(path.child("resources"), "resource rules must supply at least one resource"))


def validate_role(role: Role) -> list[FieldError]:
    errors = meta.object_meta(role.metadata, True, names.path_segment)
    for i, rule in enumerate(role.rules or ()):
        _rule(rule, True, RULES.index(i), errors)
    return errors


def validate_cluster_role(role: ClusterRole) -> list[FieldError]:
    errors = meta.object_meta(role.metadata, False, names.path_segment)
    for i, rule in enumerate(role.rules or ()):
        _rule(rule, False, RULES.index(i), errors)
    if role.aggregation_rule is not None:
        at = Path("aggregationRule", "clusterRoleSelectors")
        if not role.aggregation_rule.cluster_role_selectors:
            errors.append(field.required(at, "at least one clusterRoleSelector required if aggregationRule is non-nil"))
        for i, selector in enumerate(role.aggregation_rule.cluster_role_selectors or ()):
            meta.label_selector(selector, at.index(i), errors)
    return errors


def _binding(binding: RoleBinding | ClusterRoleBinding, namespaced: bool, errors: list[FieldError]) -> None:
    reference = binding.role_ref
    at = Path("roleRef")
    if reference.api_group != GROUP:
        errors.append(field.not_supported(at.child("apiGroup"), reference.api_group or "", (GROUP,)))
    kinds = ("Role", "ClusterRole") if namespaced else ("ClusterRole",)
    if reference.kind not in kinds:
        errors.append(field.not_supported(at.child("kind"), reference.kind, kinds))
    if not reference.name:
        errors.append(field.required(at.child("name")))
    else:
        for text in names.path_segment(reference.name):
            errors.append(field.invalid(at.child("name"), reference.name, text))
    for i, subject in enumerate(binding.subjects or ()):
        _subject(subject, namespaced, Path("subjects").index(i), errors)


def _subject(subject: Subject, namespaced: bool, path: Path, errors: list[FieldError]) -> None:
    if not subject.name:
        errors.append(field.required(path.child("name")))
    if subject.kind == "ServiceAccount":
        for text in names.dns1123_subdomain(subject.name) if subject.name else ():
            errors.append(field.invalid(path.child("name"), subject.name, text))
        if subject.api_group:
            errors.append(field.not_supported(path.child("apiGroup"), subject.api_group, ("",)))
        if not namespaced and not subject.namespace:
            errors.append(field.required(path.child("namespace")))
    elif subject.kind in ("User", "Group"):
        if subject.api_group != GROUP:
            errors.append(field.not_supported(path.child("apiGroup"), subject.api_group or "", (GROUP,)))
    else:
        supported = ("ServiceAccount", "User", "Group")
        errors.append(field.not_supported(path.child("kind"), subject.kind, supported))


def validate_role_binding(binding: RoleBinding) -> list[FieldError]:
    errors = meta.object_meta(binding.metadata, True, names.path_segment)
    _binding(binding, True, errors)
    return errors


def validate_cluster_role_binding(binding: ClusterRoleBinding) -> list[FieldError]:
    errors = meta.object_meta(binding.metadata, False, names.path_segment)
    _binding(binding, False, errors)
    return errors


def _kept(
    new: RoleBinding | ClusterRoleBinding, old: RoleBinding | ClusterRoleBinding, errors: list[FieldError]
) -> None:
    if new.role_ref != old.role_ref:
        errors.append(field.invalid("roleRef", new.role_ref, "cannot change roleRef"))


def validate_role_binding_update(new: RoleBinding, old: RoleBinding) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata)
    _binding(new, True, errors)
    _kept(new, old, errors)
    return errors


def validate_cluster_role_binding_update(new: ClusterRoleBinding, old: ClusterRoleBinding) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata)
    _binding(new, False, errors)
    _kept(new, old, errors)
    return errors
