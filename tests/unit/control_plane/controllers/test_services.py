"""Endpoints, EndpointSlices and their mirror against the real API server, and how slices are arranged."""

from __future__ import annotations

from typing import Any

from pybernetes.api.core_v1 import Endpoints, Pod, Service
from pybernetes.api.discovery_v1 import Endpoint, EndpointSlice
from pybernetes.api.networking_v1 import IPAddress, ServiceCIDR
from pybernetes.control_plane.controllers import endpoint_plan as plan
from pybernetes.machinery import codec

from .world import World, template, wire

ALL = ("endpoint-controller", "endpointslice-controller", "endpointslice-mirroring-controller")
LABELS = {"app": "web"}


def service(**spec: Any) -> Service:
    ports = [{"name": "http", "port": 80, "targetPort": "web"}]
    return wire(Service, "svc", {"selector": LABELS, "ports": ports, **spec}, labels={"team": "a"})


def pod(name: str, port: int = 8080) -> Pod:
    body = template(LABELS)["spec"]
    body["containers"][0]["ports"] = [{"name": "web", "containerPort": port}]
    return wire(Pod, name, body, labels=LABELS)


async def slices(world: World) -> list[EndpointSlice]:
    return sorted(await world.list(EndpointSlice), key=lambda s: (s.ports or [])[0].port or 0 if s.ports else 0)


async def test_ready_pods_are_endpoints_and_others_are_not() -> None:
    async with World(*ALL) as world:
        world.phase = lambda p: "Pending"
        await world.create(service())
        await world.settle()
        [empty] = await slices(world)
        assert not empty.endpoints and not empty.ports
        for number, name in enumerate("ab"):
            created = await world.create(pod(name))
            await world.set_pod(created, "Running", name == "a", f"10.0.0.{number + 1}")
        found = await world.until(Endpoints, "svc", lambda e: e.subsets and e.subsets[0].not_ready_addresses)
        [subset] = found.subsets or []
        assert plan.TRIGGER in (found.metadata.annotations or {})
        assert [a.ip for a in subset.addresses or ()] == ["10.0.0.1"]
        assert [a.ip for a in subset.not_ready_addresses or ()] == ["10.0.0.2"]
        assert [(p.name, p.port) for p in subset.ports or ()] == [("http", 8080)]
        await world.settle()
        [one] = await slices(world)
        states = {
            e.addresses[0]: (e.conditions.ready, e.conditions.serving) for e in one.endpoints or () if e.conditions
        }
        assert states == {"10.0.0.1": (True, True), "10.0.0.2": (False, False)}
        labels = one.metadata.labels or {}
        assert labels[plan.SERVICE_NAME] == "svc" and labels["team"] == "a"
        assert labels[plan.MANAGED_BY] == "endpointslice-controller.k8s.io"


async def test_terminating_pods_serve_on_in_slices_only() -> None:
    async with World(*ALL, kubelet=False) as world:
        await world.create(service())
        created = await world.create(wire(Pod, "a", pod("a").spec and {**_spec(), "nodeName": "n"}, labels=LABELS))
        await world.set_pod(created, "Running", True)
        await world.until(Endpoints, "svc", lambda e: e.subsets)
        await world.client.resource(Pod).delete("a", "default")
        await world.until(Endpoints, "svc", lambda e: not e.subsets)
        await world.settle()
        [one] = await slices(world)
        [endpoint] = one.endpoints or []
        c = endpoint.conditions
        assert c and (c.ready, c.serving, c.terminating) == (False, True, True)


def _spec() -> dict[str, Any]:
    body: dict[str, Any] = template(LABELS)["spec"]
    body["containers"][0]["ports"] = [{"name": "web", "containerPort": 8080}]
    return body


async def test_a_named_port_may_differ_from_pod_to_pod() -> None:
    async with World(*ALL) as world:
        world.phase = lambda p: "Pending"
        await world.create(service())
        for number, port in enumerate((8080, 9090)):
            created = await world.create(pod(f"p{port}", port))
            await world.set_pod(created, "Running", True, f"10.0.0.{number + 1}")
        await world.settle(5)
        assert [[p.port for p in s.ports or ()] for s in await slices(world)] == [[8080], [9090]]


async def test_deleting_a_service_takes_its_endpoints() -> None:
    async with World(*ALL, "garbage-collector-controller") as world:
        await world.create(service())
        await world.until(Endpoints, "svc", lambda e: True)
        await world.client.resource(Service).delete("svc", "default")
        await world.gone(Endpoints, "svc")
        await world.settle(5)
        assert await slices(world) == []


async def test_endpoints_by_hand_are_mirrored() -> None:
    async with World(*ALL) as world:
        await world.create(wire(Service, "svc", {"ports": [{"port": 80}]}))
        by_hand = wire(Endpoints, "svc")
        subset = {"addresses": [{"ip": "192.0.2.1"}], "ports": [{"port": 8080}]}
        by_hand.subsets = wire_subsets([subset])
        await world.create(by_hand)
        await world.settle()
        [one] = await slices(world)
        assert (one.metadata.labels or {})[plan.MANAGED_BY] == "endpointslicemirroring-controller.k8s.io"
        assert [e.addresses for e in one.endpoints or ()] == [["192.0.2.1"]]


def wire_subsets(subsets: list[dict[str, Any]]) -> Any:
    return codec.from_dict(Endpoints, {"subsets": subsets}).subsets


async def test_a_range_goes_when_its_last_address_has_gone() -> None:
    async with World("service-cidr-controller") as world:
        await world.create(
            codec.from_dict(ServiceCIDR, {"metadata": {"name": "x"}, "spec": {"cidrs": ["10.50.0.0/24"]}})
        )
        cidrs = world.informers.informer(ServiceCIDR)
        await cidrs.synced()

        def ready() -> str:
            found = cidrs.get("", "x")
            return "gone" if found is None else "".join(c.status for c in found.status.conditions or ())

        assert await cidrs.until(lambda: ready() == "True")
        parent = {"resource": "services", "namespace": "default", "name": "svc"}
        address = {"metadata": {"name": "10.50.0.7"}, "spec": {"parentRef": parent}}
        await world.create(codec.from_dict(IPAddress, address))
        await world.client.resource(ServiceCIDR).delete("x")
        assert await cidrs.until(lambda: ready() == "False")
        await world.client.resource(IPAddress).delete("10.50.0.7")
        assert await cidrs.until(lambda: ready() == "gone")


def endpoints(*numbers: int) -> list[Endpoint]:
    return [Endpoint(addresses=[f"10.0.{n // 256}.{n % 256}"]) for n in numbers]


def test_slices_are_filled_before_new_ones_are_made() -> None:
    key = ("IPv4", ())
    present = [EndpointSlice(address_type="IPv4", endpoints=endpoints(*range(90)))]
    changes = plan.arrange({key: endpoints(*range(5, 110))}, present)
    [(changed, stay)] = changes.update
    assert changed is present[0] and len(stay) == 100 and not changes.delete
    [(_, _, rest)] = changes.create
    assert len(rest) == 5


def test_an_empty_service_keeps_one_slice() -> None:
    key = ("IPv4", ())
    changes = plan.arrange({key: []}, [])
    assert changes.create == [("IPv4", (), [])]
    kept = EndpointSlice(address_type="IPv4", endpoints=[])
    assert plan.arrange({key: []}, [kept]) == plan.Changes()
