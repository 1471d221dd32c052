"""Types of v1: template."""

from __future__ import annotations

from typing import Annotated

from pybernetes.api.core_v1.pod import PodSpec
from pybernetes.machinery.meta import Object, ObjectMeta
from pybernetes.machinery.types import (
    ATOMIC,
    BY_TYPE,
    Counting,
    Int32,
    Struct,
    Time,
    constant,
    field,
    null,
    zero_int,
    zero_str,
)


class PodTemplateSpec(Struct):
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    spec: PodSpec = field(default_factory=PodSpec)


class PodTemplate(Object):
    api_version: str = field(default_factory=constant("v1"))
    kind: str = field(default_factory=constant("PodTemplate"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    template: PodTemplateSpec = field(default_factory=PodTemplateSpec)


class ReplicationControllerSpec(Struct):
    replicas: Int32 | None = None
    min_ready_seconds: Int32 | None = None
    selector: Annotated[dict[str, str], ATOMIC] | None = None
    template: PodTemplateSpec | None = None


class ReplicationControllerCondition(Struct):
    type: str = field(default_factory=zero_str)
    status: str = field(default_factory=zero_str)
    last_transition_time: Time | None = field(default_factory=null)
    reason: str | None = None
    message: str | None = None


class ReplicationControllerStatus(Counting):
    counts = ("fully_labeled_replicas", "ready_replicas", "available_replicas", "observed_generation")
    replicas: Int32 = field(default_factory=zero_int)
    fully_labeled_replicas: Int32 | None = None
    ready_replicas: Int32 | None = None
    available_replicas: Int32 | None = None
    observed_generation: int | None = None
    conditions: Annotated[list[ReplicationControllerCondition], BY_TYPE] | None = None


class ReplicationController(Object):
    api_version: str = field(default_factory=constant("v1"))
    kind: str = field(default_factory=constant("ReplicationController"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    spec: ReplicationControllerSpec = field(default_factory=ReplicationControllerSpec)
    status: ReplicationControllerStatus = field(default_factory=ReplicationControllerStatus)
