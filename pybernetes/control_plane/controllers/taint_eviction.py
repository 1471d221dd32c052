"""Taint eviction: Pods leave a node whose NoExecute taints they do not tolerate, or no longer.

One delayed key per Pod, at the moment its shortest toleration ends; when the taints go before that, the reconcile finds
nothing to do. The Pod says why it went in its DisruptionTarget condition.
"""

from __future__ import annotations

from pybernetes.aio import clock
from pybernetes.api.core_v1 import Node, Pod, Taint
from pybernetes.client.controller import Controller, RequeueAfter, key_of, split_key
from pybernetes.control_plane.controllers.eviction import evict, tolerated_until
from pybernetes.control_plane.controllers.indexes import POD_NODE, pods_by_node
from pybernetes.control_plane.controllers.pods import is_terminal


class TaintEvictionController(Controller):
    """Keys are Pods."""

    name = "taint-eviction-controller"

    def setup(self) -> None:
        """Nodes whose NoExecute taints change, and Pods that arrive on tainted nodes."""
        self.nodes = self.informers.informer(Node)
        self.pods = self.informers.informer(Pod)
        pods_by_node(self.informers)
        self._since: dict[str, float] = {}  #: when a Pod was first seen with taints that it tolerates for a time
        self.nodes.on(self._node_added, self._node_updated)
        self.pods.on(self._pod_changed, self._pod_updated, lambda pod: self._since.pop(key_of(pod), None))

    def _node_added(self, node: Node) -> None:
        if _no_execute(node):
            self._enqueue_pods(node)

    def _node_updated(self, old: Node, new: Node) -> None:
        if _no_execute(old) != _no_execute(new):
            self._enqueue_pods(new)

    def _enqueue_pods(self, node: Node) -> None:
        for pod in self.pods.by_index(POD_NODE, node.metadata.name):
            self.queue.add(key_of(pod))

    def _pod_changed(self, pod: Pod) -> None:
        node = self.nodes.get("", pod.spec.node_name) if pod.spec.node_name else None
        if node is not None and _no_execute(node):
            self.queue.add(key_of(pod))

    def _pod_updated(self, old: Pod, new: Pod) -> None:
        if old.spec.node_name != new.spec.node_name or old.spec.tolerations != new.spec.tolerations:
            self._pod_changed(new)

    async def reconcile(self, key: str) -> RequeueAfter | None:
        """Delete the Pod if its time on the node is over."""
        pod = self.pods.get(*split_key(key))
        if pod is None or pod.metadata.deletion_timestamp is not None or is_terminal(pod):
            self._since.pop(key, None)
            return None
        node = self.nodes.get("", pod.spec.node_name or "")
        taints = _no_execute(node) if node is not None else []
        now = clock.timestamp()
        until = tolerated_until(taints, pod.spec.tolerations or (), now, self._since.get(key))
        if until is None:
            if self._since.pop(key, None) is not None:
                self.events.event(pod, "Normal", "TaintManagerEviction", f"Cancelling deletion of Pod {key}")
            return None
        if until > now:
            self._since.setdefault(key, now)
            return RequeueAfter(until - now)
        self._since.pop(key, None)
        self.events.event(pod, "Normal", "TaintManagerEviction", f"Marking for deletion Pod {key}")
        await evict(self.client, pod, "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint")
        return None


def _no_execute(node: Node) -> list[Taint]:
    return [taint for taint in node.spec.taints or () if taint.effect == "NoExecute"]
