"""Watches, chunked lists, custom resources: what the conformance descriptions ask of them."""

from __future__ import annotations

import asyncio

import msgspec

from pybernetes.aio import clock
from pybernetes.machinery.errors import StatusError

from .place import Place, Wire, condition, refused, template


async def test_watches_of_configmaps() -> None:
    async with Place.open(nodes=0) as place:
        maps = place.of("ConfigMap")
        start = (await maps.list("here")).resource_version

        async def act() -> None:
            for label in "AB":
                await place.create("ConfigMap", f"cm-{label}".lower(), metadata={"labels": {"watch": label}})
            for i in "12":
                await place.patch("ConfigMap", "cm-a", {"data": {"mutation": i}})
            await place.delete("ConfigMap", "cm-a")
            await place.delete("ConfigMap", "cm-b")

        await act()

        async def seen(selector: str, version: str) -> list[tuple[str, str]]:
            found = []
            stream = await maps.watch_batches("here", resource_version=version, label_selector=selector, timeout=2)
            async with stream:
                async for batch in stream:
                    found += [
                        (
                            t,
                            o["metadata"]["name"]
                            + (o.get("data") or {}).get("mutation", "")
                            + "@"
                            + o["metadata"]["resourceVersion"],
                        )
                        for t, o in batch
                        if t != "BOOKMARK"
                    ]
            return found

        def short(events: list[tuple[str, str]]) -> list[str]:
            return [f"{t} {o.partition('@')[0]}" for t, o in events]

        a = await seen("watch=A", start)
        assert short(a) == ["ADDED cm-a", "MODIFIED cm-a1", "MODIFIED cm-a2", "DELETED cm-a2"]
        assert short(await seen("watch in (A,B)", start)) == [
            "ADDED cm-a", "ADDED cm-b", "MODIFIED cm-a1", "MODIFIED cm-a2", "DELETED cm-a2", "DELETED cm-b",
        ]  # fmt: skip
        first_update = a[1][1].partition("@")[2]
        assert short(await seen("watch=A", first_update)) == ["MODIFIED cm-a2", "DELETED cm-a2"]


