from __future__ import annotations

from pybernetes.api.rbac_v1 import ClusterRole, ClusterRoleBinding
from pybernetes.control_plane.apiserver.authentication.user import User
from pybernetes.control_plane.apiserver.authorization import policy
from pybernetes.control_plane.apiserver.authorization.attributes import Attributes
from pybernetes.control_plane.apiserver.authorization.policy import Policy
from pybernetes.control_plane.apiserver.authorization.rbac import RBAC
from pybernetes.control_plane.apiserver.authorization.reconcile import plan, reconcile
from pybernetes.machinery import codec


def loaded() -> RBAC:
    rbac = RBAC()
    for obj in policy.everything():
        rbac.put(obj)
    return rbac


def may(user: User, verb: str, group: str, resource: str, namespace: str = "", name: str = "") -> bool:
    resource, _, sub = resource.partition("/")
    return loaded().authorize(user, Attributes(verb, group, resource, namespace, name, sub)).allowed


def test_every_binding_has_its_role() -> None:
    roles = {(o.metadata.namespace, o.metadata.name) for o in [*policy.cluster_roles(), *policy.roles()]}
    for binding in [*policy.cluster_role_bindings(), *policy.role_bindings()]:
        namespace = binding.metadata.namespace if binding.role_ref.kind == "Role" else ""
        assert (namespace, binding.role_ref.name) in roles
    assert len(roles) == len(policy.cluster_roles()) + len(policy.roles())


def test_marks() -> None:
    for obj in policy.everything():
        if not obj.metadata.name.startswith("kubeadm:"):
            assert (obj.metadata.labels or {})["kubernetes.io/bootstrapping"] == "rbac-defaults"
            assert (obj.metadata.annotations or {})["rbac.authorization.kubernetes.io/autoupdate"] == "true"
    edit = next(r for r in policy.cluster_roles() if r.metadata.name == "edit")
    assert (edit.metadata.labels or {})["rbac.authorization.k8s.io/aggregate-to-admin"] == "true"
    assert edit.rules is None and edit.aggregation_rule is not None
    selectors = edit.aggregation_rule.cluster_role_selectors or []
    assert [s.match_labels for s in selectors] == [{"rbac.authorization.k8s.io/aggregate-to-edit": "true"}]


def test_who_may_what() -> None:
    scheduler, manager = User("system:kube-scheduler"), User("system:kube-controller-manager")
    admin = User("kubernetes-admin", "", ("kubeadm:cluster-admins",))
    anyone, nobody = User("x", "", ("system:authenticated",)), User("y", "", ("system:unauthenticated",))
    joining = User("system:bootstrap:x", "", ("system:bootstrappers:kubeadm:default-node-token",))
    dns = User("system:serviceaccount:kube-system:kube-dns")
    assert may(admin, "delete", "any.group", "anything", "ns", "x")
    assert may(scheduler, "create", "", "pods/binding", "ns", "p") and not may(scheduler, "create", "", "pods", "ns")
    assert may(scheduler, "update", "coordination.k8s.io", "leases", "kube-system", "kube-scheduler")
    assert not may(scheduler, "update", "coordination.k8s.io", "leases", "kube-system", "other")
    assert may(manager, "create", "", "pods", "ns") and may(manager, "deletecollection", "g", "r", "ns")
    assert not may(manager, "create", "rbac.authorization.k8s.io", "clusterrolebindings")
    assert may(anyone, "create", "authorization.k8s.io", "selfsubjectaccessreviews")
    assert not may(nobody, "create", "authorization.k8s.io", "selfsubjectaccessreviews")
    assert may(joining, "create", "certificates.k8s.io", "certificatesigningrequests")
    assert may(joining, "get", "", "nodes", "", "n1") and not may(joining, "list", "", "secrets")
    assert may(dns, "watch", "discovery.k8s.io", "endpointslices")
    rbac = loaded()
    for path, user, allowed in (
        ("/version", nobody, True),
        ("/apis/apps", nobody, False),
        ("/apis/apps", anyone, True),
        ("/metrics", anyone, False),
        ("/openid/v1/jwks", User("z", "", ("system:serviceaccounts",)), True),
    ):
        assert rbac.authorize(user, Attributes("get", path=path)).allowed is allowed


def find_in(objects: dict[tuple[type, str, str], Policy]):  # type: ignore[no-untyped-def]
    return lambda wanted: objects.get((type(wanted), wanted.metadata.namespace, wanted.metadata.name))


def test_an_empty_cluster_gets_everything_once() -> None:
    objects: dict[tuple[type, str, str], Policy] = {}
    for write in plan(find_in(objects)):
        assert write.how == "create"
        objects[type(write.obj), write.obj.metadata.namespace, write.obj.metadata.name] = write.obj
    assert len(objects) == len(list(policy.everything()))
    assert list(plan(find_in(objects))) == []


def test_upkeep_adds_what_is_missing_and_keeps_what_was_added() -> None:
    wanted = next(r for r in policy.cluster_roles() if r.metadata.name == "system:kube-dns")
    existing: ClusterRole = codec.copy(wanted)
    assert reconcile(existing, wanted) is None
    assert existing.rules is not None
    extra = existing.rules.pop()
    existing.rules[0].verbs = ["delete"]
    existing.metadata.labels = {"mine": "yes"}
    change = reconcile(existing, wanted)
    assert change is not None and change.how == "update"
    rules = change.obj.rules or []  # type: ignore[union-attr]
    assert rules[0].verbs == ["delete"] and extra in rules
    assert change.obj.metadata.labels == {"mine": "yes", "kubernetes.io/bootstrapping": "rbac-defaults"}
    assert reconcile(change.obj, wanted) is None
    existing.metadata.annotations = {policy.AUTOUPDATE: "false"}
    assert reconcile(existing, wanted) is None


def test_bindings() -> None:
    wanted = next(b for b in policy.cluster_role_bindings() if b.metadata.name == "system:discovery")
    existing: ClusterRoleBinding = codec.copy(wanted)
    assert existing.subjects is not None
    existing.subjects[0].name = "somebody"
    change = reconcile(existing, wanted)
    assert change is not None and change.how == "update"
    assert [s.name for s in change.obj.subjects or ()] == ["somebody", "system:authenticated"]  # type: ignore[union-attr]
    existing.role_ref.name = "other"
    change = reconcile(existing, wanted)
    assert change is not None and change.how == "replace"
