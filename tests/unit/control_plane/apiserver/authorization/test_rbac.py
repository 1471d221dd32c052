from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybernetes.api.rbac_v1 import ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject
from pybernetes.control_plane.apiserver.authentication.user import User
from pybernetes.control_plane.apiserver.authorization.attributes import Attributes, forbidden
from pybernetes.control_plane.apiserver.authorization.escalation import check_binding, check_role
from pybernetes.control_plane.apiserver.authorization.rbac import RBAC
from pybernetes.control_plane.apiserver.authorization.rules import (
    break_down,
    compact,
    path_matches,
    resource_matches,
    uncovered,
)
from pybernetes.control_plane.apiserver.authorization.union import Masters, Union
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.meta import ObjectMeta

JANE = User("jane", "", ("dev", "system:authenticated"))
ROBOT = User("system:serviceaccount:ns:robot")


def rule(verbs: str, groups: str, resources: str, *names: str) -> PolicyRule:
    return PolicyRule(
        verbs=verbs.split(","),
        api_groups=groups.split(","),
        resources=resources.split(","),
        resource_names=list(names) or None,
    )


def role(name: str, *rules: PolicyRule, namespace: str = "") -> Any:
    cls = Role if namespace else ClusterRole
    return cls(metadata=ObjectMeta(name=name, namespace=namespace), rules=list(rules))


def bind(name: str, role: str, *subjects: str, namespace: str = "", kind: str = "ClusterRole") -> Any:
    cls = RoleBinding if namespace else ClusterRoleBinding
    listed = []
    for subject in subjects:
        what, who = subject.split(":", 1)
        if what == "ServiceAccount":
            place, who = who.split("/")
            listed.append(Subject(kind=what, name=who, namespace=place or None))
        else:
            listed.append(Subject(kind=what, name=who))
    ref = RoleRef(kind=kind, name=role, api_group="rbac.authorization.k8s.io")
    return cls(metadata=ObjectMeta(name=name, namespace=namespace), subjects=listed, role_ref=ref)


def rbac(*objects: Any) -> RBAC:
    made = RBAC()
    for obj in objects:
        made.put(obj)
    return made


def may(authorizer: Any, user: User, verb: str, resource: str, namespace: str = "", name: str = "") -> bool:
    resource, _, subresource = resource.partition("/")
    return bool(authorizer.authorize(user, Attributes(verb, "", resource, namespace, name, subresource)).allowed)


def test_bindings_of_every_kind() -> None:
    reader = role("reader", rule("get,list", "", "pods"))
    made = rbac(
        reader,
        role("writer", rule("create", "", "pods"), namespace="ns"),
        bind("all", "reader", "Group:dev"),
        bind("one", "writer", "User:jane", "ServiceAccount:/robot", namespace="ns", kind="Role"),
        bind("here", "reader", "ServiceAccount:ns/robot", namespace="other"),
    )
    assert may(made, JANE, "list", "pods") and may(made, JANE, "get", "pods", "anywhere", "x")
    assert may(made, JANE, "create", "pods", "ns") and not may(made, JANE, "create", "pods", "other")
    assert not may(made, JANE, "create", "pods")  # not in all namespaces
    assert may(made, ROBOT, "create", "pods", "ns")
    assert may(made, ROBOT, "get", "pods", "other") and not may(made, ROBOT, "get", "pods", "ns")
    assert not may(made, User("x"), "get", "pods")


def test_changes_count_at_once() -> None:
    reader, binding = role("reader", rule("get", "", "pods")), bind("b", "reader", "User:jane")
    made = rbac(reader, binding)
    assert may(made, JANE, "get", "pods") and not may(made, JANE, "list", "pods")
    made.put(role("reader", rule("list", "", "pods")))
    assert not may(made, JANE, "get", "pods") and may(made, JANE, "list", "pods")
    made.put(bind("b", "reader", "User:joe"))
    assert not may(made, JANE, "list", "pods") and may(made, User("joe"), "list", "pods")
    made.drop(bind("b", "reader", "User:joe"))
    assert not may(made, User("joe"), "list", "pods")
    made.put(binding)
    made.drop(reader)
    refused = made.authorize(JANE, Attributes("list", "", "pods"))
    assert refused.reason == 'RBAC: clusterrole.rbac.authorization.k8s.io "reader" not found'