async def test_a_watch_goes_on_from_the_last_version_seen() -> None:
    async with Place.open(nodes=0) as place:
        maps = place.of("ConfigMap")
        start = (await maps.list("here")).resource_version
        made = await place.create("ConfigMap", "c", metadata={"labels": {"w": "1"}})
        first = await maps.watch_batches("here", resource_version=start, label_selector="w=1")
        (event,) = await first.__anext__()
        await first.close()
        assert event[1]["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
        await place.patch("ConfigMap", "c", {"data": {"mutation": "1"}})
        await place.delete("ConfigMap", "c")
        second = await maps.watch_batches(
            "here", resource_version=made["metadata"]["resourceVersion"], label_selector="w=1"
        )
        types: list[str] = []
        while len(types) < 2:
            types += [t for t, _ in await second.__anext__()]
        await second.close()
        assert types == ["MODIFIED", "DELETED"]


async def test_leaving_a_selector_is_a_deletion() -> None:
    async with Place.open(nodes=0) as place:
        maps = place.of("ConfigMap")
        start = (await maps.list("here")).resource_version
        await place.create("ConfigMap", "c", metadata={"labels": {"w": "in"}})
        await place.patch("ConfigMap", "c", {"data": {"mutation": "1"}})
        await place.patch("ConfigMap", "c", {"metadata": {"labels": {"w": "out"}}})
        await place.patch("ConfigMap", "c", {"data": {"mutation": "2"}})
        await place.patch("ConfigMap", "c", {"metadata": {"labels": {"w": "in"}}})
        await place.delete("ConfigMap", "c")
        types: list[str] = []
        stream = await maps.watch_batches("here", resource_version=start, label_selector="w=in", timeout=2)
        async with stream:
            async for batch in stream:
                types += [t for t, _ in batch if t != "BOOKMARK"]
        assert types == ["ADDED", "MODIFIED", "DELETED", "ADDED", "DELETED"]


async def test_concurrent_watches_see_one_order() -> None:
    async with Place.open(nodes=0) as place:
        maps = place.of("ConfigMap")
        orders: list[list[str]] = [[] for _ in range(40)]
        start = (await maps.list("here")).resource_version

        async def watch(order: list[str]) -> None:
            stream = await maps.watch_batches("here", resource_version=start, timeout=20)
            async with stream:
                async for batch in stream:
                    order += [o["metadata"]["resourceVersion"] for t, o in batch if t != "BOOKMARK"]

        async with asyncio.TaskGroup() as group:
            for i, order in enumerate(orders):
                group.create_task(watch(order), name=f"watch-{i}")
            for i in range(100):
                name = f"c{i % 10}"
                try:
                    await place.create("ConfigMap", name)
                except StatusError:
                    if i % 3:
                        await place.patch("ConfigMap", name, {"data": {"k": str(i)}})
                    else:
                        await place.delete("ConfigMap", name)
                await clock.sleep(0.005)
        assert len(orders[0]) >= 100
        assert orders[0] == sorted(orders[0], key=int)
        assert all(order == orders[0] for order in orders)


async def test_chunks() -> None:
    async with Place.open(nodes=0) as place:
        resource = place.of("PodTemplate")
        for i in range(400):
            await place.create("PodTemplate", f"template-{i:04}", template=template())
        names: list[str] = []
        token, version, chunk = "", "", 0
        while True:
            chunk = (chunk + 17) % 150 + 1
            page = await resource.list("here", limit=chunk, continue_=token)
            assert len(page.items) <= chunk
            assert version in ("", page.resource_version)
            version = page.resource_version
            names += [t["metadata"]["name"] for t in page.items]
            left = 400 - len(names)
            assert page.remaining == (left or None)
            if not page.continue_:
                break
            token = page.continue_
        assert names == [f"template-{i:04}" for i in range(400)]
        assert len((await resource.list("here", limit=500)).items) == 400


async def test_a_chunk_of_a_compacted_version() -> None:
    async with Place.open(nodes=0) as place:
        resource = place.of("PodTemplate")
        for i in range(40):
            await place.create("PodTemplate", f"template-{i:04}", template=template())
        page = await resource.list("here", limit=10)
        error: StatusError | None = None
        for i in range(30):
            await clock.sleep(20)
            await place.create("ConfigMap", f"noise-{i}")
            try:
                await resource.list("here", limit=10, continue_=page.continue_)
            except StatusError as caught:
                error = caught
                break
        assert error is not None
        assert (error.code, error.reason) == (410, "Expired")
        assert error.status.metadata is not None
        token = error.status.metadata.continue_
        page = await resource.list("here", limit=10, continue_=token)
        assert [t["metadata"]["name"] for t in page.items] == [f"template-{i:04}" for i in range(10, 20)]
        assert page.remaining == 20
        page = await resource.list("here", continue_=page.continue_)
        assert len(page.items) == 20
        assert not page.continue_


def crd(plural: str, *, scope: str = "Namespaced", schema: Wire | None = None, **version: object) -> Wire:
    kind = plural[:-1].capitalize()
    one = {
        "name": "v1", "served": True, "storage": True,
        "schema": {"openAPIV3Schema": schema or {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
        **version,
    }  # fmt: skip
    names = {"plural": plural, "singular": plural[:-1], "kind": kind, "listKind": f"{kind}List"}
    return {"spec": {"group": "stable.example.com", "names": names, "scope": scope, "versions": [one]}}


CRD = "CustomResourceDefinition"


async def define(place: Place, plural: str, **options: object) -> str:
    name = f"{plural}.stable.example.com"
    await place.create(CRD, name, **crd(plural, **options))  # type: ignore[arg-type]
    await place.until(CRD, name, lambda c: (condition(c, "Established") or {}).get("status") == "True")
    await clock.sleep(0.1)  # the server follows its own events
    return name


async def test_custom_resource_definitions() -> None:
    async with Place.open(nodes=0) as place:
        name = await define(place, "widgets")
        found = await place.get(CRD, name)
        assert (condition(found, "NamesAccepted") or {})["status"] == "True"
        await place.status_endpoints(CRD, name)

        groups = msgspec.json.decode(await _bytes(place, "/apis"))["groups"]
        (group,) = (g for g in groups if g["name"] == "stable.example.com")
        assert group["versions"] == [{"groupVersion": "stable.example.com/v1", "version": "v1"}]
        listed = msgspec.json.decode(await _bytes(place, "/apis/stable.example.com/v1"))["resources"]
        assert [r["name"] for r in listed] == ["widgets"]
        listed = msgspec.json.decode(await _bytes(place, "/apis/apiextensions.k8s.io/v1"))["resources"]
        assert "customresourcedefinitions" in [r["name"] for r in listed]
        await place.delete(CRD, name)
        await place.gone(CRD, name)

        label = {"labels": {"e2e": "1"}}
        for i in range(10):
            await place.create(CRD, f"x{i}s.stable.example.com", metadata=label, **crd(f"x{i}s"))
        assert len(await place.list(CRD, "e2e=1")) == 10
        await place.of(CRD).delete_collection(label_selector="e2e=1")
        await place.until_listed(CRD, lambda found: not found, "e2e=1")


async def _bytes(place: Place, path: str) -> bytes:
    body = await place.client.get_path(path)
    return body if isinstance(body, bytes) else msgspec.json.encode(body)


async def test_custom_resources_are_watched_by_name() -> None:
    async with Place.open(nodes=0) as place:
        definition = await define(place, "noxus", scope="Cluster")
        resource = place.client.dynamic("stable.example.com/v1", "noxus")
        start = (await resource.list()).resource_version
        for name in ("a", "b"):
            await resource.create(
                {
                    "apiVersion": "stable.example.com/v1",
                    "kind": "Noxu",
                    "metadata": {"name": name},
                    "content": {"k": "v"},
                }
            )
        await resource.patch("a", "", {"content": {"k": "w"}}, type="merge")
        await resource.delete("a")
        await resource.delete("b")
        stream = await resource.watch_batches(resource_version=start, field_selector="metadata.name=a", timeout=2)
        types: list[str] = []
        async with stream:
            async for batch in stream:
                types += [t for t, _ in batch if t != "BOOKMARK"]
        assert types == ["ADDED", "MODIFIED", "DELETED"]
        await resource.create({"apiVersion": "stable.example.com/v1", "kind": "Noxu", "metadata": {"name": "c"}})
        await place.delete(CRD, definition)
        await place.gone(CRD, definition)
        with refused(404):
            await resource.get("c")


async def test_custom_resources_get_defaults() -> None:
    async with Place.open(nodes=0) as place:
        schema: Wire = {
            "type": "object",
            "properties": {"a": {"type": "string", "default": "A"}, "b": {"type": "string"}},
        }
        definition = await define(place, "things", scope="Cluster", schema=schema)
        resource = place.client.dynamic("stable.example.com/v1", "things")
        made = await resource.create(
            {"apiVersion": "stable.example.com/v1", "kind": "Thing", "metadata": {"name": "t"}}
        )
        assert made["a"] == "A"
        assert "b" not in made
        change = [
            {"op": "add", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/b/default", "value": "B"},
            {"op": "remove", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/a/default"},
        ]
        await place.patch(CRD, definition, change, "json")
        for _ in range(100):
            found = await resource.get("t")
            if "b" in found:
                break
            await clock.sleep(0.1)
        assert (found["a"], found["b"]) == ("A", "B")
        other = await resource.create(
            {"apiVersion": "stable.example.com/v1", "kind": "Thing", "metadata": {"name": "u"}}
        )
        assert (other.get("a"), other["b"]) == (None, "B")
