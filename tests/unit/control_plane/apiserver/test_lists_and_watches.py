"""Paging, resource versions, watches: what clients build their caches on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pybernetes.aio import clock
from pybernetes.api.core_v1 import ConfigMap
from pybernetes.client.client import Client, Resource
from pybernetes.client.transport import Request
from pybernetes.control_plane.apiserver.fanout import BOOKMARK_INTERVAL
from pybernetes.machinery import codec, errors
from pybernetes.machinery.meta import ObjectMeta
from tests.suites.api_server import client_of, running


def config_map(name: str, **labels: str) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name=name, namespace="default", labels=labels or None), data={"a": "b"})


async def fill(maps: Resource[ConfigMap], count: int) -> None:
    for number in range(count):
        await maps.create(config_map(f"m{number:02}", odd=str(number % 2)))


async def take(stream: Any, count: int) -> list[tuple[str, str]]:
    seen: list[tuple[str, str]] = []
    while len(seen) < count:
        seen += [(type_, obj.metadata.name) for type_, obj in await stream.__anext__()]
    return seen


async def test_pages_are_one_snapshot() -> None:
    async with running() as server:
        maps = client_of(server).resource(ConfigMap)
        await fill(maps, 7)
        first = await maps.list("default", limit=3)
        assert [m.metadata.name for m in first.items] == ["m00", "m01", "m02"] and first.remaining == 4
        await maps.delete("m03", "default")
        await maps.create(config_map("m030"))
        second = await maps.list("default", limit=3, continue_=first.continue_)
        assert [m.metadata.name for m in second.items] == ["m03", "m04", "m05"], "as it was at the first page"
        assert second.resource_version == first.resource_version
        last = await maps.list("default", limit=3, continue_=second.continue_)
        assert [m.metadata.name for m in last.items] == ["m06"] and not last.continue_


async def test_pages_with_a_selector_do_not_tell_what_remains() -> None:
    async with running() as server:
        maps = client_of(server).resource(ConfigMap)
        await fill(maps, 7)
        first = await maps.list("default", limit=2, label_selector="odd=1")
        assert [m.metadata.name for m in first.items] == ["m01", "m03"] and first.remaining is None
        rest = await maps.list("default", limit=2, label_selector="odd=1", continue_=first.continue_)
        assert [m.metadata.name for m in rest.items] == ["m05"] and not rest.continue_


async def test_an_expired_token_comes_with_one_that_goes_on() -> None:
    async with running(compact_interval=60.0) as server:
        maps = client_of(server).resource(ConfigMap)
        await fill(maps, 4)
        first = await maps.list("default", limit=2)
        await maps.delete("m03", "default")
        await clock.sleep(200)
        await maps.create(config_map("later"))
        await clock.sleep(200)
        with pytest.raises(errors.StatusError) as expired:
            await maps.list("default", limit=2, continue_=first.continue_)
        assert errors.is_expired(expired.value) and expired.value.code == 410
        token = expired.value.status.metadata.continue_
        rest = await maps.list("default", limit=5, continue_=token)
        assert [m.metadata.name for m in rest.items] == ["m02"]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"resourceVersionMatch": "Exact"}, 422),
        ({"resourceVersionMatch": "Exact", "resourceVersion": "0"}, 422),
        ({"resourceVersionMatch": "Sideways", "resourceVersion": "3"}, 422),
        ({"continue": "not-a-token"}, 400),
        ({"resourceVersion": "99999"}, 504),
        ({"fieldSelector": "spec.nodeName=n"}, 400),
        ({"labelSelector": "a in"}, 400),
        ({"sendInitialEvents": "true"}, 422),
    ],
)
async def test_meaningless_queries_are_refused(query: dict[str, str], code: int) -> None:
    async with running() as server:
        with pytest.raises(errors.StatusError) as refused:
            await client_of(server).transport.request(Request("GET", "/api/v1/namespaces/default/configmaps", query))
        assert refused.value.code == code


async def test_too_large_a_revision_is_retryable() -> None:
    async with running() as server:
        start = clock.monotonic()
        with pytest.raises(errors.StatusError) as late:
            await client_of(server).resource(ConfigMap).list("default", resource_version="99999")
        assert errors.has_cause(late.value, "ResourceVersionTooLarge") and late.value.retry_after == 1
        assert clock.monotonic() - start == pytest.approx(3, abs=0.2)


async def test_old_state_by_exact_match() -> None:
    async with running() as server:
        maps = client_of(server).resource(ConfigMap)
        await fill(maps, 2)
        then = (await maps.list("default")).resource_version
        await maps.delete("m00", "default")
        old = await maps.list("default", resource_version=then, resource_version_match="Exact")
        assert [m.metadata.name for m in old.items] == ["m00", "m01"] and old.resource_version == then


async def test_entering_and_leaving_a_selector() -> None:
    async with running() as server:
        maps = client_of(server).resource(ConfigMap)
        start = (await maps.list("default")).resource_version
        stream = await maps.watch_batches("default", resource_version=start, label_selector="in=yes")
        made = await maps.create(config_map("x"))
        for value in ("yes", "yes!", "no"):
            changed = codec.copy(await maps.get("x", "default"))
            changed.metadata.labels = {"in": value.rstrip("!")}
            changed.data = {"a": value}
            last = await maps.update(changed)
        assert await take(stream, 3) == [("ADDED", "x"), ("MODIFIED", "x"), ("DELETED", "x")]
        assert int(last.metadata.resource_version) > int(made.metadata.resource_version)
        await stream.close()
        replay = await maps.watch_batches("default", resource_version=start, label_selector="in=yes")
        assert await take(replay, 3) == [("ADDED", "x"), ("MODIFIED", "x"), ("DELETED", "x")], "the past reads the same"
        await replay.close()


async def test_watch_from_state_and_streaming_list() -> None:
    async with running() as server:
        maps = client_of(server).resource(ConfigMap)
        await fill(maps, 2)
        plain = await maps.watch_batches("default")
        assert await take(plain, 2) == [("ADDED", "m00"), ("ADDED", "m01")]
        await plain.close()
        stream = await maps.watch_batches("default", send_initial_events=True)
        events: list[tuple[str, Any]] = []
        while not events or events[-1][0] != "BOOKMARK":
            events += await stream.__anext__()
        assert [type_ for type_, _ in events] == ["ADDED", "ADDED", "BOOKMARK"]
        mark = events[-1][1].metadata
        assert mark.annotations == {"k8s.io/initial-events-end": "true"}
        assert mark.resource_version == (await maps.list("default")).resource_version
        await stream.close()


async def test_bookmarks_and_timeout() -> None:
    async with running() as server:
        maps = client_of(server).resource(ConfigMap)
        start = (await maps.list("default")).resource_version
        stream = await maps.watch_batches("default", resource_version=start, timeout=100)
        begun = clock.monotonic()
        (first,) = await stream.__anext__()
        assert first[0] == "BOOKMARK" and clock.monotonic() - begun == pytest.approx(BOOKMARK_INTERVAL, abs=1)
        (last,) = await stream.__anext__()
        assert last[0] == "BOOKMARK" and clock.monotonic() - begun == pytest.approx(100, abs=1)
        with pytest.raises(StopAsyncIteration):
            await stream.__anext__()


async def test_a_watch_from_before_the_window_is_expired() -> None:
    async with running(watch_window=10) as server:
        maps = client_of(server).resource(ConfigMap)
        start = (await maps.list("default")).resource_version
        await fill(maps, 30)
        stream = await maps.watch_batches("default", resource_version=start)  # upstream, too, tells by an event
        with pytest.raises(errors.StatusError) as old:
            await stream.__anext__()
        assert errors.is_expired(old.value) and old.value.message.startswith("too old resource version: ")


async def test_a_write_is_read_at_once_and_watchers_share_what_they_see() -> None:
    async with running() as server:
        client: Client = client_of(server)
        maps = client.resource(ConfigMap)
        start = (await maps.list("default")).resource_version
        others = server.cache.fanout.watchers
        streams = [await maps.watch_batches("default", resource_version=start) for _ in range(3)]

        async def write(number: int) -> None:
            made = await maps.create(config_map(f"w{number}"))
            assert await maps.get(made.metadata.name, "default") is made, "the cache keeps what was written"

        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(write(number))
        for stream in streams:
            seen = await take(stream, 20)
            assert [name for _, name in seen] == [f"w{number}" for number in range(20)]
            await stream.close()
        assert server.cache.fanout.watchers == others
