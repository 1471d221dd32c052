"""How many replicas a HorizontalPodAutoscaler wants: pure arithmetic.

The documented algorithm: `ceil(current * value / target)`, with a tolerance of a tenth, Pods without metrics counted
against the direction of the change, then the behaviour's stabilization windows and rate policies, then the bounds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pybernetes.aio import clock
from pybernetes.api.autoscaling_v2 import HorizontalPodAutoscaler, HPAScalingRules
from pybernetes.api.core_v1 import Pod
from pybernetes.control_plane.controllers import pods as pod_state
from pybernetes.machinery import quantity

TOLERANCE = 0.1
_CPU_START = 300.0  # seconds in which a starting Pod's CPU usage is not believed unless it was ready before
_READY_DELAY = 30.0  # seconds after the start in which unready means "not yet ready"
_DEFAULT_DOWN_WINDOW = 300


@dataclass(frozen=True)
class Proposal:
    """What one metric asks for."""

    replicas: int
    value: int  #: utilization in percent, or the average in thousandths
    text: str  #: the metric's name, for the reason


@dataclass
class Groups:
    """Pods by what can be said of their metrics."""

    ready: list[str] = field(default_factory=list)
    unready: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def group(pods: Sequence[Pod], metrics: Mapping[str, int], resource: str, now: float) -> Groups:
    """Sort Pods: those that count, those not ready yet, those without a metric. Ended and leaving ones are ignored."""
    found = Groups()
    for pod in pods:
        name = pod.metadata.name
        if pod.metadata.deletion_timestamp is not None or pod.status.phase == "Failed":
            continue
        if pod.status.phase == "Pending":
            found.unready.append(name)
        elif name not in metrics:
            found.missing.append(name)
        elif resource == "cpu" and _is_starting(pod, now):
            found.unready.append(name)
        else:
            found.ready.append(name)
    return found


def _is_starting(pod: Pod, now: float) -> bool:
    ready = pod_state.condition(pod, "Ready")
    if ready is None or not pod.status.start_time:
        return True
    started = clock.parse_rfc3339(pod.status.start_time)
    changed = clock.parse_rfc3339(ready.last_transition_time) if ready.last_transition_time else started
    if started + _CPU_START > now:
        return ready.status == "False"
    return ready.status == "False" and started + _READY_DELAY > changed


def request_of(pod: Pod, resource: str, container: str = "") -> int | str:
    """Thousandths of the resource the Pod's containers request together; the name of the first that does not."""
    total = 0
    sidecars = [c for c in pod.spec.init_containers or () if c.restart_policy == "Always"]
    for one in (*pod.spec.containers, *sidecars):
        if container and one.name != container:
            continue
        amount = ((one.resources.requests if one.resources else None) or {}).get(resource)
        if amount is None:
            return one.name
        total += quantity.milli(amount)
    return total


def by_utilization(
    current: int, groups: Groups, metrics: Mapping[str, int], requests: Mapping[str, int], target: int, tolerance: float
) -> tuple[int, int]:
    """(replicas, utilization in percent) for a target in percent of the requests. All in thousandths."""

    def ratio(names: Sequence[str], usage: Mapping[str, int]) -> tuple[float, int]:
        total = sum(requests[name] for name in names)
        percent = sum(usage[name] for name in names) * 100 // total if total else 0
        return percent / target, percent

    used, percent = ratio(groups.ready, metrics)
    return _settle(
        current,
        groups,
        used,
        tolerance,
        lambda filled: ratio([*filled], {**metrics, **filled})[0],
        metrics,
        lambda name: requests[name] * max(100, target) // 100,
    ), percent


def by_average(
    current: int, groups: Groups, metrics: Mapping[str, int], target: int, tolerance: float
) -> tuple[int, int]:
    """(replicas, average in thousandths) for a target average in thousandths."""

    def ratio(values: Sequence[int]) -> tuple[float, int]:
        average = sum(values) // len(values) if values else 0
        return average / target, average

    used, average = ratio([metrics[name] for name in groups.ready])
    return _settle(
        current, groups, used, tolerance, lambda filled: ratio([*filled.values()])[0], metrics, lambda name: target
    ), average


