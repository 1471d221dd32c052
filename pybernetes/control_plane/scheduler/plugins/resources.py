"""NodeResourcesFit and NodeResourcesBalancedAllocation: room for what a Pod requests, and where it is used best.

Amounts are exact integers (milli CPU, bytes, counts), and scores are cut to integers where upstream cuts them.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np

from pybernetes.control_plane.scheduler.facts import PodFacts
from pybernetes.control_plane.scheduler.nodes import CPU, MEMORY, PODS, Floats, Ints, Nodes, Rows
from pybernetes.control_plane.scheduler.plugins.base import MAX_SCORE, UNRESOLVABLE, Plugin, Scope
from pybernetes.control_plane.scheduler.snapshot import Snapshot

Strategy = Literal["LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"]
_CPU_AND_MEMORY = (("cpu", 1), ("memory", 1))
_NATIVE = ("cpu", "memory", "ephemeral-storage")


class _Wanted(NamedTuple):
    """A resource that a class asks for."""

    name: str
    place: int  #: among the rows of the arrays
    amount: int
    devices: bool  #: where a node offers none of it, DynamicResources looks for devices


class NodeResourcesFit(Plugin):
    """Requests must fit into what is allocatable and not requested yet. Scores by one of three strategies."""

    name = "NodeResourcesFit"
    scope = Scope.PODS
    wakes_on = frozenset({"Node/added", "Node/allocatable", "Pod/removed", "Pod/scaled-down", "DeviceClass"})

    def __init__(
        self,
        strategy: Strategy = "LeastAllocated",
        resources: Sequence[tuple[str, int]] = _CPU_AND_MEMORY,
        shape: Sequence[tuple[int, int]] = ((0, 0), (100, 10)),
        ignored: Sequence[str] = (),
        ignored_groups: Sequence[str] = (),
    ) -> None:
        """`resources`: (name, weight). `shape`: (utilisation 0..100, score 0..10), ascending, for the ratio.
        `ignored`: extended resources not looked at; `ignored_groups`: those with such a prefix before the slash."""
        self._strategy = strategy
        self._resources = tuple(resources)
        self._shape = tuple((x, y * (MAX_SCORE // 10)) for x, y in shape)
        self._ignored = frozenset(ignored)
        self._ignored_groups = frozenset(ignored_groups)

    def prepare(self, pod: PodFacts, snapshot: Snapshot) -> Any:
        requests = pod.pod_class.requests
        names = [name for name in _NATIVE if name in requests]
        names += sorted(name for name in requests if name not in _NATIVE and not self._is_ignored(name))
        nodes, behind = snapshot.nodes, snapshot.devices.behind
        return [_Wanted(name, nodes.resource(name), requests[name], behind(name) is not None) for name in names]

    def context(self, pod: PodFacts, snapshot: Snapshot) -> Hashable:
        return tuple(name for name in pod.pod_class.maybe_devices if snapshot.devices.behind(name) is not None)

    def filter(self, state: Any, snapshot: Snapshot, rows: Rows) -> Ints:
        nodes = snapshot.nodes
        allocatable, requested = nodes.allocatable, nodes.requested
        codes: Ints = (requested[PODS, rows] + 1 > allocatable[PODS, rows]).astype(np.int64)
        bit = 2
        for name, index, amount, devices in state:
            if index < 0 and (index := nodes.resource(name)) < 0:  # no node has it
                codes |= 0 if devices else bit | UNRESOLVABLE
            else:
                there = allocatable[index, rows]
                counts = (there > 0) if devices else True
                codes |= (counts & (amount > there - requested[index, rows])) * bit
                codes |= (counts & (amount > there)) * UNRESOLVABLE
            bit <<= 1
        return codes

    def filter_one(self, state: Any, snapshot: Snapshot, row: int) -> int:
        nodes = snapshot.nodes
        allocatable, requested = nodes.allocatable, nodes.requested
        code = 1 if requested.item(PODS, row) + 1 > allocatable.item(PODS, row) else 0
        bit = 2
        for name, index, amount, devices in state:
            if index < 0 and (index := nodes.resource(name)) < 0:
                code |= 0 if devices else bit | UNRESOLVABLE
            else:
                there = allocatable.item(index, row)
                if (there or not devices) and amount > there - requested.item(index, row):
                    code |= bit if amount <= there else bit | UNRESOLVABLE
            bit <<= 1
        return code

    def reasons(self, state: Any, code: int) -> Sequence[str]:
        found = ["Too many pods"] if code & 1 else []
        return found + [f"Insufficient {wanted.name}" for i, wanted in enumerate(state) if code & (2 << i)]

    def score(self, state: Any, snapshot: Snapshot, rows: Rows) -> Floats | Ints:
        nodes = snapshot.nodes
        total = np.zeros(len(nodes.alive[rows]), np.int64)
        weights = np.zeros(len(total), np.int64)
        ratio = self._strategy == "RequestedToCapacityRatio"
        for name, weight in self._resources:
            found = _use(state, nodes, name, rows, nonzero=True)
            if found is None:
                continue
            capacity, used = found
            some = capacity > 0
            divisor = np.maximum(capacity, 1)
            if self._strategy == "LeastAllocated":
                points = np.where(used > capacity, 0, (capacity - used) * MAX_SCORE // divisor)
            elif self._strategy == "MostAllocated":
                points = np.minimum(used, capacity) * MAX_SCORE // divisor
            else:
                points = self._by_shape(np.where(used > capacity, MAX_SCORE, used * MAX_SCORE // divisor))
                some = some & (points > 0)
            total += np.where(some, points, 0) * weight
            weights += some * weight
        divisor = np.maximum(weights, 1)
        return np.floor(total / divisor + 0.5) if ratio else total // divisor

    def score_one(self, state: Any, snapshot: Snapshot, row: int) -> float:
        if self._strategy != "LeastAllocated" or self._resources != _CPU_AND_MEMORY:
            return super().score_one(state, snapshot, row)
        nodes = snapshot.nodes
        nonzero = state.pod_class.nonzero
        total = weight = 0
        for index in (CPU, MEMORY):
            if capacity := nodes.allocatable.item(index, row):
                weight += 1
                used = nodes.nonzero.item(index, row) + nonzero[index]
                if used <= capacity:
                    total += (capacity - used) * MAX_SCORE // capacity
        return total // weight if weight else 0

    def _by_shape(self, utilisation: Ints) -> Ints:
        shape = self._shape
        result = np.full(len(utilisation), shape[-1][1], np.int64)
        for (x0, y0), (x1, y1) in reversed([*pairwise(shape)]):
            between = y0 + np.trunc((y1 - y0) * (utilisation - x0) / (x1 - x0)).astype(np.int64)
            result = np.where(utilisation <= x1, between, result)
        return np.where(utilisation <= shape[0][0], shape[0][1], result)

    def _is_ignored(self, name: str) -> bool:
        return "/" in name and (name in self._ignored or name.partition("/")[0] in self._ignored_groups)


class NodeResourcesBalancedAllocation(Plugin):
    """Prefers nodes whose resources would be used in equal shares."""

    name = "NodeResourcesBalancedAllocation"
    scope = Scope.PODS

    def __init__(self, resources: Sequence[tuple[str, int]] = _CPU_AND_MEMORY) -> None:
        self._resources = tuple(name for name, _ in resources)

    def prepare_score(self, pod: PodFacts, snapshot: Snapshot) -> Any:
        requests = pod.pod_class.requests
        return pod if any(requests.get(name) for name in self._resources) else None

    def score(self, state: Any, snapshot: Snapshot, rows: Rows) -> Floats:
        nodes = snapshot.nodes
        if self._resources == ("cpu", "memory"):
            return self._two(state, nodes, rows)
        fractions, present = [], []
        for name in self._resources:
            found = _use(state, nodes, name, rows, nonzero=False)
            if found is not None:
                capacity, used = found
                fractions.append(np.minimum(used / np.maximum(capacity, 1), 1.0))
                present.append(capacity > 0)
        there = np.array(present)
        values = np.where(there, np.array(fractions), 0.0)
        count = np.maximum(there.sum(axis=0), 1)
        mean = values.sum(axis=0) / count
        deviation = np.sqrt((np.where(there, values - mean, 0.0) ** 2).sum(axis=0) / count)
        balanced: Floats = np.floor((1 - deviation) * MAX_SCORE)
        return balanced

    def _two(self, state: Any, nodes: Nodes, rows: Rows) -> Floats:
        """The common case, in few operations."""
        requests = state.pod_class.requests
        cpu, memory = nodes.allocatable[CPU, rows], nodes.allocatable[MEMORY, rows]
        a = np.minimum((nodes.requested[CPU, rows] + requests.get("cpu", 0)) / np.maximum(cpu, 1), 1.0)
        b = np.minimum((nodes.requested[MEMORY, rows] + requests.get("memory", 0)) / np.maximum(memory, 1), 1.0)
        deviation = np.where((cpu > 0) & (memory > 0), np.abs(a - b) / 2, 0.0)
        balanced: Floats = np.floor((1 - deviation) * MAX_SCORE)
        return balanced

    def score_one(self, state: Any, snapshot: Snapshot, row: int) -> float:
        if self._resources != ("cpu", "memory"):
            return super().score_one(state, snapshot, row)
        nodes, requests = snapshot.nodes, state.pod_class.requests
        cpu, memory = nodes.allocatable.item(CPU, row), nodes.allocatable.item(MEMORY, row)
        if not (cpu and memory):
            return MAX_SCORE
        a = min((nodes.requested.item(CPU, row) + requests.get("cpu", 0)) / cpu, 1.0)
        b = min((nodes.requested.item(MEMORY, row) + requests.get("memory", 0)) / memory, 1.0)
        return int((1 - abs(a - b) / 2) * MAX_SCORE)


def _use(state: Any, nodes: Nodes, name: str, rows: Rows, *, nonzero: bool) -> tuple[Ints, Ints] | None:
    """(allocatable, requested with the Pod) of a resource; None when it does not count for this Pod."""
    pod: PodFacts = state
    request = pod.pod_class.requests.get(name, 0)
    index = nodes.resource(name)
    if index < 0 or (request == 0 and name not in _NATIVE):
        return None
    if nonzero and index in (CPU, MEMORY):
        return nodes.allocatable[index, rows], nodes.nonzero[index, rows] + pod.pod_class.nonzero[index]
    return nodes.allocatable[index, rows], nodes.requested[index, rows] + request
