"""Server-side apply and managed fields: who owns what after which write."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybernetes.api.apps_v1 import Deployment
from pybernetes.api.core_v1 import Pod
from pybernetes.machinery import apply as ssa
from pybernetes.machinery import codec, errors, fieldset, schema
from pybernetes.machinery.fieldset import difference, intersection, union, without
from pybernetes.machinery.meta import ManagedFieldsEntry

DEPLOYMENT = schema.of_struct(Deployment)
META = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}}


def deployment(**spec: Any) -> dict[str, Any]:
    return {**META, "spec": spec}


def containers(*items: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return deployment(template={"spec": {"containers": list(items)}}, **spec)


def apply(live: dict[str, Any] | None, obj: dict[str, Any], manager: str, **options: Any) -> dict[str, Any]:
    before = copy.deepcopy((live, obj))
    result = ssa.apply(live, obj, DEPLOYMENT, manager=manager, time=options.pop("time", "T1"), **options)
    assert (live, obj) == before
    return result


def fields(obj: dict[str, Any], manager: str) -> Any:
    return next((e["fieldsV1"] for e in obj["metadata"]["managedFields"] if e["manager"] == manager), None)


def test_create_by_apply_owns_what_it_names() -> None:
    made = apply(None, containers({"name": "c", "image": "i", "ports": [{"containerPort": 80}]}, replicas=3), "me")
    assert fields(made, "me") == {
        "f:spec": {
            "f:replicas": {},
            "f:template": {
                "f:spec": {
                    "f:containers": {
                        'k:{"name":"c"}': {
                            ".": {},
                            "f:name": {},
                            "f:image": {},
                            "f:ports": {'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:containerPort": {}}},
                        }
                    }
                }
            },
        }
    }
    assert made["metadata"]["managedFields"][0]["operation"] == "Apply"


def test_conflict_has_upstreams_words() -> None:
    live = codec.from_dict(Deployment, deployment(replicas=3))
    live.metadata.managed_fields = ssa.track(
        None, live, [], manager="kubectl-client-side-apply", api_version="apps/v1", time="T0"
    )
    with pytest.raises(errors.StatusError) as caught:
        apply(codec.to_dict(live), deployment(replicas=5), "me")
    text = 'Apply failed with 1 conflict: conflict with "kubectl-client-side-apply" using apps/v1: .spec.replicas'
    assert str(caught.value) == text
    assert caught.value.code == 409
    assert [(c.reason, c.field_) for c in caught.value.causes] == [("FieldManagerConflict", ".spec.replicas")]


def test_several_conflicts_are_listed_by_manager() -> None:
    live = apply(None, containers({"name": "c", "image": "i"}, replicas=1), "a")
    with pytest.raises(errors.StatusError) as caught:
        apply(live, containers({"name": "c", "image": "j"}, replicas=2), "b")
    assert str(caught.value) == (
        'Apply failed with 2 conflicts: conflicts with "a":\n'
        '- .spec.replicas\n- .spec.template.spec.containers[name="c"].image'
    )


def test_the_same_value_is_shared_and_force_takes_over() -> None:
    live = apply(None, deployment(replicas=1), "a")
    live = apply(live, deployment(replicas=1), "b")
    assert fields(live, "a") == fields(live, "b") == {"f:spec": {"f:replicas": {}}}
    live = apply(live, deployment(replicas=2), "b", force=True)
    assert live["spec"]["replicas"] == 2
    assert fields(live, "a") is None


def test_what_is_no_longer_applied_and_nobody_owns_is_removed() -> None:
    live = apply(
        None, containers({"name": "c", "image": "i", "args": ["x"]}, {"name": "d", "image": "i"}, replicas=1), "a"
    )
    live = apply(live, containers({"name": "d", "image": "i"}), "b")
    live = apply(live, containers({"name": "c", "image": "i"}), "a")
    assert live["spec"]["template"]["spec"]["containers"] == [{"name": "c", "image": "i"}, {"name": "d", "image": "i"}]
    assert "replicas" not in live["spec"]
    live = apply(live, containers(), "b")
    assert live["spec"]["template"]["spec"]["containers"] == [{"name": "c", "image": "i"}]
    assert live["metadata"]["name"] == "web"


def test_an_equal_apply_keeps_the_time() -> None:
    live = apply(None, deployment(replicas=1), "a", time="T1")
    assert apply(live, deployment(replicas=1), "a", time="T2") == live


def test_objects_from_before_anybody_kept_track() -> None:
    live = apply({**deployment(replicas=1, paused=True)}, deployment(replicas=1), "a")
    assert fields(live, ssa.BEFORE_FIRST_APPLY) == {"f:spec": {".": {}, "f:replicas": {}, "f:paused": {}}}
    with pytest.raises(errors.StatusError, match="before-first-apply"):
        apply(live, deployment(paused=False), "b")


def test_applied_managed_fields_and_missing_keys_are_refused() -> None:
    with pytest.raises(errors.StatusError, match="managedFields must be nil"):
        apply(None, {**META, "metadata": {"managedFields": [{"manager": "x"}]}}, "a")
    with pytest.raises(errors.StatusError, match='omits key field "name"'):
        apply(None, containers({"image": "i"}), "a")


def test_reset_fields_are_ignored() -> None:
    made = apply(None, {**deployment(replicas=1), "status": {"replicas": 9}}, "a", reset=ssa.tree_of("status"))
    assert "status" not in made
    assert fields(made, "a") == {"f:spec": {"f:replicas": {}}}


def test_order_of_lists_follows_the_applier() -> None:
    live = apply(None, containers({"name": "a"}, {"name": "b"}, {"name": "c"}), "x")
    live = apply(live, containers({"name": "c"}, {"name": "new"}), "y")
    assert [c["name"] for c in live["spec"]["template"]["spec"]["containers"]] == ["a", "b", "c", "new"]


def test_custom_resources_without_schema() -> None:
    cr = {"apiVersion": "x/v1", "kind": "W", "metadata": {"name": "w"}, "spec": {"list": [1], "map": {"a": 1}}}
    made = ssa.apply(None, cr, schema.ANY, manager="a", time="T")
    assert fields(made, "a") == {"f:spec": {".": {}, "f:list": {}, "f:map": {".": {}, "f:a": {}}}}
    made = ssa.apply(made, {**cr, "spec": {"map": {"b": 2}}}, schema.ANY, manager="a", time="T")
    assert made["spec"] == {"map": {"b": 2}}


def pod(**status: Any) -> Pod:
    spec = {"containers": [{"name": "c", "image": "i"}]}
    return codec.from_dict(
        Pod, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec, "status": status}
    )


def test_tracking_updates() -> None:
    first = pod()
    entries = ssa.track(None, first, [], manager="kubectl", api_version="v1", time="T1")
    assert [(e.manager, e.operation, e.time) for e in entries] == [("kubectl", "Update", "T1")]
    assert entries[0].fields_v1 == {
        "f:spec": {"f:containers": {'k:{"name":"c"}': {".": {}, "f:name": {}, "f:image": {}}}}
    } or "f:resources" in str(entries[0].fields_v1)
    ready = [{"type": "Ready", "status": "True"}]
    second = pod(phase="Running", conditions=ready)
    after = ssa.track(first, second, entries, manager="kubelet", api_version="v1", time="T2", subresource="status")
    assert after[0] is entries[0]
    assert after[1].subresource == "status"
    assert after[1].fields_v1 is not None
    assert after[1].fields_v1["f:status"]["f:phase"] == {}
    assert "f:conditions" in after[1].fields_v1["f:status"]
    third = ssa.track(second, pod(phase="Failed", conditions=ready), after, manager="x", api_version="v1", time="T3")
    owners = [e.manager for e in third if "f:phase" in (e.fields_v1 or {}).get("f:status", {})]
    assert owners == ["x"]
    assert ssa.track(second, codec.copy(second), after, manager="y", api_version="v1", time="T4") == after


def test_many_managers_are_folded_together() -> None:
    entries: list[ManagedFieldsEntry] = []
    old = pod()
    for i in range(15):
        new = codec.copy(old)
        new.metadata.labels = {**(old.metadata.labels or {}), f"l{i}": "x"}
        entries = ssa.track(old, new, entries, manager=f"m{i}", api_version="v1", time=f"T{i:02d}")
        old = new
    assert len(entries) == ssa.MAX_UPDATE_MANAGERS
    ancient = next(e for e in entries if e.manager == ssa.ANCIENT)
    assert ancient.fields_v1 is not None
    assert "f:l0" in ancient.fields_v1["f:metadata"]["f:labels"]


# The algebra, against plain Python sets of paths

steps = st.sampled_from(["f:a", "f:b", "f:c"])
members = st.sets(st.lists(steps, min_size=1, max_size=3).map(tuple), max_size=6)


def tree(paths: set[tuple[str, ...]]) -> fieldset.Tree:
    root: dict[str, Any] = {}
    for path in sorted(paths):
        node = root
        for step in path:
            node = node.setdefault(step, {})
        node["."] = {}
    return tidy(root, True)


def tidy(node: dict[str, Any], root: bool = False) -> dict[str, Any]:
    if set(node) == {"."} and not root:
        return {}
    return {k: {} if k == "." else tidy(v) for k, v in node.items()}


def flat(node: fieldset.Tree, path: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    found: set[tuple[str, ...]] = set()
    for step, child in node.items():
        if step == ".":
            found.add(path)
        elif not child:
            found.add((*path, step))
        else:
            found |= flat(child, (*path, step))
    return found


@given(members, members)
def test_algebra(a: set[tuple[str, ...]], b: set[tuple[str, ...]]) -> None:
    x, y = tree(a), tree(b)
    assert flat(x) == a
    assert flat(union(x, y)) == a | b
    assert flat(difference(x, y)) == a - b
    assert flat(intersection(x, y)) == a & b
    assert flat(without(x, y)) == {p for p in a if not any(p[: len(q)] == q for q in b)}
    assert (flat(x), flat(y)) == (a, b)
    assert difference(x, {}) is x


values = st.recursive(
    st.integers(0, 2), lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3), max_leaves=8
)
bodies = st.dictionaries(st.sampled_from("abc"), values, min_size=1, max_size=3)


@given(bodies, bodies)
def test_an_apply_by_the_only_manager_makes_exactly_its_object(a: dict[str, Any], b: dict[str, Any]) -> None:
    head = {"apiVersion": "x/v1", "kind": "W", "metadata": {"name": "w"}}
    live = ssa.apply(None, {**head, "spec": a}, schema.ANY, manager="m", time="T")
    assert live["spec"] == a
    assert ssa.apply(live, {**head, "spec": b}, schema.ANY, manager="m", time="T")["spec"] == b


def test_equal_sets_are_one_object_and_survive_copies() -> None:
    first, second = pod(phase="Running"), pod(phase="Pending")
    for obj in (first, second):
        obj.metadata.managed_fields = ssa.track(None, obj, [], manager="m", api_version="v1", time="T")
    assert first.metadata.managed_fields is not None
    assert second.metadata.managed_fields is not None
    assert first.metadata.managed_fields[0].fields_v1 is second.metadata.managed_fields[0].fields_v1
    other = codec.copy(first)
    assert other == first
    other.metadata.managed_fields.clear()
    assert len(first.metadata.managed_fields) == 1
    decoded = codec.decode(Pod, codec.encode(first))
    ssa.share(decoded.metadata.managed_fields)
    assert decoded.metadata.managed_fields is not None
    assert decoded.metadata.managed_fields[0].fields_v1 is first.metadata.managed_fields[0].fields_v1


def test_what_the_client_sends_as_managed_fields() -> None:
    old = [ManagedFieldsEntry(manager="a", operation="Update", fields_v1={"f:x": {}})]
    assert ssa.client_entries(old, None) == old
    assert ssa.client_entries(old, [ManagedFieldsEntry()]) == []
    assert ssa.client_entries(old, old[:]) == old
    mine = [ManagedFieldsEntry(manager="b", operation="Apply", fields_v1={"f:y": {}})]
    assert ssa.client_entries(old, mine) == mine


def test_fields_that_the_schema_does_not_know_are_refused() -> None:
    with pytest.raises(errors.StatusError) as caught:
        apply(None, containers({"name": "c", "foo": 1}), "a")
    assert str(caught.value) == (
        "failed to create typed patch object (web; apps/v1, Kind=Deployment): "
        '.spec.template.spec.containers[name="c"].foo: field not declared in schema'
    )
    assert caught.value.code == 500
    crd = schema.of_crd(
        {"type": "object", "properties": {"spec": {"type": "object", "properties": {"a": {"type": "string"}}}}}
    )
    head = {"apiVersion": "x/v1", "kind": "W", "metadata": {"name": "w", "namespace": "n", "odd": 1}}
    with pytest.raises(errors.StatusError) as caught:
        ssa.apply(None, {**head, "spec": {"b": 1}}, crd, manager="a", time="T")
    assert str(caught.value) == (
        "failed to create typed patch object (n/w; x/v1, Kind=W): errors:\n"
        "  .metadata.odd: field not declared in schema\n  .spec.b: field not declared in schema"
    )


def test_created_is_a_comparison_with_an_empty_object() -> None:
    made = codec.from_dict(
        Deployment,
        containers({"name": "c", "image": "i", "ports": [{"containerPort": 80}]}, selector={"matchLabels": {"a": "b"}}),
    )
    made.metadata.labels = {"x": "y"}
    assert fieldset.created(made) == fieldset.compare(Deployment(), made)[0]
    assert fieldset.created(pod(phase="Running")) == fieldset.compare(Pod(), pod(phase="Running"))[0]
