"""The providers that need no cloud: the contract, and what is the local one's own."""

from __future__ import annotations

import contextlib

import pytest

from pybernetes.api.core_v1 import Service
from pybernetes.client.factory import InformerFactory
from pybernetes.control_plane.apiserver.server import APIServer
from pybernetes.control_plane.apiserver.server import Config as APIConfig
from pybernetes.control_plane.cloud import local
from pybernetes.control_plane.cloud.memory import MemoryCloud
from pybernetes.control_plane.cloud.provider import CloudError, Instance
from pybernetes.machinery import codec
from tests.suites.cloud_contract import CloudContract, Started, node, service


class TestMemory(CloudContract):
    @contextlib.asynccontextmanager
    async def cloud(self) -> Started:  # type: ignore[override]
        cloud = MemoryCloud()
        for one in self.nodes():
            address = (one.status.addresses or [])[0]
            cloud.machines[one.metadata.name] = Instance(f"memory://{one.metadata.name}", (address,))
        cloud.start(lambda: None)
        yield cloud
        await cloud.close()


class TestLocal(CloudContract):
    @contextlib.asynccontextmanager
    async def cloud(self) -> Started:  # type: ignore[override]
        from pybernetes.client.client import Client
        from pybernetes.control_plane.apiserver.authentication.user import User

        api = APIServer(APIConfig(listen=False))  # never run: the informers stay empty
        informers = InformerFactory(Client(api.transport(User("admin"))))
        cloud = local.LocalLoadBalancers(local.Config(), informers)
        cloud.start(lambda: None)
        yield cloud
        await cloud.close()


def born(name: str, second: int, port: int = 80, *, served: bool = False, **spec: object) -> Service:
    made = service(name, port, **spec)
    made.metadata.creation_timestamp = f"2026-01-01T00:00:{second:02}Z"
    if served:
        made.status = codec.from_dict(
            type(made.status), {"loadBalancer": {"ingress": [{"ip": "10.0.0.1", "ipMode": "VIP"}]}}
        )
    return made


def refusal(mine: Service, *others: Service, **taken: str) -> str:
    reserved = {("TCP", int(port.removeprefix("p"))): owner for port, owner in taken.items()}
    return local.conflict(mine, [mine, *others], reserved)


def test_a_port_belongs_to_the_first_that_has_it() -> None:
    old, new = born("old", 1), born("new", 2)
    assert refusal(old, new) == ""
    assert refusal(new, old) == "port 80/TCP of the node addresses is taken by Service default/old"
    assert refusal(new, born("old", 1, 81)) == ""
    # Who serves already goes before who is older.
    assert refusal(born("old", 1), born("new", 2, served=True)).endswith("Service default/new")
    assert refusal(born("a", 1), born("b", 1)) == "" != refusal(born("b", 1), born("a", 1))


def test_protocols_and_classes_are_different_things() -> None:
    udp = born("udp", 1, ports=[{"port": 80, "protocol": "UDP"}])
    other = born("other", 1, loadBalancerClass="example.com/x")
    plain = born("plain", 1, type="ClusterIP")
    assert refusal(born("new", 2), udp, other, plain) == ""


def test_the_nodes_own_ports_are_nobodys() -> None:
    assert refusal(born("x", 1, 6443), p6443="the API server").endswith("taken by the API server")
    node_port = born("np", 1, type="NodePort", ports=[{"port": 1, "nodePort": 30080, "protocol": "TCP"}])
    assert refusal(born("x", 2, 30080), node_port).endswith("taken by a node port of Service default/np")


def test_a_service_that_serves_keeps_its_port_from_the_ingress_controller() -> None:
    assert refusal(born("new", 1), p80="the Ingress controller") != ""
    assert refusal(born("new", 1, served=True), p80="the Ingress controller") == ""


def test_addresses_are_those_of_the_services_families() -> None:
    nodes = [node("n1", "10.0.0.1"), node("n2", "10.0.0.2"), node("n6", "fd00::1")]
    assert [one.ip for one in local.ingress(service(), nodes)] == ["10.0.0.1", "10.0.0.2"]
    both = service(ipFamilies=["IPv6", "IPv4"])
    assert [one.ip for one in local.ingress(both, nodes)] == ["fd00::1", "10.0.0.1", "10.0.0.2"]
    assert {one.ip_mode for one in local.ingress(both, nodes)} == {"VIP"}
    assert [one.ip for one in local.ingress(service(loadBalancerIP="10.0.0.2"), nodes)] == ["10.0.0.2"]
    with pytest.raises(CloudError, match=r"spec\.loadBalancerIP 10\.9\.9\.9 is not the address of a node"):
        local.ingress(service(loadBalancerIP="10.9.9.9"), nodes)
