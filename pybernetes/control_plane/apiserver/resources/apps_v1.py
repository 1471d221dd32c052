"""apps/v1."""

from __future__ import annotations

from typing import cast

from pybernetes.api.apps_v1 import DaemonSet
from pybernetes.control_plane.apiserver.call import Call
from pybernetes.control_plane.apiserver.objects import AnyObject
from pybernetes.control_plane.apiserver.resource import Strategy

_TEMPLATES = "deprecated.daemonset.template.generation"


class WorkloadStrategy(Strategy):
    """Deployment, DaemonSet, StatefulSet."""

    has_status = True
    counts_generation = True


class DeploymentStrategy(WorkloadStrategy):
    """Its annotations are copied to its ReplicaSets, so a change of them is work for the controller as well."""

    def changed(self, new: AnyObject, old: AnyObject) -> bool:
        return super().changed(new, old) or (new.metadata.annotations or {}) != (old.metadata.annotations or {})

    def prepare_status(self, new: AnyObject, old: AnyObject, call: Call) -> None:
        super().prepare_status(new, old, call)
        new.metadata.labels = old.metadata.labels


class DaemonSetStrategy(WorkloadStrategy):
    """Counts its templates in an annotation: old, but its Pods bear the number, and people read it."""

    def prepare_create(self, obj: AnyObject, call: Call) -> None:
        super().prepare_create(obj, call)
        _count_template(obj, _templates(obj))

    def prepare_update(self, new: AnyObject, old: AnyObject, call: Call) -> None:
        super().prepare_update(new, old, call)
        changed = cast(DaemonSet, new).spec.template != cast(DaemonSet, old).spec.template
        _count_template(new, _templates(old) + changed)

    def prepare_status(self, new: AnyObject, old: AnyObject, call: Call) -> None:
        super().prepare_status(new, old, call)
        _count_template(new, _templates(old))


def _templates(obj: AnyObject) -> int:
    text = (obj.metadata.annotations or {}).get(_TEMPLATES, "")
    return max(1, int(text)) if text.isascii() and text.isdigit() else 1


def _count_template(obj: AnyObject, number: int) -> None:
    obj.metadata.annotations = {**(obj.metadata.annotations or {}), _TEMPLATES: str(number)}


class ReplicaSetStrategy(WorkloadStrategy):
    fields = {"status.replicas": lambda rs: str(rs.status.replicas)}


STRATEGIES: dict[str, type[Strategy]] = {
    "Deployment": DeploymentStrategy,
    "DaemonSet": DaemonSetStrategy,
    "StatefulSet": WorkloadStrategy,
    "ReplicaSet": ReplicaSetStrategy,
}
