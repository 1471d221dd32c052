"""Types of v1: persistent_volume."""

from __future__ import annotations

from typing import Annotated

from pybernetes.api.core_v1.references import NodeSelector, ObjectReference, SecretReference
from pybernetes.api.core_v1.volume import (
    AWSElasticBlockStoreVolumeSource,
    AzureDiskVolumeSource,
    FCVolumeSource,
    FlockerVolumeSource,
    GCEPersistentDiskVolumeSource,
    HostPathVolumeSource,
    NFSVolumeSource,
    PhotonPersistentDiskVolumeSource,
    PortworxVolumeSource,
    QuobyteVolumeSource,
    VsphereVirtualDiskVolumeSource,
)
from pybernetes.machinery.meta import Object, ObjectMeta
from pybernetes.machinery.types import (
    ATOMIC,
    Int32,
    Quantity,
    Struct,
    Time,
    constant,
    empty_list,
    field,
    null,
    zero_int,
    zero_str,
)


class AzureFilePersistentVolumeSource(Struct):
    secret_name: str = field(default_factory=zero_str)
    share_name: str = field(default_factory=zero_str)
    read_only: bool | None = None
    secret_namespace: str | None = field(default_factory=null)


class CSIPersistentVolumeSource(Struct):
    driver: str = field(default_factory=zero_str)
    volume_handle: str = field(default_factory=zero_str)
    read_only: bool | None = None
    fs_type: str | None = None
    volume_attributes: dict[str, str] | None = None
    controller_publish_secret_ref: SecretReference | None = None
    node_stage_secret_ref: SecretReference | None = None
    node_publish_secret_ref: SecretReference | None = None
    controller_expand_secret_ref: SecretReference | None = None
    node_expand_secret_ref: SecretReference | None = None


class CephFSPersistentVolumeSource(Struct):
    monitors: Annotated[list[str], ATOMIC] = field(default_factory=empty_list)
    path: str | None = None
    user: str | None = None
    secret_file: str | None = None
    secret_ref: SecretReference | None = None
    read_only: bool | None = None


class CinderPersistentVolumeSource(Struct):
    volume_id: str = field(name="volumeID", default_factory=zero_str)
    fs_type: str | None = None
    read_only: bool | None = None
    secret_ref: SecretReference | None = None


class FlexPersistentVolumeSource(Struct):
    driver: str = field(default_factory=zero_str)
    fs_type: str | None = None
    secret_ref: SecretReference | None = None
    read_only: bool | None = None
    options: dict[str, str] | None = None


class GlusterfsPersistentVolumeSource(Struct):
    endpoints: str = field(default_factory=zero_str)
    path: str = field(default_factory=zero_str)
    read_only: bool | None = None
    endpoints_namespace: str | None = None


class ISCSIPersistentVolumeSource(Struct):
    target_portal: str = field(default_factory=zero_str)
    iqn: str = field(default_factory=zero_str)
    lun: Int32 = field(default_factory=zero_int)
    iscsi_interface: str | None = None
    fs_type: str | None = None
    read_only: bool | None = None
    portals: Annotated[list[str], ATOMIC] | None = None
    chap_auth_discovery: bool | None = None
    chap_auth_session: bool | None = None
    secret_ref: SecretReference | None = None
    initiator_name: str | None = None


class LocalVolumeSource(Struct):
    path: str = field(default_factory=zero_str)
    fs_type: str | None = None


class VolumeNodeAffinity(Struct):
    required: NodeSelector | None = None


class RBDPersistentVolumeSource(Struct):
    monitors: Annotated[list[str], ATOMIC] = field(default_factory=empty_list)
    image: str = field(default_factory=zero_str)
    fs_type: str | None = None
    pool: str | None = None
    user: str | None = None
    keyring: str | None = None
    secret_ref: SecretReference | None = None
    read_only: bool | None = None


class ScaleIOPersistentVolumeSource(Struct):
    gateway: str = field(default_factory=zero_str)
    system: str = field(default_factory=zero_str)
    secret_ref: SecretReference = field(default_factory=SecretReference)
    ssl_enabled: bool | None = None
    protection_domain: str | None = None
    storage_pool: str | None = None
    storage_mode: str | None = None
    volume_name: str | None = None
    fs_type: str | None = None
    read_only: bool | None = None


class StorageOSPersistentVolumeSource(Struct):
    volume_name: str | None = None
    volume_namespace: str | None = None
    fs_type: str | None = None
    read_only: bool | None = None
    secret_ref: ObjectReference | None = None


class PersistentVolumeSpec(Struct):
    capacity: dict[str, Quantity] | None = None
    access_modes: Annotated[list[str], ATOMIC] | None = None
    claim_ref: ObjectReference | None = None
    persistent_volume_reclaim_policy: str | None = None
    storage_class_name: str | None = None
    mount_options: Annotated[list[str], ATOMIC] | None = None
    volume_mode: str | None = None
    node_affinity: VolumeNodeAffinity | None = None
    volume_attributes_class_name: str | None = None
    aws_elastic_block_store: AWSElasticBlockStoreVolumeSource | None = None
    azure_disk: AzureDiskVolumeSource | None = None
    azure_file: AzureFilePersistentVolumeSource | None = None
    cephfs: CephFSPersistentVolumeSource | None = None
    cinder: CinderPersistentVolumeSource | None = None
    csi: CSIPersistentVolumeSource | None = None
    fc: FCVolumeSource | None = None
    flex_volume: FlexPersistentVolumeSource | None = None
    flocker: FlockerVolumeSource | None = None
    gce_persistent_disk: GCEPersistentDiskVolumeSource | None = None
    glusterfs: GlusterfsPersistentVolumeSource | None = None
    host_path: HostPathVolumeSource | None = None
    iscsi: ISCSIPersistentVolumeSource | None = None
    local: LocalVolumeSource | None = None
    nfs: NFSVolumeSource | None = None
    photon_persistent_disk: PhotonPersistentDiskVolumeSource | None = None
    portworx_volume: PortworxVolumeSource | None = None
    quobyte: QuobyteVolumeSource | None = None
    rbd: RBDPersistentVolumeSource | None = None
    scale_io: ScaleIOPersistentVolumeSource | None = field(name="scaleIO", default=None)
    storageos: StorageOSPersistentVolumeSource | None = None
    vsphere_volume: VsphereVirtualDiskVolumeSource | None = None


class PersistentVolumeStatus(Struct):
    phase: str | None = None
    message: str | None = None
    reason: str | None = None
    last_phase_transition_time: Time | None = None


class PersistentVolume(Object):
    api_version: str = field(default_factory=constant("v1"))
    kind: str = field(default_factory=constant("PersistentVolume"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    spec: PersistentVolumeSpec = field(default_factory=PersistentVolumeSpec)
    status: PersistentVolumeStatus = field(default_factory=PersistentVolumeStatus)
