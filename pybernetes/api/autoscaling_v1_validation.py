"""Validation of autoscaling/v1: HorizontalPodAutoscalers in their old form."""

from __future__ import annotations

from pybernetes.api import meta_validation as meta
from pybernetes.api.autoscaling_v1 import HorizontalPodAutoscaler
from pybernetes.machinery import field
from pybernetes.machinery.field import FieldError, Path

SPEC = Path("spec")


def validate_horizontal_pod_autoscaler(autoscaler: HorizontalPodAutoscaler) -> list[FieldError]:
    errors = meta.object_meta(autoscaler.metadata, True)
    spec = autoscaler.spec
    if spec.min_replicas is not None and spec.min_replicas < 1:
        text = "must be greater than or equal to 1"
        errors.append(field.invalid(SPEC.child("minReplicas"), spec.min_replicas, text))
    if spec.max_replicas < 1:
        errors.append(field.invalid(SPEC.child("maxReplicas"), spec.max_replicas, "must be greater than 0"))
    elif spec.min_replicas is not None and spec.max_replicas < spec.min_replicas:
        text = "must be greater than or equal to `minReplicas`"
        errors.append(field.invalid(SPEC.child("maxReplicas"), spec.max_replicas, text))
    for name, value in (("kind", spec.scale_target_ref.kind), ("name", spec.scale_target_ref.name)):
        if not value:
            errors.append(field.required(SPEC.child("scaleTargetRef", name)))
    return errors
