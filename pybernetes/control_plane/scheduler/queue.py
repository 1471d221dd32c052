"""Pods that wait to be scheduled: active, backing off, waiting for something to change, gated.

A Pod that fits nowhere waits for an event that could change that: it remembers which plugins refused it, plugins name
the events they care about (`Plugin.wakes_on`) and may look closer (`Plugin.helps`). Woken, it backs off 1 s to 10 s by
the number of its failures since it was last tried, so that a cluster in turmoil is not busy with Pods that never fit;
but when nothing else is waiting, it need not sit the time out. What no event wakes is tried again after five minutes.

A table of times and states without timers: the loop asks `next_due` and calls `advance`.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pybernetes.control_plane.scheduler.facts import PodFacts

FIRST_BACKOFF = 1.0
MAX_BACKOFF = 10.0
#: Seconds after which a Pod is tried again though nothing has happened.
LEFTOVER = 300.0


class Waker(Protocol):
    """What the queue needs of a plugin."""

    @property
    def wakes_on(self) -> frozenset[str]: ...

    def helps(self, event: str, pod: PodFacts, old: Any, new: Any) -> bool: ...


class Where(Enum):
    """The part of the queue a Pod is in."""

    ACTIVE = "active"
    BACKOFF = "backoff"
    WAITING = "waiting"
    GATED = "gated"
    OUT = "out"  #: being planned or bound


@dataclass(slots=True, eq=False)
class Queued:
    """One Pod and its history in the queue. Times are the loop's."""

    pod: PodFacts
    added: float
    where: Where = Where.OUT
    attempts: int = 0
    refusals: int = 0
    errors: int = 0
    since: float = 0.0  #: when it was refused or failed last
    refused_by: frozenset[str] = field(default_factory=frozenset)
    due: float = 0.0  #: end of back-off, or of waiting
    ticket: int = 0  #: the one entry of a heap that counts


