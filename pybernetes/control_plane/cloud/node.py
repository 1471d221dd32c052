"""The cloud node controller: a new node gets its provider id, addresses and labels from the cloud, then loses the
taint that kept Pods away until then.

A kubelet told that a cloud looks after its node registers with the taint `uninitialized`. Addresses and the cloud's own
labels are compared again every five minutes, for clouds tell nobody when they change.
"""

from __future__ import annotations

from typing import Any

from pybernetes.api.core_v1 import Node
from pybernetes.client.client import Client
from pybernetes.client.controller import Controller, RequeueAfter, Retry
from pybernetes.client.events import EventRecorder
from pybernetes.client.factory import InformerFactory
from pybernetes.control_plane.cloud import node_plan as plan
from pybernetes.control_plane.cloud.provider import CloudError, Instance, Provider
from pybernetes.machinery import codec

_PERIOD = 300.0  # seconds between looks at an initialized node's machine; upstream's


class CloudNodeController(Controller):
    """Keys are node names."""

    name = "cloud-node-controller"
    workers = 4

    def __init__(self, provider: Provider, client: Client, informers: InformerFactory, events: EventRecorder) -> None:
        super().__init__(client, informers, events)
        self.provider = provider

    def setup(self) -> None:
        """Nodes."""
        self.nodes = self.informers.informer(Node)
        self.nodes.on(self.enqueue, self._changed)

    def _changed(self, old: Node, new: Node) -> None:
        if old.spec != new.spec or old.metadata.labels != new.metadata.labels:
            self.enqueue(new)

    async def reconcile(self, key: str) -> RequeueAfter | None:
        """Initialize the node, or keep it as its machine is."""
        node = self.nodes.get("", key)
        if node is None or node.metadata.deletion_timestamp is not None:
            return None
        try:
            machine = await self.provider.instance(node)
            if plan.has_taint(node, plan.UNINITIALIZED):
                if machine is None:
                    raise CloudError("instance not found")
                await self._initialize(node, machine)
                self.events.event(node, "Normal", "Synced", "Node synced successfully")
            else:
                await self._keep(node, machine)
        except CloudError as error:
            raise Retry(f"failed to get instance metadata for node {key}: {error}") from error
        return RequeueAfter(_PERIOD)

    async def _initialize(self, node: Node, machine: Instance) -> None:
        identity = node.spec.provider_id or machine.provider_id
        if not identity:
            raise CloudError(f"cloud provider does not set node provider ID for node {node.metadata.name}")
        addresses = plan.addresses(node, machine)  # refused before the taint goes
        taints = plan.taints(node, without=plan.UNINITIALIZED) or []
        body: dict[str, Any] = {
            "metadata": {
                "resourceVersion": node.metadata.resource_version,
                "labels": plan.labels(node, machine),
            },
            "spec": {"providerID": identity, "taints": [codec.to_dict(one) for one in taints] or None},
        }
        written = await self.client.resource(Node).patch(node.metadata.name, "", body)
        await self._addresses(written, addresses)

    async def _keep(self, node: Node, machine: Instance | None) -> None:
        labels = plan.beta_labels(node)
        if machine is not None:
            labels |= plan.more_labels(node, machine)
        if labels:
            body = {"metadata": {"labels": labels}}
            await self.nodes.caught_up(await self.client.resource(Node).patch(node.metadata.name, "", body))
        if machine is not None:
            await self._addresses(node, plan.addresses(node, machine))

    async def _addresses(self, node: Node, addresses: list[Any]) -> None:
        present = {(one.type, one.address) for one in node.status.addresses or ()}
        if addresses and {(one.type, one.address) for one in addresses} != present:
            body = {"status": {"addresses": [codec.to_dict(one) for one in addresses]}}
            node = await self.client.resource(Node).patch(node.metadata.name, "", body, subresource="status")
        await self.nodes.caught_up(node)
