"""How autoscaling/v1 prints: as the version it is stored in."""

from __future__ import annotations

from typing import Any

from pybernetes.control_plane.apiserver.resource import Table
from pybernetes.control_plane.apiserver.resources import autoscaling
from pybernetes.control_plane.apiserver.resources.columns import autoscaling_v2
from pybernetes.control_plane.apiserver.resources.columns.cells import age, columns


def _row(hpa: Any) -> list[Any]:
    return autoscaling_v2.row(autoscaling.stored(hpa))


def _scale(scale: Any) -> list[Any]:
    return [scale.metadata.name, scale.spec.replicas or 0, scale.status.replicas or 0, age(scale)]


TABLES: dict[str, Table] = {
    "HorizontalPodAutoscaler": Table(autoscaling_v2.TABLES["HorizontalPodAutoscaler"].columns, _row),
    "Scale": Table(columns("Name|#Desired|#Available|Age"), _scale),
}
