"""The state plans are made on: nodes, the Pods on them (bound and assumed), and counts of Pods by selector.

Assumed means placed by a plan whose binding the API server has not confirmed yet: it counts at once, else the next
Pod would be put onto the same place. The informer's news and the planner's assumptions meet in `place`, which may be
told the same thing twice.
"""

from __future__ import annotations

from collections.abc import Iterable

from pybernetes.api.core_v1 import Node, Pod
from pybernetes.control_plane.scheduler.devices import Devices
from pybernetes.control_plane.scheduler.facts import Interner, PodFacts
from pybernetes.control_plane.scheduler.nodes import Nodes
from pybernetes.control_plane.scheduler.selections import Selections
from pybernetes.control_plane.scheduler.storage import Storage
from pybernetes.control_plane.scheduler.terms import Terms


class Snapshot:
    """Nodes and placed Pods. Not a copy: there is one, changed between plans and never during one."""

    def __init__(self) -> None:
        self.nodes = Nodes()
        self.interner = Interner()
        self.selections = Selections(self.nodes)
        self.terms = Terms(self.nodes)
        self.storage = Storage()
        self.devices = Devices()
        #: By uid, Pods on nodes: (facts, node name).
        self.placed: dict[str, tuple[PodFacts, str]] = {}
        #: By node name, the Pods there by uid. Also of nodes that are not known (yet).
        self.on_node: dict[str, dict[str, PodFacts]] = {}
        #: priority -> how many placed Pods have it.
        self.priorities: dict[int, int] = {}
        #: By node name, how often one of its Pods has started or got other labels: it takes the same of the node, but
        #: is worth more as it gets older, and may have another budget.
        self.starts: dict[str, int] = {}

    # Nodes

    def set_node(self, node: Node) -> frozenset[str]:
        """A node came or changed; what changed, see `Nodes.upsert`."""
        changes = self.nodes.upsert(node)
        if "added" in changes:
            row = self.nodes.rows[node.metadata.name]
            for pod in self.on_node.get(node.metadata.name, {}).values():
                self._account(pod, row, 1)
        return changes

    def remove_node(self, name: str) -> None:
        """A node is gone. Pods bound to it are remembered, in case it comes back."""
        row = self.nodes.rows.get(name)
        if row is None:
            return
        for pod in self.on_node.get(name, {}).values():
            self._account(pod, row, -1)
        self.nodes.remove(name)
        self.starts.pop(name, None)

    # Pods

    def facts(self, pod: Pod) -> PodFacts:
        return self.interner.facts(pod)

    def place(self, pod: PodFacts, node_name: str) -> None:
        """The Pod is on that node (or assumed to be)."""
        known = self.placed.get(pod.uid)
        if known is not None:
            before, where = known
            if where == node_name and _same(before, pod):
                if before.group is not pod.group:  # by the zone it is in now, say: the node has as much left as before
                    self._regroup(before, pod, node_name)
                if before.started != pod.started or before.group is not pod.group:
                    self.starts[node_name] = self.starts.get(node_name, 0) + 1
                self.placed[pod.uid] = (pod, node_name)
                self.on_node[node_name][pod.uid] = pod
                return
            self.remove(pod.uid)
        self.placed[pod.uid] = (pod, node_name)
        self.on_node.setdefault(node_name, {})[pod.uid] = pod
        self.priorities[pod.priority] = self.priorities.get(pod.priority, 0) + 1
        if pod.volumes:
            self.storage.account(node_name, pod, 1)
        row = self.nodes.rows.get(node_name)
        if row is not None:
            self._account(pod, row, 1)

    def remove(self, uid: str) -> PodFacts | None:
        """The Pod is on no node any more; its facts, or None when it was not known."""
        known = self.placed.pop(uid, None)
        if known is None:
            return None
        pod, node_name = known
        there = self.on_node[node_name]
        del there[uid]
        if not there:
            del self.on_node[node_name]
        self.priorities[pod.priority] -= 1
        if not self.priorities[pod.priority]:
            del self.priorities[pod.priority]
        if pod.volumes:
            self.storage.account(node_name, pod, -1)
        row = self.nodes.rows.get(node_name)
        if row is not None:
            self._account(pod, row, -1)
        return pod

    def node_of(self, uid: str) -> str:
        """The name of the node a Pod is placed on; "" when it is not."""
        known = self.placed.get(uid)
        return known[1] if known else ""

    def pods_on(self, node_name: str) -> Iterable[PodFacts]:
        return self.on_node.get(node_name, {}).values()

    def _account(self, pod: PodFacts, row: int, sign: int) -> None:
        self.nodes.account(row, pod, sign)
        self._account_group(pod, row, sign)

    def _account_group(self, pod: PodFacts, row: int, sign: int) -> None:
        self.selections.account(row, pod, sign)
        self.terms.account(row, pod, sign)

    def _regroup(self, before: PodFacts, pod: PodFacts, node_name: str) -> None:
        row = self.nodes.rows.get(node_name)
        if row is not None:
            self._account_group(before, row, -1)
            self._account_group(pod, row, 1)


def _same(a: PodFacts, b: PodFacts) -> bool:
    """Whether two versions of a Pod take the same of a node."""
    return a.pod_class is b.pod_class and a.priority == b.priority
