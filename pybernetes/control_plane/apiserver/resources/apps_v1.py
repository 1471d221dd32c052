"""apps/v1."""

from __future__ import annotations

from pybernetes.control_plane.apiserver.call import Call
from pybernetes.control_plane.apiserver.objects import AnyObject
from pybernetes.control_plane.apiserver.resource import Strategy


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


class ReplicaSetStrategy(WorkloadStrategy):
    fields = {"status.replicas": lambda rs: str(rs.status.replicas)}


STRATEGIES: dict[str, type[Strategy]] = {
    "Deployment": DeploymentStrategy,
    "DaemonSet": WorkloadStrategy,
    "StatefulSet": WorkloadStrategy,
    "ReplicaSet": ReplicaSetStrategy,
}
