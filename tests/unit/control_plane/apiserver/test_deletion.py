"""Deletion: grace, finalizers, propagation, preconditions, namespaces."""

from __future__ import annotations

from typing import Any

import pytest

from pybernetes.aio import clock
from pybernetes.api.apps_v1 import Deployment
from pybernetes.api.batch_v1 import Job
from pybernetes.api.core_v1 import Binding as BindingObject
from pybernetes.api.core_v1 import ConfigMap, Namespace, Pod, ServiceAccount
from pybernetes.api.policy_v1 import Eviction, PodDisruptionBudget
from pybernetes.client.client import Client
from pybernetes.machinery import codec, errors
from pybernetes.machinery.meta import ObjectMeta
from tests.suites.api_server import client_of, running
from tests.suites.resource_contract import sample


async def pod(client: Client, *, node: str = "", grace: int = 30, name: str = "p") -> Pod:
    """A Pod, bound to a node if there is one."""
    accounts = client.resource(ServiceAccount)
    if not (await accounts.list("default")).items:
        await accounts.create(ServiceAccount(metadata=ObjectMeta(name="default", namespace="default")))
    obj = codec.from_dict(Pod, sample("v1 Pod", name, "default"))
    obj.spec.termination_grace_period_seconds = grace
    made = await client.resource(Pod).create(obj)
    if node:
        binding = BindingObject(metadata=ObjectMeta(name=name, namespace="default"))
        binding.target.kind, binding.target.name = "Node", node
        await client.resource(Pod).create_subresource(name, "default", "binding", binding)
        made = await client.resource(Pod).get(name, "default")
    return made


async def exists(resource: Any, name: str, namespace: str = "default") -> bool:
    try:
        await resource.get(name, namespace)
    except errors.StatusError as error:
        assert errors.is_not_found(error)
        return False
    return True


async def test_an_unscheduled_pod_goes_at_once() -> None:
    async with running() as server:
        client = client_of(server)
        await pod(client)
        await client.resource(Pod).delete("p", "default")
        assert not await exists(client.resource(Pod), "p")


async def test_a_running_pod_gets_its_grace_and_it_can_only_shrink() -> None:
    async with running() as server:
        client = client_of(server)
        pods = client.resource(Pod)
        bound = await pod(client, node="n1")
        assert bound.spec.node_name == "n1"
        await pods.delete("p", "default")
        going = await pods.get("p", "default")
        assert going.metadata.deletion_grace_period_seconds == 30
        assert going.metadata.deletion_timestamp == clock.format_rfc3339(clock.timestamp() + 30)
        assert going.metadata.generation == (bound.metadata.generation or 0) + 1
        await pods.delete("p", "default", grace_period=60)
        assert (await pods.get("p", "default")).metadata.deletion_grace_period_seconds == 30
        await pods.delete("p", "default", grace_period=5)
        shorter = await pods.get("p", "default")
        assert shorter.metadata.deletion_grace_period_seconds == 5
        assert shorter.metadata.deletion_timestamp == clock.format_rfc3339(clock.timestamp() + 5)
        await pods.delete("p", "default", grace_period=0)
        assert not await exists(pods, "p")


async def test_binding_twice_conflicts() -> None:
    async with running() as server:
        client = client_of(server)
        await pod(client, node="n1")
        binding = BindingObject(metadata=ObjectMeta(name="p", namespace="default"))
        binding.target.kind, binding.target.name = "Node", "n2"
        with pytest.raises(errors.StatusError) as twice:
            await client.resource(Pod).create_subresource("p", "default", "binding", binding)
        assert errors.is_conflict(twice.value) and 'already assigned to node "n1"' in twice.value.message


async def test_finalizers_hold_an_object() -> None:
    async with running() as server:
        maps = client_of(server).resource(ConfigMap)
        meta = ObjectMeta(name="m", namespace="default", finalizers=["example.com/hold"])
        await maps.create(ConfigMap(metadata=meta))
        await maps.delete("m", "default")
        held = await maps.get("m", "default")
        assert held.metadata.deletion_timestamp and held.metadata.deletion_grace_period_seconds == 0
        await maps.patch("m", "default", {"metadata": {"finalizers": None}})
        assert not await exists(maps, "m")


@pytest.mark.parametrize(
    ("key", "kind", "policy", "finalizers"),
    [
        ("apps/v1 Deployment", Deployment, None, None),
        ("apps/v1 Deployment", Deployment, "Background", None),
        ("apps/v1 Deployment", Deployment, "Foreground", ["foregroundDeletion"]),
        ("apps/v1 Deployment", Deployment, "Orphan", ["orphan"]),
        ("batch/v1 Job", Job, None, ["orphan"]),
    ],
)
async def test_propagation(key: str, kind: Any, policy: Any, finalizers: list[str] | None) -> None:
    async with running() as server:
        resource = client_of(server).resource(kind)
        await resource.create(codec.from_dict(kind, sample(key, "x", "default")))
        await resource.delete("x", "default", propagation=policy)
        if finalizers is None:
            assert not await exists(resource, "x")
        else:
            left = await resource.get("x", "default")
            assert left.metadata.finalizers == finalizers and left.metadata.deletion_timestamp


