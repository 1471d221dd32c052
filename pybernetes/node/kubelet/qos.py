"""Quality of service, and the figures the kernel gets from requests and limits. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pybernetes.api.core_v1 import Pod
from pybernetes.machinery import quantity
from pybernetes.node.kubelet.restarts import AnyContainer, init_containers, is_sidecar

GUARANTEED, BURSTABLE, BEST_EFFORT = "Guaranteed", "Burstable", "BestEffort"

CPU_PERIOD = 100_000  #: microseconds
MIN_QUOTA = 1_000  #: microseconds: what the kernel accepts
MIN_SHARES, MAX_SHARES = 2, 262_144


def requests(container: AnyContainer) -> Mapping[str, str]:
    return (container.resources and container.resources.requests) or {}


def limits(container: AnyContainer) -> Mapping[str, str]:
    return (container.resources and container.resources.limits) or {}


def qos_class(pod: Pod) -> str:
    """Guaranteed when every container has equal requests and limits of CPU and memory; BestEffort when none has any."""
    any_set, all_equal = False, True
    for container in (*pod.spec.containers, *init_containers(pod)):
        wanted, bound = requests(container), limits(container)
        for name in ("cpu", "memory"):
            low, high = _nano(wanted.get(name)), _nano(bound.get(name))
            any_set = any_set or low > 0 or high > 0
            if high <= 0 or (low > 0 and low != high):
                all_equal = False
    return BEST_EFFORT if not any_set else GUARANTEED if all_equal else BURSTABLE


def _nano(text: str | None) -> int:
    return quantity.parse(text).nano if text is not None else 0


def cpu_shares(milli: int) -> int:
    """cgroup v1 cpu.shares of a CPU request in thousandths."""
    return min(max(milli * 1024 // 1000, MIN_SHARES), MAX_SHARES) if milli else MIN_SHARES


def cpu_weight(shares: int) -> int:
    """cgroup v2 cpu.weight (1 to 10,000) of v1 shares: the line that maps 2 to 1 and 262,144 to 10,000."""
    return 1 + (shares - 2) * 9999 // 262142


def cpu_quota(milli: int) -> int:
    """Microseconds of CPU in a period for a limit in thousandths; 0 for no limit."""
    return max(milli * CPU_PERIOD // 1000, MIN_QUOTA) if milli else 0


def oom_score_adj(pod: Pod, container: AnyContainer, node_memory: int) -> int:
    """-997 for guaranteed, 1000 for best effort, between them the less memory is requested the higher."""
    if (pod.spec.priority or 0) >= 2_000_001_000:  # system-node-critical
        return -997
    kind = pod.status.qos_class or qos_class(pod)
    if kind == GUARANTEED:
        return -997
    if kind == BEST_EFFORT:
        return 1000
    wanted = quantity.value(requests(container).get("memory", "0"))
    score = 1000 - (1000 * wanted) // max(node_memory, 1)
    if is_sidecar(container) and any(c is container for c in init_containers(pod)):
        lowest = min((quantity.value(requests(c).get("memory", "0")) for c in pod.spec.containers), default=0)
        score = min(score, 1000 - (1000 * lowest) // max(node_memory, 1))
    return min(max(score, 3), 999)


def pod_total(pod: Pod, name: str, *, limit: bool = False) -> quantity.Quantity:
    """What the whole pod asks for of a resource (or may use at most): containers and sidecars together, or the
    largest init container with the sidecars before it, whichever is more; plus overhead. Pod-level resources win."""
    own = pod.spec.resources
    table = (own.limits if limit else own.requests) if own else None
    if table and name in table:
        total = quantity.parse(table[name])
    else:
        total = _effective(pod, name, limit)
    if pod.spec.overhead and name in pod.spec.overhead and (total or not limit):
        total = total + quantity.parse(pod.spec.overhead[name])
    return total


def _effective(pod: Pod, name: str, limit: bool) -> quantity.Quantity:
    get = limits if limit else requests
    total, beside, highest = quantity.ZERO, quantity.ZERO, quantity.ZERO
    for init in init_containers(pod):
        amount = quantity.parse(get(init).get(name, "0"))
        if is_sidecar(init):
            beside = beside + amount
            highest = max(highest, beside)
        else:
            highest = max(highest, beside + amount)
    for container in pod.spec.containers:
        total = total + quantity.parse(get(container).get(name, "0"))
    return max(total + beside, highest)


def resource_names(pods: Iterable[Pod]) -> set[str]:
    """Every resource that some container of these pods requests."""
    return {name for pod in pods for c in (*pod.spec.containers, *init_containers(pod)) for name in requests(c)}
