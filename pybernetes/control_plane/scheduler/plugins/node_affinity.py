"""NodeName and NodeAffinity: Pods that say by name, label or field which nodes they want."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pybernetes.api.core_v1 import NodeAffinity as Affinity
from pybernetes.api.core_v1 import NodeSelector, PreferredSchedulingTerm
from pybernetes.control_plane.scheduler.facts import PodFacts
from pybernetes.control_plane.scheduler.node_selectors import required_matches, selector_matches, term_matches
from pybernetes.control_plane.scheduler.nodes import NAME, Bools, Floats, Ints, Rows
from pybernetes.control_plane.scheduler.plugins.base import UNRESOLVABLE, Plugin, Scope, by_largest
from pybernetes.control_plane.scheduler.snapshot import Snapshot


class NodeName(Plugin):
    """A Pod that already names its node: not one the scheduler sees in its queue, but simulations ask."""

    name = "NodeName"
    scope = Scope.CLUSTER
    wakes_on = frozenset({"Node/added"})

    def prepare(self, pod: PodFacts, snapshot: Snapshot) -> Any:
        return pod.pod.spec.node_name or None

    def filter(self, state: Any, snapshot: Snapshot, rows: Rows) -> Ints:
        return np.where(snapshot.nodes.label(NAME).one_of([state], rows), 0, UNRESOLVABLE | 1)

    def reasons(self, state: Any, code: int) -> Sequence[str]:
        return ["node(s) didn't match the requested node name"]


@dataclass(frozen=True, slots=True)
class _Preferred:
    terms: tuple[PreferredSchedulingTerm, ...]


class NodeAffinity(Plugin):
    """nodeSelector, required and preferred node affinity, and the affinity a profile adds to all Pods."""

    name = "NodeAffinity"
    scope = Scope.NODE
    wakes_on = frozenset({"Node/added", "Node/labels"})
    normalises = True
    _ADDED, _OWN = 1, 2

    def __init__(self, added: Affinity | None = None) -> None:
        required = added.required_during_scheduling_ignored_during_execution if added else None
        self._added_required: NodeSelector | None = required
        preferred = added.preferred_during_scheduling_ignored_during_execution if added else None
        self._added_preferred: tuple[PreferredSchedulingTerm, ...] = tuple(preferred or ())

    def prepare(self, pod: PodFacts, snapshot: Snapshot) -> Any:
        facts = pod.pod_class
        affinity = facts.node_affinity
        own = facts.node_selector or (
            affinity is not None and affinity.required_during_scheduling_ignored_during_execution is not None
        )
        return facts if own or self._added_required is not None else None

    def narrow(self, state: Any, snapshot: Snapshot) -> Sequence[int] | None:
        affinity = state.node_affinity
        required = affinity.required_during_scheduling_ignored_during_execution if affinity else None
        if required is None:
            return None
        names: set[str] = set()
        for term in required.node_selector_terms:
            wanted: set[str] | None = None
            for field in term.match_fields or ():
                if field.key == "metadata.name" and field.operator == "In":
                    values = set(field.values or ())
                    wanted = values if wanted is None else wanted & values
            if wanted is None:
                return None
            names |= wanted
        rows = snapshot.nodes.rows
        return sorted(rows[name] for name in names if name in rows)

    def filter(self, state: Any, snapshot: Snapshot, rows: Rows) -> Ints:
        nodes = snapshot.nodes
        own = required_matches(state.node_selector, state.node_affinity, nodes, rows)
        codes = np.where(own, 0, UNRESOLVABLE | self._OWN)
        if self._added_required is not None:
            codes = np.where(selector_matches(self._added_required, nodes, rows), codes, UNRESOLVABLE | self._ADDED)
        return codes

    def reasons(self, state: Any, code: int) -> Sequence[str]:
        if code == self._ADDED:
            return ["node(s) didn't match scheduler-enforced node affinity"]
        return ["node(s) didn't match Pod's node affinity/selector"]

    def prepare_score(self, pod: PodFacts, snapshot: Snapshot) -> Any:
        affinity = pod.pod_class.node_affinity
        own = affinity.preferred_during_scheduling_ignored_during_execution if affinity else None
        terms = (*self._added_preferred, *(own or ()))
        return _Preferred(terms) if terms else None

    def score(self, state: Any, snapshot: Snapshot, rows: Rows) -> Floats:
        nodes = snapshot.nodes
        points = np.zeros(len(nodes.alive[rows]))
        for term in state.terms:
            if term.weight:
                points += term_matches(term.preference, nodes, rows) * term.weight
        return points

    def normalise(self, state: Any, points: Floats, feasible: Bools, snapshot: Snapshot, rows: Rows) -> Floats:
        return by_largest(points, feasible)
