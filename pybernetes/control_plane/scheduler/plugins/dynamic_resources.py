"""DynamicResources: a Pod goes where its claims are allocated, or where devices for them are free (KEP-4381).

What is found for a node is kept until one is chosen, and then handed out by `reserve`; the loop writes it to the
claims before it binds the Pod.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pybernetes.api.resource_v1 import AllocationResult, ResourceClaim
from pybernetes.control_plane.scheduler.allocation import allocate, class_names
from pybernetes.control_plane.scheduler.claims import ELSEWHERE, ClaimWork, Objects, claim_name, is_reserved_for
from pybernetes.control_plane.scheduler.device_selectors import SelectorError
from pybernetes.control_plane.scheduler.facts import PodFacts
from pybernetes.control_plane.scheduler.node_selectors import selector_matches
from pybernetes.control_plane.scheduler.nodes import Ints, Rows
from pybernetes.control_plane.scheduler.plugins.base import UNRESOLVABLE, Plugin, Refused, Scope
from pybernetes.control_plane.scheduler.snapshot import Snapshot

#: The number of a broken selector's text stands above the bits.
_ELSEWHERE, _NO_DEVICES, _BROKEN, _TEXT = 1, 2, 4, 4
#: Pods that may share a claim.
_MOST_USERS = 256


@dataclass(slots=True)
class _State:
    allocated: list[ResourceClaim]
    wanted: list[ResourceClaim]
    found: dict[int, list[AllocationResult]] = field(default_factory=dict)  # by row


class DynamicResources(Plugin):
    """See the module."""

    name = "DynamicResources"
    scope = Scope.CLUSTER
    wakes_on = frozenset(
        {"Node/added", "Node/labels", "ResourceClaim", "ResourceClaim/removed", "ResourceSlice", "DeviceClass"}
    )

    def __init__(self, binding_timeout: float = 600.0) -> None:
        """`binding_timeout`: seconds that drivers may take to get devices ready that are allocated."""
        self._binding_timeout = binding_timeout
        self._broken: list[str] = []

    def prepare(self, pod: PodFacts, snapshot: Snapshot) -> Any:
        if not pod.pod.spec.resource_claims:
            return None
        objects = _objects(snapshot)
        state = _State([], [])
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
        return state if state.allocated or state.wanted else None

    def filter(self, state: Any, snapshot: Snapshot, rows: Rows) -> Ints:
        nodes = snapshot.nodes
        codes = np.zeros(len(nodes.alive[rows]), np.int64)
        for claim in state.allocated:
            selector = claim.status.allocation.node_selector
            if selector is not None:
                codes |= np.where(selector_matches(selector, nodes, rows), 0, _ELSEWHERE)
        if state.wanted:
            numbers = range(*rows.indices(nodes.capacity)) if isinstance(rows, slice) else [int(row) for row in rows]
            for i, row in enumerate(numbers):
                if not codes[i] and nodes.alive[row]:
                    codes[i] = self._try(state, snapshot, row)
        return np.where(codes == 0, 0, codes | UNRESOLVABLE)

    def _try(self, state: _State, snapshot: Snapshot, row: int) -> int:
        devices = snapshot.devices
        try:
            results = allocate(
                state.wanted,
                devices.offer(snapshot.nodes, row),
                _objects(snapshot).device_class,
                snapshot.nodes.names[row],
            )
        except SelectorError as error:
            if str(error) not in self._broken:
                self._broken.append(str(error))
            return _BROKEN | self._broken.index(str(error)) << _TEXT
        if results is None:
            return _NO_DEVICES
        state.found[row] = results
        return 0

    def reasons(self, state: Any, code: int) -> Sequence[str]:
        if code & _ELSEWHERE:
            return [ELSEWHERE]
        if code & _BROKEN:
            return [self._broken[code >> _TEXT]]
        return ["cannot allocate all claims"]

    def reserve(self, state: Any, snapshot: Snapshot, row: int) -> Any:
        results = state.found.get(row, [])
        assert len(results) == len(state.wanted)
        claims = (*zip(state.wanted, results, strict=True), *((claim, None) for claim in state.allocated))
        return ClaimWork(claims, self._binding_timeout)


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
