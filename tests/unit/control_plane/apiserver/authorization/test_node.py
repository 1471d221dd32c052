from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pybernetes.api.authorization_v1 import (
    LocalSubjectAccessReview,
    SelfSubjectAccessReview,
    SelfSubjectRulesReview,
    SubjectAccessReview,
)
from pybernetes.api.core_v1 import PersistentVolume, PersistentVolumeClaim, Pod
from pybernetes.api.storage_v1 import VolumeAttachment
from pybernetes.control_plane.apiserver.authentication.user import User
from pybernetes.control_plane.apiserver.authorization import policy, reviews
from pybernetes.control_plane.apiserver.authorization.attributes import Attributes
from pybernetes.control_plane.apiserver.authorization.node import NodeAuthorizer
from pybernetes.control_plane.apiserver.authorization.rbac import RBAC
from pybernetes.control_plane.apiserver.authorization.union import Masters, Union
from pybernetes.machinery.errors import StatusError

NODE = User("system:node:one", "", ("system:nodes", "system:authenticated"))
OTHER = User("system:node:two", "", ("system:nodes", "system:authenticated"))

POD = {
    "metadata": {"name": "web", "namespace": "ns"},
    "spec": {
        "nodeName": "one",
        "serviceAccountName": "robot",
        "imagePullSecrets": [{"name": "pull"}],
        "initContainers": [{"name": "i", "envFrom": [{"secretRef": {"name": "from-secret"}}]}],
        "containers": [
            {
                "name": "c",
                "envFrom": [{"configMapRef": {"name": "from-map"}}],
                "env": [
                    {"name": "A", "valueFrom": {"secretKeyRef": {"name": "key-secret", "key": "k"}}},
                    {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "key-map", "key": "k"}}},
                ],
            }
        ],
        "volumes": [
            {"name": "s", "secret": {"secretName": "volume-secret"}},
            {"name": "m", "configMap": {"name": "volume-map"}},
            {"name": "c", "persistentVolumeClaim": {"claimName": "data"}},
            {"name": "e", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}},
            {
                "name": "p",
                "projected": {
                    "sources": [{"secret": {"name": "part-secret"}}, {"configMap": {"name": "kube-root-ca.crt"}}]
                },
            },
            {"name": "i", "csi": {"driver": "d", "nodePublishSecretRef": {"name": "csi-secret"}}},
        ],
        "resourceClaims": [
            {"name": "g", "resourceClaimTemplateName": "t"},
            {"name": "d", "resourceClaimName": "claim"},
        ],
    },
    "status": {"resourceClaimStatuses": [{"name": "g", "resourceClaimName": "generated"}]},
}


class World(dict[tuple[str, str, str, str], Any]):
    def __init__(self) -> None:
        super().__init__()
        self["", "pods", "ns", "web"] = msgspec.convert(POD, Pod)
        self["", "persistentvolumeclaims", "ns", "data"] = msgspec.convert(
            {"metadata": {"name": "data", "namespace": "ns"}, "spec": {"volumeName": "pv"}}, PersistentVolumeClaim
        )
        csi = {"driver": "d", "volumeHandle": "h", "nodeStageSecretRef": {"name": "stage", "namespace": "storage"}}
        self["", "persistentvolumes", "", "pv"] = msgspec.convert(
            {"metadata": {"name": "pv"}, "spec": {"csi": csi}}, PersistentVolume
        )
        self["storage.k8s.io", "volumeattachments", "", "va"] = msgspec.convert(
            {"metadata": {"name": "va"}, "spec": {"attacher": "d", "nodeName": "one", "source": {}}}, VolumeAttachment
        )
        self.authorizer = NodeAuthorizer(lambda *key: self.get(key))
        self.authorizer.put_pod("ns", "web", "one")

    def may(self, user: User, text: str, field_selector: str = "") -> bool:
        """`get secrets ns/name`, `list pods`, `get leases.coordination.k8s.io kube-node-lease/one` ..."""
        verb, resource, *rest = text.split()
        where, _, name = (rest[0] if rest else "").rpartition("/")
        resource, _, sub = resource.partition("/")
        resource, _, group = resource.partition(".")
        attributes = Attributes(verb, group, resource, where, name, sub, field_selector=field_selector)
        return self.authorizer.authorize(user, attributes).allowed


