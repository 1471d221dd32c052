"""Affinity terms between Pods: what a term selects, and how many placed Pods carry it on each node.

A Pod's anti-affinity also binds the others: a new Pod must not go where a placed one has a term against it. So every
term of a placed Pod is counted per node under its own identity, and asking is: which of the terms there are match my
namespace and labels (remembered per `Group`), and where are their carriers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

import numpy as np

from pybernetes.api.core_v1 import PodAffinityTerm
from pybernetes.control_plane.scheduler.facts import Group, PodClass, PodFacts
from pybernetes.control_plane.scheduler.nodes import Ids, Nodes
from pybernetes.machinery import labels
from pybernetes.machinery.labels import Requirement, Selector


class Kind(Enum):
    """What a term is for."""

    AFFINITY = "affinity"
    ANTI = "anti"
    PREFERRED = "preferred"
    PREFERRED_ANTI = "preferred anti"


@dataclass(frozen=True, slots=True)
class Term:
    """One term with its namespaces resolved as far as they do not depend on what namespaces there are."""

    kind: Kind
    namespaces: frozenset[str]
    namespace_selector: Selector
    selector: Selector
    topology_key: str
    weight: int = 0

    def matches(self, group: Group, namespace_labels: Mapping[str, Mapping[str, str]]) -> bool:
        """Whether it selects Pods of that group."""
        if group.namespace not in self.namespaces and not (
            not self.namespace_selector.nothing
            and self.namespace_selector.matches(dict(namespace_labels.get(group.namespace) or {}))
        ):
            return False
        return self.selector.matches(group.labels)


class Carried:
    """`counts[row]`: placed Pods that have the term."""

    __slots__ = ("counts", "term", "total")

    def __init__(self, term: Term, capacity: int) -> None:
        self.term = term
        self.counts: Ids = np.zeros(capacity, np.int32)
        self.total = 0


class Terms:
    """The terms of all placed Pods."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes
        self._carried: dict[Term, Carried] = {}
        self._parsed: dict[tuple[int, str, int], tuple[Term, ...]] = {}
        #: name -> labels. Set through `set_namespace`.
        self.namespaces: dict[str, dict[str, str]] = {}
        #: Grows when labels of a namespace change: what was remembered about selectors of namespaces is void.
        self.epoch = 0
        self._version = 0
        #: By group, what `matching` found, and for which version and capacity.
        self._matching: dict[int, tuple[tuple[int, int], list[Carried]]] = {}

    def __len__(self) -> int:
        return len(self._carried)

    def set_namespace(self, name: str, namespace_labels: dict[str, str] | None) -> bool:
        """A namespace came or changed (None: it is gone); whether its labels changed."""
        if self.namespaces.get(name) == namespace_labels:
            return False
        if namespace_labels is None:
            self.namespaces.pop(name, None)
        else:
            self.namespaces[name] = namespace_labels
        self.epoch += 1
        self._matching.clear()
        return True

    def of(self, pod: PodFacts) -> tuple[Term, ...]:
        """All terms of a Pod."""
        facts = pod.pod_class
        if not (facts.affinity or facts.anti_affinity or facts.preferred_affinity or facts.preferred_anti_affinity):
            return ()
        key = (facts.number, pod.namespace, pod.group.number if _uses_labels(facts) else 0)
        found = self._parsed.get(key)
        if found is None:
            if len(self._parsed) > 20_000:
                self._parsed.clear()
            found = self._parsed[key] = _parse_all(pod)
        return found

    def account(self, row: int, pod: PodFacts, sign: int) -> None:
        """A Pod came to (`sign` 1) or left (-1) a node."""
        for term in self.of(pod):
            carried = self._carried.get(term)
            if carried is None:
                carried = self._carried[term] = Carried(term, self._nodes.capacity)
                self._version += 1
            if row >= len(carried.counts):
                carried.counts = np.pad(carried.counts, (0, self._nodes.capacity - len(carried.counts)))
            carried.counts[row] += sign
            carried.total += sign
            if carried.total == 0:
                del self._carried[term]
                self._version += 1

    def matching(self, group: Group) -> list[Carried]:
        """The terms of placed Pods that select Pods of that group."""
        if not self._carried:
            return []
        capacity = self._nodes.capacity
        state = (self._version, capacity)
        known = self._matching.get(group.number)
        if known is not None and known[0] == state:
            return known[1]
        if len(self._matching) > 10_000:
            self._matching.clear()
        found = [c for c in self._carried.values() if c.term.matches(group, self.namespaces)]
        for carried in found:
            if len(carried.counts) < capacity:
                carried.counts = np.pad(carried.counts, (0, capacity - len(carried.counts)))
        self._matching[group.number] = (state, found)
        return found


def _uses_labels(facts: PodClass) -> bool:
    preferred = [t.pod_affinity_term for t in (*facts.preferred_affinity, *facts.preferred_anti_affinity)]
    return any(t.match_label_keys or t.mismatch_label_keys for t in (*facts.affinity, *facts.anti_affinity, *preferred))


def _parse_all(pod: PodFacts) -> tuple[Term, ...]:
    facts = pod.pod_class
    return (
        *(_parse(Kind.AFFINITY, t, 0, pod) for t in facts.affinity),
        *(_parse(Kind.ANTI, t, 0, pod) for t in facts.anti_affinity),
        *(_parse(Kind.PREFERRED, t.pod_affinity_term, t.weight, pod) for t in facts.preferred_affinity),
        *(_parse(Kind.PREFERRED_ANTI, t.pod_affinity_term, t.weight, pod) for t in facts.preferred_anti_affinity),
    )


def _parse(kind: Kind, term: PodAffinityTerm, weight: int, pod: PodFacts) -> Term:
    selector = labels.from_struct(term.label_selector)
    if not selector.nothing and (term.match_label_keys or term.mismatch_label_keys):
        # The API server has merged these at creation; Pods of older servers may lack it. Twice is no harm.
        have = pod.group.labels
        extra = [Requirement(k, "in", (have[k],)) for k in term.match_label_keys or () if k in have]
        extra += [Requirement(k, "notin", (have[k],)) for k in term.mismatch_label_keys or () if k in have]
        known = {str(r) for r in selector.requirements}
        selector = Selector([*selector.requirements, *(r for r in extra if str(r) not in known)])
    namespaces = frozenset(term.namespaces or ())
    if not namespaces and term.namespace_selector is None:
        namespaces = frozenset([pod.namespace])
    return Term(kind, namespaces, labels.from_struct(term.namespace_selector), selector, term.topology_key, weight)
