"""Admission at the node: the kubelet's last word on a pod that was assigned to it. Pure.

The scheduler has decided the same before, but pods also come with nodeName set by hand, and two schedulers may have
been too quick for each other. A refused pod fails at once, with upstream's reasons.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from pybernetes.api.core_v1 import Node, NodeSelectorTerm, Pod, Taint, Toleration
from pybernetes.api.core_v1.resource_validation import is_huge_page
from pybernetes.machinery import quantity
from pybernetes.node.kubelet import qos
from pybernetes.node.kubelet.config import Config
from pybernetes.node.kubelet.resize import PENDING
from pybernetes.node.kubelet.restarts import init_containers
from pybernetes.node.kubelet.security import forbidden_sysctl
from pybernetes.node.kubelet.state import Ending

CRITICAL = 2_000_000_000


def admit(pod: Pod, others: Iterable[Pod], node: Node, config: Config) -> Ending | None:
    """None when the pod may run here beside `others` (those that have not ended)."""
    others = list(others)
    if reason := forbidden_sysctl(pod, config.allowed_unsafe_sysctls):
        return Ending("SysctlForbidden", f"Pod was rejected: {reason}")
    if pod.spec.os is not None and pod.spec.os.name not in ("", "linux"):
        return Ending(
            "PodOSNotSupported",
            "Pod was rejected: Failed to admit pod as the OS field doesn't match node OS",
        )
    features = node.status.features
    groups = pod.spec.security_context.supplemental_groups_policy if pod.spec.security_context else None
    if groups == "Strict" and not (features and features.supplemental_groups_policy):
        return Ending(
            "SupplementalGroupsPolicyNotSupported",
            "Pod was rejected: SupplementalGroupsPolicy=Strict is not supported in this node",
        )
    if config.enforce_resources and (refusal := _resources(pod, others, node)):
        return refusal
    if not _node_matches(pod, node):
        return Ending(
            "NodeAffinity",
            "Pod was rejected: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
        )
    taint = untolerated(node.spec.taints or (), pod.spec.tolerations or (), ("NoExecute",))
    if taint is not None and not _is_static(pod):
        return Ending(
            "TaintToleration",
            "Pod was rejected: Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate",
        )
    if _port_taken(pod, others):
        return Ending(
            "NodePorts",
            "Pod was rejected: Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports",
        )
    return None


def _is_static(pod: Pod) -> bool:
    return (pod.metadata.annotations or {}).get("kubernetes.io/config.source", "api") != "api"


def _resources(pod: Pod, others: Sequence[Pod], node: Node) -> Ending | None:
    allocatable = node.status.allocatable or {}
    limit = quantity.value(allocatable["pods"]) if "pods" in allocatable else None
    if limit is not None and len(others) + 1 > limit:
        return Ending(
            "OutOfpods",
            f"Pod was rejected: Node didn't have enough resource: pods, requested: 1, used: {len(others)}, "
            f"capacity: {limit}",
        )
    for name in sorted(qos.resource_names([pod])):
        wanted = qos.pod_total(pod, name)
        if not wanted:
            continue
        if name not in allocatable and not is_huge_page(name):
            continue  # an extended resource that the node has not heard of is the scheduler's business
        available = quantity.parse(allocatable.get(name, "0"))
        used = sum((qos.pod_total(other, name) for other in others), quantity.ZERO)
        if wanted + used > available:
            figures = [q.milli if name == "cpu" else q.value for q in (wanted, used, available)]
            return Ending(
                f"OutOf{name}",
                f"Pod was rejected: Node didn't have enough resource: {name}, requested: {figures[0]}, "
                f"used: {figures[1]}, capacity: {figures[2]}",
            )
    return None


def resize_refusal(pod: Pod, others: Iterable[Pod], allocatable: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """The condition of a resize that the node has no room for: never (Infeasible), or not now (Deferred)."""
    others = list(others)
    for name in ("cpu", "memory"):
        if name not in allocatable:
            continue
        wanted, available = qos.pod_total(pod, name), quantity.parse(allocatable[name])
        shown = _figure(name)
        if wanted > available:
            text = f"Node didn't have enough capacity: {name}, requested: {shown(wanted)}, capacity: {shown(available)}"
            return {PENDING: ("Infeasible", text)}
        used = sum((qos.pod_total(other, name) for other in others), quantity.ZERO)
        if wanted + used > available:
            text = (
                f"Node didn't have enough resource: {name}, requested: {shown(wanted)}, used: {shown(used)}, "
                f"capacity: {shown(available)}"
            )
            return {PENDING: ("Deferred", text)}
    return {}


def _figure(name: str) -> Callable[[quantity.Quantity], int]:
    """How messages show a resource: CPU in thousandths, others whole."""
    return (lambda amount: amount.milli) if name == "cpu" else (lambda amount: amount.value)


def _node_matches(pod: Pod, node: Node) -> bool:
    labels = node.metadata.labels or {}
    if any(labels.get(key) != value for key, value in (pod.spec.node_selector or {}).items()):
        return False
    affinity = pod.spec.affinity.node_affinity if pod.spec.affinity else None
    required = affinity.required_during_scheduling_ignored_during_execution if affinity else None
    if required is None:
        return True
    return any(_term_matches(term, labels, node.metadata.name) for term in required.node_selector_terms)


def _term_matches(term: NodeSelectorTerm, labels: Mapping[str, str], name: str) -> bool:
    if not term.match_expressions and not term.match_fields:
        return False
    for requirement in term.match_expressions or ():
        if not _holds(requirement.operator, labels.get(requirement.key), requirement.values or []):
            return False
    for requirement in term.match_fields or ():
        value = name if requirement.key == "metadata.name" else None
        if not _holds(requirement.operator, value, requirement.values or []):
            return False
    return True


def _holds(operator: str, value: str | None, values: Sequence[str]) -> bool:
    match operator:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt":
            try:
                have, want = int(value or ""), int(values[0])
            except (ValueError, IndexError):
                return False
            return have > want if operator == "Gt" else have < want
    return False


def untolerated(taints: Iterable[Taint], tolerations: Sequence[Toleration], effects: Sequence[str]) -> Taint | None:
    """The first taint with one of these effects that no toleration covers."""
    for taint in taints:
        if taint.effect in effects and not any(tolerates(toleration, taint) for toleration in tolerations):
            return taint
    return None


def tolerates(toleration: Toleration, taint: Taint) -> bool:
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    operator = toleration.operator or "Equal"
    if operator == "Exists":
        return True
    if operator in ("Gt", "Lt"):
        return bool(toleration.key) and _holds(operator, taint.value, [toleration.value or ""])
    return bool(toleration.key) and (toleration.value or "") == (taint.value or "")


def _ports(pod: Pod) -> set[tuple[str, str, int]]:
    return {
        (port.host_ip or "0.0.0.0", port.protocol or "TCP", port.host_port)
        for container in (*pod.spec.containers, *init_containers(pod))
        for port in container.ports or ()
        if port.host_port
    }


def _port_taken(pod: Pod, others: Iterable[Pod]) -> bool:
    if not (wanted := _ports(pod)):
        return False
    taken = {port for other in others for port in _ports(other)}
    return any(
        protocol == p and number == n and ("0.0.0.0" in (ip, i) or ip == i)
        for ip, protocol, number in wanted
        for i, p, n in taken
    )