async def test_preconditions() -> None:
    async with running() as server:
        maps = client_of(server).resource(ConfigMap)
        await maps.create(ConfigMap(metadata=ObjectMeta(name="m", namespace="default")))
        with pytest.raises(errors.StatusError) as other:
            await maps.delete("m", "default", uid="another")
        assert errors.is_conflict(other.value)
        assert "the UID in the precondition (another) does not match the UID in record" in other.value.message
        with pytest.raises(errors.StatusError) as stale:
            await maps.delete("m", "default", resource_version="1")
        assert errors.is_conflict(stale.value)
        assert await exists(maps, "m")


async def test_a_namespace_terminates_and_refuses_new_objects() -> None:
    async with running() as server:
        client = client_of(server)
        spaces = client.resource(Namespace)
        made = await spaces.create(Namespace(metadata=ObjectMeta(name="team")))
        assert made.status.phase == "Active" and made.spec.finalizers == ["kubernetes"]
        assert made.metadata.labels == {"kubernetes.io/metadata.name": "team"}
        await spaces.delete("team")
        going = await spaces.get("team")
        assert going.status.phase == "Terminating" and going.metadata.deletion_timestamp
        with pytest.raises(errors.StatusError) as refused:
            await client.resource(ConfigMap).create(ConfigMap(metadata=ObjectMeta(name="m", namespace="team")))
        assert errors.is_forbidden(refused.value) and errors.has_cause(refused.value, "NamespaceTerminating")
        with pytest.raises(errors.StatusError) as missing:
            await client.resource(ConfigMap).create(ConfigMap(metadata=ObjectMeta(name="m", namespace="nowhere")))
        assert missing.value.message == 'namespaces "nowhere" not found'
        with pytest.raises(errors.StatusError) as immortal:
            await spaces.delete("default")
        assert errors.is_forbidden(immortal.value)


async def test_collections() -> None:
    async with running() as server:
        maps = client_of(server).resource(ConfigMap)
        for name, tier in (("a", "x"), ("b", "x"), ("c", "y")):
            await maps.create(ConfigMap(metadata=ObjectMeta(name=name, namespace="default", labels={"tier": tier})))
        await maps.delete_collection("default", label_selector="tier=x")
        assert [m.metadata.name for m in (await maps.list("default")).items] == ["c"]


async def test_eviction_asks_the_budget() -> None:
    async with running() as server:
        client = client_of(server)
        pods, budgets = client.resource(Pod), client.resource(PodDisruptionBudget)
        bound = codec.copy(await pod(client, node="n1"))
        bound.metadata.labels = {"app": "a"}
        bound = codec.copy(await pods.update(bound))
        bound.status.phase = "Running"
        await pods.update_status(bound)
        budget = await budgets.create(
            codec.from_dict(PodDisruptionBudget, sample("policy/v1 PodDisruptionBudget", "b", "default"))
        )
        eviction = Eviction(metadata=ObjectMeta(name="p", namespace="default"))
        with pytest.raises(errors.StatusError) as early:
            await pods.create_subresource("p", "default", "eviction", eviction)
        assert early.value.code == 429 and errors.has_cause(early.value, "DisruptionBudget")
        budget = codec.copy(budget)
        budget.status.observed_generation, budget.status.disruptions_allowed = budget.metadata.generation, 1
        await budgets.update_status(budget)
        await pods.create_subresource("p", "default", "eviction", eviction)
        going = await pods.get("p", "default")
        assert going.metadata.deletion_timestamp
        assert any(c.type == "DisruptionTarget" for c in going.status.conditions or ())
        left = await budgets.get("b", "default")
        assert left.status.disruptions_allowed == 0 and "p" in (left.status.disrupted_pods or {})


async def test_a_pod_that_is_deleted_at_once_is_seen_as_being_deleted_before() -> None:
    async with running() as server:
        client = client_of(server)
        pods = client.resource(Pod)
        made = await pod(client, node="n1")
        stream = pods.watch("default", resource_version=made.metadata.resource_version)
        await pods.delete("p", "default", grace_period=0)
        first, second = await anext(stream), await anext(stream)
        assert (first.type, second.type) == ("MODIFIED", "DELETED")
        for event in (first, second):
            assert event.object.metadata.deletion_timestamp and event.object.metadata.deletion_grace_period_seconds == 0
        await stream.aclose()  # type: ignore[attr-defined]


async def test_a_pod_that_another_takes_out_meanwhile_was_deleted_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as server:
        client = client_of(server)
        pods = client.resource(Pod)
        await pod(client, node="n1")
        store = server.store
        delete = store.delete

        async def after_another(key: str, revision: int) -> Any:
            await delete(key, revision)  # the kubelet has seen the mark and is done with it first
            return await delete(key, revision)

        monkeypatch.setattr(store, "delete", after_another)
        await pods.delete("p", "default", grace_period=0)
        assert not await exists(pods, "p")
