"""OpenAPI documents: whole, consistent, and what clients look for in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from pybernetes.aio import clock
from pybernetes.control_plane.apiserver.call import Call, Result
from pybernetes.control_plane.apiserver.server import SELF, APIServer
from tests.suites.api_server import client_of, running
from tests.unit.control_plane.apiserver.crd.test_custom_resources import define


async def ask(server: APIServer, path: str, headers: dict[bytes, bytes] | None = None, **params: str) -> Result:
    call = Call("GET", path, {k: [v] for k, v in params.items()}, headers=headers or {}, user=SELF)
    result = await server.chain.serve(call)
    assert result is not None
    return result


def refs(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key == "$ref" and isinstance(item, str):
                yield item
            yield from refs(item)
    elif isinstance(value, list):
        for item in value:
            yield from refs(item)


async def test_v2_is_whole() -> None:
    async with running() as server:
        result = await ask(server, "/openapi/v2")
        document = msgspec.json.decode(result.raw or b"")
        definitions = document["definitions"]
        assert {ref.removeprefix("#/definitions/") for ref in refs(document)} <= definitions.keys()
        pod = definitions["io.k8s.api.core.v1.Pod"]
        assert pod["x-kubernetes-group-version-kind"] == [{"group": "", "kind": "Pod", "version": "v1"}]
        containers = definitions["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]
        assert containers["x-kubernetes-patch-merge-key"] == "name"
        assert containers["x-kubernetes-list-map-keys"] == ["name"]
        tag = dict(result.headers)[b"Etag"]
        again = await ask(server, "/openapi/v2", {b"if-none-match": tag})
        assert again.status == 304


async def test_every_v3_document_is_whole() -> None:
    async with running() as server:
        index = msgspec.json.decode((await ask(server, "/openapi/v3")).raw or b"")["paths"]
        assert {"api/v1", "apis/apps/v1"} <= index.keys()
        for path, entry in index.items():
            url, _, hashed = entry["serverRelativeURL"].partition("?hash=")
            result = await ask(server, url, hash=hashed)
            assert (b"Cache-Control", b"public, immutable") in result.headers
            document = msgspec.json.decode(result.raw or b"")
            schemas = document["components"]["schemas"]
            assert {ref.removeprefix("#/components/schemas/") for ref in refs(document)} <= schemas.keys(), path


async def test_kubectl_finds_field_validation() -> None:
    async with running() as server:
        document = msgspec.json.decode((await ask(server, "/openapi/v3/apis/apps/v1")).raw or b"")
        patch = document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"]
        assert patch["x-kubernetes-group-version-kind"] == {"group": "apps", "kind": "Deployment", "version": "v1"}
        assert "fieldValidation" in [parameter["name"] for parameter in patch["parameters"]]
        assert "application/strategic-merge-patch+json" in patch["requestBody"]["content"]


async def test_custom_kinds_come_and_go() -> None:
    async with running() as server:
        client = client_of(server)
        before = msgspec.json.decode((await ask(server, "/openapi/v3")).raw or b"")["paths"]
        await define(client)
        index = msgspec.json.decode((await ask(server, "/openapi/v3")).raw or b"")["paths"]
        assert set(index) - set(before) == {"apis/example.com/v1"}
        document = msgspec.json.decode((await ask(server, "/openapi/v3/apis/example.com/v1")).raw or b"")
        spec = document["components"]["schemas"]["com.example.v1.Foo"]["properties"]["spec"]
        assert spec["properties"]["color"]["default"] == "red"
        patch = document["paths"]["/apis/example.com/v1/namespaces/{namespace}/foos/{name}"]["patch"]
        assert "application/strategic-merge-patch+json" not in patch["requestBody"]["content"]
        old = msgspec.json.decode((await ask(server, "/openapi/v2")).raw or b"")
        assert "default" not in old["definitions"]["com.example.v1.Foo"]["properties"]["spec"]["properties"]["color"]
        await client.dynamic("apiextensions.k8s.io/v1", "CustomResourceDefinition").delete("foos.example.com")
        await clock.sleep(3)
        index = msgspec.json.decode((await ask(server, "/openapi/v3")).raw or b"")["paths"]
        assert set(index) == set(before)


async def test_open_and_embedded_schemas_in_both_versions() -> None:
    """What keeps unknown fields is just an object to readers of v2, who would refuse what is not listed."""
    keeps = {"x-kubernetes-preserve-unknown-fields": True}
    inner = {"type": "object", "x-kubernetes-embedded-resource": True, "properties": {"spec": {"type": "object"}}}
    root = {"type": "object", "description": "Anything.", **keeps}
    schemas = {"v1": root, "v2": {"type": "object", "properties": {"inner": inner}}}
    versions = [
        {"name": name, "served": True, "storage": name == "v1", "schema": {"openAPIV3Schema": schema}}
        for name, schema in schemas.items()
    ]
    async with running() as server:
        await define(client_of(server), versions=versions)
        old = msgspec.json.decode((await ask(server, "/openapi/v2")).raw or b"")["definitions"]
        found = {}
        for version in schemas:
            document = msgspec.json.decode((await ask(server, f"/openapi/v3/apis/example.com/{version}")).raw or b"")
            found[version] = document["components"]["schemas"][f"com.example.{version}.Foo"]
    gvk = old["com.example.v1.Foo"].pop("x-kubernetes-group-version-kind")
    assert gvk == [{"group": "example.com", "kind": "Foo", "version": "v1"}]
    assert old["com.example.v1.Foo"] == {"type": "object"}
    assert found["v1"]["description"] == "Anything."
    assert set(found["v1"]["properties"]) == {"apiVersion", "kind", "metadata"}
    for definition in (old["com.example.v2.Foo"], found["v2"]):
        embedded = definition["properties"]["inner"]
        assert set(embedded["properties"]) == {"apiVersion", "kind", "metadata", "spec"}
        assert embedded["required"] == ["kind", "apiVersion"]
