"""The ReplicationController controller: `replicas` for the older kind with a plain map as its selector."""

from __future__ import annotations

from pybernetes.api.core_v1 import PodTemplateSpec, ReplicationController, ReplicationControllerCondition
from pybernetes.client.informer import Matcher
from pybernetes.control_plane.controllers.replicas import ReplicaController
from pybernetes.machinery import labels


class ReplicationManager(ReplicaController[ReplicationController]):
    """Keeps the replicas of each ReplicationController."""

    name = "replication-controller"
    kind = ReplicationController
    condition_type = ReplicationControllerCondition

    def selector(self, owner: ReplicationController) -> Matcher | None:
        """The selector of the spec; an empty one selects nothing."""
        return labels.from_map(owner.spec.selector) if owner.spec.selector else None

    def template(self, owner: ReplicationController) -> PodTemplateSpec:
        """The template of the spec."""
        return owner.spec.template or PodTemplateSpec()
