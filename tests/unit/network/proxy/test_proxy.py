"""The component against a whole API server, with a backend that only notes what it is told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping

import pytest

from pybernetes.aio import clock
from pybernetes.api.core_v1 import Node, Service, ServicePort, ServiceSpec
from pybernetes.api.discovery_v1 import Endpoint, EndpointConditions, EndpointPort, EndpointSlice
from pybernetes.client.client import Client
from pybernetes.machinery import codec
from pybernetes.machinery.meta import ObjectMeta
from pybernetes.network.proxy import proxy as component
from pybernetes.network.proxy.proxy import Config, Proxy
from pybernetes.network.proxy.rules import ServiceRules
from tests.suites.api_server import client_of, running


class Notes:
    """A backend in memory. `failures`: how many calls are still to fail."""

    instant = True

    def __init__(self) -> None:
        self.rules: dict[str, ServiceRules] = {}
        self.calls: list[tuple[str, list[str]]] = []
        self.failures = self.settled = 0
        self.there = True

    def _call(self, name: str, keys: Mapping[str, ServiceRules]) -> None:
        self.calls.append((name, sorted(keys)))
        if self.failures:
            self.failures -= 1
            raise OSError("no")

    def replace(self, rules: Mapping[str, ServiceRules]) -> None:
        self._call("replace", rules)
        self.rules = {**rules}
        self.there = True

    def update(self, changed: Mapping[str, ServiceRules]) -> None:
        self._call("update", changed)
        self.rules = {key: rules for key, rules in {**self.rules, **changed}.items() if rules.ports}

    def settle(self) -> None:
        self.settled += 1

    def intact(self) -> bool:
        return self.there

    def remove(self) -> None:
        self.rules = {}

    def close(self) -> None:
        self.calls.append(("close", []))


@contextlib.asynccontextmanager
async def following(monkeypatch: pytest.MonkeyPatch, notes: Notes) -> AsyncIterator[Client]:
    monkeypatch.setattr(component, "backend", lambda config, family: notes)
    async with running() as server:
        client = client_of(server)
        proxy = Proxy(Config("c", "n1"), client)
        task = asyncio.get_running_loop().create_task(proxy.run(), name="proxy")
        try:
            await proxy.ready.wait()
            yield client
        finally:
            task.cancel()
            await asyncio.wait([task])


def web(name: str) -> Service:
    return Service(
        metadata=ObjectMeta(name=name, namespace="default"), spec=ServiceSpec(ports=[ServicePort(name="p", port=80)])
    )


def endpoints(name: str, *addresses: str) -> EndpointSlice:
    return EndpointSlice(
        metadata=ObjectMeta(name=name, namespace="default", labels={"kubernetes.io/service-name": name}),
        address_type="IPv4",
        endpoints=[Endpoint(addresses=[item], conditions=EndpointConditions(ready=True)) for item in addresses],
        ports=[EndpointPort(name="p", port=8080, protocol="TCP")],
    )


async def test_changes_reach_the_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    notes = Notes()
    async with following(monkeypatch, notes) as client:
        assert notes.calls == [("replace", ["default/kubernetes"])]
        await client.resource(Service).create(web("a"))
        await client.resource(EndpointSlice).create(endpoints("a", "10.1.0.1"))
        await clock.sleep(1)
        assert notes.rules["default/a"].ports[0].inside == (("10.1.0.1", 8080),)
        await client.resource(Service).delete("a", "default")
        await clock.sleep(1)
        assert "default/a" not in notes.rules and notes.settled >= 2
    assert notes.calls[-1] == ("close", [])


async def test_a_burst_is_few_transactions_and_nothing_changed_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    notes = Notes()
    async with following(monkeypatch, notes) as client:
        for i in range(50):
            await client.resource(Service).create(web(f"s{i}"))
        await clock.sleep(1)
        assert len(notes.rules) == 51 and len(notes.calls) < 8
        count = len(notes.calls)
        service = codec.copy(await client.resource(Service).get("s1", "default"))
        service.metadata.annotations = {"a": "b"}
        await client.resource(Service).update(service)
        await clock.sleep(1)
        assert len(notes.calls) == count


async def test_a_failed_transaction_is_made_good_by_a_full_one(monkeypatch: pytest.MonkeyPatch) -> None:
    notes = Notes()
    async with following(monkeypatch, notes) as client:
        notes.failures = 2
        await client.resource(Service).create(web("a"))
        await clock.sleep(30)
        assert [name for name, _ in notes.calls] == ["replace", "update", "replace", "replace"]
        assert "default/a" in notes.rules


async def test_rules_that_somebody_removed_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    notes = Notes()
    async with following(monkeypatch, notes):
        notes.there = False
        await clock.sleep(100)
        assert [name for name, _ in notes.calls] == ["replace", "replace"] and notes.there


async def test_the_zone_of_the_node_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    notes = Notes()
    async with following(monkeypatch, notes) as client:
        await client.resource(Service).create(web("a"))
        slice_ = endpoints("a", "10.1.0.1", "10.1.0.2")
        from pybernetes.api.discovery_v1 import EndpointHints, ForZone

        for item, zone in zip(slice_.endpoints or (), ("z1", "z2"), strict=True):
            item.hints = EndpointHints(for_zones=[ForZone(name=zone)])
        await client.resource(EndpointSlice).create(slice_)
        await clock.sleep(1)
        assert len(notes.rules["default/a"].ports[0].inside) == 2
        node = Node(metadata=ObjectMeta(name="n1", labels={"topology.kubernetes.io/zone": "z2"}))
        await client.resource(Node).create(node)
        await clock.sleep(1)
        assert notes.rules["default/a"].ports[0].inside == (("10.1.0.2", 8080),)


async def test_what_was_done_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time from an endpoint's change to its rules is counted once; what happened before the proxy began is not."""
    notes = Notes()
    monkeypatch.setattr(component, "backend", lambda config, family: notes)
    async with running() as server:
        client = client_of(server)
        proxy = Proxy(Config("c", "n1"), client)
        task = asyncio.get_running_loop().create_task(proxy.run(), name="proxy")
        await proxy.ready.wait()
        for name, when in (("old", "2001-01-01T00:00:00Z"), ("new", clock.format_rfc3339(clock.timestamp() + 1))):
            await client.resource(Service).create(web(name))
            slice_ = endpoints(name, "10.1.0.1")
            slice_.metadata.annotations = {component.TRIGGER: when}
            await client.resource(EndpointSlice).create(slice_)
        await clock.sleep(1)
        page = proxy._page()
        task.cancel()
        await asyncio.wait([task])
    family = 'ip_family="IPv4"'
    assert f"kubeproxy_network_programming_duration_seconds_count{{{family}}} 1\n" in page
    assert f"kubeproxy_sync_full_proxy_rules_duration_seconds_count{{{family}}} 1\n" in page
    assert f"kubeproxy_sync_proxy_rules_service_changes_total{{{family}}} 3\n" in page
    for kind in ("service", "endpoint"):
        assert f"kubeproxy_sync_proxy_rules_{kind}_changes_pending{{{family}}} 0\n" in page


async def test_a_health_check_port_speaks_for_both_families(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(component, "backend", lambda config, family: Notes())
    async with running() as server:
        proxy = Proxy(Config("c", "n1", families=("IPv4", "IPv6")), client_of(server))
        for state, count in zip(proxy._states, (2, 0), strict=True):
            state.rules = {"ns/s": ServiceRules((), frozenset(), 30000, count)}
        proxy._publish_health()
        assert proxy._health._wanted == {30000: ("ns/s", 2)}
