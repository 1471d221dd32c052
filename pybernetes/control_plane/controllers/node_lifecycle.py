"""The node lifecycle controller: notices nodes that have fallen silent, and says so in conditions, taints and Pods.

A node lives by its Lease (or its Ready condition's heartbeat). When one was last seen to change is kept by our own
clock: comparing with the node's would declare dead whoever has the wrong time. Nothing is polled: each node has one
timer, set to when it would be overdue.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pybernetes.aio import clock
from pybernetes.aio.backoff import TokenBucket
from pybernetes.api.coordination_v1 import Lease
from pybernetes.api.core_v1 import Node, NodeCondition, Pod
from pybernetes.client.client import Client
from pybernetes.client.controller import Controller, RequeueAfter
from pybernetes.client.events import EventRecorder
from pybernetes.client.factory import InformerFactory
from pybernetes.control_plane.controllers import node_plan as plan
from pybernetes.control_plane.controllers import pods as pod_state
from pybernetes.control_plane.controllers.indexes import POD_NODE, pods_by_node
from pybernetes.machinery import codec
from pybernetes.machinery.errors import StatusError

LEASES = "kube-node-lease"


@dataclass(frozen=True)
class Config:
    """Times in seconds; upstream's defaults."""

    grace_period: float = 50.0  #: silence after which a node is unhealthy
    startup_grace_period: float = 60.0  #: the same for a node that never was ready
    rates: plan.Rates = field(default_factory=plan.Rates)


@dataclass(slots=True)
class _Health:
    seen: float  # loop time of the last sign of life
    heartbeat: str | None
    ready: str  # last Ready status acted upon


