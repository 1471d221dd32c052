"""Patches: upstream's rules and texts, and that a made patch does what it was made for."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybernetes.api.apps_v1 import Deployment
from pybernetes.api.core_v1 import Pod, Service
from pybernetes.machinery import patch, schema
from pybernetes.machinery.strategic import StrategicError

POD = schema.of_struct(Pod)
DEPLOYMENT = schema.of_struct(Deployment)

scalars = st.one_of(st.integers(-5, 5), st.text("ab/~", max_size=3), st.booleans())
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text("abc~/", max_size=2), inner, max_size=3)
    ),
    max_leaves=12,
)
objects = st.dictionaries(st.text("abc~/", min_size=1, max_size=2), values, max_size=4)

containers = st.lists(
    st.builds(
        lambda name, image, args, env: {"name": name, "image": image, "args": args, "env": env},
        st.sampled_from("abcd"),
        st.sampled_from(["i", "j"]),
        st.lists(st.sampled_from("xy"), max_size=2),
        st.lists(
            st.builds(lambda n, v: {"name": n, "value": v}, st.sampled_from("AB"), st.sampled_from("12")),
            max_size=2,
            unique_by=lambda e: e["name"],
        ),
    ),
    max_size=4,
    unique_by=lambda c: c["name"],
)
pods = st.builds(
    lambda c, labels, finalizers, grace: {
        "metadata": {"name": "p", "labels": labels, "finalizers": finalizers},
        "spec": {"containers": c, **({"terminationGracePeriodSeconds": grace} if grace else {})},
    },
    containers,
    st.dictionaries(st.sampled_from("kl"), st.sampled_from("12"), max_size=2),
    st.lists(st.sampled_from("fgh"), max_size=3, unique=True),
    st.integers(0, 2),
)


@given(objects, objects)
def test_merge_patch_of_a_difference_makes_the_other_object(a: dict[str, Any], b: dict[str, Any]) -> None:
    made = patch.diff(a, b)
    assert patch.merge_patch(a, made) == b
    assert (made == {}) == (a == b) or made == {}


@given(pods, pods)
def test_strategic_patch_of_a_difference_makes_the_other_object(a: dict[str, Any], b: dict[str, Any]) -> None:
    before = copy.deepcopy((a, b))
    made = patch.diff(a, b, POD)
    assert patch.strategic_merge(a, made, POD) == b
    assert (a, b) == before


@given(pods)
def test_no_difference_no_patch(a: dict[str, Any]) -> None:
    assert patch.diff(a, copy.deepcopy(a), POD) == {}
    assert patch.three_way(a, a, a, POD) == {}


@given(pods, pods, pods)
def test_three_way_keeps_what_others_added(
    last: dict[str, Any], modified: dict[str, Any], live: dict[str, Any]
) -> None:
    result = patch.strategic_merge(live, patch.three_way(last, modified, live, POD), POD)
    names = [c["name"] for c in modified["spec"]["containers"]]
    kept = [c["name"] for c in result["spec"]["containers"]]
    assert [n for n in kept if n in names] == names
    dropped = {c["name"] for c in last["spec"]["containers"]} - set(names)
    assert not dropped & set(kept)
    others = {c["name"] for c in live["spec"]["containers"]} - dropped
    assert others <= set(kept)
    assert set(modified["metadata"]["finalizers"]) <= set(result["metadata"]["finalizers"])


@given(objects, objects)
def test_json_patch_changes_no_argument(a: dict[str, Any], b: dict[str, Any]) -> None:
    before = copy.deepcopy((a, b))
    operations = [
        {"op": "add", "path": "/new", "value": b},
        {"op": "add", "path": "/new/x", "value": 1},
        {"op": "copy", "from": "/new", "path": "/again"},
        {"op": "add", "path": "/again/x", "value": 2},
        {"op": "move", "from": "/again", "path": "/last"},
    ]
    result = patch.json_patch(a, operations)
    assert (a, b) == before
    assert result["new"]["x"] == 1
    assert result["last"]["x"] == 2
    assert "again" not in result or "again" in a


def test_json_patch_operations() -> None:
    document = {"a": {"b": [1, 2, 3]}, "c~/d": 1}
    result = patch.json_patch(
        document,
        [
            {"op": "test", "path": "/a/b/0", "value": 1},
            {"op": "add", "path": "/a/b/-", "value": 4},
            {"op": "add", "path": "/a/b/1", "value": 9},
            {"op": "remove", "path": "/a/b/0"},
            {"op": "replace", "path": "/c~0~1d", "value": {"x": None}},
        ],
    )
    assert result == {"a": {"b": [9, 2, 3, 4]}, "c~/d": {"x": None}}
    assert patch.json_patch(document, [{"op": "replace", "path": "", "value": {}}]) == {}


@pytest.mark.parametrize(
    ("operation", "text"),
    [
        ({"op": "test", "path": "/a", "value": 2}, "testing value /a failed: test failed"),
        (
            {"op": "remove", "path": "/x"},
            "error in remove for path: '/x': Unable to remove nonexistent key: x: missing value",
        ),
        (
            {"op": "replace", "path": "/x", "value": 1},
            "replace operation does not apply: doc is missing key: /x: missing value",
        ),
        (
            {"op": "add", "path": "/x/y", "value": 1},
            'add operation does not apply: doc is missing path: "/x/y": missing value',
        ),
        (
            {"op": "add", "path": "/l/5", "value": 1},
            "error in add for path: '/l/5': Unable to access invalid index: 5: invalid index referenced",
        ),
        ({"op": "nonsense", "path": "/a"}, "Unexpected kind: nonsense"),
    ],
)
def test_json_patch_errors(operation: dict[str, Any], text: str) -> None:
    with pytest.raises(patch.PatchError) as caught:
        patch.json_patch({"a": 1, "l": [1]}, [operation])
    assert str(caught.value) == text


def test_merge_patch_removes_nulls() -> None:
    assert patch.merge_patch({"a": {"b": 1, "c": 2}, "d": [1]}, {"a": {"b": None}, "d": [2], "e": {"f": None}}) == {
        "a": {"c": 2},
        "d": [2],
        "e": {},
    }


def test_strategic_lists_merge_by_key_and_delete() -> None:
    pod = {"spec": {"containers": [{"name": "a", "image": "1", "args": ["x"]}, {"name": "b", "image": "2"}]}}
    change = {
        "spec": {
            "containers": [{"name": "c", "image": "3"}, {"name": "a", "args": ["y"]}, {"name": "b", "$patch": "delete"}]
        }
    }
    result = patch.strategic_merge(pod, change, POD)
    assert result["spec"]["containers"] == [{"name": "c", "image": "3"}, {"name": "a", "image": "1", "args": ["y"]}]


def test_strategic_directives() -> None:
    deployment = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    change = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert patch.strategic_merge(deployment, change, DEPLOYMENT) == {"spec": {"strategy": {"type": "Recreate"}}}
    meta = {"metadata": {"finalizers": ["a", "b"], "labels": {"x": "1"}}}
    change = {
        "metadata": {
            "finalizers": ["c"],
            "$deleteFromPrimitiveList/finalizers": ["a"],
            "$setElementOrder/finalizers": ["c", "b"],
            "labels": {"$patch": "replace", "y": "2"},
        }
    }
    assert patch.strategic_merge(meta, change, POD) == {"metadata": {"finalizers": ["c", "b"], "labels": {"y": "2"}}}
    replaced = {"spec": {"containers": [{"$patch": "replace"}, {"name": "z"}]}}
    assert patch.strategic_merge({"spec": {"containers": [{"name": "a"}]}}, replaced, POD) == {
        "spec": {"containers": [{"name": "z"}]}
    }


def test_set_element_order_alone_reorders() -> None:
    pod = {"spec": {"containers": [{"name": "a"}, {"name": "b"}, {"name": "x"}]}}
    change = {"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}}
    names = [c["name"] for c in patch.strategic_merge(pod, change, POD)["spec"]["containers"]]
    assert names == ["b", "a", "x"]


def test_a_list_item_without_its_key_is_refused() -> None:
    with pytest.raises(StrategicError, match="does not contain declared merge key: name"):
        patch.strategic_merge(
            {"spec": {"containers": [{"name": "a"}]}}, {"spec": {"containers": [{"image": "i"}]}}, POD
        )


def test_apply_of_a_changed_strategy_retains_keys() -> None:
    last = {"spec": {"strategy": {"type": "RollingUpdate"}}}
    live = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%"}}}}
    made = patch.three_way(last, {"spec": {"strategy": {"type": "Recreate"}}}, live, DEPLOYMENT)
    assert made == {"spec": {"strategy": {"type": "Recreate", "$retainKeys": ["type"]}}}
    assert patch.strategic_merge(live, made, DEPLOYMENT) == {"spec": {"strategy": {"type": "Recreate"}}}


def test_ports_of_a_service_merge_by_port() -> None:
    live = {"spec": {"ports": [{"port": 80, "targetPort": 80}, {"port": 443}]}}
    change = {"spec": {"ports": [{"port": 80, "targetPort": 8080}]}}
    result = patch.strategic_merge(live, change, schema.of_struct(Service))
    assert result["spec"]["ports"] == [{"port": 80, "targetPort": 8080}, {"port": 443}]
