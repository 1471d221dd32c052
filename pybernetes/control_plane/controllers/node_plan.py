"""What the node lifecycle controller decides: conditions, taints and zones, as pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pybernetes.api.core_v1 import Node, NodeCondition, Taint
from pybernetes.machinery import codec

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"

#: Condition -> status -> key of the NoSchedule taint it stands for.
_TAINTS: Mapping[str, Mapping[str, str]] = {
    "Ready": {"False": NOT_READY, "Unknown": UNREACHABLE},
    "MemoryPressure": {"True": "node.kubernetes.io/memory-pressure"},
    "DiskPressure": {"True": "node.kubernetes.io/disk-pressure"},
    "NetworkUnavailable": {"True": "node.kubernetes.io/network-unavailable"},
    "PIDPressure": {"True": "node.kubernetes.io/pid-pressure"},
}
_NO_SCHEDULE_KEYS = {UNSCHEDULABLE, *(key for keys in _TAINTS.values() for key in keys.values())}
_HEARTBEAT_CONDITIONS = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")

_REGION, _ZONE = "topology.kubernetes.io/region", "topology.kubernetes.io/zone"


@dataclass(frozen=True)
class Rates:
    """How many nodes a second may get their NoExecute taint, by the state of their zone."""

    normal: float = 0.1
    partial: float = 0.01  #: in a zone of which `unhealthy_threshold` is down; none in a small cluster
    large_cluster: int = 50  #: nodes from which on a zone counts as large
    unhealthy_threshold: float = 0.55


def condition(node: Node, type_: str) -> NodeCondition | None:
    """The condition of that type."""
    return next((c for c in node.status.conditions or () if c.type == type_), None)


def ready_status(node: Node) -> str:
    """`True`, `False` or `Unknown`, the last also for a node that never said."""
    found = condition(node, "Ready")
    return found.status if found is not None else "Unknown"


def silenced(node: Node, now: str) -> list[NodeCondition]:
    """The conditions of a node whose kubelet has stopped posting: all it reports itself are Unknown."""
    result: list[NodeCondition] = list(codec.copy(node.status).conditions or ())
    for type_ in _HEARTBEAT_CONDITIONS:
        present = next((c for c in result if c.type == type_), None)
        if present is None:
            result.append(
                NodeCondition(
                    type=type_,
                    status="Unknown",
                    reason="NodeStatusNeverUpdated",
                    message="Kubelet never posted node status.",
                    last_heartbeat_time=node.metadata.creation_timestamp,
                    last_transition_time=now,
                )
            )
        elif present.status != "Unknown":
            present.status = "Unknown"
            present.reason = "NodeStatusUnknown"
            present.message = "Kubelet stopped posting node status."
            present.last_transition_time = now
    return result


def taints(node: Node, *, evict: bool, now: str) -> list[Taint]:
    """The taints the node should bear, given its conditions; those of others are kept.

    `evict`: whether the NoExecute taint of an unhealthy node may be there.
    """
    schedule = {
        keys[c.status]
        for c in node.status.conditions or ()
        if (keys := _TAINTS.get(c.type)) is not None and c.status in keys
    }
    if node.spec.unschedulable:
        schedule.add(UNSCHEDULABLE)
    execute = {_TAINTS["Ready"][ready]} if evict and (ready := ready_status(node)) != "True" else set()
    present = node.spec.taints or ()
    kept = [
        taint
        for taint in present
        if not (
            (taint.effect == "NoSchedule" and taint.key in _NO_SCHEDULE_KEYS and taint.key not in schedule)
            or (taint.effect == "NoExecute" and taint.key in (NOT_READY, UNREACHABLE) and taint.key not in execute)
        )
    ]
    have = {(taint.key, taint.effect) for taint in kept}
    kept += [
        Taint(key=key, effect="NoSchedule", time_added=now)
        for key in sorted(schedule)
        if (key, "NoSchedule") not in have
    ]
    kept += [
        Taint(key=key, effect="NoExecute", time_added=now) for key in sorted(execute) if (key, "NoExecute") not in have
    ]
    return kept


def has_eviction_taint(node: Node) -> bool:
    """Whether it bears the NoExecute taint its Ready condition stands for."""
    key = _TAINTS["Ready"].get(ready_status(node))
    return any(t.key == key and t.effect == "NoExecute" for t in node.spec.taints or ())


def zone(node: Node) -> str:
    """Region and zone; "" when it has none."""
    labels = node.metadata.labels or {}
    region, name = labels.get(_REGION, ""), labels.get(_ZONE, "")
    return f"{region}:\0:{name}" if region or name else ""


class Census:
    """How many nodes of each zone are ready, kept as they come, change and go: counting all of them for each that comes
    would take a large cluster minutes to begin."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, bool]] = {}  # node -> zone, ready
        self._counts: dict[str, list[int]] = {}  # zone -> not ready, ready

    def put(self, node: Node) -> None:
        """A node came or changed."""
        now = zone(node), ready_status(node) == "True"
        if self._known.get(node.metadata.name) != now:
            self.remove(node.metadata.name)
            self._known[node.metadata.name] = now
            self._counts.setdefault(now[0], [0, 0])[now[1]] += 1

    def remove(self, name: str) -> None:
        """A node is gone."""
        known = self._known.pop(name, None)
        if known is None:
            return
        counts = self._counts[known[0]]
        counts[known[1]] -= 1
        if not any(counts):
            del self._counts[known[0]]

    def size(self, zone: str) -> int:
        """Nodes of a zone."""
        return sum(self._counts.get(zone, ()))

    def states(self, rates: Rates) -> dict[str, str]:
        """Each zone as `Normal`, `PartialDisruption` or `FullDisruption`."""
        states = {}
        for name, (unhealthy, healthy) in self._counts.items():
            if healthy == 0 and unhealthy > 0:
                states[name] = "FullDisruption"
            elif unhealthy > 2 and unhealthy / (healthy + unhealthy) >= rates.unhealthy_threshold:
                states[name] = "PartialDisruption"
            else:
                states[name] = "Normal"
        return states


def zone_rate(state: str, size: int, rates: Rates) -> float:
    """Nodes a second that may be tainted in a zone. A zone wholly down, with others up, goes at the normal rate."""
    if state != "PartialDisruption":
        return rates.normal
    return rates.partial if size > rates.large_cluster else 0.0


def same_taints(a: Sequence[Taint] | None, b: Sequence[Taint] | None) -> bool:
    """Equal but for their order and time."""
    return sorted((t.key, t.effect, t.value or "") for t in a or ()) == sorted(
        (t.key, t.effect, t.value or "") for t in b or ()
    )
