"""PodTopologySpread: an even number of matching Pods per zone, node or any other value of a label.

Counts per node come from the snapshot's counters; a domain's count is a `bincount` of them. Which nodes take part
(affinity, taints, having all the labels) depends on class and nodes only and is remembered until a node changes.
KEP-895, KEP-3022 (minDomains), KEP-3094 (policies), KEP-3243 (matchLabelKeys).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pybernetes.api.core_v1 import TopologySpreadConstraint
from pybernetes.control_plane.scheduler.facts import Group, PodFacts
from pybernetes.control_plane.scheduler.node_selectors import required_matches
from pybernetes.control_plane.scheduler.nodes import Bools, Floats, Ids, Ints, Nodes, Rows
from pybernetes.control_plane.scheduler.plugins.base import MAX_SCORE, UNRESOLVABLE, Plugin, Scope
from pybernetes.control_plane.scheduler.plugins.taints import untolerated
from pybernetes.control_plane.scheduler.selections import Counter
from pybernetes.control_plane.scheduler.snapshot import Snapshot
from pybernetes.machinery import labels
from pybernetes.machinery.labels import Requirement, Selector

HOSTNAME = "kubernetes.io/hostname"
ZONE = "topology.kubernetes.io/zone"
_REMEMBERED = 512

#: (topology key, maxSkew) that Pods of Services and workloads get when they ask for nothing themselves; soft.
SYSTEM_DEFAULTS = (
    TopologySpreadConstraint(topology_key=HOSTNAME, max_skew=3, when_unsatisfiable="ScheduleAnyway"),
    TopologySpreadConstraint(topology_key=ZONE, max_skew=5, when_unsatisfiable="ScheduleAnyway"),
)


@dataclass(frozen=True, slots=True)
class _Constraint:
    key: str
    max_skew: int
    min_domains: int
    selector: Selector
    honours_affinity: bool
    honours_taints: bool
    matches_self: bool


@dataclass(slots=True)
class _Domains:
    """Of one constraint of one class, valid for one generation of nodes."""

    eligible: Ints  #: rows that count
    ids: Ids  #: their domain
    present: Bools  #: per domain: an eligible node is in it
    everywhere: Ids  #: domain of every row, -1 for none


@dataclass(slots=True)
class _State:
    pod: PodFacts
    constraints: tuple[_Constraint, ...]
    domains: list[_Domains]
    counters: list[Counter]
    complete: bool = True  #: nodes must have all the labels (always so for a Pod's own constraints)


class PodTopologySpread(Plugin):
    """Hard constraints (DoNotSchedule) filter, soft ones (ScheduleAnyway) score."""

    name = "PodTopologySpread"
    scope = Scope.CLUSTER
    wakes_on = frozenset(
        {
            "Node/added",
            "Node/removed",
            "Node/labels",
            "Node/taints",
            "Pod/added",
            "Pod/removed",
            "Pod/labels",
        }
    )
    normalises = True

    def __init__(
        self, defaults: Sequence[TopologySpreadConstraint] = SYSTEM_DEFAULTS, *, system_defaults: bool = True
    ) -> None:
        """`defaults` are for Pods without constraints; `system_defaults`: they are upstream's, and nodes need not have
        all their labels."""
        self._defaults = tuple(defaults)
        self._system = system_defaults
        self._parsed: dict[tuple[int, int, str], tuple[_Constraint, ...]] = {}
        self._domains: dict[tuple[int, str, bool, bool, tuple[str, ...]], tuple[int, _Domains]] = {}
        #: What Services and owners of a Pod select, for the defaults.
        self.default_selector: Callable[[PodFacts], Selector] = lambda pod: labels.EVERYTHING

    # Filter

    def prepare(self, pod: PodFacts, snapshot: Snapshot) -> Any:
        constraints = self._constraints(pod, "DoNotSchedule")
        return self._state(pod, constraints, snapshot, complete=True) if constraints else None

    def filter(self, state: Any, snapshot: Snapshot, rows: Rows) -> Ints:
        codes = np.zeros(len(snapshot.nodes.alive[rows]), np.int64)
        for constraint, domains, counter in zip(state.constraints, state.domains, state.counters, strict=True):
            counts = np.bincount(domains.ids, weights=counter.counts[domains.eligible], minlength=len(domains.present))
            existing = counts[domains.present]
            least = 0.0
            if len(existing) and len(existing) >= constraint.min_domains:
                least = existing.min()
            ids = domains.everywhere[rows]
            too_many = counts[ids] + constraint.matches_self - least > constraint.max_skew
            refused = np.where(ids < 0, UNRESOLVABLE | 2, np.where(too_many, 1, 0))
            codes = np.where(codes == 0, refused, codes)
        return codes

    def reasons(self, state: Any, code: int) -> Sequence[str]:
        text = "node(s) didn't match pod topology spread constraints"
        return [text + " (missing required label)" if code == 2 else text]

    # Score

    def prepare_score(self, pod: PodFacts, snapshot: Snapshot) -> Any:
        constraints = self._constraints(pod, "ScheduleAnyway")
        if not constraints:
            return None
        complete = bool(pod.pod_class.spread) or not self._system
        return self._state(pod, constraints, snapshot, complete=complete)

    def score(self, state: Any, snapshot: Snapshot, rows: Rows) -> Floats:
        return np.zeros(len(snapshot.nodes.alive[rows]))  # all depends on which nodes are feasible: see below

    def normalise(self, state: Any, points: Floats, feasible: Bools, snapshot: Snapshot, rows: Rows) -> Floats:
        counted = feasible
        if state.complete:
            for domains in state.domains:
                counted = counted & (domains.everywhere[rows] >= 0)
        total = np.zeros(len(points))
        for constraint, domains, counter in zip(state.constraints, state.domains, state.counters, strict=True):
            ids = domains.everywhere[rows]
            if constraint.key == HOSTNAME:
                size = np.count_nonzero(counted)
                counts = counter.counts[rows].astype(np.float64)
            else:
                there = np.zeros(len(domains.present), np.bool_)
                there[ids[counted & (ids >= 0)]] = True
                size = np.count_nonzero(there)
                per_domain = np.bincount(domains.ids, weights=counter.counts[domains.eligible], minlength=len(there))
                counts = np.where(there, per_domain, 0.0)[ids]
            counts = counts * np.log(size + 2) + (constraint.max_skew - 1)
            total += np.where(ids >= 0, counts, 0.0)
        total = np.floor(total + 0.5)
        if not counted.any():
            return np.zeros(len(points))
        most, least = total[counted].max(), total[counted].min()
        if most == 0:
            return np.where(counted, float(MAX_SCORE), 0.0)
        return np.where(counted, np.floor(MAX_SCORE * (most + least - total) / most), 0.0)

    # Both

    def _state(
        self, pod: PodFacts, constraints: tuple[_Constraint, ...], snapshot: Snapshot, *, complete: bool
    ) -> _State:
        keys = tuple(c.key for c in constraints) if complete else ()
        domains = [self._find_domains(pod, c, keys, snapshot.nodes) for c in constraints]
        counters = [_counter(pod.namespace, c.selector, snapshot) for c in constraints]
        return _State(pod, constraints, domains, counters, complete)

    def _constraints(self, pod: PodFacts, action: str) -> tuple[_Constraint, ...]:
        own = pod.pod_class.spread
        if own:
            key = (pod.pod_class.number, pod.group.number, action)
            found = self._parsed.get(key)
            if found is None:
                if len(self._parsed) >= _REMEMBERED:
                    self._parsed.clear()
                found = self._parsed[key] = tuple(
                    _parse(c, _selector(c, pod.group), pod) for c in own if c.when_unsatisfiable == action
                )
            return found
        defaults = [c for c in self._defaults if c.when_unsatisfiable == action]
        if not defaults:
            return ()
        selector = self.default_selector(pod)
        if selector.empty:
            return ()
        return tuple(_parse(c, selector, pod) for c in defaults)

    def _find_domains(self, pod: PodFacts, constraint: _Constraint, keys: tuple[str, ...], nodes: Nodes) -> _Domains:
        known = (pod.pod_class.number, constraint.key, constraint.honours_affinity, constraint.honours_taints, keys)
        found = self._domains.get(known)
        if found is not None and found[0] == nodes.generation:
            return found[1]
        if len(self._domains) >= _REMEMBERED:
            self._domains.clear()
        domains = _domains(pod, constraint, keys, nodes)
        self._domains[known] = (nodes.generation, domains)
        return domains


def _selector(constraint: TopologySpreadConstraint, group: Group) -> Selector:
    selector = labels.from_struct(constraint.label_selector)
    extra = [
        Requirement(key, "in", (group.labels[key],)) for key in constraint.match_label_keys or () if key in group.labels
    ]
    if extra and not selector.nothing:
        selector = Selector([*selector.requirements, *(r for r in extra if not _has(selector, r))])
    return selector


def _has(selector: Selector, requirement: Requirement) -> bool:
    return any(str(r) == str(requirement) for r in selector.requirements)


def _parse(constraint: TopologySpreadConstraint, selector: Selector, pod: PodFacts) -> _Constraint:
    return _Constraint(
        constraint.topology_key,
        constraint.max_skew,
        constraint.min_domains or 1,
        selector,
        (constraint.node_affinity_policy or "Honor") == "Honor",
        (constraint.node_taints_policy or "Ignore") == "Honor",
        selector.matches(pod.group.labels),
    )


def _counter(namespace: str, selector: Selector, snapshot: Snapshot) -> Counter:
    def accepts(group: Group) -> bool:
        return group.namespace == namespace and not group.terminating and selector.matches(group.labels)

    return snapshot.selections.counter(("spread", namespace, selector), accepts)


def _domains(pod: PodFacts, constraint: _Constraint, keys: tuple[str, ...], nodes: Nodes) -> _Domains:
    rows = nodes.everything
    everywhere = nodes.label(constraint.key).ids[rows].copy()
    eligible = nodes.alive[rows] & (everywhere >= 0)
    for key in keys:
        eligible &= nodes.label(key).present(rows)
    facts = pod.pod_class
    if constraint.honours_affinity and (facts.node_selector or facts.node_affinity is not None):
        eligible &= required_matches(facts.node_selector, facts.node_affinity, nodes, rows)
    if constraint.honours_taints:
        table = np.array([untolerated(t, facts.tolerations, "NoSchedule", "NoExecute") == 0 for t in nodes.taint_sets])
        eligible &= table[nodes.taints[rows]]
    chosen = np.flatnonzero(eligible)
    ids = everywhere[chosen]
    present = np.zeros(max(1, len(nodes.label(constraint.key).values)), np.bool_)
    present[ids] = True
    return _Domains(chosen, ids, present, everywhere)
