"""Every kind against the contract of `tests/suites/resource_contract.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pybernetes.api import kinds
from pybernetes.client.client import Client
from pybernetes.client.transport import Request
from pybernetes.control_plane.apiserver import tables
from pybernetes.control_plane.apiserver.server import APIServer
from pybernetes.machinery import errors
from tests.suites import resource_contract as contract
from tests.suites.api_server import client_of, running
from tests.suites.etcd_server import BINARY, EtcdServer


def test_every_kind_has_a_sample() -> None:
    stored = {f"{k.api_version} {k.kind}" for k in kinds.KINDS if "list" in k.verbs}
    assert stored - contract.SAMPLES.keys() - contract.ELSEWHERE == set()


@pytest.mark.parametrize("key", sorted(contract.SAMPLES))
async def test_life_of_an_object(key: str) -> None:
    async with running() as server:
        await life(server, key)


@pytest.mark.real_time
@pytest.mark.skipif(BINARY is None, reason="no etcd on this machine")
async def test_life_of_objects_in_etcd(tmp_path: Path) -> None:
    with EtcdServer(tmp_path) as etcd:
        async with running(store=etcd.url) as server:
            await life(server, "v1 ConfigMap")
            await life(server, "apps/v1 Deployment")
            kept = contract.sample("v1 ConfigMap", "kept", "default")
            await client_of(server).dynamic("v1", "ConfigMap").create(kept)
        async with running(store=etcd.url) as server:
            found = await client_of(server).dynamic("v1", "ConfigMap").get("kept", "default")
            assert found["data"] == kept["data"] and found["metadata"]["resourceVersion"] != "0"


async def life(server: APIServer, key: str) -> None:
    """Create, read, list, patch, apply, update, delete and watch one object of a kind."""
    client: Client = client_of(server)
    kind = kinds.by_kind(*key.split())
    assert kind is not None
    namespace = "default" if kind.namespaced else ""
    resource = client.of_kind(kind)
    obj = contract.sample(key, "one", namespace)
    if kind.kind == "Pod":
        account = contract.sample("v1 ServiceAccount", "default", "default")
        await client.dynamic("v1", "ServiceAccount").create(account)

    tried = await resource.create(obj, dry_run=True)
    assert tried["metadata"]["uid"]
    with pytest.raises(errors.StatusError) as missing:
        await resource.get("one", namespace)
    assert errors.is_not_found(missing.value)

    before = await resource.list(namespace)
    stream = await resource.watch_batches(namespace, resource_version=before.resource_version)
    made = await resource.create(obj, field_manager="maker")
    meta = made["metadata"]
    assert meta["name"] == "one" and meta["uid"] and meta["creationTimestamp"] and meta["resourceVersion"]
    assert {e["manager"] for e in meta["managedFields"]} == {"maker"}
    assert made["apiVersion"] == kind.api_version and made["kind"] == kind.kind
    with pytest.raises(errors.StatusError) as twice:
        await resource.create(obj)
    assert errors.is_already_exists(twice.value)
    assert await resource.get("one", namespace) == made

    listed = await resource.list(namespace, label_selector="suite=contract")
    assert [i["metadata"]["name"] for i in listed.items] == ["one"]
    assert not (await resource.list(namespace, field_selector="metadata.name=other")).items

    patched = await resource.patch("one", namespace, {"metadata": {"annotations": {"x": "1"}}})
    assert patched["metadata"]["annotations"]["x"] == "1"
    same = patched["metadata"].get("generation") == meta.get("generation")
    assert same is (kind.kind != "Deployment")  # whose annotations are told to its ReplicaSets
    stale = {**made, "metadata": {**made["metadata"], "annotations": {"x": "2"}}}
    with pytest.raises(errors.StatusError) as lost:
        await resource.update(stale)
    assert errors.is_conflict(lost.value)
    again = await resource.update(patched)
    assert again["metadata"]["resourceVersion"] == patched["metadata"]["resourceVersion"], "a no-op writes nothing"

    applied = await resource.patch(
        "one",
        namespace,
        {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": "one", "labels": {"mine": "yes"}}},
        type="apply",
        field_manager="applier",
    )
    assert {"suite": "contract", "mine": "yes"}.items() <= applied["metadata"]["labels"].items()
    assert any(e["operation"] == "Apply" for e in applied["metadata"]["managedFields"])

    served = server.registry.get(kind.group, kind.version, kind.resource)
    assert served is not None and served.storage is not None
    table = tables.table_of(served, served.storage.list(namespace), "Metadata", "v1", None)
    assert all(len(row["cells"]) == len(table["columnDefinitions"]) for row in table["rows"])

    await resource.delete("one", namespace, grace_period=0)
    if kind.kind == "Namespace":
        gone = await resource.get("one")
        assert gone["status"]["phase"] == "Terminating"
        gone["spec"]["finalizers"] = []
        await resource.update(gone, "finalize")
    elif (await _finalizers(resource, namespace)) != []:
        await resource.patch("one", namespace, {"metadata": {"finalizers": None}})
    with pytest.raises(errors.StatusError) as after:
        await resource.get("one", namespace)
    assert errors.is_not_found(after.value)

    seen: list[tuple[str, str]] = []
    async for batch in stream:
        seen += [(type_, o["metadata"]["name"]) for type_, o in batch if o["metadata"]["name"] == "one"]
        if seen and seen[-1][0] == "DELETED":
            break
    await stream.close()
    assert seen[0] == ("ADDED", "one") and seen[-1] == ("DELETED", "one")
    assert {type_ for type_, _ in seen[1:-1]} == {"MODIFIED"}


async def _finalizers(resource: Any, namespace: str) -> list[str]:
    try:
        left = await resource.get("one", namespace)
    except errors.StatusError:
        return []
    return left["metadata"].get("finalizers") or []


async def test_unknown_paths_and_verbs() -> None:
    async with running() as server:
        transport = client_of(server).transport
        with pytest.raises(errors.StatusError) as path:
            await transport.request(Request("GET", "/api/v1/nonsense"))
        assert path.value.code == 404
        assert path.value.message == "the server could not find the requested resource"
        with pytest.raises(errors.StatusError) as verb:
            await transport.request(Request("POST", "/api/v1/namespaces/default", body={}))
        assert verb.value.code == 405
