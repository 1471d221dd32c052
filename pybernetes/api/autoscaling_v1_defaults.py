"""Defaults of autoscaling/v1."""

from __future__ import annotations

from pybernetes.api.autoscaling_v1 import HorizontalPodAutoscaler


def default_horizontal_pod_autoscaler(autoscaler: HorizontalPodAutoscaler) -> None:
    if autoscaler.spec.min_replicas is None:
        autoscaler.spec.min_replicas = 1
