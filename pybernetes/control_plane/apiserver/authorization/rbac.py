"""Role-based access control: roles and bindings in, decisions out, from memory.

Bindings are indexed by subject as they change. The first check of a user (name and groups) collects the rules that
apply to it, cluster-wide and by namespace; each (verb, group, resource, namespace) is then worked out once and
remembered as "no", "all" or the set of resource names. So a check on the hot path is two dictionary look-ups; any
change of a role or binding forgets all users, which costs each some tens of microseconds once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from pybernetes.api.rbac_v1 import ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, Subject
from pybernetes.control_plane.apiserver.authorization.attributes import (
    ALLOW,
    NO_OPINION,
    Attributes,
    Decision,
    quote,
)
from pybernetes.control_plane.apiserver.authorization.rules import path_matches, resource_matches

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.authentication.user import User

Object = ClusterRole | Role | ClusterRoleBinding | RoleBinding
Binding = ClusterRoleBinding | RoleBinding

_LIMIT = 4096  # users, and decisions per user, remembered
_ALL: frozenset[str] = frozenset("*")
_NONE: frozenset[str] = frozenset()


class Grant(NamedTuple):
    """A rule that applies to a user. namespace: "" is everywhere."""

    namespace: str
    rule: PolicyRule
    binding: Binding
    subject: Subject


class _Grants:
    """What one user may: the rules, and the answers found so far."""

    __slots__ = ("answers", "by_namespace", "cluster", "errors")

    def __init__(self) -> None:
        self.cluster: list[PolicyRule] = []
        self.by_namespace: dict[str, list[PolicyRule]] = {}
        self.errors: list[str] = []
        self.answers: dict[tuple[str, str, str, str, str], frozenset[str]] = {}


class RBAC:
    """The authorizer. Feed it with `put` and `drop`, for every object that exists and for each change."""

    def __init__(self) -> None:
        self._roles: dict[tuple[str, str], Role | ClusterRole] = {}  # by (namespace, name); "" for ClusterRoles
        self._bindings: dict[tuple[str, str], Binding] = {}
        self._by_subject: dict[str, dict[tuple[str, str], Subject]] = {}  # "u:name" or "g:name" -> binding -> subject
        self._grants: dict[tuple[str, tuple[str, ...]], _Grants] = {}

    # -- feeding ------------------------------------------------------------------------------------------------

    def put(self, obj: Object) -> None:
        """An object exists, or has changed."""
        key = (obj.metadata.namespace, obj.metadata.name)
        if isinstance(obj, (ClusterRole, Role)):
            old = self._roles.get(key)
            self._roles[key] = obj
            if old is not None and old.rules == obj.rules:
                return
        else:
            self._unindex(key)
            self._bindings[key] = obj
            for subject in obj.subjects or ():
                if index := _index_key(subject, obj.metadata.namespace):
                    self._by_subject.setdefault(index, {})[key] = subject
        self._grants.clear()

    def drop(self, obj: Object) -> None:
        """An object was deleted."""
        key = (obj.metadata.namespace, obj.metadata.name)
        if isinstance(obj, (ClusterRole, Role)):
            self._roles.pop(key, None)
        else:
            self._unindex(key)
        self._grants.clear()

    def _unindex(self, key: tuple[str, str]) -> None:
        old = self._bindings.pop(key, None)
        if old is None:
            return
        for subject in old.subjects or ():
            index = _index_key(subject, old.metadata.namespace)
            bindings = self._by_subject.get(index)
            if bindings is not None:
                bindings.pop(key, None)
                if not bindings:
                    del self._by_subject[index]

    # -- asking -------------------------------------------------------------------------------------------------

    def authorize(self, user: User, attributes: Attributes) -> Decision:
        grants = self._grants.get(user.key)
        if grants is None:
            grants = self._collect(user)
        a = attributes
        if a.path:
            key = (a.verb, "", "", a.path, "")
        else:
            key = (a.verb, a.api_group, a.resource, a.subresource, a.namespace)
        names = grants.answers.get(key)
        if names is None:
            names = self._work_out(grants, a)
            if len(grants.answers) >= _LIMIT:
                grants.answers.clear()
            grants.answers[key] = names
        if names is _ALL or (names and a.name in names):
            return ALLOW
        return Decision(False, f"RBAC: {_aggregate(grants.errors)}") if grants.errors else NO_OPINION

    def explain(self, user: User, attributes: Attributes) -> Decision:
        """As `authorize`, naming the binding that allows it."""
        decision = self.authorize(user, attributes)
        if not decision.allowed:
            return decision
        a = attributes
        for grant in self.grants(user, a.namespace):
            rule = grant.rule
            if a.path:
                matches = path_matches(rule, a.verb, a.path)
            else:
                matches = resource_matches(rule, a.verb, a.api_group, a.resource, a.subresource) and (
                    not rule.resource_names or a.name in rule.resource_names
                )
            if matches:
                return Decision(True, f"RBAC: allowed by {_describe(grant)}")
        return decision

    def grants(self, user: User, namespace: str = "") -> Iterator[Grant]:
        """The rules that apply to `user` everywhere and, with `namespace`, there: ClusterRoleBindings first."""
        for binding, subject in self._bindings_of(user):
            place = binding.metadata.namespace
            if place and place != namespace:
                continue
            role = self._role_of(binding)
            if not isinstance(role, str):
                for rule in role.rules or ():
                    yield Grant(place, rule, binding, subject)

    def rules(self, user: User, namespace: str = "") -> list[PolicyRule]:
        """What `user` may do in `namespace`, or, with "", everywhere."""
        return [grant.rule for grant in self.grants(user, namespace)]

    def role(self, namespace: str, name: str) -> Role | ClusterRole | None:
        """A Role, or with "" a ClusterRole."""
        return self._roles.get((namespace, name))

    # -- working out --------------------------------------------------------------------------------------------

    def _bindings_of(self, user: User) -> list[tuple[Binding, Subject]]:
        found: dict[tuple[str, str], Subject] = {}
        for index in (f"u:{user.name}", *[f"g:{group}" for group in user.groups]):
            for key, subject in self._by_subject.get(index, {}).items():
                found.setdefault(key, subject)
        return [(self._bindings[key], found[key]) for key in sorted(found)]

    def _role_of(self, binding: Binding) -> Role | ClusterRole | str:
        """The role, or why there is none."""
        ref = binding.role_ref
        namespace = binding.metadata.namespace if ref.kind == "Role" else ""
        role = self._roles.get((namespace, ref.name))
        if role is None:
            return f"{ref.kind.lower()}.rbac.authorization.k8s.io {quote(ref.name)} not found"
        return role

    def _collect(self, user: User) -> _Grants:
        grants = _Grants()
        for binding, _ in self._bindings_of(user):
            role = self._role_of(binding)
            if isinstance(role, str):
                grants.errors.append(role)
                continue
            place = binding.metadata.namespace
            rules = grants.by_namespace.setdefault(place, []) if place else grants.cluster
            rules.extend(role.rules or ())
        if len(self._grants) >= _LIMIT:
            self._grants.clear()
        self._grants[user.key] = grants
        return grants

    def _work_out(self, grants: _Grants, a: Attributes) -> frozenset[str]:
        """`_ALL`, or the resource names that are allowed."""
        if a.path:
            return _ALL if any(path_matches(rule, a.verb, a.path) for rule in grants.cluster) else _NONE
        names: set[str] = set()
        for rules in (grants.cluster, grants.by_namespace.get(a.namespace, ()) if a.namespace else ()):
            for rule in rules:
                if resource_matches(rule, a.verb, a.api_group, a.resource, a.subresource):
                    if not rule.resource_names:
                        return _ALL
                    names.update(rule.resource_names)
        return frozenset(names) if names else _NONE


def _index_key(subject: Subject, namespace: str) -> str:
    if subject.kind == "User":
        return f"u:{subject.name}"
    if subject.kind == "Group":
        return f"g:{subject.name}"
    if subject.kind == "ServiceAccount" and (place := subject.namespace or namespace):
        return f"u:system:serviceaccount:{place}:{subject.name}"
    return ""


def _describe(grant: Grant) -> str:
    """`ClusterRoleBinding "a" of ClusterRole "b" to Group "c"`."""
    binding, subject = grant.binding, grant.subject
    meta, ref = binding.metadata, binding.role_ref
    name = f"{meta.name}/{meta.namespace}" if meta.namespace else meta.name
    whom = subject.name
    if subject.kind == "ServiceAccount":
        whom = f"{subject.name}/{subject.namespace or meta.namespace}"
    kind = "RoleBinding" if meta.namespace else "ClusterRoleBinding"
    return f"{kind} {quote(name)} of {ref.kind} {quote(ref.name)} to {subject.kind} {quote(whom)}"


def _aggregate(errors: list[str]) -> str:
    unique = list(dict.fromkeys(errors))
    return unique[0] if len(unique) == 1 else f"[{', '.join(unique)}]"