def test_what_pods_refer_to_is_their_nodes() -> None:
    world = World()
    own = [
        *[f"get secrets ns/{n}" for n in ("pull", "from-secret", "key-secret")],
        *[f"get secrets ns/{n}" for n in ("volume-secret", "part-secret", "csi-secret")],
        *[f"watch configmaps ns/{n}" for n in ("from-map", "key-map", "volume-map", "kube-root-ca.crt")],
        "get persistentvolumeclaims ns/data",
        "get persistentvolumeclaims ns/web-e",
        "patch persistentvolumeclaims/status ns/data",
        "get persistentvolumes pv",
        "get secrets storage/stage",
        "create serviceaccounts/token ns/robot",
        "get serviceaccounts ns/robot",
        "get resourceclaims.resource.k8s.io ns/claim",
        "get resourceclaims.resource.k8s.io ns/generated",
        "get volumeattachments.storage.k8s.io va",
        "get pods ns/web",
    ]
    assert [text for text in own if not world.may(NODE, text)] == []
    assert [text for text in own if world.may(OTHER, text)] == []
    assert [text for text in own if world.may(User("system:node:one"), text)] == []  # not in the group
    for text in (
        "get secrets ns/unrelated",
        "get secrets other/pull",
        "list secrets",
        "list secrets ns/",
        "update secrets ns/pull",
        "list persistentvolumeclaims ns/data",
        "create serviceaccounts/token ns/default",
        "get resourceclaims.resource.k8s.io ns/t",
    ):
        assert not world.may(NODE, text)


def test_pods_come_and_go() -> None:
    world = World()
    assert world.may(NODE, "get secrets ns/pull")
    world["", "pods", "ns", "web"].spec.image_pull_secrets = None
    world.authorizer.put_pod("ns", "web", "one")
    assert not world.may(NODE, "get secrets ns/pull") and world.may(NODE, "get secrets ns/key-secret")
    world.authorizer.drop_pod("ns", "web")
    assert not world.may(NODE, "get secrets ns/key-secret")
    world.authorizer.put_pod("ns", "web", "two")
    assert world.may(OTHER, "get secrets ns/key-secret") and not world.may(NODE, "get pods ns/web")
    world["", "pods", "ns", "web"].metadata.annotations = {"kubernetes.io/config.mirror": "x"}
    world.authorizer.put_pod("ns", "web", "two")
    assert not world.may(OTHER, "get secrets ns/key-secret")  # a static pod cannot ask for Secrets


@pytest.mark.parametrize(
    ("text", "selector", "allowed"),
    [
        ("get nodes one", "", True),
        ("get nodes two", "", False),
        ("list nodes", "", False),
        ("list nodes", "metadata.name=one", True),
        ("create nodes", "", True),
        ("patch nodes/status one", "", True),
        ("delete nodes one", "", False),
        ("list pods", "", False),
        ("list pods", "spec.nodeName=one", True),
        ("watch pods", "spec.nodeName=two", False),
        ("watch pods", "spec.nodeName!=one", False),
        ("create pods ns/", "", True),
        ("patch pods/status ns/web", "", True),
        ("create pods/eviction ns/web", "", True),
        ("create pods/exec ns/web", "", False),
        ("update leases.coordination.k8s.io kube-node-lease/one", "", True),
        ("update leases.coordination.k8s.io kube-node-lease/two", "", False),
        ("update leases.coordination.k8s.io kube-system/one", "", False),
        ("create leases.coordination.k8s.io kube-node-lease/", "", True),
        ("get csinodes.storage.k8s.io one", "", True),
        ("get csinodes.storage.k8s.io two", "", False),
        ("list resourceslices.resource.k8s.io", "spec.nodeName=one", True),
        ("list resourceslices.resource.k8s.io", "", False),
        ("list services", "", True),
        ("create events ns/", "", True),
        ("create tokenreviews.authentication.k8s.io", "", True),
        ("list secrets", "", False),
        ("create deployments.apps ns/", "", False),
    ],
)
def test_a_nodes_own_business(text: str, selector: str, allowed: bool) -> None:
    assert World().may(NODE, text, selector) is allowed


