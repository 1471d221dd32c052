"""HorizontalPodAutoscaler: stored as autoscaling/v2, served as v1 too.

What v1 cannot say travels in annotations, as upstream writes them, so that a v1 client's update loses nothing.
"""

from __future__ import annotations

from typing import Any

import msgspec

from pybernetes.api import autoscaling_v1 as v1
from pybernetes.api import autoscaling_v2 as v2
from pybernetes.machinery import codec

_METRICS = "autoscaling.alpha.kubernetes.io/metrics"
_CURRENT = "autoscaling.alpha.kubernetes.io/current-metrics"
_CONDITIONS = "autoscaling.alpha.kubernetes.io/conditions"
_BEHAVIOR = "autoscaling.alpha.kubernetes.io/behavior"


def served(stored: Any) -> Any:
    """v2 to v1."""
    hpa: v2.HorizontalPodAutoscaler = codec.copy(stored)
    notes: dict[str, str] = dict(hpa.metadata.annotations or {})
    target: int | None = None
    others = []
    for metric in hpa.spec.metrics or ():
        if target is None and _is_cpu(metric):
            assert metric.resource is not None
            target = metric.resource.target.average_utilization
        else:
            others.append(metric)
    current: int | None = None
    for status in hpa.status.current_metrics or ():
        if status.type == "Resource" and status.resource is not None and status.resource.name == "cpu":
            current = status.resource.current.average_utilization
    _note(notes, _METRICS, others)
    _note(notes, _CURRENT, hpa.status.current_metrics)
    _note(notes, _CONDITIONS, hpa.status.conditions)
    _note(notes, _BEHAVIOR, hpa.spec.behavior)
    hpa.metadata.annotations = notes or None
    ref, status_ = hpa.spec.scale_target_ref, hpa.status
    return v1.HorizontalPodAutoscaler(
        metadata=hpa.metadata,
        spec=v1.HorizontalPodAutoscalerSpec(
            scale_target_ref=v1.CrossVersionObjectReference(api_version=ref.api_version, kind=ref.kind, name=ref.name),
            min_replicas=hpa.spec.min_replicas,
            max_replicas=hpa.spec.max_replicas,
            target_cpu_utilization_percentage=target,
        ),
        status=v1.HorizontalPodAutoscalerStatus(
            observed_generation=status_.observed_generation,
            last_scale_time=status_.last_scale_time,
            current_replicas=status_.current_replicas or 0,
            desired_replicas=status_.desired_replicas,
            current_cpu_utilization_percentage=current,
        ),
    )


def stored(served: Any) -> Any:
    """v1 to v2."""
    hpa: v1.HorizontalPodAutoscaler = codec.copy(served)
    notes: dict[str, str] = dict(hpa.metadata.annotations or {})
    metrics = _read(notes, _METRICS, list[v2.MetricSpec]) or []
    target = hpa.spec.target_cpu_utilization_percentage
    if target is not None:
        cpu = v2.MetricSpec(
            type="Resource",
            resource=v2.ResourceMetricSource(
                name="cpu", target=v2.MetricTarget(type="Utilization", average_utilization=target)
            ),
        )
        metrics = [cpu, *metrics]
    ref, status = hpa.spec.scale_target_ref, hpa.status
    made = v2.HorizontalPodAutoscaler(
        metadata=hpa.metadata,
        spec=v2.HorizontalPodAutoscalerSpec(
            scale_target_ref=v2.CrossVersionObjectReference(api_version=ref.api_version, kind=ref.kind, name=ref.name),
            min_replicas=hpa.spec.min_replicas,
            max_replicas=hpa.spec.max_replicas,
            metrics=metrics or None,
            behavior=_read(notes, _BEHAVIOR, v2.HorizontalPodAutoscalerBehavior),
        ),
        status=v2.HorizontalPodAutoscalerStatus(
            observed_generation=status.observed_generation,
            last_scale_time=status.last_scale_time,
            current_replicas=status.current_replicas,
            desired_replicas=status.desired_replicas,
            current_metrics=_read(notes, _CURRENT, list[v2.MetricStatus]),
            conditions=_read(notes, _CONDITIONS, list[v2.HorizontalPodAutoscalerCondition]),
        ),
    )
    made.metadata.annotations = notes or None
    return made


def _is_cpu(metric: v2.MetricSpec) -> bool:
    source = metric.resource
    return (
        metric.type == "Resource"
        and source is not None
        and source.name == "cpu"
        and source.target.average_utilization is not None
    )


def _note(notes: dict[str, str], key: str, value: Any) -> None:
    if value:
        notes[key] = msgspec.json.encode(value).decode()


def _read(notes: dict[str, str], key: str, type_: Any) -> Any:
    text = notes.pop(key, None)
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=type_)
    except msgspec.MsgspecError:
        return None
