"""The devices there are and who has them, as the DynamicResources plugin sees them; and what plans have promised.

A pool is what its newest generation of ResourceSlices says, and can be used in full only when all of them are known.
As with volumes, a plan that allocates devices promises them at once; the API hears of it later.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from pybernetes.api.core_v1 import NodeSelector
from pybernetes.api.resource_v1 import AllocationResult, Device, DeviceClass, ResourceClaim, ResourceSlice
from pybernetes.control_plane.scheduler.allocation import Candidate, Counter, DeviceID, Offer, capacity_of, counters_of
from pybernetes.control_plane.scheduler.claims import ClaimWork, Objects
from pybernetes.control_plane.scheduler.device_selectors import seen
from pybernetes.control_plane.scheduler.extended_resources import by_resource, may_be_devices
from pybernetes.control_plane.scheduler.node_selectors import selector_matches
from pybernetes.control_plane.scheduler.nodes import Nodes
from pybernetes.machinery import quantity


@dataclass(slots=True)
class _Pool:
    slices: list[ResourceSlice] = field(default_factory=list)
    generation: int = -1

    @property
    def whole(self) -> bool:
        return len(self.slices) == self.slices[0].spec.pool.resource_slice_count


@dataclass(slots=True)
class _Inventory:
    """All devices: those of one node by its name, and those that may be on several."""

    of_node: dict[str, list[Candidate]]
    of_many: list[Candidate]
    partial_nodes: set[str]  # with a pool of which slices are missing
    partial: bool  # the same for pools of many nodes
    by_id: dict[DeviceID, Candidate]
    counters: dict[Counter, int]


class Devices:
    """See the module. `changed(kind)` when objects have changed."""

    def __init__(self) -> None:
        self.objects: Objects | None = None
        self._inventory: _Inventory | None = None
        self._classes: dict[str, DeviceClass] | None = None
        self._taken: set[DeviceID] | None = None
        self._consumed: dict[Counter, int] = {}  # of capacities; as old as `_taken`
        self._promised: dict[str, AllocationResult] = {}  # uid of the claim

    def changed(self, kind: str) -> None:
        """Objects of a kind changed: what was derived from them no longer holds."""
        if kind.startswith("ResourceSlice"):
            self._inventory = None
        elif kind.startswith("ResourceClaim"):
            self._taken = None
        elif kind.startswith("DeviceClass"):
            self._classes = None

    def behind(self, resource: str) -> DeviceClass | None:
        """The class whose devices stand for an extended resource."""
        if self.objects is None or not may_be_devices(resource):
            return None
        if self._classes is None:
            self._classes = by_resource(self.objects.device_classes())
        return self._classes.get(resource)

    def promise(self, work: ClaimWork) -> None:
        """From now on these are taken."""
        for claim, result in work.claims:
            if result is not None:
                self._promised[claim.metadata.uid] = result
                self._taken = None

    def release(self, work: ClaimWork) -> None:
        """The work is done and seen, or has failed."""
        for claim, result in work.claims:
            if result is not None and self._promised.pop(claim.metadata.uid, None) is not None:
                self._taken = None

    def is_promised(self, claim: ResourceClaim) -> bool:
        return claim.metadata.uid in self._promised

    def offer(self, nodes: Nodes, row: int) -> Offer:
        """What the node of a row has."""
        known, taken = self._known(), self._all_taken()
        name = nodes.names[row]
        found = [*known.of_node.get(name, ())]
        here = np.array([row])
        answers: dict[int, bool] = {}
        for candidate in known.of_many:
            selector = candidate.selector
            if selector is not None:
                if id(selector) not in answers:
                    answers[id(selector)] = bool(selector_matches(selector, nodes, here)[0])
                if not answers[id(selector)]:
                    continue
            found.append(candidate)
        # What can be used at once comes before what must be got ready.
        found.sort(key=lambda candidate: bool(candidate.device.binding_conditions))
        counters = known.counters
        if counters:
            counters = dict(counters)
            for taken_id in taken:
                if (used := known.by_id.get(taken_id)) is not None:
                    for key, amount in counters_of(used).items():
                        counters[key] = counters.get(key, 0) - amount
            for key, amount in self._consumed.items():
                counters[key] = counters.get(key, 0) - amount
        return Offer(found, taken, counters, not known.partial and name not in known.partial_nodes)

    def _all_taken(self) -> set[DeviceID]:
        if self._taken is None:
            assert self.objects is not None
            allocations = [c.status.allocation for c in self.objects.claims() if c.status.allocation is not None]
            self._taken, self._consumed = set(), defaultdict(int)
            for allocation in (*allocations, *self._promised.values()):
                for result in (allocation.devices.results if allocation.devices else None) or ():
                    if not result.admin_access:
                        device = result.driver, result.pool, result.device
                        self._taken.add(device)
                        for name, amount in (result.consumed_capacity or {}).items():
                            self._consumed[capacity_of(device, name)] += quantity.milli(amount)
        return self._taken

    def _known(self) -> _Inventory:
        if self._inventory is None:
            assert self.objects is not None
            self._inventory = _inventory(self.objects.slices())
        return self._inventory


def _inventory(slices: Iterable[ResourceSlice]) -> _Inventory:
    pools: dict[tuple[str, str], _Pool] = defaultdict(_Pool)
    for one in sorted(slices, key=lambda s: s.metadata.name):
        pool = pools[one.spec.driver, one.spec.pool.name]
        if one.spec.pool.generation > pool.generation:
            pool.slices, pool.generation = [], one.spec.pool.generation
        if one.spec.pool.generation == pool.generation:
            pool.slices.append(one)
    known = _Inventory(defaultdict(list), [], set(), False, {}, {})
    for pool in pools.values():
        names = [device.name for one in pool.slices for device in one.spec.devices or ()]
        if len(set(names)) < len(names):
            continue  # one name for two devices: nobody could tell which is meant
        for one in pool.slices:
            _add_slice(known, one)
            if not pool.whole:
                if one.spec.node_name:
                    known.partial_nodes.add(one.spec.node_name)
                else:
                    known.partial = True
    return known


def _add_slice(known: _Inventory, one: ResourceSlice) -> None:
    spec = one.spec
    for counter_set in spec.shared_counters or ():
        for name, counter in counter_set.counters.items():
            key = spec.driver, spec.pool.name, counter_set.name, name
            known.counters[key] = quantity.milli(counter.value or "0")
    for device in spec.devices or ():
        if device.allow_multiple_allocations:
            for name, capacity in (device.capacity or {}).items():
                key = capacity_of((spec.driver, spec.pool.name, device.name), name)
                known.counters[key] = quantity.milli(capacity.value or "0")
        place = device if spec.per_device_node_selection else spec
        candidate = _candidate(one, device, place.node_name or "", place.node_selector)
        known.by_id[candidate.id] = candidate
        if candidate.node_name:
            known.of_node[candidate.node_name].append(candidate)
        else:
            known.of_many.append(candidate)


def _candidate(one: ResourceSlice, device: Device, node: str, selector: NodeSelector | None) -> Candidate:
    spec = one.spec
    return Candidate((spec.driver, spec.pool.name, device.name), device, seen(device, spec.driver), node, selector)
