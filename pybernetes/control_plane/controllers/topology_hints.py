"""The annotation `service.kubernetes.io/topology-mode: Auto`: endpoints shared out to zones by their processors. Pure.

Each ready endpoint is meant for one zone, first of all its own. A zone with fewer endpoints than its share of the
nodes' processors asks for is lent some of another's; where that cannot be had without a zone whose endpoints bear more
than 1.2 times the mean load, there are no hints, and all endpoints serve everybody (KEP-2433). What was given stays
given as long as no zone gets too few or too many, so that a new Pod does not move others' traffic about.

Older than `trafficDistribution`, which takes the nearest ones whatever their load is, and goes before it, as upstream.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pybernetes.api.core_v1 import Node
from pybernetes.machinery import quantity

ZONE = "topology.kubernetes.io/zone"
#: The older name goes first.
ANNOTATIONS = ("service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode")
OVERLOAD = 0.2
#: Nodes with one of these do not count.
_EXCLUDED = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")

NO_NODES = "Insufficient Node information: allocatable CPU or zone not specified on one or more nodes"
NO_ZONE = "One or more endpoints do not have a zone specified"
TOO_FEW = "Insufficient number of endpoints"
OVERLOADED = "Unable to allocate minimum required endpoints to each zone without exceeding overload threshold"
ENABLED = "Topology Aware Hints has been enabled"
DISABLED = "Topology Aware Hints has been disabled"

Shares = Mapping[str, float]


class Refused(Exception):
    """There can be no hints; the text is for the Event."""


@dataclass(frozen=True)
class Place:
    """A ready endpoint: the zone it is in, and the one it is meant for by now ("": none)."""

    zone: str
    given: str = ""


def wanted(annotations: Mapping[str, str] | None) -> bool:
    """Whether a Service asks for such hints."""
    values = [annotations[name] for name in ANNOTATIONS if name in annotations] if annotations else []
    return values[:1] in (["Auto"], ["auto"])


def shares(nodes: Iterable[Node]) -> Shares:
    """Each zone's part of the processors of the ready nodes; empty where one does not tell, or for a single zone."""
    found: dict[str, int] = {}
    for node in nodes:
        labels = node.metadata.labels or {}
        if not _ready(node) or any(label in labels for label in _EXCLUDED):
            continue
        processors = quantity.milli((node.status.allocatable or {}).get("cpu", "0"))
        if not labels.get(ZONE) or not processors:
            return {}
        found[labels[ZONE]] = found.get(labels[ZONE], 0) + processors
    total = sum(found.values())
    return {zone: found[zone] / total for zone in sorted(found)} if len(found) > 1 else {}


def share_out(places: Sequence[Place], parts: Shares) -> list[str]:
    """The zone that each endpoint is meant for. Raises Refused."""
    count = len(places)
    if not parts:
        raise Refused(NO_NODES)
    size = f"({count} endpoints, {len(parts)} zones)"
    if len(parts) > count:
        raise Refused(f"{TOO_FEW} {size}")
    least = {zone: math.ceil(part * count / (1 + OVERLOAD)) for zone, part in parts.items()}
    spare = count - sum(least.values())
    if spare < 0:
        raise Refused(f"{OVERLOADED} {size}")
    if not all(place.zone for place in places):
        raise Refused(NO_ZONE)
    kept = [place.given if place.given in parts else "" for place in places]
    held = Counter(filter(None, kept))
    if all(held[zone] <= least[zone] + spare for zone in parts):
        found = _filled(places, kept, parts, least)
        if all(found.count(zone) >= least[zone] for zone in parts):
            return found
    return _filled(places, [""] * count, parts, least)


def _filled(places: Sequence[Place], kept: Sequence[str], parts: Shares, least: Mapping[str, int]) -> list[str]:
    """Those that are not given yet stay in their zones, or go where too few are."""
    found = [given or place.zone for place, given in zip(places, kept, strict=True)]
    for source, to in _moves(Counter(found), parts, least):
        for i, (zone, given) in enumerate(zip(found, kept, strict=True)):
            if zone == source and not given and places[i].zone == source:
                found[i] = to
                break
    return found


def _moves(held: Counter[str], parts: Shares, least: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """Who gives an endpoint to whom: while it makes the shares truer, then while a zone has less than it must have."""
    count = held.total()
    goal = {zone: max(part * count, float(least[zone])) for zone, part in parts.items()}
    while True:
        source, to = (
            max(goal, key=lambda zone: held[zone] - goal[zone]),
            max(goal, key=lambda zone: goal[zone] - held[zone]),
        )
        more, less = held[source] - goal[source], goal[to] - held[to]
        if min(more, less) < 0.5 or max(more, less) < 1.0:
            break
        held[source] -= 1
        held[to] += 1
        yield source, to
    while held[to := min(least, key=lambda zone: held[zone] - least[zone])] < least[to]:
        source = max((zone for zone in held if zone != to), key=lambda zone: held[zone] - least.get(zone, 0))
        held[source] -= 1
        held[to] += 1
        yield source, to


def _ready(node: Node) -> bool:
    return any(c.type == "Ready" and c.status == "True" for c in node.status.conditions or ())
