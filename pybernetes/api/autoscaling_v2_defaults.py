"""Defaults of autoscaling/v2: one CPU metric at 80 %, and the rules that scaling follows when `behavior` is given."""

from __future__ import annotations

from pybernetes.api.autoscaling_v2 import (
    HorizontalPodAutoscaler,
    HPAScalingPolicy,
    HPAScalingRules,
    MetricSpec,
    MetricTarget,
    ResourceMetricSource,
)


def default_horizontal_pod_autoscaler(autoscaler: HorizontalPodAutoscaler) -> None:
    spec = autoscaler.spec
    if spec.min_replicas is None:
        spec.min_replicas = 1
    if not spec.metrics:
        target = MetricTarget(type="Utilization", average_utilization=80)
        spec.metrics = [MetricSpec(type="Resource", resource=ResourceMetricSource(name="cpu", target=target))]
    if spec.behavior is not None:
        spec.behavior.scale_up = _rules(
            spec.behavior.scale_up,
            HPAScalingRules(
                stabilization_window_seconds=0,
                select_policy="Max",
                policies=[
                    HPAScalingPolicy(type="Pods", value=4, period_seconds=15),
                    HPAScalingPolicy(type="Percent", value=100, period_seconds=15),
                ],
            ),
        )
        spec.behavior.scale_down = _rules(
            spec.behavior.scale_down,
            HPAScalingRules(
                select_policy="Max", policies=[HPAScalingPolicy(type="Percent", value=100, period_seconds=15)]
            ),
        )


def _rules(given: HPAScalingRules | None, default: HPAScalingRules) -> HPAScalingRules:
    if given is None:
        return default
    return HPAScalingRules(
        select_policy=given.select_policy or default.select_policy,
        stabilization_window_seconds=(
            default.stabilization_window_seconds
            if given.stabilization_window_seconds is None
            else given.stabilization_window_seconds
        ),
        policies=default.policies if given.policies is None else given.policies,
        tolerance=given.tolerance,
    )
