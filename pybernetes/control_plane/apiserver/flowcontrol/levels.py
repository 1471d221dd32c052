"""Priority levels at run time: seats, and queues of requests that wait for one.

All levels share one number of seats. A level is sure of what it does not lend; the rest it may use while others do not
need theirs, up to what it may borrow. Upstream moves the borders every ten seconds; here each dispatch looks.

Among a level's queues the one that has had the least goes first (start-time fair queueing: every dispatch moves a
queue's start by the seats taken, and a queue that was empty starts at the level's present).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping
from math import ceil
from typing import TYPE_CHECKING

from pybernetes.control_plane.apiserver.flowcontrol.matching import hand_of

if TYPE_CHECKING:
    from pybernetes.api.flowcontrol_v1 import PriorityLevelConfiguration


class Full(Exception):
    """There is no room for the request; the text is upstream's reason."""


class Waiter:
    """A request in a queue. `turn` is resolved when it has its seats."""

    __slots__ = ("hash", "seats", "turn")

    def __init__(self, hash_: int, seats: int, turn: asyncio.Future[None]) -> None:
        self.hash = hash_
        self.seats = seats
        self.turn = turn


class Queue:
    """Waiters in order. start: virtual time at which its next one would begin."""

    __slots__ = ("start", "waiting")

    def __init__(self) -> None:
        self.start = 0.0
        self.waiting: deque[Waiter] = deque()


class Level:
    """One priority level. Counters: for metrics."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.uid = ""
        self.exempt = False
        self.shares = 0
        self.lendable_percent = 0
        self.borrowing_percent: int | None = None
        #: Seats: by its shares, those it is sure of, and the most it can have.
        self.nominal = self.sure = self.most = 0
        self.in_use = 0
        self.executing = 0
        #: Requests in the queues.
        self.waiting = 0
        self.queues: list[Queue] = []
        self.hand = 0
        self.queue_length = 0
        self._now = 0.0

    def configure(self, config: PriorityLevelConfiguration) -> None:
        """Take over an object's settings; who waits is dealt anew when the queues change."""
        self.uid = config.metadata.uid
        spec = config.spec
        self.exempt = spec.type == "Exempt"
        settings = spec.exempt if self.exempt else spec.limited
        self.shares = (settings.nominal_concurrency_shares if settings is not None else None) or 0
        self.lendable_percent = (settings.lendable_percent if settings is not None else None) or 0
        self.borrowing_percent = spec.limited.borrowing_limit_percent if spec.limited is not None else None
        response = spec.limited.limit_response if spec.limited is not None else None
        queuing = response.queuing if response is not None and response.type == "Queue" else None
        count = (queuing.queues or 64) if queuing is not None else 0
        self.hand = (queuing.hand_size or 8) if queuing is not None else 0
        self.queue_length = (queuing.queue_length_limit or 50) if queuing is not None else 0
        if count != len(self.queues):
            waiting = [waiter for queue in self.queues for waiter in queue.waiting]
            self.queues = [Queue() for _ in range(count or bool(waiting))]
            for waiter in waiting:
                self._shortest(waiter.hash).waiting.append(waiter)

    def _shortest(self, hash_: int) -> Queue:
        hand = hand_of(hash_, len(self.queues), self.hand or 1)
        return min((self.queues[card] for card in hand), key=lambda queue: sum(w.seats for w in queue.waiting))

    def enqueue(self, hash_: int, seats: int, turn: asyncio.Future[None]) -> Waiter:
        """Put a request into the shortest queue of its flow's hand. Raises Full."""
        if not self.hand:
            raise Full("concurrency-limit")
        queue = self._shortest(hash_)
        if len(queue.waiting) >= self.queue_length:
            raise Full("queue-full")
        if not queue.waiting:
            queue.start = max(queue.start, self._now)
        waiter = Waiter(hash_, seats, turn)
        queue.waiting.append(waiter)
        self.waiting += 1
        return waiter

    def drop(self, waiter: Waiter) -> None:
        """The request does not wait any longer."""
        for queue in self.queues:
            if waiter in queue.waiting:
                queue.waiting.remove(waiter)
                self.waiting -= 1

    def next(self) -> tuple[Queue, Waiter] | None:
        """Who is next, and where."""
        found: Queue | None = None
        for queue in self.queues:
            if queue.waiting and (found is None or queue.start < found.start):
                found = queue
        return (found, found.waiting[0]) if found is not None else None

    def dispatched(self, queue: Queue) -> Waiter:
        """The first of the queue leaves it with its seats."""
        waiter = queue.waiting.popleft()
        self.waiting -= 1
        self._now = max(self._now, queue.start)
        queue.start += waiter.seats
        return waiter


class Seats:
    """All levels, and what they share."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.levels: dict[str, Level] = {}

    def configure(self, configs: Iterable[PriorityLevelConfiguration]) -> None:
        """The levels that there are now. A level that is gone lives on while somebody is in it."""
        wanted: Mapping[str, PriorityLevelConfiguration] = {config.metadata.name: config for config in configs}
        for name, config in wanted.items():
            self.levels.setdefault(name, Level(name)).configure(config)
        for name in list(self.levels):
            if name not in wanted and not self.levels[name].in_use and not self.levels[name].waiting:
                del self.levels[name]
        shares = sum(level.shares for level in self.levels.values()) or 1
        for level in self.levels.values():
            level.nominal = ceil(self.total * level.shares / shares)
            level.sure = level.nominal - round(level.nominal * level.lendable_percent / 100)
            borrowed = level.borrowing_percent
            level.most = self.total if borrowed is None else level.nominal + round(level.nominal * borrowed / 100)
        self.dispatch()

    def free(self, level: Level, seats: int) -> bool:
        """Whether the level may have so many seats more now."""
        if level.in_use + seats <= level.sure:
            return True
        if level.in_use + seats > level.most:
            return level.in_use == 0  # a request wider than the level goes when it is alone
        taken = 0
        for other in self.levels.values():
            if other is level:
                taken += level.in_use
            elif not other.exempt:
                taken += max(other.in_use, other.sure)
        return taken + seats <= self.total or level.in_use == 0

    def take(self, level: Level, seats: int) -> None:
        """Give the level's next request its seats."""
        level.in_use += seats
        level.executing += 1

    def give_back(self, level: Level, seats: int) -> None:
        """A request is done."""
        level.in_use -= seats
        level.executing -= 1
        for each in self.levels.values():
            if each.waiting:
                self.dispatch()
                return

    def dispatch(self) -> None:
        """Let go in whoever can."""
        for level in self.levels.values():
            while level.waiting and (found := level.next()) is not None:
                queue, waiter = found
                if not waiter.turn.done() and not self.free(level, waiter.seats):
                    break
                level.dispatched(queue)
                if not waiter.turn.done():
                    self.take(level, waiter.seats)
                    waiter.turn.set_result(None)
