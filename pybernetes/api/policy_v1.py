"""Types of policy/v1: policy_v1."""

from __future__ import annotations

from typing import Annotated

from pybernetes.machinery.meta import Condition, DeleteOptions, LabelSelector, Object, ObjectMeta
from pybernetes.machinery.types import BY_TYPE, Int32, IntOrString, Merge, Struct, Time, constant, field, zero_int


class Eviction(Object):
    api_version: str = field(default_factory=constant("policy/v1"))
    kind: str = field(default_factory=constant("Eviction"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    delete_options: DeleteOptions | None = None


class PodDisruptionBudgetSpec(Struct):
    min_available: IntOrString | None = None
    selector: Annotated[LabelSelector, Merge(patch="replace")] | None = None
    max_unavailable: IntOrString | None = None
    unhealthy_pod_eviction_policy: str | None = None


class PodDisruptionBudgetStatus(Struct):
    observed_generation: int | None = None
    disrupted_pods: dict[str, Time] | None = None
    disruptions_allowed: Int32 = field(default_factory=zero_int)
    current_healthy: Int32 = field(default_factory=zero_int)
    desired_healthy: Int32 = field(default_factory=zero_int)
    expected_pods: Int32 = field(default_factory=zero_int)
    conditions: Annotated[list[Condition], BY_TYPE] | None = None


class PodDisruptionBudget(Object):
    api_version: str = field(default_factory=constant("policy/v1"))
    kind: str = field(default_factory=constant("PodDisruptionBudget"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    spec: PodDisruptionBudgetSpec = field(default_factory=PodDisruptionBudgetSpec)
    status: PodDisruptionBudgetStatus = field(default_factory=PodDisruptionBudgetStatus)
