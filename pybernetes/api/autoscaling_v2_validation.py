"""Validation of HorizontalPodAutoscalers."""

from __future__ import annotations

from pybernetes.api import meta_validation as meta
from pybernetes.api.autoscaling_v2 import (
    CrossVersionObjectReference,
    HorizontalPodAutoscaler,
    HorizontalPodAutoscalerSpec,
    HPAScalingRules,
    MetricIdentifier,
    MetricSpec,
    MetricTarget,
)
from pybernetes.machinery import field, names, quantity
from pybernetes.machinery.field import FieldError, Path

SPEC = Path("spec")
SOURCES = {
    "ContainerResource": ("containerResource", "container_resource"),
    "External": ("external", "external"),
    "Object": ("object", "object"),
    "Pods": ("pods", "pods"),
    "Resource": ("resource", "resource"),
}


def validate_horizontal_pod_autoscaler(autoscaler: HorizontalPodAutoscaler) -> list[FieldError]:
    errors = meta.object_meta(autoscaler.metadata, True)
    _spec(autoscaler.spec, errors)
    return errors


def _spec(spec: HorizontalPodAutoscalerSpec, errors: list[FieldError]) -> None:
    if spec.min_replicas is not None and spec.min_replicas < 1:
        text = "must be greater than or equal to 1"
        errors.append(field.invalid(SPEC.child("minReplicas"), spec.min_replicas, text))
    if spec.max_replicas < 1:
        errors.append(field.invalid(SPEC.child("maxReplicas"), spec.max_replicas, "must be greater than 0"))
    if spec.min_replicas is not None and spec.max_replicas < spec.min_replicas:
        text = "must be greater than or equal to `minReplicas`"
        errors.append(field.invalid(SPEC.child("maxReplicas"), spec.max_replicas, text))
    reference(spec.scale_target_ref, SPEC.child("scaleTargetRef"), errors)
    for i, metric in enumerate(spec.metrics or ()):
        _metric(metric, SPEC.child("metrics").index(i), errors)
    if spec.behavior is not None:
        for name, rules in (("scaleUp", spec.behavior.scale_up), ("scaleDown", spec.behavior.scale_down)):
            if rules is not None:
                _rules(rules, SPEC.child("behavior", name), errors)


def reference(target: CrossVersionObjectReference, path: Path, errors: list[FieldError]) -> None:
    for name, value in (("kind", target.kind), ("name", target.name)):
        if not value:
            errors.append(field.required(path.child(name)))
        else:
            for text in names.path_segment(value):
                errors.append(field.invalid(path.child(name), value, text))


def _rules(rules: HPAScalingRules, path: Path, errors: list[FieldError]) -> None:
    window = rules.stabilization_window_seconds
    at = path.child("stabilizationWindowSeconds")
    meta.non_negative(window, at, errors)
    if window is not None and window > 3600:
        errors.append(field.invalid(at, window, "must be less than or equal to 3600"))
    if rules.select_policy is not None and rules.select_policy not in ("Disabled", "Max", "Min"):
        supported = ("Disabled", "Max", "Min")
        errors.append(field.not_supported(path.child("selectPolicy"), rules.select_policy, supported))
    if rules.policies is not None and not rules.policies:
        errors.append(field.required(path.child("policies"), "must specify at least one Policy"))
    for i, policy in enumerate(rules.policies or ()):
        where = path.child("policies").index(i)
        if policy.type not in ("Percent", "Pods"):
            errors.append(field.not_supported(where.child("type"), policy.type, ("Percent", "Pods")))
        meta.positive(policy.value, where.child("value"), errors)
        meta.positive(policy.period_seconds, where.child("periodSeconds"), errors)
        if policy.period_seconds > 1800:
            text = "must be less than or equal to 1800"
            errors.append(field.invalid(where.child("periodSeconds"), policy.period_seconds, text))


def _metric(metric: MetricSpec, path: Path, errors: list[FieldError]) -> None:
    if not metric.type:
        errors.append(field.required(path.child("type"), "must specify a metric source type"))
    elif metric.type not in SOURCES:
        errors.append(field.not_supported(path.child("type"), metric.type, sorted(SOURCES)))
    given = [wire for wire, attribute in SOURCES.values() if getattr(metric, attribute) is not None]
    for wire in given[1:]:
        text = "must populate the given metric source only"
        errors.append(field.forbidden(path.child(wire), text))
    wanted = SOURCES.get(metric.type)
    if wanted is not None and wanted[0] not in given:
        text = "must populate information for the given metric source"
        errors.append(field.required(path.child(wanted[0]), text))
    if metric.object is not None:
        at = path.child("object")
        reference(metric.object.described_object, at.child("describedObject"), errors)
        _identifier(metric.object.metric, at.child("metric"), errors)
        _target(metric.object.target, at.child("target"), errors)
        if metric.object.target.value is None and metric.object.target.average_value is None:
            text = "must set either a target value or averageValue"
            errors.append(field.required(at.child("target", "averageValue"), text))
    if metric.pods is not None:
        _identifier(metric.pods.metric, path.child("pods", "metric"), errors)
        _target(metric.pods.target, path.child("pods", "target"), errors)
        if metric.pods.target.average_value is None:
            errors.append(
                field.required(
                    path.child("pods", "target", "averageValue"), "must specify a positive target averageValue"
                )
            )
    if metric.external is not None:
        _identifier(metric.external.metric, path.child("external", "metric"), errors)
        _target(metric.external.target, path.child("external", "target"), errors)
    for name, source in (("resource", metric.resource), ("containerResource", metric.container_resource)):
        if source is None:
            continue
        at = path.child(name)
        if not source.name:
            errors.append(field.required(at.child("name"), "must specify a resource name"))
        _target(source.target, at.child("target"), errors)
        if source.target.average_utilization is None and source.target.average_value is None:
            text = "must set either a target raw value or a target utilization"
            errors.append(field.required(at.child("target", "averageUtilization"), text))
    if metric.container_resource is not None and not metric.container_resource.container:
        errors.append(field.required(path.child("containerResource", "container"), "must specify a container"))


def _identifier(metric: MetricIdentifier, path: Path, errors: list[FieldError]) -> None:
    if not metric.name:
        errors.append(field.required(path.child("name"), "must specify a metric name"))
    else:
        for text in names.path_segment(metric.name):
            errors.append(field.invalid(path.child("name"), metric.name, text))
    meta.label_selector(metric.selector, path.child("selector"), errors)


def _target(target: MetricTarget, path: Path, errors: list[FieldError]) -> None:
    if not target.type:
        errors.append(field.required(path.child("type"), "must specify a metric target type"))
    elif target.type not in ("AverageValue", "Utilization", "Value"):
        errors.append(
            field.invalid(path.child("type"), target.type, "must be either Utilization, Value, or AverageValue")
        )
    if target.average_utilization is not None and target.average_utilization < 1:
        text = "must be greater than 0"
        errors.append(field.invalid(path.child("averageUtilization"), target.average_utilization, text))
    for name, value in (("value", target.value), ("averageValue", target.average_value)):
        if value is not None:
            try:
                if quantity.parse(value).nano <= 0:
                    errors.append(field.invalid(path.child(name), value, "must be positive"))
            except ValueError as error:
                errors.append(field.invalid(path.child(name), value, str(error)))


def validate_horizontal_pod_autoscaler_update(
    new: HorizontalPodAutoscaler, old: HorizontalPodAutoscaler
) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata)
    if new.spec != old.spec:
        _spec(new.spec, errors)
    return errors