def _settle(
    current: int,
    groups: Groups,
    used: float,
    tolerance: float,
    again: Callable[[dict[str, int]], float],
    metrics: Mapping[str, int],
    full: Callable[[str], int],
) -> int:
    """Replicas for a ratio of use to target; Pods without metrics are counted against the direction it points to.

    `again` is the ratio with assumed values filled in, `full` what a Pod at its target uses.
    """
    up = used > 1.0
    if not groups.missing and not (up and groups.unready):
        return current if abs(used - 1.0) <= tolerance else math.ceil(used * len(groups.ready))
    filled = {name: metrics[name] for name in groups.ready}
    for name in groups.missing:
        filled[name] = 0 if up else full(name)
    if up:
        filled.update(dict.fromkeys(groups.unready, 0))
    new = again(filled)
    if abs(new - 1.0) <= tolerance or (used < 1.0 < new) or (used > 1.0 > new):
        return current
    replicas = math.ceil(new * len(filled))
    if (new < 1.0 and replicas > current) or (new > 1.0 and replicas < current):
        return current
    return replicas


@dataclass
class History:
    """What was recommended and done of late: [(loop time, value)]."""

    recommendations: list[tuple[float, int]] = field(default_factory=list)
    ups: list[tuple[float, int]] = field(default_factory=list)
    downs: list[tuple[float, int]] = field(default_factory=list)


def bound(
    hpa: HorizontalPodAutoscaler, current: int, wanted: int, history: History, now: float
) -> tuple[int, str, str]:
    """(replicas, reason, message) after stabilization, rate policies and the bounds; notes the recommendation."""
    behavior = hpa.spec.behavior
    up = behavior.scale_up if behavior else None
    down = behavior.scale_down if behavior else None
    up_window = (up.stabilization_window_seconds if up else None) or 0
    down_window = down.stabilization_window_seconds if down else None
    down_window = _DEFAULT_DOWN_WINDOW if down_window is None else down_window
    history.recommendations = [
        (at, n) for at, n in history.recommendations if at > now - max(up_window, down_window, 1)
    ] + [(now, wanted)]
    lowest = min(n for at, n in history.recommendations if at >= now - up_window)
    highest = max(n for at, n in history.recommendations if at >= now - down_window)
    steady = min(max(current, lowest), highest)
    minimum = 1 if hpa.spec.min_replicas is None else hpa.spec.min_replicas
    limited = max(minimum, min(hpa.spec.max_replicas, steady))
    if limited > current:
        allowed = _limit(current, up, history.ups, history.downs, now, up=True)
        if allowed < limited:
            return allowed, "ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate"
    elif limited < current:
        allowed = _limit(current, down, history.downs, history.ups, now, up=False)
        if allowed > limited:
            return (
                allowed,
                "ScaleDownLimit",
                "the desired replica count is decreasing faster than the maximum scale rate",
            )
    if limited < steady:
        return limited, "TooManyReplicas", "the desired replica count is more than the maximum replica count"
    if limited > steady:
        return limited, "TooFewReplicas", "the desired replica count is less than the minimum replica count"
    return limited, "DesiredWithinRange", "the desired count is within the acceptable range"


def _limit(
    current: int,
    rules: HPAScalingRules | None,
    same: Sequence[tuple[float, int]],
    opposite: Sequence[tuple[float, int]],
    now: float,
    *,
    up: bool,
) -> int:
    """The furthest the policies allow; by default doubling or four more, or all the way down, every 15 s."""
    if rules is not None and rules.select_policy == "Disabled":
        return current
    policies = [(p.type, p.value, p.period_seconds) for p in (rules.policies if rules else None) or ()]
    if not policies:
        policies = [("Pods", 4, 15), ("Percent", 100, 15)] if up else [("Percent", 100, 15)]
    found = []
    for type_, value, period in policies:
        done = sum(n for at, n in same if at > now - period)
        undone = sum(n for at, n in opposite if at > now - period)
        start = current - done + undone if up else current + done - undone
        if up:
            found.append(start + value if type_ == "Pods" else math.ceil(start * (1 + value / 100)))
        else:
            found.append(start - value if type_ == "Pods" else int(start * (1 - value / 100)))
    least = rules is not None and rules.select_policy == "Min"
    if up:
        return max(current, min(found) if least else max(found))
    return min(current, max(found) if least else min(found))
