"""Defaults of Deployments, ReplicaSets, DaemonSets and StatefulSets."""

from __future__ import annotations

from pybernetes.api.apps_v1 import (
    DaemonSet,
    Deployment,
    ReplicaSet,
    RollingUpdateDaemonSet,
    RollingUpdateDeployment,
    RollingUpdateStatefulSetStrategy,
    StatefulSet,
    StatefulSetPersistentVolumeClaimRetentionPolicy,
)
from pybernetes.api.core_v1.object_defaults import default_persistent_volume_claim
from pybernetes.api.core_v1.pod_defaults import default_pod_template_spec


def default_deployment(deployment: Deployment) -> None:
    spec = deployment.spec
    default_pod_template_spec(spec.template)
    if spec.replicas is None:
        spec.replicas = 1
    strategy = spec.strategy
    if not strategy.type:
        strategy.type = "RollingUpdate"
    if strategy.type == "RollingUpdate":
        if strategy.rolling_update is None:
            strategy.rolling_update = RollingUpdateDeployment()
        if strategy.rolling_update.max_unavailable is None:
            strategy.rolling_update.max_unavailable = "25%"
        if strategy.rolling_update.max_surge is None:
            strategy.rolling_update.max_surge = "25%"
    if spec.revision_history_limit is None:
        spec.revision_history_limit = 10
    if spec.progress_deadline_seconds is None:
        spec.progress_deadline_seconds = 600


def default_replica_set(replica_set: ReplicaSet) -> None:
    spec = replica_set.spec
    default_pod_template_spec(spec.template)
    if spec.replicas is None:
        spec.replicas = 1


def default_daemon_set(daemon_set: DaemonSet) -> None:
    spec = daemon_set.spec
    default_pod_template_spec(spec.template)
    strategy = spec.update_strategy
    if not strategy.type:
        strategy.type = "RollingUpdate"
    if strategy.type == "RollingUpdate":
        if strategy.rolling_update is None:
            strategy.rolling_update = RollingUpdateDaemonSet()
        if strategy.rolling_update.max_unavailable is None:
            strategy.rolling_update.max_unavailable = 1
        if strategy.rolling_update.max_surge is None:
            strategy.rolling_update.max_surge = 0
    if spec.revision_history_limit is None:
        spec.revision_history_limit = 10


def default_stateful_set(stateful_set: StatefulSet) -> None:
    spec = stateful_set.spec
    default_pod_template_spec(spec.template)
    if not spec.pod_management_policy:
        spec.pod_management_policy = "OrderedReady"
    strategy = spec.update_strategy
    if not strategy.type:
        strategy.type = "RollingUpdate"
        if strategy.rolling_update is None:
            strategy.rolling_update = RollingUpdateStatefulSetStrategy()
    if strategy.type == "RollingUpdate" and strategy.rolling_update is not None:
        if strategy.rolling_update.partition is None:
            strategy.rolling_update.partition = 0
        if strategy.rolling_update.max_unavailable is None:
            strategy.rolling_update.max_unavailable = 1
    policy = spec.persistent_volume_claim_retention_policy
    if policy is None:
        policy = spec.persistent_volume_claim_retention_policy = StatefulSetPersistentVolumeClaimRetentionPolicy()
    policy.when_deleted = policy.when_deleted or "Retain"
    policy.when_scaled = policy.when_scaled or "Retain"
    if spec.replicas is None:
        spec.replicas = 1
    if spec.revision_history_limit is None:
        spec.revision_history_limit = 10
    for claim in spec.volume_claim_templates or ():
        claim.api_version = claim.api_version or "v1"
        claim.kind = claim.kind or "PersistentVolumeClaim"
        default_persistent_volume_claim(claim)
    if spec.service_name is None:
        spec.service_name = ""
