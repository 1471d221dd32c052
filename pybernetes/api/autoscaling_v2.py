"""Types of autoscaling/v2: autoscaling_v2."""

from __future__ import annotations

from typing import Annotated

from pybernetes.machinery.meta import LabelSelector, Object, ObjectMeta
from pybernetes.machinery.types import (
    ATOMIC,
    BY_TYPE,
    Int32,
    Quantity,
    Struct,
    Time,
    constant,
    field,
    null,
    zero_int,
    zero_str,
)


class MetricTarget(Struct):
    type: str = field(default_factory=zero_str)
    value: Quantity | None = None
    average_value: Quantity | None = None
    average_utilization: Int32 | None = None


class ContainerResourceMetricSource(Struct):
    name: str = field(default_factory=zero_str)
    target: MetricTarget = field(default_factory=MetricTarget)
    container: str = field(default_factory=zero_str)


class MetricValueStatus(Struct):
    value: Quantity | None = None
    average_value: Quantity | None = None
    average_utilization: Int32 | None = None


class ContainerResourceMetricStatus(Struct):
    name: str = field(default_factory=zero_str)
    current: MetricValueStatus = field(default_factory=MetricValueStatus)
    container: str = field(default_factory=zero_str)


class CrossVersionObjectReference(Struct):
    api_version: str | None = None
    kind: str = field(default_factory=zero_str)
    name: str = field(default_factory=zero_str)


class MetricIdentifier(Struct):
    name: str = field(default_factory=zero_str)
    selector: LabelSelector | None = None


class ExternalMetricSource(Struct):
    metric: MetricIdentifier = field(default_factory=MetricIdentifier)
    target: MetricTarget = field(default_factory=MetricTarget)


class ExternalMetricStatus(Struct):
    metric: MetricIdentifier = field(default_factory=MetricIdentifier)
    current: MetricValueStatus = field(default_factory=MetricValueStatus)


class HPAScalingPolicy(Struct):
    type: str = field(default_factory=zero_str)
    value: Int32 = field(default_factory=zero_int)
    period_seconds: Int32 = field(default_factory=zero_int)


class HPAScalingRules(Struct):
    stabilization_window_seconds: Int32 | None = None
    select_policy: str | None = None
    policies: Annotated[list[HPAScalingPolicy], ATOMIC] | None = None
    tolerance: Quantity | None = None


class HorizontalPodAutoscalerBehavior(Struct):
    scale_up: HPAScalingRules | None = None
    scale_down: HPAScalingRules | None = None


class ObjectMetricSource(Struct):
    described_object: CrossVersionObjectReference = field(default_factory=CrossVersionObjectReference)
    target: MetricTarget = field(default_factory=MetricTarget)
    metric: MetricIdentifier = field(default_factory=MetricIdentifier)


class PodsMetricSource(Struct):
    metric: MetricIdentifier = field(default_factory=MetricIdentifier)
    target: MetricTarget = field(default_factory=MetricTarget)


class ResourceMetricSource(Struct):
    name: str = field(default_factory=zero_str)
    target: MetricTarget = field(default_factory=MetricTarget)


class MetricSpec(Struct):
    type: str = field(default_factory=zero_str)
    object: ObjectMetricSource | None = None
    pods: PodsMetricSource | None = None
    resource: ResourceMetricSource | None = None
    container_resource: ContainerResourceMetricSource | None = None
    external: ExternalMetricSource | None = None


class HorizontalPodAutoscalerSpec(Struct):
    scale_target_ref: CrossVersionObjectReference = field(default_factory=CrossVersionObjectReference)
    min_replicas: Int32 | None = None
    max_replicas: Int32 = field(default_factory=zero_int)
    metrics: Annotated[list[MetricSpec], ATOMIC] | None = None
    behavior: HorizontalPodAutoscalerBehavior | None = None


class HorizontalPodAutoscalerCondition(Struct):
    type: str = field(default_factory=zero_str)
    status: str = field(default_factory=zero_str)
    last_transition_time: Time | None = field(default_factory=null)
    reason: str | None = None
    message: str | None = None


class ObjectMetricStatus(Struct):
    metric: MetricIdentifier = field(default_factory=MetricIdentifier)
    current: MetricValueStatus = field(default_factory=MetricValueStatus)
    described_object: CrossVersionObjectReference = field(default_factory=CrossVersionObjectReference)


class PodsMetricStatus(Struct):
    metric: MetricIdentifier = field(default_factory=MetricIdentifier)
    current: MetricValueStatus = field(default_factory=MetricValueStatus)


class ResourceMetricStatus(Struct):
    name: str = field(default_factory=zero_str)
    current: MetricValueStatus = field(default_factory=MetricValueStatus)


class MetricStatus(Struct):
    type: str = field(default_factory=zero_str)
    object: ObjectMetricStatus | None = None
    pods: PodsMetricStatus | None = None
    resource: ResourceMetricStatus | None = None
    container_resource: ContainerResourceMetricStatus | None = None
    external: ExternalMetricStatus | None = None


class HorizontalPodAutoscalerStatus(Struct):
    observed_generation: int | None = None
    last_scale_time: Time | None = None
    current_replicas: Int32 | None = None
    desired_replicas: Int32 = field(default_factory=zero_int)
    current_metrics: Annotated[list[MetricStatus], ATOMIC] | None = field(default_factory=null)
    conditions: Annotated[list[HorizontalPodAutoscalerCondition], BY_TYPE] | None = None


class HorizontalPodAutoscaler(Object):
    api_version: str = field(default_factory=constant("autoscaling/v2"))
    kind: str = field(default_factory=constant("HorizontalPodAutoscaler"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    spec: HorizontalPodAutoscalerSpec = field(default_factory=HorizontalPodAutoscalerSpec)
    status: HorizontalPodAutoscalerStatus = field(default_factory=HorizontalPodAutoscalerStatus)
