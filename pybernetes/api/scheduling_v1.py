"""Types of scheduling/v1: scheduling_v1."""

from __future__ import annotations

from pybernetes.machinery.meta import Object, ObjectMeta
from pybernetes.machinery.types import Int32, constant, field


class PriorityClass(Object):
    api_version: str = field(default_factory=constant("scheduling.k8s.io/v1"))
    kind: str = field(default_factory=constant("PriorityClass"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    value: Int32 | None = None
    global_default: bool | None = None
    description: str | None = None
    preemption_policy: str | None = None