class NodeLifecycleController(Controller):
    """Keys are node names."""

    name = "node-controller"

    def __init__(self, config: Config, client: Client, informers: InformerFactory, events: EventRecorder) -> None:
        super().__init__(client, informers, events)
        self._config = config
        self._health: dict[str, _Health] = {}
        self._census = plan.Census()
        self._zones: dict[str, str] = {}  # zone -> state
        self._buckets: dict[str, TokenBucket] = {}

    def setup(self) -> None:
        """Nodes, their leases, and the Pods on them."""
        self.nodes = self.informers.informer(Node)
        self.leases = self.informers.informer(Lease, namespace=LEASES)
        self.pods = self.informers.informer(Pod)
        pods_by_node(self.informers)
        self.nodes.on(self._node_added, self._node_updated, self._node_deleted)
        self.leases.on(updated=self._lease_updated)
        self.pods.on(updated=self._pod_updated)
        self._nodes = self.client.resource(Node)
        self._pods = self.client.resource(Pod)

    def _node_added(self, node: Node) -> None:
        name = node.metadata.name
        self._health[name] = _Health(clock.monotonic(), _heartbeat(node), "")
        self.events.event(node, "Normal", "RegisteredNode", f"Node {name} event: Registered Node {name} in Controller")
        self.queue.add(name)
        self._census.put(node)
        self._assess_zones()

    def _node_updated(self, old: Node, new: Node) -> None:
        health = self._health[new.metadata.name]
        if (heartbeat := _heartbeat(new)) != health.heartbeat:
            health.heartbeat, health.seen = heartbeat, clock.monotonic()
        self._census.put(new)
        self._assess_zones()
        if old.spec != new.spec or old.status.conditions != new.status.conditions:
            self.queue.add(new.metadata.name)

    def _node_deleted(self, node: Node) -> None:
        name = node.metadata.name
        self._health.pop(name, None)
        self._census.remove(name)
        message = f"Node {name} event: Removing Node {name} from Controller"
        self.events.event(node, "Normal", "RemovingNode", message)
        self._assess_zones()

    def _lease_updated(self, old: Lease, new: Lease) -> None:
        health = self._health.get(new.metadata.name)
        if health is not None and old.spec.renew_time != new.spec.renew_time:
            health.seen = clock.monotonic()

    def _pod_updated(self, old: Pod, new: Pod) -> None:
        if new.spec.node_name and new.spec.node_name != old.spec.node_name:
            health = self._health.get(new.spec.node_name)
            if health is not None and health.ready not in ("", "True"):
                self.queue.add(new.spec.node_name)

    def _assess_zones(self) -> None:
        """Zones that changed state have other rates, and their nodes are looked at again."""
        states = self._census.states(self._config.rates)
        if states == self._zones:
            return
        for name in {z for z in (*states, *self._zones) if states.get(z) != self._zones.get(z)}:
            self._buckets.pop(name, None)
        self._zones = states
        for node in self.nodes.list():
            if plan.ready_status(node) != "True":
                self.queue.add(node.metadata.name)

    async def reconcile(self, key: str) -> RequeueAfter | None:
        """Conditions, then taints, then Pods of one node."""
        node, health = self.nodes.get("", key), self._health.get(key)
        if node is None or health is None:
            return None
        first = plan.condition(node, "Ready") is None
        grace = self._config.startup_grace_period if first else self._config.grace_period
        remaining = health.seen + grace - clock.monotonic()
        silent = remaining <= 0
        if silent:
            node = await self._silence(node)
        wait = None if silent else remaining + 0.01
        retaint = await self._taint(node)
        ready = plan.ready_status(node)
        if ready != health.ready:
            if health.ready == "True":
                self.events.event(node, "Normal", "NodeNotReady", f"Node {key} status is now: NodeNotReady")
            health.ready = ready
        if ready != "True" and (not first or silent):
            await self._mark_pods(key)
        waits = [w for w in (wait, retaint) if w is not None]
        return RequeueAfter(min(waits)) if waits else None

    async def _silence(self, node: Node) -> Node:
        conditions = plan.silenced(node, clock.rfc3339())
        if conditions == node.status.conditions:
            return node
        changed = codec.copy(node)
        changed.status.conditions = conditions
        updated = await self._nodes.update_status(changed)
        await self.nodes.caught_up(updated)
        return updated

    async def _taint(self, node: Node) -> float | None:
        """Set the taints; seconds until the NoExecute taint may be tried again, if it had to wait."""
        wait = None
        evict = False
        if plan.ready_status(node) != "True" and any(state != "FullDisruption" for state in self._zones.values()):
            evict = plan.has_eviction_taint(node)
            if not evict:
                bucket = self._bucket(plan.zone(node))
                evict = bucket is not None and bucket.take()
                if not evict and bucket is not None:
                    wait = 1.0 / bucket.rate
        wanted = plan.taints(node, evict=evict, now=clock.rfc3339())
        if plan.same_taints(wanted, node.spec.taints):
            return wait
        body = [codec.to_dict(taint) for taint in wanted]
        patch = {"metadata": {"resourceVersion": node.metadata.resource_version}, "spec": {"taints": body or None}}
        await self.nodes.caught_up(await self._nodes.patch(node.metadata.name, "", patch))
        return wait

    def _bucket(self, zone: str) -> TokenBucket | None:
        if zone not in self._buckets:
            state = self._zones.get(zone, "Normal")
            rate = plan.zone_rate(state, self._census.size(zone), self._config.rates)
            if rate == 0:
                return None
            self._buckets[zone] = TokenBucket(rate, 1)
        return self._buckets[zone]

    async def _mark_pods(self, node: str) -> None:
        """Pods of a node that is not ready are not ready: Services must not send anything there."""
        for pod in self.pods.by_index(POD_NODE, node):
            if not pod_state.is_ready(pod):
                continue
            changed = codec.copy(pod)
            for condition in changed.status.conditions or ():
                if condition.type == "Ready":
                    condition.status = "False"
                    condition.last_transition_time = clock.rfc3339()
            try:
                await self._pods.update_status(changed)
            except StatusError as error:
                if error.code == 404:
                    continue
                raise
            self.events.event(pod, "Warning", "NodeNotReady", "Node is not ready")


def _heartbeat(node: Node) -> str | None:
    ready: NodeCondition | None = plan.condition(node, "Ready")
    return ready.last_heartbeat_time if ready is not None and ready.status != "Unknown" else None
