"""DynamicResources: a Pod goes where its claims are allocated, or where devices for them are free (KEP-4381).

What is found for a node is kept until one is chosen, and then handed out by `reserve`; the loop writes it to the
claims before it binds the Pod.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pybernetes.api.core_v1 import Pod
from pybernetes.api.resource_v1 import AllocationResult, DeviceClass, ResourceClaim
from pybernetes.control_plane.scheduler.allocation import Exhausted, allocate, class_names, requests_of
from pybernetes.control_plane.scheduler.claims import ELSEWHERE, ClaimWork, Objects, claim_name, is_reserved_for
from pybernetes.control_plane.scheduler.device_selectors import SelectorError
from pybernetes.control_plane.scheduler.extended_resources import LEFT_OVER, Extended, claim_for, made_for
from pybernetes.control_plane.scheduler.facts import PodFacts
from pybernetes.control_plane.scheduler.node_selectors import selector_matches
from pybernetes.control_plane.scheduler.nodes import Bools, Floats, Ints, Rows
from pybernetes.control_plane.scheduler.plugins.base import UNRESOLVABLE, Plugin, Refused, Scope, by_largest
from pybernetes.control_plane.scheduler.snapshot import Snapshot

#: The number of a broken selector's text stands above the bits.
_ELSEWHERE, _NO_DEVICES, _BROKEN, _LEFT_OVER, _EXHAUSTED, _TEXT = 1, 2, 4, 8, 16, 5
_MOST_ALTERNATIVES = 8
#: Pods that may share a claim.
_MOST_USERS = 256


@dataclass(slots=True)
class _State:
    pod: Pod
    allocated: list[ResourceClaim]
    wanted: list[ResourceClaim]
    #: Extended resources that devices may stand for, and the claim that was made for them once.
    extended: dict[str, DeviceClass] = field(default_factory=dict)
    left_over: ResourceClaim | None = None
    found: dict[int, list[AllocationResult]] = field(default_factory=dict)  # by row
    claims: dict[frozenset[str], Extended] = field(default_factory=dict)  # by what devices must stand for


class DynamicResources(Plugin):
    """See the module."""

    name = "DynamicResources"
    scope = Scope.CLUSTER
    wakes_on = frozenset(
        {"Node/added", "Node/labels", "ResourceClaim", "ResourceClaim/removed", "ResourceSlice", "DeviceClass"}
    )

    normalises = True

    def __init__(self, binding_timeout: float = 600.0) -> None:
        """`binding_timeout`: seconds that drivers may take to get devices ready that are allocated."""
        self._binding_timeout = binding_timeout
        self._broken: list[str] = []
        self._last: _State | None = None  # of the Pod that is planned now

    def prepare(self, pod: PodFacts, snapshot: Snapshot) -> Any:
        names = pod.pod_class.maybe_devices
        if not names and not pod.pod.spec.resource_claims:  # as most
            return None
        behind = snapshot.devices.behind
        extended = {name: found for name in names if (found := behind(name)) is not None}
        if not pod.pod.spec.resource_claims and not extended:
            return None
        objects = _objects(snapshot)
        state = _State(pod.pod, [], [], extended)
        if extended:
            state.left_over = made_for(pod.pod, objects.claims())
        for claim in _claims(pod, objects):
            if claim.status.allocation is not None:
                users = claim.status.reserved_for or ()
                if len(users) >= _MOST_USERS and not is_reserved_for(claim, pod.uid):
                    raise Refused("resourceclaim in use")
                state.allocated.append(claim)
                continue
            if snapshot.devices.is_promised(claim):
                full = f"{claim.metadata.namespace}/{claim.metadata.name}"
                raise Refused(f"resource claim {full} is in the process of being allocated")
            for request, name in class_names(claim):
                if objects.device_class(name) is None:
                    raise Refused(f"request {request}: device class {name} does not exist")
            state.wanted.append(claim)
        self._last = state
        return state if state.allocated or state.wanted or state.extended else None

    def filter(self, state: Any, snapshot: Snapshot, rows: Rows) -> Ints:
        nodes = snapshot.nodes
        codes = np.full(len(nodes.alive[rows]), _LEFT_OVER if state.left_over is not None else 0, np.int64)
        for claim in state.allocated:
            selector = claim.status.allocation.node_selector
            if selector is not None:
                codes |= np.where(selector_matches(selector, nodes, rows), 0, _ELSEWHERE)
        if state.wanted or state.extended:
            numbers = range(*rows.indices(nodes.capacity)) if isinstance(rows, slice) else [int(row) for row in rows]
            for i, row in enumerate(numbers):
                if not codes[i] and nodes.alive[row]:
                    codes[i] = self._try(state, snapshot, row)
        return np.where(codes == 0, 0, codes | UNRESOLVABLE)

    def _try(self, state: _State, snapshot: Snapshot, row: int) -> int:
        devices = snapshot.devices
        extended = _extended(state, snapshot, row)
        wanted = [*state.wanted, *([extended.claim] if extended is not None else [])]
        if not wanted:
            return 0
        try:
            results = allocate(
                wanted,
                devices.offer(snapshot.nodes, row),
                _objects(snapshot).device_class,
                snapshot.nodes.names[row],
            )
        except SelectorError as error:
            if str(error) not in self._broken:
                self._broken.append(str(error))
            return _BROKEN | self._broken.index(str(error)) << _TEXT
        except Exhausted:
            return _EXHAUSTED
        if results is None:
            return _NO_DEVICES
        state.found[row] = results
        return 0

    def reasons(self, state: Any, code: int) -> Sequence[str]:
        if code & _LEFT_OVER:
            return [LEFT_OVER]
        if code & _ELSEWHERE:
            return [ELSEWHERE]
        if code & _BROKEN:
            return [self._broken[code >> _TEXT]]
        if code & _EXHAUSTED:
            return ["timed out trying to allocate devices"]
        return ["cannot allocate all claims"]

    # Score: the node where claims get what they would like best

    def prepare_score(self, pod: PodFacts, snapshot: Snapshot) -> Any:
        last, self._last = self._last, None
        if last is None or last.pod is not pod.pod:
            return None
        return last if any(request.first_available for c in last.wanted for request in requests_of(c)) else None

    def score(self, state: Any, snapshot: Snapshot, rows: Rows) -> Floats:
        numbers = range(*rows.indices(snapshot.nodes.capacity)) if isinstance(rows, slice) else rows
        return np.array([_liking(state, int(row)) for row in numbers], np.float64)

    def normalise(self, state: Any, points: Floats, feasible: Bools, snapshot: Snapshot, rows: Rows) -> Floats:
        return by_largest(points, feasible)

    def reserve(self, state: Any, snapshot: Snapshot, row: int) -> Any:
        extended = _extended(state, snapshot, row)
        wanted = [*state.wanted, *([extended.claim] if extended is not None else [])]
        results = state.found.get(row, [])
        assert len(results) == len(wanted)
        claims = (*zip(wanted, results, strict=True), *((claim, None) for claim in state.allocated))
        return ClaimWork(claims, self._binding_timeout, extended) if claims else None


def _extended(state: _State, snapshot: Snapshot, row: int) -> Extended | None:
    """The claim for what the node of a row does not offer by itself; None when there is no need for one."""
    nodes = snapshot.nodes
    if not state.extended:
        return None
    offered = {name for name in state.extended if (i := nodes.resource(name)) >= 0 and nodes.allocatable[i, row] > 0}
    missing = frozenset(state.extended) - offered
    if missing and missing not in state.claims:
        state.claims[missing] = claim_for(state.pod, {name: state.extended[name] for name in missing})
    return state.claims.get(missing)


def _liking(state: _State, row: int) -> int:
    """The sum over all requests with alternatives: the first is worth eight, the next seven."""
    total = 0
    for claim, result in zip(state.wanted, state.found.get(row, ()), strict=False):
        devices = result.devices.results if result.devices is not None else None
        got = {device.request for device in devices or ()}
        for request in requests_of(claim):
            for i, part in enumerate(request.first_available or ()):
                total += (_MOST_ALTERNATIVES - i) * (f"{request.name}/{part.name}" in got)
    return total


def _objects(snapshot: Snapshot) -> Objects:
    assert snapshot.devices.objects is not None, "Pods with claims need their objects"
    return snapshot.devices.objects


def _claims(pod: PodFacts, objects: Objects) -> list[ResourceClaim]:
    """The Pod's claims. Raises Refused when one is missing, being deleted or somebody else's."""
    found = []
    for entry in pod.pod.spec.resource_claims or ():
        name, known, own = claim_name(pod.pod, entry)
        if not known:
            raise Refused("ResourceClaim not created yet")
        if not name:
            continue
        claim = objects.claim(pod.namespace, name)
        if claim is None:
            raise Refused(f'resourceclaim.resource.k8s.io "{name}" not found')
        if claim.metadata.deletion_timestamp is not None:
            raise Refused(f'resourceclaim "{name}" is being deleted')
        if own and not any(o.controller and o.uid == pod.uid for o in claim.metadata.owner_references or ()):
            full = f"{pod.namespace}/{name}"
            raise Refused(f"ResourceClaim {full} was not created for pod {pod.key} (pod is not owner)")
        found.append(claim)
    return found
