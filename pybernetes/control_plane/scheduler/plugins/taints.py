"""NodeUnschedulable and TaintToleration: nodes that keep Pods away.

Nodes have few different lists of taints, and each has one id: a Pod's tolerations are compared once per list.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pybernetes.api.core_v1 import Taint, Toleration
from pybernetes.control_plane.scheduler.facts import PodFacts
from pybernetes.control_plane.scheduler.nodes import Bools, Floats, Ints, Rows
from pybernetes.control_plane.scheduler.plugins.base import UNRESOLVABLE, Plugin, Scope, by_largest
from pybernetes.control_plane.scheduler.snapshot import Snapshot

_UNSCHEDULABLE = Taint(key="node.kubernetes.io/unschedulable", effect="NoSchedule")


def tolerates(toleration: Toleration, taint: Taint) -> bool:
    """Whether it tolerates the taint; an empty key or effect matches all."""
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    if toleration.operator == "Exists":
        return True
    return (toleration.value or "") == (taint.value or "") and bool(toleration.key)


def untolerated(taints: Sequence[Taint], tolerations: Sequence[Toleration], *effects: str) -> int:
    """How many taints of these effects are not tolerated."""
    return sum(1 for taint in taints if taint.effect in effects and not any(tolerates(t, taint) for t in tolerations))


class NodeUnschedulable(Plugin):
    """Cordoned nodes."""

    name = "NodeUnschedulable"
    scope = Scope.NODE
    wakes_on = frozenset({"Node/added", "Node/taints"})

    def prepare(self, pod: PodFacts, snapshot: Snapshot) -> Any:
        return None if any(tolerates(t, _UNSCHEDULABLE) for t in pod.pod_class.tolerations) else True

    def filter(self, state: Any, snapshot: Snapshot, rows: Rows) -> Ints:
        return snapshot.nodes.unschedulable[rows] * (UNRESOLVABLE | 1)

    def reasons(self, state: Any, code: int) -> Sequence[str]:
        return ["node(s) were unschedulable"]


class TaintToleration(Plugin):
    """Taints NoSchedule and NoExecute exclude; PreferNoSchedule costs points."""

    name = "TaintToleration"
    scope = Scope.NODE
    wakes_on = frozenset({"Node/added", "Node/taints"})
    normalises = True

    def prepare(self, pod: PodFacts, snapshot: Snapshot) -> Any:
        return pod.pod_class.tolerations

    def filter(self, state: Any, snapshot: Snapshot, rows: Rows) -> Ints:
        sets = snapshot.nodes.taint_sets
        table = np.array(
            [UNRESOLVABLE | 1 if untolerated(taints, state, "NoSchedule", "NoExecute") else 0 for taints in sets]
        )
        return table[snapshot.nodes.taints[rows]]

    def reasons(self, state: Any, code: int) -> Sequence[str]:
        return ["node(s) had untolerated taint(s)"]

    def prepare_score(self, pod: PodFacts, snapshot: Snapshot) -> Any:
        return [t for t in pod.pod_class.tolerations if not t.effect or t.effect == "PreferNoSchedule"]

    def score(self, state: Any, snapshot: Snapshot, rows: Rows) -> Floats:
        sets = snapshot.nodes.taint_sets
        table = np.array([untolerated(taints, state, "PreferNoSchedule") for taints in sets], np.float64)
        return table[snapshot.nodes.taints[rows]]

    def normalise(self, state: Any, points: Floats, feasible: Bools, snapshot: Snapshot, rows: Rows) -> Floats:
        return by_largest(points, feasible, reverse=True)
