"""Which devices of a node satisfy some claims: a search with going back, pure (KEP-4381, structured parameters).

Requests are satisfied in the order of the claims; of alternatives the first that works out is taken, then devices in
the order of their pools and slices. What is left of the capacities of a device that may be allocated several times
counts like a shared counter. The search gives up after a bounded number of steps: constraints over many equal devices
would keep it busy for ever, and then the node counts as unfit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Any

from pybernetes.api.core_v1 import NodeSelector, NodeSelectorRequirement, NodeSelectorTerm
from pybernetes.api.resource_v1 import (
    AllocationResult,
    Device,
    DeviceAllocationConfiguration,
    DeviceAllocationResult,
    DeviceClass,
    DeviceConstraint,
    DeviceRequest,
    DeviceRequestAllocationResult,
    DeviceSubRequest,
    DeviceTaint,
    DeviceToleration,
    ExactDeviceRequest,
    ResourceClaim,
)
from pybernetes.control_plane.scheduler.device_selectors import attribute_of, selects
from pybernetes.control_plane.scheduler.shares import share
from pybernetes.machinery import quantity
from pybernetes.machinery.quantity import Quantity

#: (driver, pool, device).
DeviceID = tuple[str, str, str]
#: (driver, pool, counter set, counter); or of a capacity (driver, pool, `device:` and device, capacity).
Counter = tuple[str, str, str, str]
Part = ExactDeviceRequest | DeviceSubRequest

_STEPS = 200_000


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A device that can be used on the node in question."""

    id: DeviceID
    device: Device
    view: dict[str, Any]  #: as expressions see it
    node_name: str = ""  #: the only node it is on
    selector: NodeSelector | None = None  #: the nodes it is on; neither: all


@dataclass(frozen=True, slots=True)
class Offer:
    """What a node has: devices, of which some are `taken`, at least in part; `whole`: all of its pools are completely
    known; `counters`: what is left of shared counters and of capacities, in thousandths."""

    devices: Sequence[Candidate]
    taken: Set[DeviceID]
    counters: Mapping[Counter, int]
    whole: bool = True


class Exhausted(Exception):
    """The search took too many steps."""


def parts_of(request: DeviceRequest) -> list[tuple[str, Part]]:
    """The alternatives of a request, by their full names."""
    if request.exactly is not None:
        return [(request.name, request.exactly)]
    return [(f"{request.name}/{part.name}", part) for part in request.first_available or ()]


def requests_of(claim: ResourceClaim) -> list[DeviceRequest]:
    return (claim.spec.devices.requests if claim.spec.devices else None) or []


def class_names(claim: ResourceClaim) -> Sequence[tuple[str, str]]:
    """(request, its class) of all requests and alternatives."""
    return [(name, part.device_class_name) for request in requests_of(claim) for name, part in parts_of(request)]


def allocate(
    claims: Sequence[ResourceClaim], offer: Offer, class_of: Callable[[str], DeviceClass | None], node: str
) -> list[AllocationResult] | None:
    """One result per claim, or None when not all can be satisfied. Raises SelectorError, or Exhausted."""
    search = _Search(claims, offer, class_of)
    if not search.run():
        return None
    return [_result(claim, [c for c in search.chosen if c.claim is claim], class_of, node) for claim in claims]


@dataclass(frozen=True, slots=True)
class _Chosen:
    claim: ResourceClaim
    request: str
    part: Part
    candidate: Candidate
    share: Mapping[str, Quantity] = field(default_factory=dict)  #: of its capacities
    needs: Mapping[Counter, int] = field(default_factory=dict)  #: of counters and capacities, in thousandths


