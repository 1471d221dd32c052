"""Nobody grants what they do not have.

Whoever writes a role must hold every permission in it, or the verb `escalate` on it; whoever writes a binding must hold
every permission of the role, or the verb `bind` on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pybernetes.api.rbac_v1 import ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding
from pybernetes.control_plane.apiserver.admission import attributes as admission
from pybernetes.control_plane.apiserver.admission.attributes import Plugin
from pybernetes.control_plane.apiserver.authentication.user import MASTERS
from pybernetes.control_plane.apiserver.authorization.attributes import Attributes, Authorizer
from pybernetes.control_plane.apiserver.authorization.rbac import RBAC
from pybernetes.control_plane.apiserver.authorization.rules import compact, describe, uncovered
from pybernetes.machinery import errors

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.authentication.user import User
    from pybernetes.control_plane.apiserver.core import Core

GROUP = "rbac.authorization.k8s.io"


class RoleEscalation(Plugin):
    """The checks below as an admission plugin. (Upstream makes them when storing; nothing lies between.)"""

    name = "RoleEscalation"
    fixed = True
    validates = True

    def __init__(self, core: Core) -> None:
        self._core = core

    def handles(self, attributes: admission.Attributes) -> bool:
        kind = attributes.resource.kind
        return kind.group == GROUP and not attributes.subresource and attributes.operation in ("CREATE", "UPDATE")

    async def validate(self, attributes: admission.Attributes) -> None:
        core, user = self._core, attributes.user
        if core.rbac is None or user is None:  # a server without authorization
            return
        new: Any = attributes.obj
        old: Any = attributes.old_obj
        if isinstance(new, (Role, ClusterRole)):
            check_role(user, new, old, core.rbac, core.authorizer)
        elif isinstance(new, (RoleBinding, ClusterRoleBinding)):
            check_binding(user, new, old, core.rbac, core.authorizer)


def check_role(
    user: User, new: Role | ClusterRole, old: Role | ClusterRole | None, rbac: RBAC, all_: Authorizer
) -> None:
    """May `user` write this role? Raises the 403 Status. rbac: whose rules count; all_: the whole authorizer."""
    if MASTERS in user.groups:
        return
    cluster = isinstance(new, ClusterRole)
    resource = "clusterroles" if cluster else "roles"
    namespace, name = new.metadata.namespace, new.metadata.name
    if old is not None and old.rules == new.rules:
        same = not isinstance(new, ClusterRole) or (
            isinstance(old, ClusterRole) and old.aggregation_rule == new.aggregation_rule
        )
        if same:
            return  # labels and annotations only
    if all_.authorize(user, Attributes("escalate", GROUP, resource, namespace, name)).allowed:
        return
    if isinstance(new, ClusterRole) and new.aggregation_rule is not None:
        had = isinstance(old, ClusterRole) and old.aggregation_rule == new.aggregation_rule
        full = [
            PolicyRule(verbs=["*"], api_groups=["*"], resources=["*"]),
            PolicyRule(verbs=["*"], non_resource_urls=["*"]),
        ]
        if not had and uncovered(rbac.rules(user), full):
            message = "must have cluster-admin privileges to use the aggregationRule"
            raise errors.forbidden((GROUP, resource), name, message)
    _require(user, new.rules or (), namespace, rbac, (GROUP, resource), name)


def check_binding(
    user: User,
    new: RoleBinding | ClusterRoleBinding,
    old: RoleBinding | ClusterRoleBinding | None,
    rbac: RBAC,
    all_: Authorizer,
) -> None:
    """May `user` write this binding? Raises the 403 Status, or 404 if the role does not exist."""
    if MASTERS in user.groups:
        return
    if old is not None and old.role_ref == new.role_ref and old.subjects == new.subjects:
        return
    cluster = isinstance(new, ClusterRoleBinding)
    resource = "clusterrolebindings" if cluster else "rolebindings"
    namespace, ref = new.metadata.namespace, new.role_ref
    of_role = "clusterroles" if ref.kind == "ClusterRole" else "roles"
    if all_.authorize(user, Attributes("bind", GROUP, of_role, namespace, ref.name)).allowed:
        return
    role = rbac.role("" if ref.kind == "ClusterRole" else namespace, ref.name)
    if role is None:
        raise errors.not_found((GROUP, of_role[:-1]), ref.name)
    _require(user, role.rules or (), namespace, rbac, (GROUP, resource), new.metadata.name)


def _require(
    user: User, rules: Sequence[PolicyRule], namespace: str, rbac: RBAC, of: tuple[str, str], name: str
) -> None:
    missing = uncovered(rbac.rules(user, namespace), rules)
    if missing:
        listed = "\n".join(sorted(describe(rule) for rule in compact(missing)))
        groups = " ".join(f'"{group}"' for group in user.groups)
        whom = f'user "{user.name}" (groups=[{groups}])'
        message = f"{whom} is attempting to grant RBAC permissions not currently held:\n{listed}"
        raise errors.forbidden(of, name, message)
