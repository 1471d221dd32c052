"""Types of v1: persistent_volume_claim."""

from __future__ import annotations

from typing import Annotated

from pybernetes.api.core_v1.references import TypedLocalObjectReference, TypedObjectReference
from pybernetes.machinery.meta import LabelSelector, Object, ObjectMeta
from pybernetes.machinery.types import (
    ATOMIC,
    BY_TYPE,
    Quantity,
    Struct,
    Time,
    constant,
    field,
    null,
    zero_str,
)


class ModifyVolumeStatus(Struct):
    target_volume_attributes_class_name: str | None = None
    status: str = field(default_factory=zero_str)


class VolumeResourceRequirements(Struct):
    limits: dict[str, Quantity] | None = None
    requests: dict[str, Quantity] | None = None


class PersistentVolumeClaimSpec(Struct):
    access_modes: Annotated[list[str], ATOMIC] | None = None
    selector: LabelSelector | None = None
    resources: VolumeResourceRequirements = field(default_factory=VolumeResourceRequirements)
    volume_name: str | None = None
    storage_class_name: str | None = None
    volume_mode: str | None = None
    data_source: TypedLocalObjectReference | None = None
    data_source_ref: TypedObjectReference | None = None
    volume_attributes_class_name: str | None = None


class PersistentVolumeClaimCondition(Struct):
    type: str = field(default_factory=zero_str)
    status: str = field(default_factory=zero_str)
    last_probe_time: Time | None = field(default_factory=null)
    last_transition_time: Time | None = field(default_factory=null)
    reason: str | None = None
    message: str | None = None


class PersistentVolumeClaimStatus(Struct):
    phase: str | None = None
    access_modes: Annotated[list[str], ATOMIC] | None = None
    capacity: dict[str, Quantity] | None = None
    conditions: Annotated[list[PersistentVolumeClaimCondition], BY_TYPE] | None = None
    allocated_resources: dict[str, Quantity] | None = None
    allocated_resource_statuses: dict[str, str] | None = None
    current_volume_attributes_class_name: str | None = None
    modify_volume_status: ModifyVolumeStatus | None = None


class PersistentVolumeClaim(Object):
    api_version: str = field(default_factory=constant("v1"))
    kind: str = field(default_factory=constant("PersistentVolumeClaim"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    spec: PersistentVolumeClaimSpec = field(default_factory=PersistentVolumeClaimSpec)
    status: PersistentVolumeClaimStatus = field(default_factory=PersistentVolumeClaimStatus)


class PersistentVolumeClaimTemplate(Struct):
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    spec: PersistentVolumeClaimSpec = field(default_factory=PersistentVolumeClaimSpec)
