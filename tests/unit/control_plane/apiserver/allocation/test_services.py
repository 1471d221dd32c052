"""Addresses and node ports as a client sees them, on a whole API server."""

from __future__ import annotations

from pathlib import Path

import pytest

from pybernetes.aio import clock
from pybernetes.api.core_v1 import Service, ServicePort, ServiceSpec
from pybernetes.api.networking_v1 import IPAddress
from pybernetes.client.client import Client, Resource
from pybernetes.control_plane.apiserver.allocation.services import LEAK_AGE, REPAIR_INTERVAL
from pybernetes.machinery import codec
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.meta import ObjectMeta
from tests.suites.api_server import client_of, running


def service(name: str, *, ports: list[ServicePort] | None = None, **spec: object) -> Service:
    return Service(
        metadata=ObjectMeta(name=name, namespace="default"),
        spec=ServiceSpec(ports=ports if ports is not None else [ServicePort(port=80)], **spec),  # type: ignore[arg-type]
    )


def services(client: Client) -> Resource[Service]:
    return client.resource(Service)


async def addresses(client: Client) -> set[str]:
    return {item.metadata.name for item in (await client.resource(IPAddress).list()).items}


async def refused(client: Client, obj: Service) -> str:
    with pytest.raises(StatusError) as caught:
        await services(client).create(obj)
    return str(caught.value)


async def test_a_service_gets_an_address_and_gives_it_back() -> None:
    async with running() as server:
        client = client_of(server)
        made = await services(client).create(service("a"))
        assert made.spec.cluster_ip and made.spec.cluster_ips == [made.spec.cluster_ip]
        assert (made.spec.ip_families, made.spec.ip_family_policy) == (["IPv4"], "SingleStack")
        address = await client.resource(IPAddress).get(made.spec.cluster_ip)
        parent = address.spec.parent_ref
        assert (parent.resource, parent.namespace, parent.name) == ("services", "default", "a")
        await services(client).delete("a", "default")
        again = await services(client).create(service("b", cluster_ip=made.spec.cluster_ip))
        assert again.spec.cluster_ips == [made.spec.cluster_ip]


async def test_the_first_address_is_that_of_the_api_server() -> None:
    async with running() as server:
        found = await services(client_of(server)).get("kubernetes", "default")
        assert found.spec.cluster_ip == "10.96.0.1"
        assert "10.96.0.1" in await addresses(client_of(server))


async def test_chosen_addresses_are_checked() -> None:
    async with running() as server:
        client = client_of(server)
        await services(client).create(service("a", cluster_ip="10.96.0.77"))
        assert await refused(client, service("b", cluster_ip="10.96.0.77")) == (
            'Service "b" is invalid: spec.clusterIPs: Invalid value: ["10.96.0.77"]: '
            "failed to allocate IP 10.96.0.77: provided IP is already allocated"
        )
        text = await refused(client, service("b", cluster_ip="192.0.2.1"))
        assert text.endswith("failed to allocate IP 192.0.2.1: the provided network does not match the current range")
        text = await refused(client, service("b", ip_family_policy="RequireDualStack"))
        assert text.endswith("this cluster is not configured for dual-stack services")
        text = await refused(client, service("b", ip_families=["IPv6"]))
        assert text.endswith('spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster')


async def test_headless_and_external_name_take_nothing() -> None:
    async with running() as server:
        client = client_of(server)
        before = await addresses(client)
        headless = await services(client).create(service("headless", cluster_ip="None", selector={"a": "b"}))
        assert (headless.spec.cluster_ips, headless.spec.ip_families) == (["None"], ["IPv4"])
        free = await services(client).create(service("free", cluster_ip="None"))
        assert (free.spec.ip_family_policy, free.spec.ip_families) == ("RequireDualStack", ["IPv4", "IPv6"])
        external = await services(client).create(service("x", ports=[], type="ExternalName", external_name="a.b"))
        assert external.spec.cluster_ip is None and external.spec.ip_families is None
        assert await addresses(client) == before


async def test_dual_stack() -> None:
    async with running(service_cidrs=("10.96.0.0/16", "fd00:96::/112")) as server:
        client = client_of(server)
        made = await services(client).create(service("a", ip_family_policy="PreferDualStack"))
        assert made.spec.ip_families == ["IPv4", "IPv6"] and made.spec.cluster_ips is not None
        assert [":" in address for address in made.spec.cluster_ips] == [False, True]
        changed: Service = codec.copy(made)
        changed.spec.ip_family_policy = "SingleStack"
        single = await services(client).update(changed)
        assert single.spec.cluster_ips == made.spec.cluster_ips[:1]
        second = codec.copy(single)
        second.spec.ip_family_policy = "RequireDualStack"
        both = await services(client).update(second)
        assert both.spec.cluster_ips is not None and both.spec.cluster_ips[0] == made.spec.cluster_ip
        assert len(both.spec.cluster_ips) == 2 and set(both.spec.cluster_ips) <= await addresses(client)


