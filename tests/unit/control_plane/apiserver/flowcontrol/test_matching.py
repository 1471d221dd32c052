"""FlowSchemas and requests; hands of queues."""

from __future__ import annotations

from typing import Any

import pytest

from pybernetes.api.flowcontrol_v1 import FlowSchema
from pybernetes.control_plane.apiserver import requestinfo
from pybernetes.control_plane.apiserver.authentication.user import User
from pybernetes.control_plane.apiserver.flowcontrol.matching import flow_of, hand_of, in_order, matches, seats
from pybernetes.control_plane.apiserver.poststart.flowcontrol import schemas
from pybernetes.machinery import codec

AUTHENTICATED = "system:authenticated"


def user(name: str, *groups: str) -> User:
    return User(name, "", (*groups, AUTHENTICATED))


ACCOUNT = "system:serviceaccount:{}:{}".format


@pytest.mark.parametrize(
    ("who", "method", "path", "schema"),
    [
        (user("admin", "system:masters"), "GET", "/api/v1/pods", "exempt"),
        (user("anna"), "GET", "/livez", "probes"),
        (user("anna"), "GET", "/version", "global-default"),
        (User("system:anonymous", "", ("system:unauthenticated",)), "GET", "/version", "global-default"),
        (user("system:kube-scheduler"), "PUT", "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/x",
         "system-leader-election"),
        (user("system:kube-scheduler"), "GET", "/api/v1/pods", "kube-scheduler"),
        (user("system:node:a", "system:nodes"), "PATCH", "/api/v1/nodes/a/status", "system-node-high"),
        (user("system:node:a", "system:nodes"), "GET", "/api/v1/pods", "system-nodes"),
        (user(ACCOUNT("kube-system", "x"), "system:serviceaccounts"), "GET", "/api/v1/pods",
         "kube-system-service-accounts"),
        (user(ACCOUNT("default", "x"), "system:serviceaccounts"), "GET", "/api/v1/pods", "service-accounts"),
        (user("anna"), "GET", "/api/v1/nodes", "global-default"),
    ],
)  # fmt: skip
def test_what_the_first_schemas_say(who: User, method: str, path: str, schema: str) -> None:
    info = requestinfo.parse(method, path, {})
    assert next(s.metadata.name for s in in_order(schemas()) if matches(s, who, info)) == schema


def of(rule: dict[str, Any], **spec: Any) -> FlowSchema:
    subjects = [{"kind": "User", "user": {"name": "anna"}}]
    return codec.from_dict(FlowSchema, {"spec": {"rules": [{"subjects": subjects, **rule}], **spec}})


@pytest.mark.parametrize(
    ("path", "namespaces", "cluster", "fits"),
    [
        ("/api/v1/namespaces/a/pods", ["a"], False, True),
        ("/api/v1/namespaces/b/pods", ["a"], True, False),
        ("/api/v1/pods", ["*"], False, False),
        ("/api/v1/pods", ["*"], True, True),
        ("/api/v1/namespaces/a/pods/x/status", ["*"], True, False),
    ],
)
def test_scope(path: str, namespaces: list[str], cluster: bool, fits: bool) -> None:
    rule = {"verbs": ["*"], "apiGroups": [""], "resources": ["pods"], "namespaces": namespaces, "clusterScope": cluster}
    info = requestinfo.parse("GET", path, {})
    assert matches(of({"resourceRules": [rule]}), user("anna"), info) is fits
    assert not matches(of({"resourceRules": [rule]}), user("other"), info)


def test_flows_and_seats() -> None:
    info = requestinfo.parse("GET", "/api/v1/namespaces/a/pods", {})
    assert flow_of(of({}), user("anna"), info) == ""
    assert flow_of(of({}, distinguisherMethod={"type": "ByUser"}), user("anna"), info) == "anna"
    assert flow_of(of({}, distinguisherMethod={"type": "ByNamespace"}), user("anna"), info) == "a"
    assert [seats("list", n) for n in (0, 99, 250, 100_000)] == [1, 1, 2, 10]
    assert seats("create", 100_000) == 1


def test_a_hand_is_of_different_cards_and_every_card_is_dealt() -> None:
    seen = set()
    for value in range(2000):
        hand = hand_of(value * 2654435761, 16, 4)
        assert len(set(hand)) == 4 and hand == hand_of(value * 2654435761, 16, 4)
        seen.update(hand)
    assert seen == set(range(16))
    assert sorted(hand_of(12345, 3, 8)) == [0, 1, 2]
