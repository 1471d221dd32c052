"""The cloud controller manager in a whole cluster: its own rights, a cloud that is remembered, and the local one."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from pybernetes.aio import clock
from pybernetes.aio.tasks import Nursery
from pybernetes.api.core_v1 import NodeAddress
from pybernetes.client import leader
from pybernetes.client.factory import InformerFactory
from pybernetes.control_plane.cloud import local
from pybernetes.control_plane.cloud.manager import CloudControllerManager, Config
from pybernetes.control_plane.cloud.memory import MemoryCloud
from pybernetes.control_plane.cloud.provider import Instance, Provider, Route

from .place import Place, Wire, condition

FINALIZER = "service.kubernetes.io/load-balancer-cleanup"
UNINITIALIZED = "node.cloudprovider.kubernetes.io/uninitialized"


@contextlib.asynccontextmanager
async def cloud(place: Place, make: Callable[[InformerFactory], Provider], **config: Any) -> AsyncIterator[None]:
    """The manager, with no more rights than it has in a real cluster."""
    manager = CloudControllerManager(
        Config(provider=make, **config), place.cluster.client_of("system:cloud-controller-manager")
    )
    async with Nursery("cloud") as nursery:
        nursery.start(manager.run(), "manager")
        if config.get("leader_election") is None:
            await manager.ready.wait()
        yield


async def balanced(place: Place, name: str, port: int = 80, **spec: Any) -> Wire:
    return await place.create("Service", name, spec={"type": "LoadBalancer", "ports": [{"port": port}], **spec})


def ingress(service: Wire) -> list[str]:
    return [one["ip"] for one in service["status"]["loadBalancer"].get("ingress") or []]


async def reasons(place: Place, name: str, kind: str = "Service", namespace: str = "here") -> list[str]:
    events = (await place.of("Event").list(namespace)).items
    return [e["reason"] for e in events if (e["involvedObject"]["kind"], e["involvedObject"]["name"]) == (kind, name)]


async def test_a_load_balancer_from_creation_to_deletion() -> None:
    async with Place.open(nodes=2) as place:
        memory = MemoryCloud()
        async with cloud(place, lambda informers: memory):
            await balanced(place, "web")
            made = await place.until("Service", "web", ingress)
            assert ingress(made) == ["198.51.100.1"]
            assert made["status"]["loadBalancer"]["ingress"][0]["ipMode"] == "VIP"
            assert made["metadata"]["finalizers"] == [FINALIZER]
            ((_, nodes),) = memory.balancers.values()
            assert nodes == ("fake-0", "fake-1")
            await clock.sleep(1)
            assert await reasons(place, "web") == ["EnsuringLoadBalancer", "EnsuredLoadBalancer"]

            memory.failing["delete_load_balancer"] = "the cloud is closed"
            await place.delete("Service", "web")
            await clock.sleep(30)
            assert FINALIZER in (await place.get("Service", "web"))["metadata"]["finalizers"]
            memory.failing.clear()
            await place.gone("Service", "web")
            assert memory.balancers == {}
            found = await reasons(place, "web")
            assert {"DeletingLoadBalancer", "SyncLoadBalancerFailed", "DeletedLoadBalancer"} <= {*found}


async def test_a_service_that_changes_its_type_loses_its_load_balancer() -> None:
    async with Place.open(nodes=1) as place:
        memory = MemoryCloud()
        async with cloud(place, lambda informers: memory):
            await balanced(place, "web")
            await place.until("Service", "web", ingress)
            await place.patch("Service", "web", {"spec": {"type": "ClusterIP"}})
            bare = await place.until("Service", "web", lambda s: not s["metadata"].get("finalizers"))
            assert not ingress(bare) and memory.balancers == {}
            await clock.sleep(1)
            events = (await place.of("Event").list("here")).items
            assert "LoadBalancer -> ClusterIP" in [e["message"] for e in events if e["reason"] == "Type"]


async def test_another_class_and_no_node_ports() -> None:
    async with Place.open(nodes=1) as place:
        memory = MemoryCloud()
        async with cloud(place, lambda informers: memory):
            await balanced(place, "other", loadBalancerClass="example.com/other")
            await balanced(place, "direct", allocateLoadBalancerNodePorts=False)
            direct = await place.until("Service", "direct", ingress)
            assert "nodePort" not in direct["spec"]["ports"][0]
            other = await place.get("Service", "other")
            assert not ingress(other) and not other["metadata"].get("finalizers")


async def test_a_cloud_that_fails_is_asked_again_ever_less_often() -> None:
    async with Place.open(nodes=1) as place:
        memory = MemoryCloud()
        memory.failing["ensure_load_balancer"] = "quota exceeded"
        async with cloud(place, lambda informers: memory):
            await balanced(place, "web")
            await clock.sleep(100)  # at 0, 5, 15, 35 and 75 seconds
            events = [
                e for e in (await place.of("Event").list("here")).items if e["reason"] == "SyncLoadBalancerFailed"
            ]
            assert [e["message"] for e in events] == [
                "Error syncing load balancer: failed to ensure load balancer: quota exceeded"
            ]
            assert events[0]["count"] == 5
            memory.failing.clear()
            await place.until("Service", "web", ingress)


async def test_nodes_that_come_go_or_are_excluded() -> None:
    async with Place.open(nodes=2) as place:
        memory = MemoryCloud()
        async with cloud(place, lambda informers: memory):
            await balanced(place, "web")
            await place.until("Service", "web", ingress)
            exclude = {"metadata": {"labels": {"node.kubernetes.io/exclude-from-external-load-balancers": ""}}}
            await place.patch("Node", "fake-0", exclude)
            await clock.sleep(1)
            assert [nodes for _, nodes in memory.balancers.values()] == [("fake-1",)]
            assert "UpdatedLoadBalancer" in await reasons(place, "web")


async def test_a_start_ensures_everything_and_cleans_what_was_left() -> None:
    async with Place.open(nodes=1) as place:
        memory = MemoryCloud()
        async with cloud(place, lambda informers: memory):
            await balanced(place, "gone")
            await balanced(place, "stays", 81)
            await place.until("Service", "gone", ingress)
            await place.until("Service", "stays", ingress)
        await place.delete("Service", "gone")
        memory.balancers.pop(next(uid for uid, (ip, _) in memory.balancers.items() if ip == "198.51.100.2"), None)
        async with cloud(place, lambda informers: memory):
            await place.gone("Service", "gone")
            await place.until("Service", "stays", ingress)
            assert len(memory.balancers) == 1


async def test_a_new_node_is_initialized_by_its_machine() -> None:
    async with Place.open(nodes=0) as place:
        memory = MemoryCloud()
        async with cloud(place, lambda informers: memory):
            taints = [{"key": UNINITIALIZED, "value": "true", "effect": "NoSchedule"}]
            await place.create("Node", "n1", spec={"taints": taints})
            await clock.sleep(5)
            assert (await place.get("Node", "n1"))["spec"]["taints"][0]["key"] == UNINITIALIZED
            memory.machines["n1"] = Instance(
                "memory://eu/n1",
                (
                    NodeAddress(type="InternalIP", address="10.0.0.1"),
                    NodeAddress(type="ExternalIP", address="192.0.2.7"),
                ),
                "large",
                "eu-a",
                "eu",
                labels={"rack": "7", "kubernetes.io/role": "x"},
            )
            node = await place.until("Node", "n1", lambda n: n["spec"].get("providerID"))
            assert node["spec"]["providerID"] == "memory://eu/n1"
            assert UNINITIALIZED not in [t["key"] for t in node["spec"].get("taints") or []]
            expected = {
                "node.kubernetes.io/instance-type": "large",
                "beta.kubernetes.io/instance-type": "large",
                "topology.kubernetes.io/zone": "eu-a",
                "failure-domain.beta.kubernetes.io/zone": "eu-a",
                "topology.kubernetes.io/region": "eu",
                "failure-domain.beta.kubernetes.io/region": "eu",
                "rack": "7",
            }
            assert node["metadata"]["labels"].items() >= expected.items()
            assert "kubernetes.io/role" not in node["metadata"]["labels"]
            node = await place.until("Node", "n1", lambda n: n["status"].get("addresses"))
            assert [a["address"] for a in node["status"]["addresses"]] == ["10.0.0.1", "192.0.2.7"]
            await clock.sleep(1)
            assert "Synced" in await reasons(place, "n1", "Node", "default")


async def test_a_machine_that_is_off_or_gone() -> None:
    async with Place.open(nodes=0) as place:
        memory = MemoryCloud()
        memory.machines = {name: Instance(f"memory://{name}") for name in ("off", "gone", "well")}
        for name in memory.machines:
            await place.create("Node", name, spec={"providerID": f"memory://{name}"})
        ready = {"status": {"conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}]}}
        await place.patch("Node", "well", ready, "strategic", "status")
        async with cloud(place, lambda informers: memory):
            await clock.sleep(10)
            del memory.machines["well"]  # nobody asks about a node that is Ready
            memory.machines["off"] = Instance("memory://off", shutdown=True)
            del memory.machines["gone"]
            await place.gone("Node", "gone")
            shutdown = "node.cloudprovider.kubernetes.io/shutdown"
            await place.until("Node", "off", lambda n: shutdown in [t["key"] for t in n["spec"].get("taints") or []])
            await place.patch("Node", "off", ready, "strategic", "status")
            await place.until(
                "Node", "off", lambda n: shutdown not in [t["key"] for t in n["spec"].get("taints") or []]
            )
            assert await place.get("Node", "well")
            await clock.sleep(1)
            assert "DeletingNode" in await reasons(place, "gone", "Node", "default")


async def test_routes_follow_nodes_and_foreign_ones_stay() -> None:
    async with Place.open(nodes=0) as place:
        memory = MemoryCloud()
        foreign, old = Route("192.168.0.0/24", "", "foreign"), Route("10.244.9.0/24", "n9", "old")
        memory.table = [foreign, old]
        memory.machines["n1"] = Instance("memory://n1")
        memory.failing["create_route"] = "limit reached"
        await place.create("Node", "n1", spec={"podCIDR": "10.244.1.0/24", "podCIDRs": ["10.244.1.0/24"]})
        async with cloud(place, lambda informers: memory):
            node = await place.until("Node", "n1", lambda n: condition(n, "NetworkUnavailable"))
            assert (condition(node, "NetworkUnavailable") or {})["reason"] == "NoRouteCreated"
            assert memory.table == [foreign]
            memory.failing.clear()
            await place.until("Node", "n1", lambda n: (condition(n, "NetworkUnavailable") or {})["status"] == "False")
            assert [route.destination for route in memory.table] == ["192.168.0.0/24", "10.244.1.0/24"]
            await place.delete("Node", "n1")
            await clock.sleep(15)
            assert memory.table == [foreign]


async def test_of_two_managers_one_works() -> None:
    async with Place.open(nodes=1) as place:
        memory, idle = MemoryCloud(), MemoryCloud("203.0.113.0/24")

        def lease(name: str) -> leader.Config:
            return leader.Config("cloud-controller-manager", "kube-system", name)

        async with cloud(place, lambda informers: memory, leader_election=lease("a")):
            await clock.sleep(5)
            async with cloud(place, lambda informers: idle, leader_election=lease("b")):
                await balanced(place, "web")
                await place.until("Service", "web", ingress)
                assert memory.balancers and not idle.balancers


def on_nodes(**config: Any) -> Callable[[InformerFactory], Provider]:
    return lambda informers: local.LocalLoadBalancers(local.Config(**config), informers)


async def test_the_nodes_addresses_are_the_load_balancer() -> None:
    async with Place.open(nodes=2) as place:
        addresses = [
            next(a["address"] for a in node["status"]["addresses"] if a["type"] == "InternalIP")
            for node in sorted(await place.list("Node"), key=lambda n: n["metadata"]["name"])
        ]
        async with cloud(place, on_nodes(reserved={("TCP", 6443): "the API server"})):
            await balanced(place, "first")
            first = await place.until("Service", "first", ingress)
            assert ingress(first) == addresses
            await balanced(place, "second")
            await balanced(place, "api", 6443)
            await clock.sleep(30)
            for name, owner in (("second", "Service here/first"), ("api", "the API server")):
                assert not ingress(await place.get("Service", name))
                messages = [
                    e["message"]
                    for e in (await place.of("Event").list("here")).items
                    if e["involvedObject"]["name"] == name and e["type"] == "Warning"
                ]
                assert messages and messages[0].endswith(f"of the node addresses is taken by {owner}")
            await place.delete("Service", "first")
            begin = clock.monotonic()
            await place.until("Service", "second", ingress)
            assert clock.monotonic() - begin < 5  # no back-off: the port became free

            await place.patch(
                "Service", "second", {"spec": {"ports": [{"port": 80, "$patch": "delete"}, {"port": 6443}]}}
            )
            await place.until("Service", "second", lambda s: not ingress(s))


async def test_nodes_without_endpoints_are_left_out_where_the_policy_is_local() -> None:
    async with Place.open(nodes=2) as place:
        async with cloud(place, on_nodes()):
            await balanced(place, "web", selector={"app": "web"}, externalTrafficPolicy="Local")
            await clock.sleep(5)
            assert not ingress(await place.get("Service", "web"))
            assert "UnAvailableLoadBalancer" in await reasons(place, "web")
            spec = {"nodeName": "fake-1", "containers": [{"name": "c", "image": "i"}]}
            await place.create("Pod", "p", spec=spec, metadata={"labels": {"app": "web"}})
            found = await place.until("Service", "web", ingress)
            node = await place.get("Node", "fake-1")
            assert ingress(found) == [a["address"] for a in node["status"]["addresses"] if a["type"] == "InternalIP"]


async def test_an_ingress_takes_its_ports_from_those_who_have_not_got_them() -> None:
    config = {"ingress_ports": (80,), "ingress_controller": "pybernetes.io/ingress"}
    async with Place.open(nodes=1) as place:
        classes = place.client.dynamic("networking.k8s.io/v1", "IngressClass")
        await classes.create(
            {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "IngressClass",
                "metadata": {"name": "mine"},
                "spec": {"controller": "pybernetes.io/ingress"},
            }
        )
        async with cloud(place, on_nodes(**config)):
            backend = {"service": {"name": "x", "port": {"number": 80}}}
            await place.create("Ingress", "i", spec={"ingressClassName": "mine", "defaultBackend": backend})
            await balanced(place, "late")
            await clock.sleep(5)
            assert not ingress(await place.get("Service", "late"))
            await place.delete("Ingress", "i")
            await place.until("Service", "late", ingress, 5)
