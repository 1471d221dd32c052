"""Conversion by a webhook, over real TLS: reads, lists and writes in another version than the one stored."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from pybernetes.aio import clock
from pybernetes.client.transport import Request
from pybernetes.control_plane.apiserver.server import SELF, APIServer
from pybernetes.machinery import errors
from tests.suites.api_server import client_of, running
from tests.unit.control_plane.apiserver.admission.test_webhooks import serve
from tests.unit.control_plane.apiserver.crd.test_custom_resources import CRDS, definition

pytestmark = pytest.mark.real_time


def convert(obj: dict[str, Any], wanted: str) -> dict[str, Any]:
    """v1 has spec.host, v2 spec.address."""
    spec = dict(obj.get("spec") or {})
    if wanted.endswith("/v2") and "host" in spec:
        spec["address"] = spec.pop("host")
    elif wanted.endswith("/v1") and "address" in spec:
        spec["host"] = spec.pop("address")
    return {**obj, "apiVersion": wanted, "spec": spec}


def version(name: str, storage: bool) -> dict[str, Any]:
    free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {"name": name, "served": True, "storage": storage, "schema": {"openAPIV3Schema": free}}


def thing(api_version: str, name: str, **spec: str) -> dict[str, Any]:
    meta = {"name": name, "namespace": "default"}
    return {"apiVersion": api_version, "kind": "Foo", "metadata": meta, "spec": spec}


@contextlib.asynccontextmanager
async def converting(tmp_path: Path, calls: list[int]) -> AsyncIterator[APIServer]:
    """A server with kind Foo of v1 and v2, between which a webhook converts; `calls`: how many objects each time."""

    async def handle(request: web.Request) -> web.Response:
        review = await request.json()
        asked = review["request"]
        calls.append(len(asked["objects"]))
        response = {
            "uid": asked["uid"],
            "result": {"status": "Success"},
            "convertedObjects": [convert(o, asked["desiredAPIVersion"]) for o in asked["objects"]],
        }
        return web.json_response({"apiVersion": review["apiVersion"], "kind": review["kind"], "response": response})

    async with serve(tmp_path, handle) as (port, bundle), running() as server:
        client = client_of(server)
        conversion = {
            "strategy": "Webhook",
            "webhook": {
                "clientConfig": {"url": f"https://127.0.0.1:{port}/", "caBundle": bundle},
                "conversionReviewVersions": ["v1"],
            },
        }
        await client.dynamic(*CRDS).create(
            definition(versions=[version("v1", True), version("v2", False)], conversion=conversion)
        )
        await clock.sleep(0.05)
        yield server


async def test_a_webhook_converts(tmp_path: Path) -> None:
    calls: list[int] = []
    async with converting(tmp_path, calls) as server:
        client = client_of(server)
        old, new = client.dynamic("example.com/v1", "Foo"), client.dynamic("example.com/v2", "Foo")
        await old.create(thing("example.com/v1", "a", host="x"))
        await old.create(thing("example.com/v1", "b", host="y"))
        listed = await new.list("default")
        assert [item["spec"] for item in listed.items] == [{"address": "x"}, {"address": "y"}]
        assert calls[-1] == 2  # one call for both
        count = len(calls)
        assert (await new.get("a", "default"))["spec"] == {"address": "x"}
        assert len(calls) == count  # what did not change is not converted again
        await new.create(thing("example.com/v2", "c", address="z"))
        assert (await old.get("c", "default"))["spec"] == {"host": "z"}


async def test_managers_keep_their_fields_in_their_own_version(tmp_path: Path) -> None:
    async with converting(tmp_path, []) as server:
        transport = server.transport(SELF)

        async def apply(version: str, manager: str, force: bool = False, **spec: str) -> Any:
            path = f"/apis/example.com/{version}/namespaces/default/foos/a"
            query = {"fieldManager": manager, "force": str(force).lower()}
            body = thing(f"example.com/{version}", "a", **spec)
            return (await transport.request(Request("PATCH", path, query, body, "application/apply-patch+yaml"))).body

        def owned(obj: dict[str, Any]) -> dict[str, Any]:
            return {
                f"{entry['manager']} {entry['apiVersion']}": sorted({*entry["fieldsV1"].get("f:spec", ())} - {"."})
                for entry in obj["metadata"]["managedFields"]
            }

        await apply("v1", "one", host="x", note="n")
        same = await apply("v2", "two", address="x")  # the value that it has already: both own it
        assert owned(same) == {"one example.com/v1": ["f:host", "f:note"], "two example.com/v2": ["f:address"]}
        both = r'"one":\n- \.spec\.host\nconflicts with "two":\n- \.spec\.address'
        with pytest.raises(errors.StatusError, match=both):
            await apply("v2", "three", address="y")
        taken = await apply("v2", "three", force=True, address="y")
        left = {"one example.com/v1": ["f:note"], "two example.com/v2": []}  # the map itself is still theirs
        assert owned(taken) == {**left, "three example.com/v2": ["f:address"]}
        path = "/apis/example.com/v1/namespaces/default/foos/a"
        patch = Request(
            "PATCH", path, {"fieldManager": "four"}, {"spec": {"host": "z"}}, "application/merge-patch+json"
        )
        changed = (await transport.request(patch)).body
        assert changed["spec"] == {"host": "z", "note": "n"}
        assert owned(changed) == {**left, "three example.com/v2": [], "four example.com/v1": ["f:host"]}
