"""DefaultPreemption: room for a Pod by removing others of lower priority, as few and as unimportant as possible.

For each node that might help: take away all Pods of lower priority; if the Pod fits then, put back as many as possible,
those that a PodDisruptionBudget protects first, then by priority and age. What is left are the victims. Of the nodes
the one is chosen whose victims matter least. Tried on the snapshot itself, which is as before afterwards.

As upstream a tenth of the nodes (at least 100) is tried, from a random one on: enough to find a good one.

A Deployment of important Pods asks the same of the same nodes a thousand times, so what was found out about a node is
kept (`Memory`) until the node or its Pods change, for Pods that care for nothing but the node.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from pybernetes.api.policy_v1 import PodDisruptionBudget
from pybernetes.control_plane.scheduler.facts import PodFacts
from pybernetes.control_plane.scheduler.plan import Planner, Refusal, Trial, histogram
from pybernetes.machinery import labels

NEVER = "not eligible due to preemptionPolicy=Never."
TERMINATING = "not eligible due to a terminating pod on the nominated node."
NO_VICTIMS = "No preemption victims found for incoming pod"
NO_HELP = "Preemption is not helpful for scheduling"


@dataclass(slots=True)
class Candidate:
    """A node and who would have to go, the most important first."""

    node: str
    victims: list[PodFacts]
    violations: int  #: victims that a budget protects


@dataclass(slots=True)
class Outcome:
    """`candidate`, or if None, `message` tells why. `keeps`: a nomination from before stays."""

    candidate: Candidate | None = None
    candidates: Sequence[Candidate] = ()  #: all that were found
    message: str = ""
    keeps: bool = False


#: A candidate, or the reasons why there is none on a node.
Found: TypeAlias = Candidate | Sequence[str]

_KINDS = 64


class Memory:
    """What trials found, by kind of Pod and row, as long as it holds."""

    def __init__(self) -> None:
        self._kinds: dict[Any, _Kind] = {}

    def recall(self, planner: Planner, pod: PodFacts, trial: Trial, budgets: Sequence[PodDisruptionBudget]) -> _Kind:
        """What is known for such Pods; to be added to. Nothing is kept where other nodes' Pods have a say."""
        nodes = planner.snapshot.nodes
        if not trial.is_local():
            return _Kind(())
        key = (planner.key(pod), pod.priority)
        versions = [budget.metadata.resource_version for budget in budgets]
        kind = self._kinds.get(key)
        changed = nodes.changed_since(kind.position) if kind is not None else None
        if kind is None or changed is None or kind.versions != versions:
            if len(self._kinds) >= _KINDS:
                self._kinds.clear()
            kind = self._kinds[key] = _Kind(versions)
        else:
            for row in (*changed[0], *changed[1]):
                kind.found.pop(row, None)
        kind.position = nodes.log_end
        return kind


class _Kind:
    __slots__ = ("found", "position", "versions")

    def __init__(self, versions: Sequence[str]) -> None:
        self.versions = versions  #: of the budgets
        self.position = 0  #: in the log of the nodes
        #: Row -> what else it depends on (who was to be there besides, starts of Pods), and what was found.
        self.found: dict[int, tuple[Any, Found]] = {}


