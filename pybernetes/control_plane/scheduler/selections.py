"""Counts of placed Pods per node, for selectors that somebody asks about.

Topology spread and inter-Pod affinity ask: how many Pods that match this selector are in each zone? Walking 10,000 Pods
for each Pod to place would decide the speed of the scheduler. So a question once asked is kept as a `Counter`: an array
of one number per node, changed when a Pod comes or goes. Pods are told apart by `Group` only (namespace and labels), so
a selector is matched against a few hundred groups and not against Pods; a zone's count is then one `bincount`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

import numpy as np

from pybernetes.control_plane.scheduler.facts import Group, PodFacts
from pybernetes.control_plane.scheduler.nodes import Ids, Nodes

_LIMIT = 4000


class Counter:
    """`counts[row]`: placed Pods whose group `accepts` takes."""

    __slots__ = ("accepts", "counts", "used")

    def __init__(self, accepts: Callable[[Group], bool], capacity: int) -> None:
        self.accepts = accepts
        self.counts: Ids = np.zeros(capacity, np.int32)
        self.used = 0


class Selections:
    """All counters."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes
        self._counters: dict[Hashable, Counter] = {}
        self._of_group: dict[Group, list[Counter]] = {}
        self._asked = 0

    def counter(self, key: Hashable, accepts: Callable[[Group], bool]) -> Counter:
        """The counter known as `key`; `accepts` must be the same function of a group for the same key."""
        counter = self._counters.get(key)
        self._asked += 1
        if counter is None:
            if len(self._counters) >= _LIMIT:
                self._forget()
            counter = self._counters[key] = Counter(accepts, self._nodes.capacity)
            for group, counters in self._of_group.items():
                if accepts(group):
                    counters.append(counter)
                    for row, count in group.rows.items():
                        counter.counts[row] += count
        elif len(counter.counts) < self._nodes.capacity:
            counter.counts = np.pad(counter.counts, (0, self._nodes.capacity - len(counter.counts)))
        counter.used = self._asked
        return counter

    def account(self, row: int, pod: PodFacts, sign: int) -> None:
        """A Pod came to (`sign` 1) or left (-1) a node."""
        group = pod.group
        left = group.rows.get(row, 0) + sign
        if left:
            group.rows[row] = left
        else:
            del group.rows[row]
        counters = self._of_group.get(group)
        if counters is None:
            counters = self._of_group[group] = [c for c in self._counters.values() if c.accepts(group)]
        for counter in counters:
            if row >= len(counter.counts):
                counter.counts = np.pad(counter.counts, (0, self._nodes.capacity - len(counter.counts)))
            counter.counts[row] += sign
        if not group.rows:
            del self._of_group[group]

    def _forget(self) -> None:
        """Drop the half of the counters that was not asked for longest."""
        kept = sorted(self._counters.items(), key=lambda item: item[1].used)[_LIMIT // 2 :]
        self._counters = dict(kept)
        alive = set(map(id, self._counters.values()))
        for group, counters in self._of_group.items():
            self._of_group[group] = [c for c in counters if id(c) in alive]
