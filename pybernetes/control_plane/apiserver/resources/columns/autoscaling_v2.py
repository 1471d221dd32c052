"""How a HorizontalPodAutoscaler prints: what each metric is and should be."""

from __future__ import annotations

from typing import Any

from pybernetes.control_plane.apiserver.resource import Table
from pybernetes.control_plane.apiserver.resources.columns.cells import NONE, UNKNOWN, UNSET, age, columns

_SOURCES = {
    "External": "external",
    "Pods": "pods",
    "Object": "object",
    "Resource": "resource",
    "ContainerResource": "container_resource",
}
_MAX_METRICS = 2


def _value(target: Any, current: Any) -> str:
    """`42%/80%` for a utilization, `1/2 (avg)` for an average, `1/2` for a value."""
    if target.average_utilization is not None:
        now = f"{current.average_utilization}%" if current and current.average_utilization is not None else UNKNOWN
        return f"{now}/{target.average_utilization}%"
    if target.average_value is not None:
        now = current.average_value if current and current.average_value is not None else UNKNOWN
        return f"{now}/{target.average_value} (avg)"
    now = current.value if current and current.value is not None else UNKNOWN
    return f"{now}/{target.value}"


def _targets(hpa: Any) -> str:
    specs = hpa.spec.metrics or []
    if not specs:
        return NONE
    current = hpa.status.current_metrics or []
    found = []
    for at, spec in enumerate(specs[:_MAX_METRICS]):
        name = _SOURCES.get(spec.type)
        source = getattr(spec, name) if name else None
        if source is None:
            found.append("<unknown type>")
            continue
        status = getattr(current[at], name, None) if at < len(current) and name else None
        shown = _value(source.target, status.current if status is not None else None)
        if spec.type == "Resource" or spec.type == "ContainerResource":
            shown = f"{source.name}: {shown}"
        found.append(shown)
    text = ", ".join(found)
    if len(specs) > _MAX_METRICS:
        text += f" + {len(specs) - _MAX_METRICS} more..."
    return text


def row(hpa: Any) -> list[Any]:
    ref = hpa.spec.scale_target_ref
    return [
        hpa.metadata.name,
        f"{ref.kind}/{ref.name}",
        _targets(hpa),
        UNSET if hpa.spec.min_replicas is None else str(hpa.spec.min_replicas),
        hpa.spec.max_replicas,
        hpa.status.current_replicas or 0,
        age(hpa),
    ]


TABLES: dict[str, Table] = {
    "HorizontalPodAutoscaler": Table(columns("Name|Reference|Targets|MinPods|#MaxPods|#Replicas|Age"), row)
}
