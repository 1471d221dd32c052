"""What every cloud provider keeps, whatever it is made of: a suite over a factory.

A subclass gives `cloud()`, a provider that knows the machines of the nodes `n1` and `n2` (as far as it has instances),
and `service()`, a Service as the API server would store it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from pybernetes.api.core_v1 import LoadBalancerStatus, Node, Service
from pybernetes.control_plane.cloud.provider import INSTANCES, LOAD_BALANCERS, ROUTES, Provider, Route
from pybernetes.machinery import codec


def node(name: str, address: str, **more: Any) -> Node:
    """A Ready node."""
    return codec.from_dict(
        Node,
        {
            "metadata": {"name": name, "uid": f"uid-{name}"},
            "spec": more,
            "status": {
                "addresses": [{"type": "InternalIP", "address": address}],
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        },
    )


def service(name: str = "web", port: int = 80, **spec: Any) -> Service:
    """A Service of type LoadBalancer."""
    ports = [{"port": port, "protocol": "TCP", "targetPort": 8080, "nodePort": 31000 + port % 1000}]
    body = {"type": "LoadBalancer", "ports": ports, "ipFamilies": ["IPv4"], **spec}
    metadata = {"name": name, "namespace": "default", "uid": f"00000000-0000-0000-0000-{abs(hash(name)) % 10**12:012}"}
    return codec.from_dict(Service, {"metadata": metadata, "spec": body})


class CloudContract:
    """Inherit, and give `cloud()`."""

    def cloud(self) -> AbstractAsyncContextManager[Provider]:
        """A provider that was started."""
        raise NotImplementedError

    def nodes(self) -> list[Node]:
        return [node("n1", "10.0.0.1"), node("n2", "10.0.0.2")]

    def remembered(self, service: Service, status: LoadBalancerStatus) -> Service:
        """The Service as it is once the controller has written the status."""
        changed = codec.copy(service)
        changed.status.load_balancer = status
        return changed

    async def test_a_load_balancer_is_made_once_told_and_removed_for_good(self) -> None:
        async with self.cloud() as cloud:
            if LOAD_BALANCERS not in cloud.features:
                pytest.skip(f"{cloud.name} has no load balancers")
            web = service()
            assert await cloud.load_balancer(web) is None
            status = await cloud.ensure_load_balancer(web, self.nodes())
            web = self.remembered(web, status)
            assert status.ingress and (status.ingress[0].ip or status.ingress[0].hostname)
            assert await cloud.ensure_load_balancer(web, self.nodes()) == status
            assert await cloud.load_balancer(web) == status
            await cloud.delete_load_balancer(web)
            web = self.remembered(web, LoadBalancerStatus())
            assert await cloud.load_balancer(web) is None
            await cloud.delete_load_balancer(web)

    async def test_nodes_may_come_and_go(self) -> None:
        async with self.cloud() as cloud:
            if LOAD_BALANCERS not in cloud.features:
                pytest.skip(f"{cloud.name} has no load balancers")
            web = service()
            one, both = self.nodes()[:1], self.nodes()
            web = self.remembered(web, await cloud.ensure_load_balancer(web, one))
            for nodes in (both, one, both):
                status = await cloud.update_load_balancer(web, nodes)
                assert bool(status.ingress)
            await cloud.delete_load_balancer(web)

    async def test_machines_are_found_by_name_then_by_their_identity(self) -> None:
        async with self.cloud() as cloud:
            if INSTANCES not in cloud.features:
                pytest.skip(f"{cloud.name} has no instances")
            first = self.nodes()[0]
            machine = await cloud.instance(first)
            assert machine is not None and "://" in machine.provider_id
            assert {one.type for one in machine.addresses} >= {"InternalIP"}
            known = codec.copy(first)
            known.spec.provider_id = machine.provider_id
            known.metadata.name = "renamed"
            again = await cloud.instance(known)
            assert again is not None and again.provider_id == machine.provider_id
            assert await cloud.instance(node("nobody", "10.0.0.99")) is None

    async def test_routes(self) -> None:
        async with self.cloud() as cloud:
            if ROUTES not in cloud.features:
                pytest.skip(f"{cloud.name} has no routes")
            assert await cloud.routes() == []
            first = self.nodes()[0]
            await cloud.create_route(Route("10.244.1.0/24", "n1"), first)
            (made,) = await cloud.routes()
            assert (made.destination, made.node) == ("10.244.1.0/24", "n1")
            await cloud.delete_route(made)
            await cloud.delete_route(made)
            assert await cloud.routes() == []


Started = AsyncIterator[Provider]
