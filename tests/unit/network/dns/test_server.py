"""The server on real sockets, over a real API server: what is written there is what is answered here."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import dns.asyncquery
import dns.flags
import dns.message
import dns.rcode
import pytest

from pybernetes.aio import clock
from pybernetes.api.core_v1 import Namespace, Service, ServicePort, ServiceSpec
from pybernetes.api.discovery_v1 import Endpoint, EndpointConditions, EndpointPort, EndpointSlice
from pybernetes.client.factory import InformerFactory
from pybernetes.machinery import codec
from pybernetes.machinery.meta import ObjectMeta
from pybernetes.network.dns import forward
from pybernetes.network.dns.server import DNS, Config, bind
from pybernetes.testing import LocalCluster
from tests.unit.network.dns.upstream import answers, truncated, upstream

pytestmark = pytest.mark.real_time


class Running:
    """A server, and questions to it."""

    def __init__(self, dns_server: DNS, cluster: LocalCluster, port: int) -> None:
        self.dns, self.cluster, self.port = dns_server, cluster, port

    async def message(self, name: str, type_: str = "A", *, tcp: bool = False, **options: Any) -> dns.message.Message:
        query = dns.message.make_query(name, type_, **options)
        ask = dns.asyncquery.tcp if tcp else dns.asyncquery.udp
        return await ask(query, "127.0.0.1", timeout=5, port=self.port)

    async def ask(self, name: str, type_: str = "A", **options: Any) -> list[str]:
        """The data of the answers, or the code."""
        message = await self.message(name, type_, **options)
        found = [item.to_text() for rrset in message.answer for item in rrset]
        return found or [dns.rcode.to_text(message.rcode())]

    async def eventually(self, wanted: list[str], name: str, type_: str = "A") -> None:
        for _ in range(200):
            if await self.ask(name, type_) == wanted:
                return
            await clock.sleep(0.01)
        raise AssertionError(f"{name} {type_}: {await self.ask(name, type_)}, not {wanted}")


@contextlib.asynccontextmanager
async def running(*upstreams: str, **options: Any) -> AsyncIterator[Running]:
    config = forward.Config(upstreams=upstreams, resolv_conf=(), timeout=0.5)
    options = {"port": 0, **options}
    async with LocalCluster(nodes=0, scheduler=False, controllers=()) as cluster, asyncio.TaskGroup() as group:
        server = DNS(Config(forward=config, ranges=("10.244.0.0/16",), **options), cluster.client)
        task = group.create_task(server.run(), name="dns")
        _, port = await server.ready.wait()
        try:
            yield Running(server, cluster, port)
        finally:
            task.cancel()


def service(name: str, **spec: Any) -> Service:
    return Service(
        metadata=ObjectMeta(name=name, namespace="default"),
        spec=ServiceSpec(ports=[ServicePort(name="http", port=80)], **spec),
    )


def piece(*hosts: tuple[str, str, bool]) -> EndpointSlice:
    return EndpointSlice(
        metadata=ObjectMeta(name="db-1", namespace="default", labels={"kubernetes.io/service-name": "db"}),
        address_type="IPv4",
        ports=[EndpointPort(name="http", port=80, protocol="TCP")],
        endpoints=[
            Endpoint(addresses=[address], hostname=host, conditions=EndpointConditions(ready=ready))
            for host, address, ready in hosts
        ],
    )


async def test_a_service_from_birth_to_death() -> None:
    async with running() as found:
        services = found.cluster.client.resource(Service)
        assert await found.ask("web.default.svc.cluster.local") == ["NXDOMAIN"]
        made = await services.create(service("web", type="ClusterIP"))
        await found.eventually([str(made.spec.cluster_ip)], "web.default.svc.cluster.local")
        reverse = ".".join(reversed(str(made.spec.cluster_ip).split("."))) + ".in-addr.arpa"
        assert await found.ask(reverse, "PTR") == ["web.default.svc.cluster.local."]
        assert await found.ask("_http._tcp.web.default.svc.cluster.local", "SRV", tcp=True) == [
            "0 100 80 web.default.svc.cluster.local."
        ]
        changed = codec.copy(made)
        changed.spec = ServiceSpec(type="ExternalName", external_name="db.example.org")
        await services.update(changed)
        await found.eventually(["db.example.org."], "web.default.svc.cluster.local", "CNAME")
        await services.delete("web", "default")
        await found.eventually(["NXDOMAIN"], "web.default.svc.cluster.local")


async def test_endpoints_come_and_go() -> None:
    async with running() as found:
        client = found.cluster.client
        await client.resource(Service).create(service("db", cluster_ip="None"))
        slices = client.resource(EndpointSlice)
        made = await slices.create(piece(("db-0", "10.244.0.9", True), ("db-1", "10.244.0.10", False)))
        await found.eventually(["10.244.0.9"], "db.default.svc.cluster.local")
        assert await found.ask("db-0.db.default.svc.cluster.local") == ["10.244.0.9"]
        assert await found.ask("db-1.db.default.svc.cluster.local") == ["NXDOMAIN"]
        assert await found.ask("9.0.244.10.in-addr.arpa", "PTR") == ["db-0.db.default.svc.cluster.local."]
        changed = codec.copy(made)
        changed.endpoints = piece(("db-1", "10.244.0.10", True)).endpoints
        await slices.update(changed)
        await found.eventually(["10.244.0.10"], "db.default.svc.cluster.local")
        assert await found.ask("db-0.db.default.svc.cluster.local") == ["NXDOMAIN"]
        await slices.delete("db-1", "default")
        await found.eventually(["NXDOMAIN"], "db.default.svc.cluster.local")


async def test_pods_of_a_new_namespace() -> None:
    async with running() as found:
        assert await found.ask("1-2-3-4.shop.pod.cluster.local") == ["NXDOMAIN"]
        await found.cluster.client.resource(Namespace).create(Namespace(metadata=ObjectMeta(name="shop")))
        await found.eventually(["1.2.3.4"], "1-2-3-4.shop.pod.cluster.local")


async def test_repeated_questions_come_from_the_cache_with_their_own_ids() -> None:
    async with running() as found:
        for number in (1, 2, 0xFFFF):
            message = await found.message("kubernetes.default.svc.cluster.local", id=number)
            assert (message.id, len(message.answer)) == (number, 1)
        assert len(found.dns._cache) == 1
        await found.ask("kubernetes.default.svc.cluster.local", use_edns=0)
        await found.ask("Kubernetes.default.svc.cluster.local")
        assert len(found.dns._cache) == 3


async def test_the_cache_has_an_end() -> None:
    async with running(cache_size=6) as found:
        for index in range(20):
            assert await found.ask("kubernetes.default.svc.cluster.local") == ["10.96.0.1"]
            assert await found.ask(f"n{index}.default.svc.cluster.local") == ["NXDOMAIN"]
        assert len(found.dns._cache) <= 6


async def test_a_taken_port_is_an_error_that_says_so() -> None:
    async with LocalCluster(nodes=0, scheduler=False, controllers=()) as cluster:
        udp, tcp = bind("127.0.0.1", 0)
        port = udp.getsockname()[1]
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1 port {port}: Address already in use"):
            await DNS(Config(port=port, bind_timeout=0.1), cluster.client).run()
        udp.close()
        tcp.close()


async def test_a_change_no_answer_shows_keeps_the_cache() -> None:
    async with running() as found:
        services = found.cluster.client.resource(Service)
        await services.create(service("web", type="ClusterIP"))
        await services.create(service("other", type="ClusterIP"))
        await found.ask("web.default.svc.cluster.local")
        for _ in range(100):
            if found.dns._objects.service("default", "other") is not None:
                break
            await clock.sleep(0.01)
        await found.ask("web.default.svc.cluster.local")
        written = await services.patch("web", "default", {"metadata": {"labels": {"a": "b"}}})
        assert await found.dns._objects._services.caught_up(written)
        assert len(found.dns._cache) == 1
        await services.delete("other", "default")
        assert await found.dns._objects._services.until(lambda: len(found.dns._cache) == 0)


async def test_other_names_through_the_upstream() -> None:
    lines = [f"www.example.org. 60 IN A 192.0.2.{index}" for index in range(60)]
    async with upstream(truncated(answers(*lines))) as server, running(server.address) as found:
        message = await found.message("www.example.org")
        assert message.flags & dns.flags.TC
        assert len(await found.ask("www.example.org", tcp=True)) == 60
        assert [tcp for _, tcp in server.questions] == [False, True]


async def test_an_alias_to_the_world() -> None:
    async with upstream(answers("www.example.org. 60 IN A 192.0.2.1")) as server, running(server.address) as found:
        alias = ServiceSpec(type="ExternalName", external_name="www.example.org")
        made = Service(metadata=ObjectMeta(name="out", namespace="default"), spec=alias)
        await found.cluster.client.resource(Service).create(made)
        await found.eventually(["www.example.org.", "192.0.2.1"], "out.default.svc.cluster.local")
        assert await found.ask("out.default.svc.cluster.local", tcp=True) == ["www.example.org.", "192.0.2.1"]


async def test_nonsense_does_not_stop_it() -> None:
    async with running() as found:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for data in (b"", b"x", bytes(12), bytes(500), b"\xff" * 4096):
                sock.sendto(data, ("127.0.0.1", found.port))
        reader, writer = await asyncio.open_connection("127.0.0.1", found.port)
        writer.write(b"\0\5hello")
        assert await reader.read() == b""
        writer.close()
        assert await found.ask("kubernetes.default.svc.cluster.local") == ["10.96.0.1"]


async def test_several_questions_over_one_connection() -> None:
    async with running() as found:
        reader, writer = await asyncio.open_connection("127.0.0.1", found.port)
        packets = [
            dns.message.make_query(f"{name}.default.svc.cluster.local", "A", id=index)
            for index, name in enumerate(("kubernetes", "b", "c"))
        ]
        for packet in packets:
            data = packet.to_wire()
            writer.write(len(data).to_bytes(2, "big") + data)
        for packet in packets:
            data = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
            assert packet.is_response(dns.message.from_wire(data))
        writer.close()


async def test_silent_connections_are_closed() -> None:
    async with running(idle_timeout=0.05) as found:
        reader, writer = await asyncio.open_connection("127.0.0.1", found.port)
        assert await reader.read() == b""
        writer.close()


async def test_no_more_connections_than_allowed() -> None:
    async with running(connections=1) as found:
        _, first = await asyncio.open_connection("127.0.0.1", found.port)
        assert len(await found.ask("kubernetes.default.svc.cluster.local")) == 1
        reader, second = await asyncio.open_connection("127.0.0.1", found.port)
        assert await reader.read() == b""
        first.close()
        second.close()


async def test_questions_before_the_cluster_is_known_wait_for_it() -> None:
    async with LocalCluster(nodes=0, scheduler=False, controllers=()) as cluster, asyncio.TaskGroup() as group:
        informers = InformerFactory(cluster.client)
        free, other = bind("127.0.0.1", 0)
        port = free.getsockname()[1]
        server = DNS(Config(port=port), cluster.client, informers)
        task = group.create_task(server.run(), name="dns")
        await clock.sleep(0)
        free.close()  # a predecessor that leaves: the server tries again until it is gone
        other.close()
        found = Running(server, cluster, port)
        for _ in range(500):
            if server._udp is not None:
                break
            await clock.sleep(0.01)
        await clock.sleep(0)
        asking = group.create_task(found.ask("kubernetes.default.svc.cluster.local"), name="ask")
        while not len(server._nursery):
            await clock.sleep(0.01)
        assert not server.ready.is_set()
        runner = group.create_task(informers.run(), name="informers")
        assert await asking == ["10.96.0.1"]
        assert await server.ready.wait() == ("127.0.0.1", port)
        runner.cancel()
        task.cancel()


async def test_an_upstream_that_asks_back_is_no_storm() -> None:
    """The server is its own upstream: every question sent comes back as a question."""
    udp, tcp = bind("127.0.0.1", 0)
    port = udp.getsockname()[1]
    udp.close()
    tcp.close()
    async with running(f"127.0.0.1#{port}", port=port) as found:
        assert await found.ask("www.example.org") == ["SERVFAIL"]
        assert found.dns._forwarder.asked == 1


async def test_stopping_ends_open_connections_and_waiting_questions() -> None:
    async with upstream(lambda query, tcp: None) as server:
        async with running(server.address) as found:
            reader, writer = await asyncio.open_connection("127.0.0.1", found.port)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.sendto(dns.message.make_query("www.example.org", "A").to_wire(), ("127.0.0.1", found.port))
                await server.asked.wait()
        assert await reader.read() == b""
        writer.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", found.port)


async def test_a_burst_while_the_loop_is_busy_is_not_lost() -> None:
    async with running() as found:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            packet = dns.message.make_query("kubernetes.default.svc.cluster.local", "A").to_wire()[2:]
            for number in range(200):  # nobody reads meanwhile: this does not yield to the loop
                sock.sendto(number.to_bytes(2, "big") + packet, ("127.0.0.1", found.port))
            await found.ask("last.default.svc.cluster.local")
            sock.setblocking(False)
            answered = {sock.recv(512)[:2] for _ in range(200)}
    assert answered == {number.to_bytes(2, "big") for number in range(200)}
