"""apps/v1."""

from __future__ import annotations

from pybernetes.control_plane.apiserver.resource import Strategy


class WorkloadStrategy(Strategy):
    """Deployment, DaemonSet, StatefulSet."""

    has_status = True
    counts_generation = True


class ReplicaSetStrategy(WorkloadStrategy):
    fields = {"status.replicas": lambda rs: str(rs.status.replicas)}


STRATEGIES: dict[str, type[Strategy]] = {
    "Deployment": WorkloadStrategy,
    "DaemonSet": WorkloadStrategy,
    "StatefulSet": WorkloadStrategy,
    "ReplicaSet": ReplicaSetStrategy,
}
