"""The client against the real API server, over both transports; informers, events and leader election on top."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest

from pybernetes.aio import clock
from pybernetes.aio.tasks import Nursery
from pybernetes.api.coordination_v1 import Lease
from pybernetes.api.core_v1 import ConfigMap, Event, EventSource, Namespace
from pybernetes.client import leader
from pybernetes.client.client import Client
from pybernetes.client.errors import Unavailable
from pybernetes.client.events import EventRecorder
from pybernetes.client.factory import InformerFactory
from pybernetes.client.http import HTTPTransport
from pybernetes.client.informer import Informer
from pybernetes.client.kubeconfig import Connection
from pybernetes.control_plane.apiserver.authentication.user import User
from pybernetes.control_plane.apiserver.server import APIServer, Config
from pybernetes.machinery import codec, errors, labels
from pybernetes.machinery.meta import ObjectMeta

ADMIN = User("admin", groups=("system:masters",))


@asynccontextmanager
async def server(*, http: bool = False) -> AsyncIterator[Client]:
    """A client of a fresh server: in-process, or over a socket."""
    api = APIServer(Config(listen=http, static_tokens={"secret": ADMIN}))
    async with Nursery("test") as nursery:
        nursery.start(api.run(), "api")
        host, port = await api.ready.wait()
        transport = HTTPTransport(Connection(f"http://{host}:{port}", token="secret")) if http else api.transport(ADMIN)
        client = Client(transport, "test")
        try:
            await client.resource(Namespace).create(Namespace(metadata=ObjectMeta(name="default")))
        except errors.StatusError as error:
            assert error.reason == "AlreadyExists"
        try:
            yield client
        finally:
            await client.close()


def config_map(name: str, **data: str) -> ConfigMap:
    metadata = ObjectMeta(name=name, namespace="default", labels={"name": name})
    return ConfigMap(metadata=metadata, data=data or None)


async def check_verbs(client: Client) -> None:
    """Every verb once; the same over both transports."""
    maps = client.resource(ConfigMap)
    created = await maps.create(config_map("a", k="1"))
    assert created.metadata.uid and created.kind == "ConfigMap"
    page = await maps.list("default", label_selector="name=a")
    assert [m.metadata.name for m in page.items] == ["a"] and page.items[0].kind == "ConfigMap"
    stream = await maps.watch_batches("default", resource_version=page.resource_version)
    changed = codec.copy(created)
    changed.data = {"k": "2"}
    updated = await maps.update(changed)
    with pytest.raises(errors.StatusError) as raised:
        await maps.update(changed)
    assert raised.value.reason == "Conflict"
    patched = await maps.patch("a", "default", {"data": {"k": None, "l": "3"}})
    assert patched.data == {"l": "3"}
    applied = await maps.patch(
        "a",
        "default",
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"m": "4"}},
        type="apply",
        field_manager="tester",
    )
    assert applied.data == {"l": "3", "m": "4"}
    await maps.delete("a", "default", uid=created.metadata.uid)
    with pytest.raises(errors.StatusError) as raised:
        await maps.get("a", "default")
    assert errors.is_not_found(raised.value) and str(raised.value) == 'configmaps "a" not found'
    seen: list[tuple[str, str]] = []
    async with stream:
        while len(seen) < 4:
            seen += [(type_, obj.metadata.resource_version) for type_, obj in await anext(stream)]
    assert [type_ for type_, _ in seen] == ["MODIFIED", "MODIFIED", "MODIFIED", "DELETED"]
    assert seen[0][1] == updated.metadata.resource_version
    wire = client.dynamic("v1", "configmaps")
    made = await wire.create(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b", "namespace": "default"}}
    )
    assert made["metadata"]["uid"] and (await wire.get("b", "default"))["kind"] == "ConfigMap"
    [partial] = [m for m in (await client.metadata(wire.kind).list("default")).items if m.metadata.name == "b"]
    assert partial.metadata.uid == made["metadata"]["uid"]
    found = {(k.group, k.resource) for k in await client.discover()}
    assert {("", "pods"), ("apps", "deployments")} <= found


async def test_verbs_in_process() -> None:
    async with server() as client:
        await check_verbs(client)


@pytest.mark.real_time
async def test_verbs_over_http() -> None:
    async with server(http=True) as client:
        await check_verbs(client)


@pytest.mark.real_time
async def test_nobody_there() -> None:
    client = Client(HTTPTransport(Connection("http://127.0.0.1:1")))
    with pytest.raises(Unavailable):
        await client.resource(ConfigMap).list("default")
    await client.close()


async def test_an_informer_follows_and_indexes() -> None:
    async with server() as client:
        maps = client.resource(ConfigMap)
        await maps.create(config_map("a", color="red"))
        informer = Informer(maps, "default")
        informer.add_index("color", lambda m: [(m.data or {}).get("color", "")])
        log: list[str] = []
        informer.on(
            lambda m: log.append(f"+{m.metadata.name}"),
            lambda old, new: log.append(f"{(old.data or {}).get('color')}>{(new.data or {}).get('color')}"),
            lambda m: log.append(f"-{m.metadata.name}"),
        )
        async with Nursery("test") as nursery:
            nursery.start(informer.run(), "informer")
            await informer.synced()
            created = await maps.create(config_map("b", color="blue"))
            assert await informer.caught_up(created)
            assert informer.get("default", "b") is created  # shared, not copied
            await informer.caught_up(await maps.patch("a", "default", {"data": {"color": "blue"}}))
            assert [m.metadata.name for m in informer.by_index("color", "blue")] == ["b", "a"]
            assert informer.list("default", labels.parse("name=b")) == [created]
            await maps.delete("b", "default")
            await informer.terminating(created)
            assert log[-3:] == ["+b", "red>blue", "-b"] and not informer.by_index("color", "red")


async def test_a_broken_watch_is_resumed_and_misses_nothing() -> None:
    async with server() as client:
        maps = client.resource(ConfigMap)
        informer = Informer(maps)
        async with Nursery("test") as nursery:
            nursery.start(informer.run(), "informer")
            await informer.synced()
            await client.transport.close()  # all watches end with Unavailable
            created = await maps.create(config_map("a"))
            assert await informer.caught_up(created)
            assert informer.relists == 1


class Moody:
    """A resource whose watches fail with these errors, one after the other, before they work."""

    def __init__(self, resource: Any, failures: list[Exception]) -> None:
        self.kind = resource.kind
        self.calls: list[tuple[str, float]] = []
        self._resource, self._failures = resource, failures

    async def list(self, **scope: Any) -> Any:
        self.calls.append(("list", clock.monotonic()))
        return await self._resource.list(**scope)

    async def watch_batches(self, **scope: Any) -> Any:
        self.calls.append(("watch", clock.monotonic()))
        if self._failures:
            raise self._failures.pop(0)
        return await self._resource.watch_batches(**scope)


async def test_an_expired_watch_is_listed_anew_at_once_however_long_the_server_was_away() -> None:
    async with server() as client:
        away, expired = [Unavailable("away")] * 12, [errors.expired("too old")] * 3
        maps = Moody(client.resource(ConfigMap), [*away, *expired])
        async with Nursery("test") as nursery:
            nursery.start(Informer[Any](maps).run(), "informer")  # type: ignore[arg-type]
            await clock.sleep(200)
        assert [name for name, _ in maps.calls] == ["list", *["watch"] * 13, *["list", "watch"] * 3]
        gaps = [after[1] - before[1] for before, after in pairwise(maps.calls)]
        assert max(gaps[:13]) >= 5, "an outage is waited for with growing delays"
        assert gaps[13] == 0, "the server is there"
        assert 0.1 <= gaps[15] < 0.2 <= gaps[17] < 0.4, "what expires right after a list is tried less and less often"


async def test_ten_thousand_objects_are_taken_over_at_once() -> None:
    async with server() as client:
        maps = client.resource(ConfigMap)
        for i in range(500):
            await maps.create(config_map(f"m{i}"))
        factory = InformerFactory(client)
        informer = factory.informer(ConfigMap)
        assert factory.informer(ConfigMap) is informer
        async with Nursery("test") as nursery:
            nursery.start(factory.run(), "factory")
            await factory.synced()
            late: list[str] = []
            informer.on(lambda m: late.append(m.metadata.name))
            assert len(informer.list("default")) >= 500 and len(late) == len(informer)


async def test_events_are_counted_combined_and_limited() -> None:
    async with server() as client:
        about = await client.resource(ConfigMap).create(config_map("a"))
        recorder = EventRecorder(client, "tester")
        async with Nursery("test") as nursery:
            nursery.start(recorder.run(), "events")
            for _ in range(3):
                recorder.event(about, "Normal", "Same", "the same")
            for i in range(13):
                recorder.event(about, "Warning", "Differs", f"number {i}")
            await clock.sleep(1)
            written = [e for e in (await client.resource(Event).list("default")).items if e.source]
            [same] = [e for e in written if e.reason == "Same"]
            assert same.count == 3 and same.source and same.source.component == "tester"
            assert same.involved_object.uid == about.metadata.uid
            combined = [e for e in written if (e.message or "").startswith("(combined from similar events): ")]
            assert len(combined) == 1 and combined[0].count == 3
            for _ in range(30):
                recorder.event(about, "Normal", "Same", "the same")
            await clock.sleep(1)
            assert (await client.resource(Event).get(same.metadata.name, "default")).count == 3 + 25 - 16


async def test_actions_are_recorded_in_the_newer_form_and_as_series() -> None:
    async with server() as client:
        about = await client.resource(ConfigMap).create(config_map("a"))
        other = await client.resource(ConfigMap).create(config_map("b"))
        recorder = EventRecorder(client, "tester", "host")
        async with Nursery("test") as nursery:
            nursery.start(recorder.run(), "events")
            for text in ("one", "two"):
                recorder.event(about, "Warning", "Failed", text, action="Trying", related=other)
            await clock.sleep(1)
            [event] = [e for e in (await client.resource(Event).list("default")).items if e.reason == "Failed"]
            assert (event.action, event.message, event.type) == ("Trying", "one", "Warning")
            assert event.event_time and not event.first_timestamp and not event.count and event.source == EventSource()
            assert (event.reporting_component, event.reporting_instance) == ("tester", "tester-host")
            assert event.related is not None and event.related.name == "b"
            assert event.series is not None and event.series.count == 2 and event.series.last_observed_time
            await clock.sleep(400)
            recorder.event(about, "Warning", "Failed", "three", action="Trying")
            await clock.sleep(1)
            found = [e.message for e in (await client.resource(Event).list("default")).items if e.reason == "Failed"]
            assert sorted(found, key=str) == ["one", "three"]


async def test_one_leads_and_hands_over() -> None:
    async with server() as client:
        log: list[tuple[str, float]] = []

        def elector(name: str) -> leader.LeaderElector:
            return leader.LeaderElector(leader.Config("lock", "default", name), client)

        async def lead(name: str) -> None:
            log.append((name, clock.monotonic()))
            await asyncio.get_running_loop().create_future()

        async with Nursery("test") as nursery:
            first = nursery.start(elector("a").run(lambda: lead("a")), "a")
            await clock.sleep(1)
            nursery.start(elector("b").run(lambda: lead("b")), "b")
            await clock.sleep(60)
            assert [name for name, _ in log] == ["a"]
            first.cancel()
            await clock.sleep(5)
            assert [name for name, _ in log] == ["a", "b"]
            lease = await client.resource(Lease).get("lock", "default")
            assert (lease.spec.holder_identity, lease.spec.lease_transitions) == ("b", 1)


async def test_a_silent_leader_is_replaced_after_the_lease() -> None:
    async with server() as client:
        now = clock.rfc3339_micro()
        lease = Lease(metadata=ObjectMeta(name="lock", namespace="default"))
        lease.spec.holder_identity, lease.spec.lease_duration_seconds, lease.spec.renew_time = "dead", 15, now
        await client.resource(Lease).create(lease)
        config = leader.Config("lock", "default", "b")
        taken: list[float] = []

        async def work() -> None:
            taken.append(clock.monotonic())

        await leader.LeaderElector(config, client).run(work)
        assert 15 <= taken[0] < 20
        assert (await client.resource(Lease).get("lock", "default")).spec.holder_identity in (None, "")


async def test_events_flow_through_plain_watch() -> None:
    async with server() as client:
        maps = client.resource(ConfigMap)
        start = (await maps.list("default")).resource_version
        await maps.create(config_map("a"))
        async with aclosing(maps.watch("default", resource_version=start)) as events:  # type: ignore[type-var]
            event = await anext(aiter(events))
        assert (event.type, event.object.metadata.name) == ("ADDED", "a")
