"""Pods."""

from __future__ import annotations

from typing import Any, cast

from pybernetes.aio import clock
from pybernetes.api.core_v1 import Pod, PodCondition, PodIP, PodStatus, label_keys
from pybernetes.api.core_v1.pod_update_validation import qos_class
from pybernetes.control_plane.apiserver.call import Call
from pybernetes.control_plane.apiserver.objects import AnyObject
from pybernetes.control_plane.apiserver.resource import Strategy
from pybernetes.machinery.meta import DeleteOptions


class PodStrategy(Strategy):
    has_status = True
    counts_generation = True
    returns_deleted = True
    indexed_field = "spec.nodeName"
    fields = {
        "spec.nodeName": lambda p: p.spec.node_name or "",
        "spec.restartPolicy": lambda p: p.spec.restart_policy or "",
        "spec.schedulerName": lambda p: p.spec.scheduler_name or "",
        "spec.serviceAccountName": lambda p: p.spec.service_account_name or "",
        "spec.hostNetwork": lambda p: "true" if p.spec.host_network else "false",
        "status.phase": lambda p: p.status.phase or "",
        "status.podIP": lambda p: p.status.pod_ip or (p.status.pod_ips[0].ip if p.status.pod_ips else ""),
        "status.podIPs": lambda p: p.status.pod_ip or "",
        "status.nominatedNodeName": lambda p: p.status.nominated_node_name or "",
    }

    def prepare_create(self, obj: AnyObject, call: Call) -> None:
        pod = cast(Pod, obj)
        pod.metadata.generation = 1
        label_keys.merge(pod)
        pod.status = PodStatus(phase="Pending", qos_class=qos_class(pod))
        if pod.spec.scheduling_gates:
            pod.status.conditions = [
                PodCondition(
                    type="PodScheduled",
                    status="False",
                    reason="SchedulingGated",
                    message="Scheduling is blocked due to non-empty scheduling gates",
                )
            ]

    def prepare_status(self, new: AnyObject, old: AnyObject, call: Call) -> None:
        pod, before = cast(Pod, new), cast(Pod, old)
        super().prepare_status(pod, before, call)
        pod.metadata.owner_references = before.metadata.owner_references
        if not pod.status.qos_class:
            pod.status.qos_class = before.status.qos_class
        keep_generations(pod.status, before.status)
        settle_ips(pod.status, before.status)

    def graceful(self, obj: AnyObject, options: DeleteOptions) -> bool:
        pod = cast(Pod, obj)
        period = options.grace_period_seconds
        if period is None:
            period = pod.spec.termination_grace_period_seconds or 0
        if not pod.spec.node_name or pod.status.phase in ("Failed", "Succeeded"):
            period = 0
        options.grace_period_seconds = 1 if period < 0 else period
        return True


def keep_generations(status: PodStatus, before: PodStatus) -> None:
    """Keep what was observed already, for clients that do not know the field."""
    status.observed_generation = status.observed_generation or before.observed_generation
    known = {condition.type: condition.observed_generation for condition in before.conditions or ()}
    for condition in status.conditions or ():
        condition.observed_generation = condition.observed_generation or known.get(condition.type)


def settle_ips(status: PodStatus, before: PodStatus) -> None:
    """Keep podIP and podIPs the same thing, for clients that know only one of them."""
    first = status.pod_ips[0].ip if status.pod_ips else None
    if status.pod_ip == first:
        return
    if not status.pod_ip:
        cleared = bool(before.pod_ip) and first == before.pod_ip
        if cleared:
            status.pod_ips = None
        else:
            status.pod_ip = first
    elif first is None or status.pod_ip != before.pod_ip:
        status.pod_ips = [PodIP(ip=status.pod_ip)]
    else:
        status.pod_ip = first


def bind(pod: Pod, node: str, labels: dict[str, str] | None, annotations: dict[str, str] | None) -> None:
    """Assign `pod` (a copy) to a node, as a Binding asks."""
    pod.spec.node_name = node
    pod.status.nominated_node_name = None  # what was expected has come, here or elsewhere
    if annotations:
        pod.metadata.annotations = {**(pod.metadata.annotations or {}), **annotations}
    if labels:
        pod.metadata.labels = {**(pod.metadata.labels or {}), **labels}
    set_condition(pod, "PodScheduled", "True")


def set_condition(pod: Pod, type_: str, status: str, reason: str | None = None, message: str | None = None) -> None:
    """Set one condition of `pod` (a copy)."""
    conditions: list[Any] = [c for c in pod.status.conditions or () if c.type != type_]
    previous = next((c for c in pod.status.conditions or () if c.type == type_), None)
    same = previous is not None and previous.status == status
    conditions.append(
        PodCondition(
            type=type_,
            status=status,
            reason=reason,
            message=message,
            observed_generation=pod.metadata.generation,
            last_transition_time=previous.last_transition_time if same and previous else clock.rfc3339(),
        )
    )
    pod.status.conditions = conditions


STRATEGIES = {"Pod": PodStrategy}
