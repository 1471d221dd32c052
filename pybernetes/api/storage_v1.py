"""Types of storage/v1: storage_v1."""

from __future__ import annotations

from typing import Annotated

from pybernetes.api.core_v1.persistent_volume import PersistentVolumeSpec
from pybernetes.api.core_v1.references import TopologySelectorTerm
from pybernetes.machinery.meta import LabelSelector, Object, ObjectMeta
from pybernetes.machinery.types import (
    ATOMIC,
    BY_NAME,
    SET,
    Int32,
    Quantity,
    Struct,
    Time,
    constant,
    empty_list,
    field,
    null,
    zero_bool,
    zero_str,
)


class TokenRequest(Struct):
    audience: str = field(default_factory=zero_str)
    expiration_seconds: int | None = None


class CSIDriverSpec(Struct):
    attach_required: bool | None = None
    pod_info_on_mount: bool | None = None
    volume_lifecycle_modes: Annotated[list[str], SET] | None = None
    storage_capacity: bool | None = None
    fs_group_policy: str | None = None
    token_requests: Annotated[list[TokenRequest], ATOMIC] | None = None
    requires_republish: bool | None = None
    se_linux_mount: bool | None = None
    node_allocatable_update_period_seconds: int | None = None
    service_account_token_in_secrets: bool | None = None
    prevent_pod_scheduling_if_missing: bool | None = None


class CSIDriver(Object):
    api_version: str = field(default_factory=constant("storage.k8s.io/v1"))
    kind: str = field(default_factory=constant("CSIDriver"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    spec: CSIDriverSpec = field(default_factory=CSIDriverSpec)


class VolumeNodeResources(Struct):
    count: Int32 | None = None


class CSINodeDriver(Struct):
    name: str = field(default_factory=zero_str)
    node_id: str = field(name="nodeID", default_factory=zero_str)
    topology_keys: Annotated[list[str], ATOMIC] | None = field(default_factory=null)
    allocatable: VolumeNodeResources | None = None


class CSINodeSpec(Struct):
    drivers: Annotated[list[CSINodeDriver], BY_NAME] = field(default_factory=empty_list)


class CSINode(Object):
    api_version: str = field(default_factory=constant("storage.k8s.io/v1"))
    kind: str = field(default_factory=constant("CSINode"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    spec: CSINodeSpec = field(default_factory=CSINodeSpec)


class CSIStorageCapacity(Object):
    api_version: str = field(default_factory=constant("storage.k8s.io/v1"))
    kind: str = field(default_factory=constant("CSIStorageCapacity"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    node_topology: LabelSelector | None = None
    storage_class_name: str = field(default_factory=zero_str)
    capacity: Quantity | None = None
    maximum_volume_size: Quantity | None = None


class StorageClass(Object):
    api_version: str = field(default_factory=constant("storage.k8s.io/v1"))
    kind: str = field(default_factory=constant("StorageClass"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    provisioner: str = field(default_factory=zero_str)
    parameters: dict[str, str] | None = None
    reclaim_policy: str | None = None
    mount_options: Annotated[list[str], ATOMIC] | None = None
    allow_volume_expansion: bool | None = None
    volume_binding_mode: str | None = None
    allowed_topologies: Annotated[list[TopologySelectorTerm], ATOMIC] | None = None


class VolumeAttachmentSource(Struct):
    persistent_volume_name: str | None = None
    inline_volume_spec: PersistentVolumeSpec | None = None


class VolumeAttachmentSpec(Struct):
    attacher: str = field(default_factory=zero_str)
    source: VolumeAttachmentSource = field(default_factory=VolumeAttachmentSource)
    node_name: str = field(default_factory=zero_str)


class VolumeError(Struct):
    time: Time | None = field(default_factory=null)
    message: str | None = None
    error_code: Int32 | None = None


class VolumeAttachmentStatus(Struct):
    attached: bool = field(default_factory=zero_bool)
    attachment_metadata: dict[str, str] | None = None
    attach_error: VolumeError | None = None
    detach_error: VolumeError | None = None


class VolumeAttachment(Object):
    api_version: str = field(default_factory=constant("storage.k8s.io/v1"))
    kind: str = field(default_factory=constant("VolumeAttachment"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    spec: VolumeAttachmentSpec = field(default_factory=VolumeAttachmentSpec)
    status: VolumeAttachmentStatus = field(default_factory=VolumeAttachmentStatus)


class VolumeAttributesClass(Object):
    api_version: str = field(default_factory=constant("storage.k8s.io/v1"))
    kind: str = field(default_factory=constant("VolumeAttributesClass"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    driver_name: str = field(default_factory=zero_str)
    parameters: dict[str, str] | None = None
