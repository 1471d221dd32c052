"""InterPodAffinity: Pods that want to be near or far from others, and others that want it of them.

All is counts per topology value: of Pods that match this Pod's terms (counters of the snapshot), and of Pods that
carry terms which match this Pod (`terms.py`). No loop over Pods or nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pybernetes.control_plane.scheduler.facts import Group, PodFacts
from pybernetes.control_plane.scheduler.nodes import Bools, Floats, Ids, Ints, Nodes, Rows
from pybernetes.control_plane.scheduler.plugins.base import MAX_SCORE, UNRESOLVABLE, Plugin, Scope
from pybernetes.control_plane.scheduler.selections import Counter
from pybernetes.control_plane.scheduler.snapshot import Snapshot
from pybernetes.control_plane.scheduler.terms import Carried, Kind, Term

_AFFINITY, _ANTI, _EXISTING = 1, 2, 3


@dataclass(slots=True)
class _State:
    affinity: list[Term]
    together: Counter | None  #: Pods that match all affinity terms
    matches_itself: bool
    anti: list[tuple[Term, Counter]]
    existing: list[Carried]


@dataclass(slots=True)
class _Scoring:
    """(topology key, points per Pod, Pods per row)."""

    parts: list[tuple[str, int, Ids]]


class InterPodAffinity(Plugin):
    """See the module."""

    name = "InterPodAffinity"
    scope = Scope.CLUSTER
    wakes_on = frozenset({"Node/added", "Node/labels", "Pod/added", "Pod/removed", "Pod/labels", "Namespace/labels"})
    normalises = True

    def __init__(self, hard_weight: int = 1, *, ignore_preferred_of_existing: bool = False) -> None:
        """`hard_weight`: points for a required affinity term of a placed Pod that matches (0 to 100)."""
        self._hard_weight = hard_weight
        self._ignore_preferred = ignore_preferred_of_existing

    # Filter

    def prepare(self, pod: PodFacts, snapshot: Snapshot) -> Any:
        facts = pod.pod_class
        existing = [c for c in snapshot.terms.matching(pod.group) if c.term.kind is Kind.ANTI]
        if not (existing or facts.affinity or facts.anti_affinity):
            return None
        own = snapshot.terms.of(pod)
        affinity = [t for t in own if t.kind is Kind.AFFINITY]
        anti = [t for t in own if t.kind is Kind.ANTI]
        spaces = snapshot.terms.namespaces
        return _State(
            affinity,
            _counter(affinity, snapshot) if affinity else None,
            all(t.matches(pod.group, spaces) for t in affinity),
            [(t, _counter([t], snapshot)) for t in anti],
            existing,
        )

    def filter(self, state: Any, snapshot: Snapshot, rows: Rows) -> Ints:
        nodes = snapshot.nodes
        codes = np.zeros(len(nodes.alive[rows]), np.int64)
        for carried in state.existing:
            near = _per_domain(nodes, carried.term.topology_key, carried.counts, rows)
            codes[near > 0] = _EXISTING
        for term, counter in state.anti:
            near = _per_domain(nodes, term.topology_key, counter.counts, rows)
            codes[near > 0] = _ANTI
        if state.affinity:
            self._filter_affinity(state, nodes, rows, codes)
        return codes

    def _filter_affinity(self, state: _State, nodes: Nodes, rows: Rows, codes: Ints) -> None:
        assert state.together is not None
        counts = state.together.counts
        labelled = np.ones(len(codes), np.bool_)
        near = np.ones(len(codes), np.bool_)
        anywhere = False
        for term in state.affinity:
            ids = nodes.label(term.topology_key).ids
            anywhere = anywhere or bool(counts[: nodes.size][ids[: nodes.size] >= 0].any())
            labelled &= ids[rows] >= 0
            near &= _per_domain(nodes, term.topology_key, counts, rows) > 0
        # The first Pod of a group that wants to be together may go anywhere.
        fits = labelled & near if anywhere or not state.matches_itself else labelled
        codes[~fits] = UNRESOLVABLE | _AFFINITY

    def reasons(self, state: Any, code: int) -> Sequence[str]:
        if code == _AFFINITY:
            return ["node(s) didn't match pod affinity rules"]
        if code == _ANTI:
            return ["node(s) didn't match pod anti-affinity rules"]
        return ["node(s) didn't satisfy existing pods anti-affinity rules"]

    # Score

    def prepare_score(self, pod: PodFacts, snapshot: Snapshot) -> Any:
        parts: list[tuple[str, int, Ids]] = []
        for term in snapshot.terms.of(pod):
            if term.kind is Kind.PREFERRED and term.weight:
                parts.append((term.topology_key, term.weight, _counter([term], snapshot).counts))
            elif term.kind is Kind.PREFERRED_ANTI and term.weight:
                parts.append((term.topology_key, -term.weight, _counter([term], snapshot).counts))
        if parts or not self._ignore_preferred:
            for carried in snapshot.terms.matching(pod.group):
                points = self._points(carried.term)
                if points:
                    parts.append((carried.term.topology_key, points, carried.counts))
        return _Scoring(parts) if parts else None

    def _points(self, term: Term) -> int:
        match term.kind:
            case Kind.AFFINITY:
                return self._hard_weight
            case Kind.PREFERRED:
                return term.weight
            case Kind.PREFERRED_ANTI:
                return -term.weight
        return 0

    def score(self, state: Any, snapshot: Snapshot, rows: Rows) -> Floats:
        nodes = snapshot.nodes
        points = np.zeros(len(nodes.alive[rows]))
        for key, weight, counts in state.parts:
            points += _per_domain(nodes, key, counts, rows) * weight
        return points

    def normalise(self, state: Any, points: Floats, feasible: Bools, snapshot: Snapshot, rows: Rows) -> Floats:
        most, least = points[feasible].max(), points[feasible].min()
        if most == least:
            return np.zeros(len(points))
        scaled: Floats = np.floor(MAX_SCORE * (points - least) / (most - least))
        return scaled


def _per_domain(nodes: Nodes, key: str, counts: Ids, rows: Rows) -> Floats:
    """The sum of `counts` over all nodes that share the row's value of a label; 0 for rows without it."""
    column = nodes.label(key)
    size = nodes.size
    sums: Floats = np.bincount(column.ids[:size] + 1, weights=counts[:size], minlength=len(column.values) + 1).astype(
        np.float64, copy=False
    )
    sums[0] = 0.0
    found: Floats = sums[column.ids[rows] + 1]
    return found


def _counter(terms: list[Term], snapshot: Snapshot) -> Counter:
    """Counts Pods that match all the terms (not looking at their topology keys)."""
    spaces = snapshot.terms.namespaces
    by_labels = any(not t.namespace_selector.nothing and not t.namespace_selector.empty for t in terms)
    key = (
        "terms",
        tuple((t.namespaces, t.namespace_selector, t.selector) for t in terms),
        snapshot.terms.epoch if by_labels else 0,
    )

    def accepts(group: Group) -> bool:
        return all(t.matches(group, spaces) for t in terms)

    return snapshot.selections.counter(key, accepts)
