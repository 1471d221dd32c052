"""The component that keeps the policies, against a whole API server; its table is only noted."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from pybernetes.aio import clock
from pybernetes.api.core_v1 import Container, Pod, PodIP, PodSpec, ServiceAccount
from pybernetes.api.networking_v1 import NetworkPolicy
from pybernetes.client.factory import InformerFactory
from pybernetes.machinery import codec
from pybernetes.machinery.meta import ObjectMeta
from pybernetes.network.proxy.policy import Config, Policies, PolicyLayout
from pybernetes.network.proxy.policy_rules import Allow, PodPolicy, Ports, plan
from tests.suites.api_server import client_of, running


class Notes:
    def __init__(self) -> None:
        self.calls: list[dict[str, PodPolicy]] = []

    def replace(self, pods: Mapping[str, PodPolicy]) -> None:
        self.calls.append({**pods})


def closed() -> NetworkPolicy:
    wire = {"metadata": {"name": "p", "namespace": "default"}, "spec": {"podSelector": {}, "policyTypes": ["Ingress"]}}
    return codec.from_dict(NetworkPolicy, wire)


async def test_pods_are_watched_only_while_there_are_policies() -> None:
    async with running() as server, asyncio.TaskGroup() as group:
        client = client_of(server)
        informers = InformerFactory(client)
        policies = Policies(Config("c", "n1"), client, informers)
        notes = Notes()
        policies._table = notes  # type: ignore[assignment]
        tasks = [group.create_task(informers.run()), group.create_task(policies.run())]
        await policies.ready.wait()
        assert notes.calls == [{}] and policies._pods is None
        account = ServiceAccount(metadata=ObjectMeta(name="default", namespace="default"))
        await client.resource(ServiceAccount).create(account)
        pod = Pod(
            metadata=ObjectMeta(name="a", namespace="default"),
            spec=PodSpec(node_name="n1", containers=[Container(name="c", image="i")]),
        )
        made = codec.copy(await client.resource(Pod).create(pod))
        made.status.phase, made.status.pod_ip, made.status.pod_ips = "Running", "10.1.0.5", [PodIP(ip="10.1.0.5")]
        await client.resource(Pod).update_status(made)
        await client.resource(NetworkPolicy).create(closed())
        await clock.sleep(1)
        assert notes.calls[-1] == {"10.1.0.5": PodPolicy((), None)}
        await client.resource(NetworkPolicy).delete("p", "default")
        await clock.sleep(1)
        assert notes.calls[-1] == {}
        for task in tasks:
            task.cancel()


def test_pods_without_an_address_of_their_own_are_left_alone() -> None:
    host = Pod(metadata=ObjectMeta(name="a", namespace="default"))
    host.spec.node_name, host.spec.host_network, host.status.pod_ip = "n1", True, "192.0.2.1"
    assert plan([closed()], [host], [], "n1") == {}


def test_pods_for_which_the_same_holds_share_a_chain() -> None:
    same = PodPolicy((Allow(frozenset({"10.1.0.9"}), ports=(Ports("TCP", 80, 80),)),), None)
    layout = PolicyLayout("t", "IPv4", ())
    one = len([*layout.build({"10.1.0.1": same})])
    assert len([*layout.build({"10.1.0.1": same, "10.1.0.2": same})]) == one
