"""Custom resources in a real server: from definition to objects, and back to nothing."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from pybernetes.aio import clock
from pybernetes.client.client import Client
from pybernetes.control_plane.apiserver.call import Call
from pybernetes.control_plane.apiserver.render import respond
from pybernetes.control_plane.apiserver.server import SELF, APIServer
from pybernetes.machinery import errors
from tests.suites.api_server import client_of, running

CRDS = ("apiextensions.k8s.io/v1", "CustomResourceDefinition")
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {
                "replicas": {"type": "integer", "minimum": 0},
                "color": {"type": "string", "default": "red", "enum": ["red", "blue"]},
                "tags": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
            },
        },
        "status": {"type": "object", "properties": {"replicas": {"type": "integer"}}},
    },
}


def definition(**spec: Any) -> dict[str, Any]:
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": copy.deepcopy(SCHEMA)},
        "subresources": {
            "status": {},
            "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"},
        },
        "additionalPrinterColumns": [
            {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas"},
            {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        ],
        "selectableFields": [{"jsonPath": ".spec.color"}],
    }
    return {
        "apiVersion": CRDS[0],
        "kind": CRDS[1],
        "metadata": {"name": "foos.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "foos", "kind": "Foo", "shortNames": ["fo"]},
            "versions": [version],
            **spec,
        },
    }


def foo(name: str = "a", version: str = "v1", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": f"example.com/{version}",
        "kind": "Foo",
        "metadata": {"name": name, "namespace": "default"},
        "spec": spec,
    }


async def define(client: Client, **spec: Any) -> Any:
    made = await client.dynamic(*CRDS).create(definition(**spec))
    await clock.sleep(0.01)
    return made


def condition(obj: dict[str, Any], type_: str) -> dict[str, Any]:
    return next(c for c in obj["status"]["conditions"] if c["type"] == type_)


async def ask(server: APIServer, path: str, accept: bytes = b"application/json") -> Any:
    import msgspec

    call = Call("GET", path, {}, headers={b"accept": accept}, user=SELF)
    result = await server.chain.serve(call)
    assert result is not None
    body = respond(call, result).body
    return msgspec.json.decode(body if isinstance(body, bytes) else b"".join(body))


async def test_from_definition_to_object() -> None:
    async with running() as server:
        client = client_of(server)
        made = await define(client)
        assert condition(made, "Established")["status"] == "True"
        assert made["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
        foos = client.dynamic("example.com/v1", "Foo")
        created = await foos.create(foo(replicas=2, unknown=1))
        assert created["spec"] == {"replicas": 2, "color": "red"}
        assert created["metadata"]["generation"] == 1
        resources = await ask(server, "/apis/example.com/v1")
        assert [r["name"] for r in resources["resources"]] == ["foos", "foos/scale", "foos/status"]


async def test_values_are_judged() -> None:
    async with running() as server:
        client = client_of(server)
        await define(client)
        with pytest.raises(errors.StatusError) as caught:
            await client.dynamic("example.com/v1", "Foo").create(foo(replicas=-1, color="green", tags=["a", "a"]))
        assert sorted(cause.field_ or "" for cause in caught.value.causes) == [
            "spec.color",
            "spec.replicas",
            "spec.replicas",
            "spec.tags[1]",
        ]
        assert 'spec.color: Unsupported value: "green": supported values: "red", "blue"' in caught.value.message
        assert "spec.replicas in body should be greater than or equal to 0" in caught.value.message


async def test_status_and_scale_are_apart() -> None:
    async with running() as server:
        client = client_of(server)
        await define(client)
        foos = client.dynamic("example.com/v1", "Foo")
        made = await foos.create({**foo(replicas=2), "status": {"replicas": 9}})
        assert "status" not in made
        made = copy.deepcopy(made)
        made["status"] = {"replicas": 1}
        made["spec"]["replicas"] = 5
        after = await foos.update_status(made)
        assert (after["spec"]["replicas"], after["status"]["replicas"]) == (2, 1)
        assert after["metadata"]["generation"] == 1
        scale = await ask(server, "/apis/example.com/v1/namespaces/default/foos/a/scale")
        assert (scale["spec"]["replicas"], scale["status"]["replicas"]) == (2, 1)
        changed = await foos.patch("a", "default", {"spec": {"replicas": 3}})
        assert changed["metadata"]["generation"] == 2


async def test_columns_and_selectable_fields() -> None:
    async with running() as server:
        client = client_of(server)
        await define(client)
        foos = client.dynamic("example.com/v1", "Foo")
        await foos.create(foo("a", replicas=2))
        await foos.create(foo("b", color="blue"))
        page = await foos.list("default", field_selector="spec.color=blue")
        assert [item["metadata"]["name"] for item in page.items] == ["b"]
        with pytest.raises(errors.StatusError, match=r"^field label not supported: spec\.replicas$"):
            await foos.list("default", field_selector="spec.replicas=2")
        accept = b"application/json;as=Table;v=v1;g=meta.k8s.io"
        table = await ask(server, "/apis/example.com/v1/namespaces/default/foos", accept)
        assert [c["name"] for c in table["columnDefinitions"]] == ["Name", "Replicas", "Age"]
        assert [row["cells"][:2] for row in table["rows"]] == [["a", 2], ["b", None]]


async def test_fields_of_kinds_without_any_to_select_by() -> None:
    names = {"plural": "jobs", "kind": "Job"}
    versions = [{**definition()["spec"]["versions"][0], "selectableFields": None}]
    async with running() as server:
        client = client_of(server)
        await client.dynamic(*CRDS).create(
            {**definition(names=names, versions=versions), "metadata": {"name": "jobs.example.com"}}
        )
        await clock.sleep(0.01)
        jobs = client.dynamic("example.com/v1", "Job")
        with pytest.raises(errors.StatusError, match=r"^field label not supported: spec\.color$"):
            await jobs.list("default", field_selector="spec.color=red")


async def test_versions_share_objects() -> None:
    async with running() as server:
        client = client_of(server)
        first = definition()["spec"]["versions"][0]
        second = {
            "name": "v2",
            "served": True,
            "storage": False,
            "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
        }
        await define(client, versions=[first, second])
        await client.dynamic("example.com/v2", "Foo").create(foo(version="v2", replicas=4))
        read = await client.dynamic("example.com/v1", "Foo").get("a", "default")
        assert read["apiVersion"] == "example.com/v1"
        assert read["spec"]["replicas"] == 4


async def test_names_are_first_come_first_served() -> None:
    async with running() as server:
        client = client_of(server)
        await define(client)
        other = definition(names={"plural": "fees", "kind": "Fee", "shortNames": ["fo"]})
        other["metadata"]["name"] = "fees.example.com"
        crds = client.dynamic(*CRDS)
        made = await crds.create(other)
        accepted = condition(made, "NamesAccepted")
        assert (accepted["status"], accepted["reason"]) == ("False", "ShortNamesConflict")
        assert condition(made, "Established")["status"] == "False"
        await crds.delete("foos.example.com")
        await clock.sleep(5)
        assert condition(await crds.get("fees.example.com"), "Established")["status"] == "True"


async def test_deletion_takes_the_objects_along() -> None:
    async with running() as server:
        client = client_of(server)
        await define(client)
        foos = client.dynamic("example.com/v1", "Foo")
        await foos.create(foo("plain"))
        held = foo("held")
        held["metadata"]["finalizers"] = ["example.com/x"]
        await foos.create(held)
        crds = client.dynamic(*CRDS)
        await crds.delete("foos.example.com")
        await clock.sleep(3)
        left = await foos.list("default")
        assert [item["metadata"]["name"] for item in left.items] == ["held"]
        assert condition(await crds.get("foos.example.com"), "Terminating")["status"] == "True"
        await foos.patch("held", "default", {"metadata": {"finalizers": None}})
        await clock.sleep(5)
        with pytest.raises(errors.StatusError) as caught:
            await crds.get("foos.example.com")
        assert errors.is_not_found(caught.value)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"scope": "Everywhere"}, 'spec.scope: Unsupported value: "Everywhere"'),
        ({"versions": []}, "must have exactly one version marked as storage version"),
        ({"group": "nodots"}, "should be a domain with at least one dot"),
    ],
)
async def test_definitions_are_judged(change: dict[str, Any], expected: str) -> None:
    async with running() as server:
        with pytest.raises(errors.StatusError) as caught:
            await client_of(server).dynamic(*CRDS).create(definition(**change))
        assert expected in caught.value.message


async def test_schemas_must_be_structural() -> None:
    bad = definition()
    bad["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["x"] = {}
    async with running() as server:
        with pytest.raises(errors.StatusError) as caught:
            await client_of(server).dynamic(*CRDS).create(bad)
        assert (
            "spec.versions[0].schema.openAPIV3Schema.properties[spec].properties[x].type: Required value: "
            "must not be empty for specified object fields"
        ) in caught.value.message
