"""Defaults of PriorityClasses."""

from __future__ import annotations

from pybernetes.api.scheduling_v1 import PriorityClass


def default_priority_class(priority_class: PriorityClass) -> None:
    if priority_class.preemption_policy is None:
        priority_class.preemption_policy = "PreemptLowerPriority"
    if priority_class.value is None:
        priority_class.value = 0
