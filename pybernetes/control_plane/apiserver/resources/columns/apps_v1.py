"""How workloads print."""

from __future__ import annotations

from typing import Any

from pybernetes.control_plane.apiserver.resource import Table
from pybernetes.control_plane.apiserver.resources.columns.cells import NONE, age, columns, containers, pairs, selector


def _deployment(obj: Any) -> list[Any]:
    spec, status = obj.spec, obj.status
    return [
        obj.metadata.name,
        f"{status.ready_replicas or 0}/{spec.replicas or 0}",
        status.updated_replicas or 0,
        status.available_replicas or 0,
        age(obj),
        *containers(spec.template),
        selector(spec.selector),
    ]


def _replica_set(obj: Any) -> list[Any]:
    spec, status = obj.spec, obj.status
    return [
        obj.metadata.name,
        spec.replicas or 0,
        status.replicas or 0,
        status.ready_replicas or 0,
        age(obj),
        *containers(spec.template),
        selector(spec.selector),
    ]


def _daemon_set(obj: Any) -> list[Any]:
    spec, status = obj.spec, obj.status
    return [
        obj.metadata.name,
        status.desired_number_scheduled or 0,
        status.current_number_scheduled or 0,
        status.number_ready or 0,
        status.updated_number_scheduled or 0,
        status.number_available or 0,
        pairs(spec.template.spec.node_selector if spec.template.spec else None),
        age(obj),
        *containers(spec.template),
        selector(spec.selector),
    ]


def _stateful_set(obj: Any) -> list[Any]:
    ready = f"{obj.status.ready_replicas or 0}/{obj.spec.replicas or 0}"
    return [obj.metadata.name, ready, age(obj), *containers(obj.spec.template)]


def _revision(obj: Any) -> list[Any]:
    owner = next((o for o in obj.metadata.owner_references or () if o.controller), None)
    controller = NONE
    if owner is not None:
        group = owner.api_version.rpartition("/")[0]
        controller = f"{owner.kind.lower()}{'.' + group if group else ''}/{owner.name}"
    return [obj.metadata.name, controller, obj.revision, age(obj)]


TABLES: dict[str, Table] = {
    "Deployment": Table(columns("Name|Ready|#Up-to-date|#Available|Age|*Containers|*Images|*Selector"), _deployment),
    "ReplicaSet": Table(columns("Name|#Desired|#Current|#Ready|Age|*Containers|*Images|*Selector"), _replica_set),
    "DaemonSet": Table(
        columns("Name|#Desired|#Current|#Ready|#Up-to-date|#Available|Node Selector|Age|*Containers|*Images|*Selector"),
        _daemon_set,
    ),
    "StatefulSet": Table(columns("Name|Ready|Age|*Containers|*Images"), _stateful_set),
    "ControllerRevision": Table(columns("Name|Controller|#Revision|Age"), _revision),
}
