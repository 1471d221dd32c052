"""Which zone each endpoint of a Service is meant for, by the processors of the zones."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from pybernetes.api.core_v1 import Node, NodeCondition, NodeStatus
from pybernetes.control_plane.controllers.topology_hints import (
    NO_NODES,
    NO_ZONE,
    OVERLOADED,
    TOO_FEW,
    ZONE,
    Place,
    Refused,
    share_out,
    shares,
    wanted,
)
from pybernetes.machinery.meta import ObjectMeta

EVEN = {"a": 0.5, "b": 0.5}


def node(zone: str, cpu: str, *, ready: bool = True, **labels: str) -> Node:
    return Node(
        metadata=ObjectMeta(name="n", labels={**({ZONE: zone} if zone else {}), **labels}),
        status=NodeStatus(
            allocatable={"cpu": cpu}, conditions=[NodeCondition(type="Ready", status="True" if ready else "False")]
        ),
    )


def places(**zones: int) -> list[Place]:
    return [Place(zone) for zone, count in zones.items() for _ in range(count)]


@pytest.mark.parametrize(
    ("annotations", "answer"),
    [
        (None, False),
        ({"service.kubernetes.io/topology-mode": "Auto"}, True),
        ({"service.kubernetes.io/topology-mode": "auto"}, True),
        ({"service.kubernetes.io/topology-mode": "Disabled"}, False),
        ({"service.kubernetes.io/topology-mode": "example.com/lowest-rtt"}, False),
        ({"service.kubernetes.io/topology-aware-hints": "auto"}, True),
        (
            {"service.kubernetes.io/topology-aware-hints": "Disabled", "service.kubernetes.io/topology-mode": "Auto"},
            False,
        ),
    ],
)
def test_who_asks(annotations: dict[str, str] | None, answer: bool) -> None:
    assert wanted(annotations) is answer


def test_shares_are_the_ready_workers_processors() -> None:
    more = [node("a", "9", ready=False), node("b", "9", **{"node-role.kubernetes.io/control-plane": ""})]
    assert shares([node("a", "1"), node("b", "2500m"), node("b", "500m"), *more]) == {"a": 0.25, "b": 0.75}
    assert shares([node("a", "1")]) == shares([]) == {}
    assert shares([node("a", "1"), node("b", "1"), node("", "1")]) == {}
    assert shares([node("a", "1"), node("b", "0")]) == {}


def test_endpoints_stay_in_their_zones_where_that_is_fair() -> None:
    assert share_out(places(a=3, b=3), EVEN) == ["a"] * 3 + ["b"] * 3
    assert share_out(places(a=3, b=4), EVEN) == ["a"] * 3 + ["b"] * 4


def test_a_zone_with_few_is_lent_some() -> None:
    assert Counter(share_out(places(a=5, b=1), EVEN)) == {"a": 3, "b": 3}
    assert Counter(share_out(places(a=6), {"a": 1 / 3, "b": 2 / 3})) == {"a": 2, "b": 4}


@pytest.mark.parametrize(
    ("found", "parts", "why"),
    [
        (places(a=3, b=3), {}, NO_NODES),
        (places(a=1), EVEN, f"{TOO_FEW} (1 endpoints, 2 zones)"),
        (places(a=2, b=1), EVEN, f"{OVERLOADED} (3 endpoints, 2 zones)"),
        ([*places(a=3, b=2), Place("")], EVEN, NO_ZONE),
    ],
)
def test_what_cannot_be_had(found: list[Place], parts: dict[str, float], why: str) -> None:
    with pytest.raises(Refused) as refused:
        share_out(found, parts)
    assert str(refused.value) == why


def test_a_new_endpoint_moves_no_other() -> None:
    first = share_out(places(a=5, b=1), EVEN)
    kept = [Place(place.zone, given) for place, given in zip(places(a=5, b=1), first, strict=True)]
    assert share_out([*kept, Place("a")], EVEN)[:6] == first
    assert share_out([*kept, Place("a"), Place("a")], EVEN) == [*first, "b", "a"]
    lost = [place for place in kept if place.given == "a"] + [Place("b", "b")]  # b has too few now: all anew
    assert Counter(share_out(lost, EVEN)) == {"a": 2, "b": 2}
    gone = [Place("a", "c")] * 3 + [Place("b", "b")] * 3  # no node is left in c
    assert share_out(gone, EVEN) == ["a"] * 3 + ["b"] * 3


def test_no_endpoint_bears_more_than_a_fifth_above_the_mean() -> None:
    chance = random.Random(7)
    shared = 0
    for _ in range(300):
        zones = "abcd"[: chance.randint(2, 4)]
        weights = [chance.randint(1, 8) for _ in zones]
        parts = {zone: weight / sum(weights) for zone, weight in zip(zones, weights, strict=True)}
        found = [Place(chance.choice(zones)) for _ in range(chance.randint(1, 40))]
        try:
            given = share_out(found, parts)
        except Refused:
            continue
        shared += 1
        held = Counter(given)
        for zone, part in parts.items():
            assert part * len(found) / held[zone] <= 1.2 + 1e-9
    assert shared > 100
