"""Seats and queues: who is let in, who waits, who is refused."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pybernetes.api.flowcontrol_v1 import PriorityLevelConfiguration
from pybernetes.control_plane.apiserver.flowcontrol.levels import Full, Level, Seats
from pybernetes.machinery import codec


def limited(name: str, shares: int, lendable: int = 0, queues: int = 0, length: int = 50, **more: Any) -> Any:
    response: dict[str, Any] = {"type": "Reject"}
    if queues:
        response = {"type": "Queue", "queuing": {"queues": queues, "handSize": 1, "queueLengthLimit": length}}
    spec = {"nominalConcurrencyShares": shares, "lendablePercent": lendable, "limitResponse": response, **more}
    wire = {"metadata": {"name": name}, "spec": {"type": "Limited", "limited": spec}}
    return codec.from_dict(PriorityLevelConfiguration, wire)


def take(seats: Seats, level: Level, width: int = 1) -> bool:
    if not seats.free(level, width):
        return False
    seats.take(level, width)
    return True


def test_seats_are_shared_by_weight_and_lent() -> None:
    seats = Seats(10)
    seats.configure([limited("a", 3), limited("b", 2, lendable=50)])
    a, b = seats.levels["a"], seats.levels["b"]
    assert (a.nominal, a.sure, b.nominal, b.sure) == (6, 6, 4, 2)
    assert [take(seats, a) for _ in range(10)] == [True] * 8 + [False] * 2
    assert [take(seats, b) for _ in range(4)] == [True] * 2 + [False] * 2
    seats.give_back(a, 1)
    seats.give_back(a, 1)
    assert take(seats, b) and take(seats, b) and not take(seats, b)


def test_borrowing_ends_where_it_may() -> None:
    seats = Seats(10)
    seats.configure([limited("a", 1, borrowingLimitPercent=20), limited("b", 1, lendable=100)])
    a = seats.levels["a"]
    assert [take(seats, a) for _ in range(7)] == [True] * 6 + [False]


def test_a_request_wider_than_its_level_goes_alone() -> None:
    seats = Seats(3)
    seats.configure([limited("a", 1), limited("b", 2)])
    a = seats.levels["a"]
    assert take(seats, a, 10) and not take(seats, a)


async def test_flows_take_turns() -> None:
    seats = Seats(1)
    seats.configure([limited("a", 1, queues=8, length=3)])
    level = seats.levels["a"]
    loop = asyncio.get_running_loop()
    seats.take(level, 1)
    served: list[str] = []

    def wait(name: str, hash_: int, width: int = 1) -> None:
        turn = loop.create_future()
        turn.add_done_callback(lambda _: served.append(name))
        level.enqueue(hash_, width, turn)

    for number in range(3):
        wait(f"flood{number}", 1)
    with pytest.raises(Full, match="queue-full"):
        wait("flood3", 1)
    wait("other", 2)
    for _ in range(4):
        seats.give_back(level, 1)
        await asyncio.sleep(0)
    assert served == ["flood0", "other", "flood1", "flood2"]
    assert level.waiting == 0 and level.executing == 1


async def test_who_gave_up_takes_no_seat() -> None:
    seats = Seats(1)
    seats.configure([limited("a", 1, queues=1)])
    level = seats.levels["a"]
    seats.take(level, 1)
    first, second = (asyncio.get_running_loop().create_future() for _ in range(2))
    level.enqueue(0, 1, first)
    level.enqueue(0, 1, second)
    first.cancel()
    seats.give_back(level, 1)
    assert second.done() and level.in_use == 1


async def test_a_level_may_change_while_requests_wait() -> None:
    seats = Seats(1)
    seats.configure([limited("a", 1, queues=8)])
    level = seats.levels["a"]
    seats.take(level, 1)
    turns = [asyncio.get_running_loop().create_future() for _ in range(3)]
    for number, turn in enumerate(turns):
        level.enqueue(number, 1, turn)
    seats.configure([limited("a", 1, queues=2)])
    assert level.waiting == 3 and sum(len(queue.waiting) for queue in level.queues) == 3
    seats.configure([limited("b", 1)])
    assert "a" in seats.levels
    for _ in range(4):
        seats.give_back(level, 1)
    assert all(turn.done() for turn in turns)
    seats.configure([limited("b", 1)])
    assert list(seats.levels) == ["b"]
    with pytest.raises(Full, match="concurrency-limit"):
        seats.levels["b"].enqueue(0, 1, turns[0])
