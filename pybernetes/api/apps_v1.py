"""Types of apps/v1: apps_v1."""

from __future__ import annotations

from typing import Annotated, Any

from pybernetes.api.core_v1.persistent_volume_claim import PersistentVolumeClaim
from pybernetes.api.core_v1.template import PodTemplateSpec
from pybernetes.machinery.meta import LabelSelector, Object, ObjectMeta
from pybernetes.machinery.types import (
    ATOMIC,
    BY_TYPE,
    Counting,
    Int32,
    IntOrString,
    Merge,
    Struct,
    Time,
    constant,
    field,
    null,
    zero_int,
    zero_str,
)


class ControllerRevision(Object):
    api_version: str = field(default_factory=constant("apps/v1"))
    kind: str = field(default_factory=constant("ControllerRevision"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    data: dict[str, Any] | None = None
    revision: int = field(default_factory=zero_int)


class RollingUpdateDaemonSet(Struct):
    max_unavailable: IntOrString | None = None
    max_surge: IntOrString | None = None


class DaemonSetUpdateStrategy(Struct):
    type: str | None = None
    rolling_update: RollingUpdateDaemonSet | None = None


class DaemonSetSpec(Struct):
    selector: LabelSelector = field(default_factory=LabelSelector)
    template: PodTemplateSpec = field(default_factory=PodTemplateSpec)
    update_strategy: DaemonSetUpdateStrategy = field(default_factory=DaemonSetUpdateStrategy)
    min_ready_seconds: Int32 | None = None
    revision_history_limit: Int32 | None = None


class DaemonSetCondition(Struct):
    type: str = field(default_factory=zero_str)
    status: str = field(default_factory=zero_str)
    last_transition_time: Time | None = field(default_factory=null)
    reason: str | None = None
    message: str | None = None


class DaemonSetStatus(Counting):
    counts = ("observed_generation", "updated_number_scheduled", "number_available", "number_unavailable")
    current_number_scheduled: Int32 = field(default_factory=zero_int)
    number_misscheduled: Int32 = field(default_factory=zero_int)
    desired_number_scheduled: Int32 = field(default_factory=zero_int)
    number_ready: Int32 = field(default_factory=zero_int)
    observed_generation: int | None = None
    updated_number_scheduled: Int32 | None = None
    number_available: Int32 | None = None
    number_unavailable: Int32 | None = None
    collision_count: Int32 | None = None
    conditions: Annotated[list[DaemonSetCondition], BY_TYPE] | None = None


class DaemonSet(Object):
    api_version: str = field(default_factory=constant("apps/v1"))
    kind: str = field(default_factory=constant("DaemonSet"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    spec: DaemonSetSpec = field(default_factory=DaemonSetSpec)
    status: DaemonSetStatus = field(default_factory=DaemonSetStatus)


class RollingUpdateDeployment(Struct):
    max_unavailable: IntOrString | None = None
    max_surge: IntOrString | None = None


class DeploymentStrategy(Struct):
    type: str | None = None
    rolling_update: RollingUpdateDeployment | None = None


class DeploymentSpec(Struct):
    replicas: Int32 | None = None
    selector: LabelSelector = field(default_factory=LabelSelector)
    template: PodTemplateSpec = field(default_factory=PodTemplateSpec)
    strategy: Annotated[DeploymentStrategy, Merge(patch="retainKeys")] = field(default_factory=DeploymentStrategy)
    min_ready_seconds: Int32 | None = None
    revision_history_limit: Int32 | None = None
    paused: bool | None = None
    progress_deadline_seconds: Int32 | None = None


class DeploymentCondition(Struct):
    type: str = field(default_factory=zero_str)
    status: str = field(default_factory=zero_str)
    last_update_time: Time | None = field(default_factory=null)
    last_transition_time: Time | None = field(default_factory=null)
    reason: str | None = None
    message: str | None = None


class DeploymentStatus(Counting):
    counts = (
        "observed_generation",
        "replicas",
        "updated_replicas",
        "ready_replicas",
        "available_replicas",
        "unavailable_replicas",
    )
    observed_generation: int | None = None
    replicas: Int32 | None = None
    updated_replicas: Int32 | None = None
    ready_replicas: Int32 | None = None
    available_replicas: Int32 | None = None
    unavailable_replicas: Int32 | None = None
    terminating_replicas: Int32 | None = None
    conditions: Annotated[list[DeploymentCondition], BY_TYPE] | None = None
    collision_count: Int32 | None = None


class Deployment(Object):
    api_version: str = field(default_factory=constant("apps/v1"))
    kind: str = field(default_factory=constant("Deployment"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    spec: DeploymentSpec = field(default_factory=DeploymentSpec)
    status: DeploymentStatus = field(default_factory=DeploymentStatus)


class ReplicaSetSpec(Struct):
    replicas: Int32 | None = None
    min_ready_seconds: Int32 | None = None
    selector: LabelSelector = field(default_factory=LabelSelector)
    template: PodTemplateSpec = field(default_factory=PodTemplateSpec)


class ReplicaSetCondition(Struct):
    type: str = field(default_factory=zero_str)
    status: str = field(default_factory=zero_str)
    last_transition_time: Time | None = field(default_factory=null)
    reason: str | None = None
    message: str | None = None


class ReplicaSetStatus(Counting):
    counts = ("fully_labeled_replicas", "ready_replicas", "available_replicas", "observed_generation")
    replicas: Int32 = field(default_factory=zero_int)
    fully_labeled_replicas: Int32 | None = None
    ready_replicas: Int32 | None = None
    available_replicas: Int32 | None = None
    terminating_replicas: Int32 | None = None
    observed_generation: int | None = None
    conditions: Annotated[list[ReplicaSetCondition], BY_TYPE] | None = None


class ReplicaSet(Object):
    api_version: str = field(default_factory=constant("apps/v1"))
    kind: str = field(default_factory=constant("ReplicaSet"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    spec: ReplicaSetSpec = field(default_factory=ReplicaSetSpec)
    status: ReplicaSetStatus = field(default_factory=ReplicaSetStatus)


class RollingUpdateStatefulSetStrategy(Struct):
    partition: Int32 | None = None
    max_unavailable: IntOrString | None = None


class StatefulSetOrdinals(Struct):
    start: Int32 = field(default_factory=zero_int)


class StatefulSetPersistentVolumeClaimRetentionPolicy(Struct):
    when_deleted: str | None = None
    when_scaled: str | None = None


class StatefulSetUpdateStrategy(Struct):
    type: str | None = None
    rolling_update: RollingUpdateStatefulSetStrategy | None = None


class StatefulSetSpec(Struct):
    replicas: Int32 | None = None
    selector: LabelSelector = field(default_factory=LabelSelector)
    template: PodTemplateSpec = field(default_factory=PodTemplateSpec)
    volume_claim_templates: Annotated[list[PersistentVolumeClaim], ATOMIC] | None = None
    service_name: str | None = None
    pod_management_policy: str | None = None
    update_strategy: StatefulSetUpdateStrategy = field(default_factory=StatefulSetUpdateStrategy)
    revision_history_limit: Int32 | None = None
    min_ready_seconds: Int32 | None = None
    persistent_volume_claim_retention_policy: StatefulSetPersistentVolumeClaimRetentionPolicy | None = None
    ordinals: StatefulSetOrdinals | None = None


class StatefulSetCondition(Struct):
    type: str = field(default_factory=zero_str)
    status: str = field(default_factory=zero_str)
    last_transition_time: Time | None = field(default_factory=null)
    reason: str | None = None
    message: str | None = None


class StatefulSetStatus(Counting):
    counts = ("observed_generation", "ready_replicas", "current_replicas", "updated_replicas")
    observed_generation: int | None = None
    replicas: Int32 = field(default_factory=zero_int)
    ready_replicas: Int32 | None = None
    current_replicas: Int32 | None = None
    updated_replicas: Int32 | None = None
    current_revision: str | None = None
    update_revision: str | None = None
    collision_count: Int32 | None = None
    conditions: Annotated[list[StatefulSetCondition], BY_TYPE] | None = None
    available_replicas: Int32 = field(default_factory=zero_int)


class StatefulSet(Object):
    api_version: str = field(default_factory=constant("apps/v1"))
    kind: str = field(default_factory=constant("StatefulSet"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    spec: StatefulSetSpec = field(default_factory=StatefulSetSpec)
    status: StatefulSetStatus = field(default_factory=StatefulSetStatus)