def preempt(
    planner: Planner,
    pod: PodFacts,
    refusal: Refusal,
    budgets: Sequence[PodDisruptionBudget],
    rng: random.Random,
    memory: Memory | None = None,
) -> Outcome:
    """Find victims for a Pod that fits nowhere. The snapshot is unchanged afterwards."""
    if ineligible := _ineligible(planner, pod, refusal):
        return Outcome(message=ineligible, keeps=True)
    profile = planner.profile
    total = refusal.total
    rows = refusal.resolvable
    nobody = min(planner.snapshot.priorities, default=pod.priority) >= pod.priority
    reasons: Counter[str] = Counter({NO_HELP: total - len(rows)}) if total > len(rows) else Counter()
    wanted = min(len(rows), max(profile.preemption_least, len(rows) * profile.preemption_percent // 100))
    candidates: list[Candidate] = []
    protected = False
    trial = planner.trial(pod)
    known = (memory or Memory()).recall(planner, pod, trial, budgets).found
    start = int(rng.random() * len(rows)) if rows else 0
    if nobody and rows:
        reasons[NO_VICTIMS] += len(rows)
    for i in range(0 if nobody else len(rows)):
        row = rows[(start + i) % len(rows)]
        node = planner.snapshot.nodes.names[row]
        guests = planner.nominations.ahead_of(pod, node)
        state = [guest.uid for guest in guests], planner.snapshot.starts.get(node)
        before = known.get(row)
        if before is not None and before[0] == state:
            found = before[1]
        else:
            found = _try_node(planner, trial, pod, row, guests, budgets)
            known[row] = state, found
        if isinstance(found, Candidate):
            candidates.append(found)
            protected = protected or not found.violations
            if protected and len(candidates) >= wanted:
                break
        else:
            reasons.update(found)
    if not candidates:
        return Outcome(message=f"0/{total} nodes are available: {histogram(reasons)}.")
    return Outcome(best(candidates), candidates)


def best(candidates: Sequence[Candidate]) -> Candidate | None:
    """The one whose victims matter least; None when there is none."""
    return min(candidates, key=_badness, default=None)


def _ineligible(planner: Planner, pod: PodFacts, refusal: Refusal) -> str:
    if pod.pod.spec.preemption_policy == "Never":
        return NEVER
    nominated = pod.pod.status.nominated_node_name
    if nominated and (row := planner.snapshot.nodes.rows.get(nominated)) is not None and row in refusal.resolvable:
        for other in planner.snapshot.pods_on(nominated):
            if other.priority < pod.priority and _terminating_for_us(other):
                return TERMINATING
    return ""


def _terminating_for_us(pod: PodFacts) -> bool:
    return pod.group.terminating and any(
        c.type == "DisruptionTarget" and c.status == "True" and c.reason == "PreemptionByScheduler"
        for c in pod.pod.status.conditions or ()
    )


def _importance(pod: PodFacts) -> tuple[int, str]:
    """Sorts the more important first: higher priority, then longer running."""
    return -pod.priority, pod.started or "9"


def _try_node(
    planner: Planner,
    trial: Trial,
    pod: PodFacts,
    row: int,
    guests: Sequence[PodFacts],
    budgets: Sequence[PodDisruptionBudget],
) -> Found:
    """Take the others away and put them back; the nodes' log does not tell of it."""
    snapshot = planner.snapshot
    node = snapshot.nodes.names[row]
    lower = [other for other in snapshot.pods_on(node) if other.priority < pod.priority]
    if not lower:
        return [NO_VICTIMS]
    position = snapshot.nodes.log_end
    for other in lower:
        snapshot.remove(other.uid)
    victims: list[PodFacts] = []
    violations = 0
    try:
        refusal = trial.refusal(row, guests)
        if refusal is not None:
            return refusal[0]
        lower.sort(key=_importance)
        violating, others = _by_budgets(lower, budgets)
        for group in (violating, others):
            for other in group:
                snapshot.place(other, node)
                if trial.refusal(row, guests, again=True) is not None:
                    snapshot.remove(other.uid)
                    victims.append(other)
                    violations += group is violating
    finally:
        for other in lower:
            if not snapshot.node_of(other.uid):
                snapshot.place(other, node)
        snapshot.nodes.forget_since(position)
    victims.sort(key=_importance)
    return Candidate(node, victims, violations)


def _by_budgets(
    pods: Sequence[PodFacts], budgets: Sequence[PodDisruptionBudget]
) -> tuple[list[PodFacts], list[PodFacts]]:
    """Those whose removal would break a budget, and the others; each removal uses up what the budget allows."""
    allowed = [b.status.disruptions_allowed or 0 for b in budgets]
    selectors = [labels.from_struct(b.spec.selector) for b in budgets]
    violating: list[PodFacts] = []
    fine: list[PodFacts] = []
    for pod in pods:
        breaks = False
        for i, budget in enumerate(budgets):
            if not pod.group.labels or budget.metadata.namespace != pod.namespace:
                continue
            selector = selectors[i]
            if selector.empty or not selector.matches(pod.group.labels):
                continue
            if pod.name in (budget.status.disrupted_pods or {}):
                continue
            allowed[i] -= 1
            breaks = breaks or allowed[i] < 0
        (violating if breaks else fine).append(pod)
    return violating, fine


def _badness(candidate: Candidate) -> tuple[float, ...]:
    """The least is best: fewest broken budgets, lowest of highest priorities, lowest sum of priorities, fewest victims,
    the most important victims started latest."""
    victims = candidate.victims
    if not victims:
        return (-1.0,)
    highest = victims[0].priority
    earliest = min((v.started or "9") for v in victims if v.priority == highest)
    return (
        candidate.violations,
        highest,
        sum(v.priority + 2**31 for v in victims),
        len(victims),
        -_order(earliest),
    )


def _order(started: str) -> float:
    digits = "".join(c for c in started if c.isdigit())
    return float(digits) if digits else 0.0