# -- reviews ------------------------------------------------------------------------------------------------------


def authorizer() -> tuple[Union, RBAC]:
    rbac = RBAC()
    for obj in policy.everything():
        rbac.put(obj)
    return Union([Masters(), World().authorizer, rbac]), rbac


def ask(kind: Any, **spec: Any) -> Any:
    return kind(spec=msgspec.convert(spec, type(kind().spec)))


def test_subject_access_reviews() -> None:
    union, _ = authorizer()
    question = ask(
        SubjectAccessReview,
        user="system:kube-scheduler",
        resourceAttributes={"verb": "create", "resource": "pods", "subresource": "binding", "namespace": "ns"},
    )
    reviews.review(union, question)
    assert question.status.allowed
    assert question.status.reason == (
        'RBAC: allowed by ClusterRoleBinding "system:kube-scheduler" of ClusterRole "system:kube-scheduler" '
        'to User "system:kube-scheduler"'
    )
    mine = ask(SelfSubjectAccessReview, resourceAttributes={"verb": "delete", "resource": "nodes"})
    reviews.review_self(union, User("jane"), mine)
    assert mine.status.allowed is False and mine.status.reason is None
    path = ask(SelfSubjectAccessReview, nonResourceAttributes={"verb": "get", "path": "/version"})
    reviews.review_self(union, User("jane", "", ("system:authenticated",)), path)
    assert path.status.allowed


def test_node_reviews_look_at_selectors() -> None:
    union, _ = authorizer()
    requirement = {"key": "spec.nodeName", "operator": "In", "values": ["one"]}
    for selector in ({"rawSelector": "spec.nodeName=one"}, {"requirements": [requirement]}):
        attributes = {"verb": "list", "resource": "pods", "fieldSelector": selector}
        question = ask(SelfSubjectAccessReview, resourceAttributes=attributes)
        reviews.review_self(union, NODE, question)
        assert question.status.allowed
        reviews.review_self(union, OTHER, question)
        assert not question.status.allowed and "spec.nodeName" in question.status.reason


@pytest.mark.parametrize(
    ("question", "text"),
    [
        (ask(SubjectAccessReview, user="x"), "exactly one of nonResourceAttributes or resourceAttributes"),
        (ask(SubjectAccessReview, resourceAttributes={"verb": "get"}), "at least one of user or group"),
        (
            ask(LocalSubjectAccessReview, user="x", nonResourceAttributes={"verb": "get", "path": "/"}),
            "disallowed on this kind of request",
        ),
        (
            ask(SubjectAccessReview, user="x", resourceAttributes={}, nonResourceAttributes={}),
            "cannot be specified in combination",
        ),
    ],
)
def test_questions_that_are_none(question: Any, text: str) -> None:
    with pytest.raises(StatusError) as error:
        reviews.review(authorizer()[0], question)
    assert error.value.code == 422 and text in error.value.message


def test_rules_review() -> None:
    _, rbac = authorizer()
    question = ask(SelfSubjectRulesReview, namespace="ns")
    reviews.review_rules(rbac, User("jane", "", ("system:authenticated",)), question)
    status = question.status
    assert not status.incomplete
    assert (["create"], ["authentication.k8s.io"], ["selfsubjectreviews"]) in [
        (r.verbs, r.api_groups, r.resources) for r in status.resource_rules
    ]
    assert any("/apis/*" in (r.non_resource_urls or []) for r in status.non_resource_rules)
    reviews.review_rules(rbac, NODE, question)
    assert question.status.incomplete
    with pytest.raises(StatusError):
        reviews.review_rules(rbac, NODE, ask(SelfSubjectRulesReview))
