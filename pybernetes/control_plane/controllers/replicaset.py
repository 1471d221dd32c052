"""The ReplicaSet controller: `replicas` for apps/v1 ReplicaSets."""

from __future__ import annotations

from collections.abc import Sequence

from pybernetes.api.apps_v1 import ReplicaSet, ReplicaSetCondition
from pybernetes.api.core_v1 import Pod, PodTemplateSpec
from pybernetes.client.controller import controller_of
from pybernetes.client.informer import OWNER, Matcher
from pybernetes.control_plane.controllers.replicas import ReplicaController
from pybernetes.machinery import labels


class ReplicaSetController(ReplicaController[ReplicaSet]):
    """Keeps the replicas of each ReplicaSet."""

    name = "replicaset-controller"
    kind = ReplicaSet
    condition_type = ReplicaSetCondition

    def setup(self) -> None:
        """As every replica controller; ReplicaSets of one Deployment are found by its uid."""
        super().setup()
        self.owners.add_owner_index()

    def selector(self, owner: ReplicaSet) -> Matcher | None:
        """The selector of the spec."""
        return labels.from_struct(owner.spec.selector)

    def template(self, owner: ReplicaSet) -> PodTemplateSpec:
        """The template of the spec."""
        return owner.spec.template or PodTemplateSpec()

    def kin(self, owner: ReplicaSet) -> Sequence[Pod]:
        """The Pods of all ReplicaSets of the same Deployment."""
        if (deployment := controller_of(owner)) is None:
            return ()
        siblings = self.owners.by_index(OWNER, deployment.uid)
        return [pod for rs in siblings for pod in self.pods.by_index(OWNER, rs.metadata.uid)]
