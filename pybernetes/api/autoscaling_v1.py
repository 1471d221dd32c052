"""Types of autoscaling/v1: autoscaling_v1."""

from __future__ import annotations

from pybernetes.machinery.meta import Object, ObjectMeta
from pybernetes.machinery.types import Counting, Int32, Struct, Time, constant, field, zero_int, zero_str


class CrossVersionObjectReference(Struct):
    api_version: str | None = None
    kind: str = field(default_factory=zero_str)
    name: str = field(default_factory=zero_str)


class HorizontalPodAutoscalerSpec(Struct):
    scale_target_ref: CrossVersionObjectReference = field(default_factory=CrossVersionObjectReference)
    min_replicas: Int32 | None = None
    max_replicas: Int32 = field(default_factory=zero_int)
    target_cpu_utilization_percentage: Int32 | None = field(name="targetCPUUtilizationPercentage", default=None)


class HorizontalPodAutoscalerStatus(Struct):
    observed_generation: int | None = None
    last_scale_time: Time | None = None
    current_replicas: Int32 = field(default_factory=zero_int)
    desired_replicas: Int32 = field(default_factory=zero_int)
    current_cpu_utilization_percentage: Int32 | None = field(name="currentCPUUtilizationPercentage", default=None)


class HorizontalPodAutoscaler(Object):
    api_version: str = field(default_factory=constant("autoscaling/v1"))
    kind: str = field(default_factory=constant("HorizontalPodAutoscaler"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    spec: HorizontalPodAutoscalerSpec = field(default_factory=HorizontalPodAutoscalerSpec)
    status: HorizontalPodAutoscalerStatus = field(default_factory=HorizontalPodAutoscalerStatus)


class ScaleSpec(Counting):
    counts = ("replicas",)

    replicas: Int32 | None = None


class ScaleStatus(Struct):
    replicas: Int32 = field(default_factory=zero_int)
    selector: str | None = None


class Scale(Object):
    api_version: str = field(default_factory=constant("autoscaling/v1"))
    kind: str = field(default_factory=constant("Scale"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    spec: ScaleSpec = field(default_factory=ScaleSpec)
    status: ScaleStatus = field(default_factory=ScaleStatus)
