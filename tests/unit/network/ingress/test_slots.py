"""Pods keep their places, and the difference is what haproxy is told."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pybernetes.network.ingress.backends import Backend, Server
from pybernetes.network.ingress.slots import Slots, arrange, commands, same_shape

A, B, C, D, E = (("10.0.0.1", 80), ("10.0.0.2", 80), ("10.0.0.3", 80), ("10.0.0.4", 80), ("10.0.0.5", 80))


def seat(before: Slots, *servers: Server) -> Slots:
    found = arrange({"b": Backend("b", servers)}, {"b": before} if before else {})
    return found["b"]


def test_there_are_more_places_than_pods() -> None:
    assert seat((), A) == (A, None, None, None)
    assert seat((A, None, None, None), A, B, C, D, E) == (A, B, C, D, E, None, None, None)


def test_who_stays_keeps_the_place_and_a_place_just_left_is_taken_last() -> None:
    assert seat((A, B, None, None), B, C) == (None, B, C, None)
    assert seat((A, B, C, None), B, C, D, E) == (E, B, C, D)


def test_newcomers_first_and_a_place_is_emptied_before_it_is_taken() -> None:
    before, after = {"b": (A, B, None)}, {"b": (None, C, D)}
    assert commands(before, after) == [
        "set server b/s3 addr 10.0.0.4 port 80",
        "set server b/s3 state ready",
        "set server b/s1 state maint",
        "set server b/s2 state maint",
        "set server b/s2 addr 10.0.0.3 port 80",
        "set server b/s2 state ready",
    ]
    assert same_shape(before, after) and not same_shape(before, {"b": (A,)}) and not same_shape(before, {})


@given(st.lists(st.sets(st.integers(1, 40)), max_size=8))
def test_everybody_sits_once(rounds: list[set[int]]) -> None:
    seats: Slots = ()
    for numbers in rounds:
        servers = tuple(sorted((f"10.0.0.{n}", 80) for n in numbers))
        seats = seat(seats, *servers)
        assert sorted(one for one in seats if one) == [*servers]
