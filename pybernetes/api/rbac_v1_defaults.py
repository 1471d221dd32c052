"""Defaults of RBAC bindings: the API group of what they refer to."""

from __future__ import annotations

from pybernetes.api.rbac_v1 import ClusterRoleBinding, RoleBinding, Subject

GROUP = "rbac.authorization.k8s.io"


def default_role_binding(binding: RoleBinding | ClusterRoleBinding) -> None:
    if not binding.role_ref.api_group:
        binding.role_ref.api_group = GROUP
    for subject in binding.subjects or ():
        _subject(subject)


default_cluster_role_binding = default_role_binding


def _subject(subject: Subject) -> None:
    if not subject.api_group and subject.kind in ("User", "Group"):
        subject.api_group = GROUP
