"""Conversion by a webhook, over real TLS: reads, lists and writes in another version than the one stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from pybernetes.aio import clock
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


async def test_a_webhook_converts(tmp_path: Path) -> None:
    calls: list[int] = []

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
