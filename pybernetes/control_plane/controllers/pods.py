"""What state a Pod is in, and which Pod goes first: pure questions that many controllers ask."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from pybernetes.aio import clock
from pybernetes.api.core_v1 import Pod, PodCondition

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"


def condition(pod: Pod, type_: str) -> PodCondition | None:
    """The condition of that type."""
    for found in pod.status.conditions or ():
        if found.type == type_:
            return found
    return None


def is_ready(pod: Pod) -> bool:
    """Whether the Ready condition is True."""
    found = condition(pod, "Ready")
    return found is not None and found.status == "True"


def is_terminal(pod: Pod) -> bool:
    """Whether all its containers have ended for good."""
    return pod.status.phase in ("Succeeded", "Failed")


def is_terminating(pod: Pod) -> bool:
    """Whether it is being deleted."""
    return pod.metadata.deletion_timestamp is not None


def is_active(pod: Pod) -> bool:
    """Neither terminal nor being deleted: it counts as a replica."""
    return pod.metadata.deletion_timestamp is None and pod.status.phase not in ("Succeeded", "Failed")


def available_in(pod: Pod, min_ready_seconds: int, now: float) -> float | None:
    """Seconds until the Pod, ready now, counts as available (0: it does); None when it is not ready."""
    found = condition(pod, "Ready")
    if found is None or found.status != "True":
        return None
    if not min_ready_seconds or not found.last_transition_time:
        return 0.0
    return max(0.0, clock.parse_rfc3339(found.last_transition_time) + min_ready_seconds - now)


def is_available(pod: Pod, min_ready_seconds: int, now: float) -> bool:
    """Ready for at least that long."""
    return available_in(pod, min_ready_seconds, now) == 0.0


def restarts(pod: Pod) -> tuple[int, int]:
    """The most restarts of any of its containers, and of any of its sidecars."""
    sidecars = {c.name for c in pod.spec.init_containers or () if c.restart_policy == "Always"}
    beside = (s.restart_count for s in pod.status.init_container_statuses or () if s.name in sidecars)
    return max((s.restart_count for s in pod.status.container_statuses or ()), default=0), max(beside, default=0)


_PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}


def in_deletion_order(pods: Iterable[Pod], per_node: Mapping[str, int], now: float) -> list[Pod]:
    """Active Pods, those to delete first in front.

    Unscheduled before scheduled, Pending before Unknown before Running, not ready before ready, lower deletion cost, on
    the node with more of its kin (`per_node`: Pods of all related sets by node name), ready or created more recently
    (in powers of two of the age, so that the choice is not always the very newest), more restarts.
    """

    def magnitude(since: str | None) -> float:
        if not since:
            return -2.0
        age = (now - clock.parse_rfc3339(since)) * 1e9
        return math.floor(math.log2(age)) if age > 0 else -1.0

    def rank(pod: Pod) -> tuple[object, ...]:
        ready = condition(pod, "Ready")
        is_ready = ready is not None and ready.status == "True"
        return (
            bool(pod.spec.node_name),
            _PHASES.get(pod.status.phase or "Pending", 2),
            is_ready,
            _cost(pod),
            -per_node.get(pod.spec.node_name or "", 0),
            magnitude(ready.last_transition_time) if is_ready and ready else -2.0,
            tuple(-count for count in restarts(pod)),
            magnitude(pod.metadata.creation_timestamp),
            pod.metadata.uid,
        )

    return sorted(pods, key=rank)


def _cost(pod: Pod) -> int:
    try:
        return int((pod.metadata.annotations or {}).get(DELETION_COST, "0"))
    except ValueError:
        return 0


def by_node(pods: Sequence[Pod]) -> dict[str, int]:
    """How many active Pods each node has."""
    counts: dict[str, int] = {}
    for pod in pods:
        if is_active(pod) and pod.spec.node_name:
            counts[pod.spec.node_name] = counts.get(pod.spec.node_name, 0) + 1
    return counts