class _Search:
    def __init__(
        self, claims: Sequence[ResourceClaim], offer: Offer, class_of: Callable[[str], DeviceClass | None]
    ) -> None:
        self._wanted = [(claim, request) for claim in claims for request in requests_of(claim)]
        self._offer = offer
        self._class_of = class_of
        self._uses: dict[DeviceID, int] = {}
        self._shares = any(c.device.allow_multiple_allocations for c in offer.devices)
        self._spent: dict[Counter, int] = {}
        self._matches: dict[tuple[int, int], bool] = {}
        self._steps = 0
        self.chosen: list[_Chosen] = []

    def run(self, n: int = 0) -> bool:
        """Satisfy the requests from number `n` on."""
        if n == len(self._wanted):
            return True
        claim, request = self._wanted[n]
        for name, part in parts_of(request):
            if part.allocation_mode == "All":
                done = self._all(n, claim, name, part)
            else:
                done = self._some(n, claim, name, part, part.count or 1, 0)
            if done:
                return True
        return False

    def _all(self, n: int, claim: ResourceClaim, name: str, part: Part) -> bool:
        devices = [c for c in self._offer.devices if self._selected(part, c)]
        if not devices or not self._offer.whole:
            return False
        before = len(self.chosen)
        if all(self._take(_Chosen(claim, name, part, c)) for c in devices) and self.run(n + 1):
            return True
        while len(self.chosen) > before:
            self._give_back()
        return False

    def _some(self, n: int, claim: ResourceClaim, name: str, part: Part, left: int, start: int) -> bool:
        if not left:
            return self.run(n + 1)
        devices = self._offer.devices
        for i in range(start, len(devices) if self._shares else len(devices) - left + 1):
            self._steps += 1
            if self._steps > _STEPS:
                raise Exhausted
            if self._selected(part, devices[i]) and self._take(_Chosen(claim, name, part, devices[i])):
                # A share may be followed by another of the same device; without a share it would be the same twice.
                again = bool(devices[i].device.allow_multiple_allocations) and not _is_admin(part)
                if self._some(n, claim, name, part, left - 1, i + (not again)):
                    return True
                self._give_back()
        return False

    def _selected(self, part: Part, candidate: Candidate) -> bool:
        key = id(part), id(candidate)
        found = self._matches.get(key)
        if found is None:
            one = self._class_of(part.device_class_name)
            selectors = [*((one.spec.selectors if one else None) or ()), *(part.selectors or ())]
            found = one is not None and all(
                selects(s.cel.expression, candidate.view) for s in selectors if s.cel is not None
            )
            self._matches[key] = found
        return found

    def _take(self, chosen: _Chosen) -> bool:
        candidate, part = chosen.candidate, chosen.part
        admin = _is_admin(part)
        several = bool(candidate.device.allow_multiple_allocations)
        used = bool(self._uses.get(candidate.id)) or candidate.id in self._offer.taken
        if not admin and used and not several:
            return False
        if not all(tolerated(taint, part.tolerations or ()) for taint in candidate.device.taints or ()):
            return False
        if not admin:
            amounts = share(candidate.device, part)
            if amounts is None:
                return False
            needs = {} if used else counters_of(candidate)  # whoever shares a device, it is there once
            needs |= {capacity_of(candidate.id, name): amount.milli for name, amount in amounts.items()}
            if any(self._left(key) < amount for key, amount in needs.items()):
                return False
            chosen = replace(chosen, share=amounts, needs=needs)
        devices = chosen.claim.spec.devices
        for constraint in (devices.constraints if devices else None) or ():
            if not self._satisfies(constraint, chosen):
                return False
        self.chosen.append(chosen)
        if not admin:
            self._uses[candidate.id] = self._uses.get(candidate.id, 0) + 1
            for key, amount in chosen.needs.items():
                self._spent[key] = self._spent.get(key, 0) + amount
        return True

    def _left(self, counter: Counter) -> int:
        return self._offer.counters.get(counter, 0) - self._spent.get(counter, 0)

    def _give_back(self) -> None:
        last = self.chosen.pop()
        if _is_admin(last.part):
            return
        self._uses[last.candidate.id] -= 1
        for key, amount in last.needs.items():
            self._spent[key] -= amount

    def _satisfies(self, constraint: DeviceConstraint, new: _Chosen) -> bool:
        if not _concerns(constraint.requests, new.request):
            return True
        name = constraint.match_attribute or constraint.distinct_attribute or ""
        value = attribute_of(new.candidate.device, new.candidate.id[0], name)
        if value is None:
            return False
        others = [
            attribute_of(c.candidate.device, c.candidate.id[0], name)
            for c in self.chosen
            if c.claim is new.claim and _concerns(constraint.requests, c.request)
        ]
        if constraint.match_attribute:
            return all(other == value for other in others)
        return value not in others