def test_resource_names() -> None:
    rules = rule("get", "", "secrets", "a", "b"), rule("get", "", "secrets", "c")
    made = rbac(role("r", *rules), bind("b", "r", "User:jane"))
    allowed = [name for name in ("a", "b", "c", "d", "") if may(made, JANE, "get", "secrets", "ns", name)]
    assert allowed == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("resources", "asked", "allowed"),
    [
        ("pods", "pods", True),
        ("pods", "pods/log", False),
        ("pods/log", "pods/log", True),
        ("pods/log", "pods", False),
        ("*", "pods/log", True),
        ("*/log", "pods/log", True),
        ("*/log", "pods", False),
        ("pods/*", "pods/log", False),
    ],
)
def test_resources(resources: str, asked: str, allowed: bool) -> None:
    made = rbac(role("r", rule("get", "*", resources)), bind("b", "r", "User:jane"))
    assert may(made, JANE, "get", asked, "ns", "x") is allowed


def test_paths() -> None:
    url = PolicyRule(verbs=["get"], non_resource_urls=["/healthz", "/api/*"])
    made = rbac(role("r", url), bind("b", "r", "User:jane"), bind("c", "r", "User:joe", namespace="ns"))
    paths = ("/healthz", "/healthz/x", "/api/v1", "/")
    allowed = {path: made.authorize(JANE, Attributes("get", path=path)).allowed for path in paths}
    assert allowed == {"/healthz": True, "/healthz/x": False, "/api/v1": True, "/": False}
    assert not made.authorize(JANE, Attributes("post", path="/healthz")).allowed
    assert not made.authorize(User("joe"), Attributes("get", path="/healthz")).allowed


def test_reasons() -> None:
    made = rbac(
        role("r", rule("get", "", "pods")),
        bind("a", "r", "Group:dev"),
        bind("b", "r", "ServiceAccount:/robot", namespace="ns"),
    )
    assert made.explain(JANE, Attributes("get", "", "pods")).reason == (
        'RBAC: allowed by ClusterRoleBinding "a" of ClusterRole "r" to Group "dev"'
    )
    assert made.explain(ROBOT, Attributes("get", "", "pods", "ns")).reason == (
        'RBAC: allowed by RoleBinding "b/ns" of ClusterRole "r" to ServiceAccount "robot/ns"'
    )


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        (
            Attributes("list", "", "pods", "y"),
            'pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "y"',
        ),
        (
            Attributes("get", "apps", "deployments", "y", "web", "scale"),
            'deployments.apps "web" is forbidden: User "jane" cannot get resource "deployments/scale" in API group '
            '"apps" in the namespace "y"',
        ),
        (
            Attributes("delete", "", "nodes", "", "n1"),
            'nodes "n1" is forbidden: User "jane" cannot delete resource "nodes" in API group "" at the cluster scope',
        ),
        (Attributes("get", path="/metrics"), 'forbidden: User "jane" cannot get path "/metrics"'),
    ],
)
def test_forbidden_texts(attributes: Attributes, message: str) -> None:
    error = forbidden(JANE, attributes)
    assert (error.code, error.reason, error.message) == (403, "Forbidden", message)


def test_union() -> None:
    union = Union([Masters(), rbac(role("r", rule("get", "", "pods")), bind("b", "r", "User:jane"))])
    assert may(union, User("x", "", ("system:masters",)), "delete", "nodes")
    assert may(union, JANE, "get", "pods") and not may(union, JANE, "delete", "pods")
    with pytest.raises(StatusError, match='User "jane" cannot delete'):
        union.require(JANE, Attributes("delete", "", "pods"))


