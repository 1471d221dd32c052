"""NodeDeclaredFeatures: nodes whose kubelet can do what the Pod needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pybernetes.api.core_v1 import Node
from pybernetes.api.core_v1 import declared_features as features
from pybernetes.control_plane.scheduler.facts import PodFacts
from pybernetes.control_plane.scheduler.nodes import Ints, Rows
from pybernetes.control_plane.scheduler.plugins.base import UNRESOLVABLE, Plugin
from pybernetes.control_plane.scheduler.snapshot import Snapshot


class NodeDeclaredFeatures(Plugin):
    """Few Pods need one: for the others it costs a look at their containers."""

    name = "NodeDeclaredFeatures"
    wakes_on = frozenset({"Node/added", "Node/features"})

    def prepare(self, pod: PodFacts, snapshot: Snapshot) -> Any:
        return features.needed_to_run(pod.pod) or None

    def filter(self, state: Any, snapshot: Snapshot, rows: Rows) -> Ints:
        objects = snapshot.nodes.objects
        numbers = np.arange(snapshot.nodes.size)[rows]
        return np.array([self._code(state, objects[row]) for row in numbers.tolist()], np.int64)

    def filter_one(self, state: Any, snapshot: Snapshot, row: int) -> int:
        return self._code(state, snapshot.nodes.objects[row])

    @staticmethod
    def _code(needed: list[str], node: Node | None) -> int:
        if node is None:
            return 0
        missing = features.missing(needed, node)
        return UNRESOLVABLE | sum(1 << needed.index(feature) for feature in missing) if missing else 0

    def reasons(self, state: Any, code: int) -> Sequence[str]:
        missing = [feature for i, feature in enumerate(state) if code & 1 << i]
        return [f"node declared features check failed - unsatisfied requirements: {', '.join(missing)}"]

    def helps(self, event: str, pod: PodFacts, old: Any, new: Any) -> bool:
        return not isinstance(new, Node) or not features.missing(features.needed_to_run(pod.pod), new)