class SchedulingQueue:
    """See the module. All by uid; a Pod is in one part at a time."""

    def __init__(
        self,
        wakers: Mapping[str, Waker],
        *,
        first_backoff: float = FIRST_BACKOFF,
        max_backoff: float = MAX_BACKOFF,
    ) -> None:
        self._wakers = wakers
        self._first, self._max = first_backoff, max_backoff
        self.pods: dict[str, Queued] = {}
        self._active: list[tuple[int, float, int, Queued]] = []
        self._backoff: list[tuple[float, int, Queued]] = []
        self._waiting: dict[str, Queued] = {}
        self._tickets = 0
        self._by_event: dict[str, list[str]] = {}
        for name, waker in wakers.items():
            for event in waker.wakes_on:
                self._by_event.setdefault(event, []).append(name)

    def __len__(self) -> int:
        return len(self.pods)

    def count(self, where: Where) -> int:
        """How many are in one part."""
        return sum(1 for q in self.pods.values() if q.where is where)

    # Coming and going

    def add(self, pod: PodFacts, now: float) -> None:
        """A Pod that has no node. Known ones are updated instead: see `update`."""
        known = self.pods.get(pod.uid)
        if known is not None:
            self.update(pod, now)
            return
        queued = self.pods[pod.uid] = Queued(pod, now)
        if pod.pod.spec.scheduling_gates:
            queued.where = Where.GATED
        else:
            self._activate(queued)

    def update(self, pod: PodFacts, now: float) -> None:
        """The Pod changed; when that may matter to those who refused it, it is tried again."""
        queued = self.pods.get(pod.uid)
        if queued is None:
            self.add(pod, now)
            return
        old, queued.pod = queued.pod, pod
        if queued.where is Where.GATED:
            if not pod.pod.spec.scheduling_gates:
                self._activate(queued)
        elif queued.where is Where.WAITING:
            if (
                old.pod_class is not pod.pod_class
                or old.group is not pod.group
                or old.pod.status.resource_claim_statuses != pod.pod.status.resource_claim_statuses
            ):
                self._wake(queued, now)
        elif queued.where is Where.ACTIVE and old.priority != pod.priority:
            self._activate(queued)

    def remove(self, uid: str) -> None:
        """The Pod is bound, gone or no longer ours."""
        queued = self.pods.pop(uid, None)
        if queued is not None:
            queued.where = Where.OUT
            queued.ticket = 0
            self._waiting.pop(uid, None)

    def pop(self, now: float) -> Queued | None:
        """The next to try: highest priority, then first come. None when nobody is to be tried now."""
        while self._active:
            _, _, ticket, queued = heapq.heappop(self._active)
            if queued.ticket == ticket:
                return self._out(queued)
        while self._backoff:  # nothing else to do: no need to let them wait, unless they failed with an error
            _, ticket, queued = self._backoff[0]
            if queued.ticket != ticket:
                heapq.heappop(self._backoff)
            elif queued.errors and queued.due > now:
                break
            else:
                heapq.heappop(self._backoff)
                return self._out(queued)
        return None

    def refused(self, queued: Queued, plugins: Iterable[str], now: float) -> None:
        """It fits nowhere, by these plugins: it waits for an event."""
        if self.pods.get(queued.pod.uid) is not queued:
            return
        queued.refusals += 1
        queued.errors = 0
        queued.since = now
        queued.refused_by = frozenset(plugins)
        queued.where = Where.WAITING
        queued.due = now + LEFTOVER
        self._waiting[queued.pod.uid] = queued

    def failed(self, queued: Queued, now: float) -> None:
        """Something went wrong (the binding was refused, the server is away): it backs off."""
        if self.pods.get(queued.pod.uid) is not queued:
            return
        queued.errors += 1
        queued.since = now
        self._back_off(queued, now)

    # Waking

    def event(self, event: str, old: Any, new: Any, now: float) -> bool:
        """Something happened in the cluster; whether any Pod is to be tried because of it."""
        if not self._waiting:
            return False
        names = self._by_event.get(event)
        woken = False
        for queued in [*self._waiting.values()]:
            by = queued.refused_by
            if not by or (names and any(n in by and self._wakers[n].helps(event, queued.pod, old, new) for n in names)):
                self._wake(queued, now)
                woken = True
        return woken

    def wake(self, uid: str, now: float) -> None:
        """Try one again."""
        if (queued := self._waiting.get(uid)) is not None:
            self._wake(queued, now)

    def wake_all(self, now: float) -> None:
        """Try everybody again."""
        for queued in [*self._waiting.values()]:
            self._wake(queued, now)

    def advance(self, now: float) -> None:
        """Let back-offs end and leftovers be tried, as far as their time has come."""
        while self._backoff and (self._backoff[0][0] <= now or self._backoff[0][2].ticket != self._backoff[0][1]):
            _, ticket, queued = heapq.heappop(self._backoff)
            if queued.ticket == ticket:
                self._activate(queued)
        while self._waiting and (first := next(iter(self._waiting.values()))).due <= now:
            self._wake(first, now)  # insertion order is order of due times

    def next_due(self) -> float | None:
        """When `advance` has something to do."""
        times = [self._backoff[0][0]] if self._backoff else []
        if self._waiting:
            times.append(next(iter(self._waiting.values())).due)
        return min(times) if times else None

    # Within

    def _wake(self, queued: Queued, now: float) -> None:
        self._waiting.pop(queued.pod.uid, None)
        self._back_off(queued, now)

    def _back_off(self, queued: Queued, now: float) -> None:
        failures = queued.errors or queued.refusals
        queued.due = queued.since + min(self._first * 2.0 ** min(failures - 1, 30), self._max) if failures else now
        if queued.due <= now:
            self._activate(queued)
            return
        queued.where = Where.BACKOFF
        heapq.heappush(self._backoff, (queued.due, self._ticket(queued), queued))

    def _activate(self, queued: Queued) -> None:
        queued.where = Where.ACTIVE
        heapq.heappush(self._active, (-queued.pod.priority, queued.added, self._ticket(queued), queued))

    def _ticket(self, queued: Queued) -> int:
        self._tickets += 1
        queued.ticket = self._tickets
        return self._tickets

    def _out(self, queued: Queued) -> Queued:
        queued.where = Where.OUT
        queued.ticket = 0
        queued.attempts += 1
        return queued