async def test_node_ports() -> None:
    async with running(node_ports=(30000, 30003)) as server:
        client = client_of(server)
        both = [ServicePort(name="u", port=53, protocol="UDP"), ServicePort(name="t", port=53, node_port=30001)]
        made = await services(client).create(service("a", type="NodePort", ports=both))
        assert [port.node_port for port in made.spec.ports or ()] == [30001, 30001]
        assert await refused(client, service("b", type="NodePort", ports=[ServicePort(port=1, node_port=30001)])) == (
            'Service "b" is invalid: spec.ports[0].nodePort: Invalid value: 30001: provided port is already allocated'
        )
        text = await refused(client, service("b", type="NodePort", ports=[ServicePort(port=1, node_port=80)]))
        assert text.endswith("provided port is not in the valid range. The range of valid ports is 30000-30003")
        balanced = await services(client).create(service("c", type="LoadBalancer", external_traffic_policy="Local"))
        numbers = {balanced.spec.health_check_node_port, (balanced.spec.ports or [])[0].node_port}
        assert len(numbers) == 2 and numbers <= {30000, 30002, 30003}
        two = [ServicePort(name="a", port=1), ServicePort(name="b", port=2)]
        text = await refused(client, service("d", type="NodePort", ports=two))
        assert text == "Internal error occurred: failed to allocate a nodePort: range is full"
        await services(client).create(service("e", type="NodePort"))  # what the refused one had taken is free again


async def test_a_change_of_type_takes_and_releases() -> None:
    async with running() as server:
        client = client_of(server)
        made = await services(client).create(service("a", type="NodePort"))
        port = (made.spec.ports or [])[0].node_port
        patched = await services(client).patch("a", "default", {"spec": {"type": "ClusterIP"}})
        assert (patched.spec.ports or [])[0].node_port is None and patched.spec.cluster_ip == made.spec.cluster_ip
        await services(client).create(service("b", type="NodePort", ports=[ServicePort(port=1, node_port=port)]))
        body = {"spec": {"type": "ExternalName", "externalName": "a.b", "ports": None}}
        named = await services(client).patch("a", "default", body)
        assert named.spec.cluster_ip is None and named.spec.ip_families is None
        await services(client).create(service("c", cluster_ip=made.spec.cluster_ip))
        body = {"spec": {"type": "ClusterIP", "externalName": None, "ports": [{"port": 80}]}}
        back = await services(client).patch("a", "default", body)
        assert back.spec.cluster_ip and back.spec.cluster_ip != made.spec.cluster_ip
        body = {"spec": {"type": "ExternalName", "externalName": "a.b", "ports": None, "clusterIP": None}}
        named = await services(client).patch("a", "default", body | {"spec": {**body["spec"], "clusterIPs": None}})
        assert named.spec.cluster_ips is None and named.spec.ip_families is None


async def test_a_plain_put_keeps_what_was_allocated() -> None:
    async with running() as server:
        client = client_of(server)
        made = await services(client).create(service("a", type="NodePort"))
        again = service("a", type="NodePort")
        again.metadata.resource_version = made.metadata.resource_version
        put = await services(client).update(again)
        assert put.spec.cluster_ips == made.spec.cluster_ips and put.spec.ports == made.spec.ports


@pytest.mark.real_time
async def test_books_are_kept_over_a_restart(tmp_path: Path) -> None:
    url = f"sqlite://{tmp_path / 'store.db'}"
    async with running(store=url) as server:
        made = await services(client_of(server)).create(service("a", type="NodePort"))
    async with running(store=url) as server:
        client = client_of(server)
        port = (made.spec.ports or [])[0].node_port
        text = await refused(client, service("b", type="NodePort", ports=[ServicePort(port=1, node_port=port)]))
        assert text.endswith("provided port is already allocated")
        text = await refused(client, service("b", cluster_ip=made.spec.cluster_ip))
        assert text.endswith("provided IP is already allocated")


async def test_leaked_addresses_are_found() -> None:
    async with running() as server:
        client = client_of(server)
        made = await services(client).create(service("a"))
        await server.core.cache.storage("networking.k8s.io", "ipaddresses").create(
            "/registry/networking.k8s.io/ipaddresses/10.96.3.3", _orphan("10.96.3.3")
        )
        assert "10.96.3.3" in await addresses(client)
        await clock.sleep(REPAIR_INTERVAL + LEAK_AGE)
        assert "10.96.3.3" not in await addresses(client)
        assert made.spec.cluster_ip in await addresses(client)


async def test_a_dry_run_takes_nothing() -> None:
    async with running() as server:
        client = client_of(server)
        before = await addresses(client)
        allocation = server.parts["allocation"]
        await allocation.allocate(service("a", type="NodePort"), None, dry_run=True)
        assert await addresses(client) == before and not allocation.ports._promised


def _orphan(name: str) -> IPAddress:
    labels = {"ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io"}
    return IPAddress(metadata=ObjectMeta(name=name, labels=labels, creation_timestamp=clock.rfc3339()))
