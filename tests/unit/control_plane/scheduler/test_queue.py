"""The scheduling queue: order, back-off, waking."""

from __future__ import annotations

from typing import Any

from pybernetes.api.core_v1 import Pod, PodSchedulingGate, PodSpec
from pybernetes.control_plane.scheduler.facts import Interner, PodFacts
from pybernetes.control_plane.scheduler.queue import Queued, SchedulingQueue, Where
from pybernetes.machinery.meta import ObjectMeta

INTERNER = Interner()


class Waker:
    def __init__(self, *events: str, helps: bool = True) -> None:
        self.wakes_on = frozenset(events)
        self._helps = helps

    def helps(self, event: str, pod: PodFacts, old: Any, new: Any) -> bool:
        return self._helps


def facts(name: str, priority: int = 0, gates: tuple[str, ...] = (), **labels: str) -> PodFacts:
    spec = PodSpec(priority=priority, scheduling_gates=[PodSchedulingGate(name=g) for g in gates] or None)
    return INTERNER.facts(Pod(metadata=ObjectMeta(name=name, namespace="ns", uid=name, labels=labels), spec=spec))


def queue(**wakers: Waker) -> SchedulingQueue:
    return SchedulingQueue(wakers)


def popped(q: SchedulingQueue, now: float) -> Queued:
    found = q.pop(now)
    assert found is not None
    return found


def names(q: SchedulingQueue, now: float = 0.0) -> list[str]:
    found = []
    while (one := q.pop(now)) is not None:
        found.append(one.pod.name)
    return found


def test_higher_priority_first_then_first_come() -> None:
    q = queue()
    for i, (name, priority) in enumerate([("a", 0), ("b", 10), ("c", 0), ("d", 10)]):
        q.add(facts(name, priority), float(i))
    assert names(q) == ["b", "d", "a", "c"]


def test_a_refused_pod_waits_for_an_event_its_plugin_cares_about() -> None:
    q = queue(Fit=Waker("Pod/removed"), Taints=Waker("Node/taints"))
    q.add(facts("a"), 0.0)
    q.refused(popped(q, 0.0), ["Fit"], 0.0)
    assert not q.event("Node/taints", None, None, 5.0)
    assert q.pop(5.0) is None
    assert q.event("Pod/removed", None, None, 5.0)
    assert names(q, 5.0) == ["a"]


def test_an_event_that_does_not_help_wakes_nobody() -> None:
    q = queue(Fit=Waker("Pod/removed", helps=False))
    q.add(facts("a"), 0.0)
    q.refused(popped(q, 0.0), ["Fit"], 0.0)
    assert not q.event("Pod/removed", None, None, 5.0)


def test_refused_by_nobody_means_any_event_helps() -> None:
    q = queue()
    q.add(facts("a"), 0.0)
    q.refused(popped(q, 0.0), [], 0.0)
    assert q.event("Node/added", None, None, 5.0)


def test_backoff_doubles_up_to_ten_seconds() -> None:
    q = queue(Fit=Waker("Pod/removed"))
    q.add(facts("busy"), 0.0)
    now = 0.0
    waits = []
    one = popped(q, now)
    for _ in range(6):
        q.refused(one, ["Fit"], now)
        q.event("Pod/removed", None, None, now)
        assert one.where is Where.BACKOFF
        waits.append(one.due - now)
        now = one.due
        q.advance(now)
        assert one.where is Where.ACTIVE
        one = popped(q, now)
    assert waits == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


def test_backing_off_is_cut_short_when_nothing_else_waits_but_not_after_errors() -> None:
    q = queue(Fit=Waker("Pod/removed"))
    q.add(facts("refused"), 0.0)
    q.refused(popped(q, 0.0), ["Fit"], 0.0)
    q.event("Pod/removed", None, None, 0.1)
    assert names(q, 0.2) == ["refused"]
    q = queue()
    q.add(facts("failed"), 0.0)
    q.failed(popped(q, 0.0), 0.0)
    assert q.pop(0.9) is None
    assert q.next_due() == 1.0
    q.advance(1.0)
    assert names(q, 1.0) == ["failed"]


def test_leftovers_are_tried_after_five_minutes() -> None:
    q = queue(Fit=Waker("Pod/removed"))
    q.add(facts("a"), 0.0)
    q.refused(popped(q, 0.0), ["Fit"], 10.0)
    assert q.next_due() == 310.0
    q.advance(309.0)
    assert q.pop(309.0) is None
    q.advance(310.0)
    assert names(q, 310.0) == ["a"]


def test_gates_hold_until_they_are_gone() -> None:
    q = queue()
    q.add(facts("a", gates=("wait",)), 0.0)
    assert q.pop(0.0) is None and q.count(Where.GATED) == 1
    q.update(facts("a"), 1.0)
    assert names(q, 1.0) == ["a"]


def test_a_change_of_the_pod_itself_lets_it_try_again_but_its_status_does_not() -> None:
    q = queue(Fit=Waker())
    q.add(facts("a"), 0.0)
    q.refused(popped(q, 0.0), ["Fit"], 0.0)
    q.update(facts("a"), 20.0)
    assert q.pop(20.0) is None
    q.update(facts("a", color="red"), 20.0)
    assert names(q, 20.0) == ["a"]


def test_removed_pods_do_not_come_back() -> None:
    q = queue(Fit=Waker("Pod/removed"))
    q.add(facts("a"), 0.0)
    q.add(facts("b"), 0.0)
    one = popped(q, 0.0)
    q.remove("a")
    q.remove("b")
    q.refused(one, ["Fit"], 0.0)
    q.failed(one, 0.0)
    q.event("Pod/removed", None, None, 1.0)
    q.advance(1000.0)
    assert q.pop(1000.0) is None and len(q) == 0 and q.next_due() is None


def test_a_woken_pod_that_waited_longer_than_its_backoff_is_active_at_once() -> None:
    q = queue(Fit=Waker("Pod/removed"))
    q.add(facts("a"), 0.0)
    one = popped(q, 0.0)
    q.refused(one, ["Fit"], 0.0)
    q.event("Pod/removed", None, None, 30.0)
    assert one.where is Where.ACTIVE