WORDS = st.lists(st.sampled_from(["get", "list", "*"]), min_size=1, max_size=2, unique=True)
GROUPS = st.lists(st.sampled_from(["", "apps", "*"]), min_size=1, max_size=2, unique=True)
RESOURCES = st.lists(st.sampled_from(["pods", "pods/log", "nodes", "*/log", "*"]), min_size=1, max_size=2, unique=True)
NAMES = st.none() | st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=2, unique=True)
RULES = st.builds(
    lambda v, g, r, n: PolicyRule(verbs=v, api_groups=g, resources=r, resource_names=n), WORDS, GROUPS, RESOURCES, NAMES
)


def allows(rules: list[PolicyRule], verb: str, group: str, resource: str, subresource: str, name: str) -> bool:
    return any(
        resource_matches(r, verb, group, resource, subresource) and (not r.resource_names or name in r.resource_names)
        for r in rules
    )


@given(st.lists(RULES, max_size=4), st.lists(RULES, min_size=1, max_size=2))
def test_covered_rules_allow_nothing_new(owned: list[PolicyRule], wanted: list[PolicyRule]) -> None:
    """If nothing is uncovered, whatever `wanted` allows `owned` allows."""
    if uncovered(owned, wanted):
        return
    for verb in ("get", "list", "watch"):
        for group in ("", "apps", "other"):
            for resource, subresource in (("pods", ""), ("pods", "log"), ("nodes", ""), ("nodes", "log")):
                for name in ("", "a", "b", "c"):
                    action = (verb, group, resource, subresource, name)
                    assert not allows(wanted, *action) or allows(owned, *action)


@given(st.lists(RULES, max_size=4))
def test_rules_cover_themselves_and_their_compact_form(rules: list[PolicyRule]) -> None:
    small = compact(part for r in rules for part in break_down(r))
    assert not uncovered(rules, rules) and not uncovered(small, rules) and not uncovered(rules, small)


def test_covering_paths() -> None:
    owned = [PolicyRule(verbs=["get"], non_resource_urls=["/api/*"])]
    assert not uncovered(owned, [PolicyRule(verbs=["get"], non_resource_urls=["/api/v1", "/api/v1/*"])])
    assert uncovered(owned, [PolicyRule(verbs=["get"], non_resource_urls=["/*"])])
    assert path_matches(owned[0], "get", "/api/")


def test_nobody_grants_more_than_they_have() -> None:
    granter = rule("create,update", "rbac.authorization.k8s.io", "roles,rolebindings,clusterroles")
    made = rbac(
        role("mine", granter, rule("get,list", "", "pods")),
        bind("b", "mine", "User:jane"),
        role("powerful", rule("*", "*", "*")),
    )
    everything = Union([Masters(), made])
    check_role(JANE, role("r", rule("get", "", "pods"), namespace="ns"), None, made, everything)
    check_binding(JANE, bind("x", "mine", "User:joe", namespace="ns"), None, made, everything)
    with pytest.raises(StatusError) as error:
        check_role(JANE, role("r", rule("get,delete", "", "pods,secrets"), namespace="ns"), None, made, everything)
    assert error.value.message == (
        'roles.rbac.authorization.k8s.io "r" is forbidden: user "jane" (groups=["dev" "system:authenticated"]) is '
        "attempting to grant RBAC permissions not currently held:\n"
        '{APIGroups:[""], Resources:["pods"], Verbs:["delete"]}\n'
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get" "delete"]}'
    )
    with pytest.raises(StatusError, match="not currently held"):
        check_binding(JANE, bind("x", "powerful", "User:jane", namespace="ns"), None, made, everything)
    with pytest.raises(StatusError) as missing:
        check_binding(JANE, bind("x", "nothing", "User:jane"), None, made, everything)
    assert missing.value.code == 404
    check_role(User("root", "", ("system:masters",)), role("r", rule("*", "*", "*")), None, made, everything)
    made.put(role("escalator", rule("escalate", "rbac.authorization.k8s.io", "roles", "r"),
                  rule("bind", "rbac.authorization.k8s.io", "clusterroles", "powerful")))  # fmt: skip
    made.put(bind("e", "escalator", "User:jane"))
    check_role(JANE, role("r", rule("*", "*", "*"), namespace="ns"), None, made, everything)
    check_binding(JANE, bind("x", "powerful", "User:jane"), None, made, everything)