def _is_admin(part: Part) -> bool:
    return isinstance(part, ExactDeviceRequest) and bool(part.admin_access)


def _concerns(requests: Sequence[str] | None, request: str) -> bool:
    """Whether a list of requests (None: all) includes this one, by its own name or that of the whole."""
    return not requests or request in requests or request.partition("/")[0] in requests


def counters_of(candidate: Candidate) -> dict[Counter, int]:
    """What the device uses of shared counters."""
    driver, pool, _ = candidate.id
    return {
        (driver, pool, use.counter_set, name): quantity.milli(counter.value or "0")
        for use in candidate.device.consumes_counters or ()
        for name, counter in use.counters.items()
    }


def capacity_of(device: DeviceID, name: str) -> Counter:
    """The counter of a capacity of a device that is shared."""
    return device[0], device[1], f"device:{device[2]}", name


def tolerated(taint: DeviceTaint, tolerations: Iterable[DeviceToleration]) -> bool:
    """Whether a request may use a device in spite of a taint."""
    if taint.effect not in ("NoSchedule", "NoExecute"):
        return True
    return any(
        (not t.effect or t.effect == taint.effect)
        and (not t.key or t.key == taint.key)
        and (t.operator == "Exists" or (bool(t.key) and (t.value or "") == (taint.value or "")))
        for t in tolerations
    )


# The result


def _result(
    claim: ResourceClaim, chosen: Sequence[_Chosen], class_of: Callable[[str], DeviceClass | None], node: str
) -> AllocationResult:
    results, config = [], []
    for one in chosen:
        driver, pool, device = one.candidate.id
        admin = one.part.admin_access if isinstance(one.part, ExactDeviceRequest) else None
        results.append(
            DeviceRequestAllocationResult(
                request=one.request,
                driver=driver,
                pool=pool,
                device=device,
                admin_access=admin,
                tolerations=one.part.tolerations,
                binding_conditions=one.candidate.device.binding_conditions,
                binding_failure_conditions=one.candidate.device.binding_failure_conditions,
                share_id="" if one.candidate.device.allow_multiple_allocations and not admin else None,  # named later
                consumed_capacity={name: str(amount) for name, amount in one.share.items()} or None,
            )
        )
    parts = {one.request: one.part for one in chosen}
    for request, part in parts.items():
        device_class = class_of(part.device_class_name)
        for setting in (device_class.spec.config if device_class else None) or ():
            config.append(DeviceAllocationConfiguration(source="FromClass", requests=[request], opaque=setting.opaque))
    devices = claim.spec.devices
    for own in (devices.config if devices else None) or ():
        if not own.requests or any(_concerns(own.requests, request) for request in parts):
            config.append(DeviceAllocationConfiguration(source="FromClaim", requests=own.requests, opaque=own.opaque))
    return AllocationResult(
        devices=DeviceAllocationResult(results=results or None, config=config or None),
        node_selector=_where([one.candidate for one in chosen], node),
    )


def _where(used: Sequence[Candidate], node: str) -> NodeSelector | None:
    """The nodes on which all the devices can be used; None: all."""
    if any(c.node_name or c.device.binds_to_node for c in used):
        name = NodeSelectorRequirement(key="metadata.name", operator="In", values=[node])
        return NodeSelector(node_selector_terms=[NodeSelectorTerm(match_fields=[name])])
    expressions: list[NodeSelectorRequirement] = []
    fields: list[NodeSelectorRequirement] = []
    for candidate in used:
        for term in candidate.selector.node_selector_terms if candidate.selector else ():
            expressions += [e for e in term.match_expressions or () if e not in expressions]
            fields += [f for f in term.match_fields or () if f not in fields]
    if not expressions and not fields:
        return None
    term = NodeSelectorTerm(match_expressions=expressions or None, match_fields=fields or None)
    return NodeSelector(node_selector_terms=[term])
