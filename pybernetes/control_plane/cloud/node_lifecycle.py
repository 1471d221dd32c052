"""The cloud node lifecycle controller: a node that is silent because its machine is gone goes too; one whose machine is
only switched off gets the `shutdown` taint.

The cloud is asked only about nodes that are not Ready, every five seconds as upstream does: clouds count their calls.
"""

from __future__ import annotations

from pybernetes.aio import clock
from pybernetes.api.core_v1 import Node, NodeCondition
from pybernetes.client.client import Client
from pybernetes.client.controller import Controller, RequeueAfter, Retry
from pybernetes.client.events import EventRecorder
from pybernetes.client.factory import InformerFactory
from pybernetes.control_plane.cloud import node_plan as plan
from pybernetes.control_plane.cloud.balancing import is_ready
from pybernetes.control_plane.cloud.provider import CloudError, Provider
from pybernetes.machinery import codec
from pybernetes.machinery.errors import StatusError

_PERIOD = 5.0  # seconds between looks at the machine of a node that is not Ready
_UNINITIALIZED_DELAY = 60.0  # seconds that a new node without a provider id is given


class CloudNodeLifecycleController(Controller):
    """Keys are node names."""

    name = "cloud-node-lifecycle-controller"
    workers = 4

    def __init__(self, provider: Provider, client: Client, informers: InformerFactory, events: EventRecorder) -> None:
        super().__init__(client, informers, events)
        self.provider = provider

    def setup(self) -> None:
        """Nodes."""
        self.nodes = self.informers.informer(Node)
        self.nodes.on(self.enqueue, self._changed)

    def _changed(self, old: Node, new: Node) -> None:
        if _ready(old) != _ready(new) or old.spec.taints != new.spec.taints:
            self.enqueue(new)

    async def reconcile(self, key: str) -> RequeueAfter | None:
        """Look after one node that is not Ready."""
        node = self.nodes.get("", key)
        if node is None or node.metadata.deletion_timestamp is not None:
            return None
        if is_ready(node):
            await self._taint(node, without=plan.SHUTDOWN)
            return None
        if not node.spec.provider_id and plan.has_taint(node, plan.UNINITIALIZED):
            age = clock.timestamp() - clock.parse_rfc3339(node.metadata.creation_timestamp or clock.rfc3339())
            if age < _UNINITIALIZED_DELAY:
                return RequeueAfter(_UNINITIALIZED_DELAY - age)
        try:
            machine = await self.provider.instance(node)
        except CloudError as error:
            raise Retry(f"error checking if node {key} exists: {error}") from error
        if machine is None:
            await self._delete(node)
            return None
        if machine.shutdown:
            await self._taint(node, plus=plan.SHUTDOWN)
        return RequeueAfter(_PERIOD)

    async def _delete(self, node: Node) -> None:
        name = node.metadata.name
        message = f"Deleting node {name} because it does not exist in the cloud provider"
        self.events.event(node, "Normal", "DeletingNode", message)
        try:
            await self.client.resource(Node).delete(name, uid=node.metadata.uid)
        except StatusError as error:
            if error.code == 404:
                return
            self.events.event(node, "Warning", "DeletingNodeFailed", f"Failed deleting node {name}: {error}")
            raise

    async def _taint(self, node: Node, *, without: str = "", plus: str = "") -> None:
        taints = plan.taints(node, without=without, plus=plus)
        if taints is None:
            return
        body = {
            "metadata": {"resourceVersion": node.metadata.resource_version},
            "spec": {"taints": [codec.to_dict(one) for one in taints] or None},
        }
        await self.nodes.caught_up(await self.client.resource(Node).patch(node.metadata.name, "", body))


def _ready(node: Node) -> str:
    found: NodeCondition | None = next((c for c in node.status.conditions or () if c.type == "Ready"), None)
    return found.status if found else "Unknown"
