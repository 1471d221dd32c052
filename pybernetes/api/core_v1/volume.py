"""Types of v1: volume."""

from __future__ import annotations

from typing import Annotated

from pybernetes.api.core_v1.persistent_volume_claim import PersistentVolumeClaimTemplate
from pybernetes.api.core_v1.references import LocalObjectReference, ObjectFieldSelector, ResourceFieldSelector
from pybernetes.machinery.meta import LabelSelector
from pybernetes.machinery.types import (
    ATOMIC,
    Int32,
    Quantity,
    Struct,
    empty_list,
    field,
    null,
    zero_int,
    zero_str,
)


class AWSElasticBlockStoreVolumeSource(Struct):
    volume_id: str = field(name="volumeID", default_factory=zero_str)
    fs_type: str | None = None
    partition: Int32 | None = None
    read_only: bool | None = None


class AzureDiskVolumeSource(Struct):
    kind: str | None = None
    disk_name: str = field(default_factory=zero_str)
    disk_uri: str = field(name="diskURI", default_factory=zero_str)
    caching_mode: str | None = None
    fs_type: str | None = None
    read_only: bool | None = None


class AzureFileVolumeSource(Struct):
    secret_name: str = field(default_factory=zero_str)
    share_name: str = field(default_factory=zero_str)
    read_only: bool | None = None


class CSIVolumeSource(Struct):
    driver: str = field(default_factory=zero_str)
    read_only: bool | None = None
    fs_type: str | None = None
    volume_attributes: dict[str, str] | None = None
    node_publish_secret_ref: LocalObjectReference | None = None


class CephFSVolumeSource(Struct):
    monitors: Annotated[list[str], ATOMIC] = field(default_factory=empty_list)
    path: str | None = None
    user: str | None = None
    secret_file: str | None = None
    secret_ref: LocalObjectReference | None = None
    read_only: bool | None = None


class CinderVolumeSource(Struct):
    volume_id: str = field(name="volumeID", default_factory=zero_str)
    fs_type: str | None = None
    read_only: bool | None = None
    secret_ref: LocalObjectReference | None = None


class ClusterTrustBundleProjection(Struct):
    name: str | None = None
    signer_name: str | None = None
    label_selector: LabelSelector | None = None
    optional: bool | None = None
    path: str = field(default_factory=zero_str)


class KeyToPath(Struct):
    key: str = field(default_factory=zero_str)
    path: str = field(default_factory=zero_str)
    mode: Int32 | None = None


class ConfigMapProjection(Struct):
    items: Annotated[list[KeyToPath], ATOMIC] | None = None
    optional: bool | None = None
    name: str | None = None


class ConfigMapVolumeSource(Struct):
    items: Annotated[list[KeyToPath], ATOMIC] | None = None
    default_mode: Int32 | None = None
    optional: bool | None = None
    name: str | None = None


class DownwardAPIVolumeFile(Struct):
    path: str = field(default_factory=zero_str)
    field_ref: ObjectFieldSelector | None = None
    resource_field_ref: ResourceFieldSelector | None = None
    mode: Int32 | None = None


class DownwardAPIProjection(Struct):
    items: Annotated[list[DownwardAPIVolumeFile], ATOMIC] | None = None


class DownwardAPIVolumeSource(Struct):
    items: Annotated[list[DownwardAPIVolumeFile], ATOMIC] | None = None
    default_mode: Int32 | None = None


class EmptyDirVolumeSource(Struct):
    medium: str | None = None
    size_limit: Quantity | None = None


class EphemeralVolumeSource(Struct):
    volume_claim_template: PersistentVolumeClaimTemplate | None = None


class FCVolumeSource(Struct):
    target_wwns: Annotated[list[str], ATOMIC] | None = field(name="targetWWNs", default=None)
    lun: Int32 | None = None
    fs_type: str | None = None
    read_only: bool | None = None
    wwids: Annotated[list[str], ATOMIC] | None = None


class FlexVolumeSource(Struct):
    driver: str = field(default_factory=zero_str)
    fs_type: str | None = None
    secret_ref: LocalObjectReference | None = None
    read_only: bool | None = None
    options: dict[str, str] | None = None


class FlockerVolumeSource(Struct):
    dataset_name: str | None = None
    dataset_uuid: str | None = field(name="datasetUUID", default=None)


class GCEPersistentDiskVolumeSource(Struct):
    pd_name: str = field(default_factory=zero_str)
    fs_type: str | None = None
    partition: Int32 | None = None
    read_only: bool | None = None


class GitRepoVolumeSource(Struct):
    repository: str = field(default_factory=zero_str)
    revision: str | None = None
    directory: str | None = None


class GlusterfsVolumeSource(Struct):
    endpoints: str = field(default_factory=zero_str)
    path: str = field(default_factory=zero_str)
    read_only: bool | None = None


class HostPathVolumeSource(Struct):
    path: str = field(default_factory=zero_str)
    type: str | None = None


class ISCSIVolumeSource(Struct):
    target_portal: str = field(default_factory=zero_str)
    iqn: str = field(default_factory=zero_str)
    lun: Int32 = field(default_factory=zero_int)
    iscsi_interface: str | None = None
    fs_type: str | None = None
    read_only: bool | None = None
    portals: Annotated[list[str], ATOMIC] | None = None
    chap_auth_discovery: bool | None = None
    chap_auth_session: bool | None = None
    secret_ref: LocalObjectReference | None = None
    initiator_name: str | None = None


class ImageVolumeSource(Struct):
    reference: str | None = None
    pull_policy: str | None = None


class NFSVolumeSource(Struct):
    server: str = field(default_factory=zero_str)
    path: str = field(default_factory=zero_str)
    read_only: bool | None = None


class PersistentVolumeClaimVolumeSource(Struct):
    claim_name: str = field(default_factory=zero_str)
    read_only: bool | None = None


class PhotonPersistentDiskVolumeSource(Struct):
    pd_id: str = field(name="pdID", default_factory=zero_str)
    fs_type: str | None = None


class PodCertificateProjection(Struct):
    signer_name: str = field(default_factory=zero_str)
    key_type: str = field(default_factory=zero_str)
    max_expiration_seconds: Int32 | None = None
    credential_bundle_path: str | None = None
    key_path: str | None = None
    certificate_chain_path: str | None = None
    user_annotations: dict[str, str] | None = None


class PortworxVolumeSource(Struct):
    volume_id: str = field(name="volumeID", default_factory=zero_str)
    fs_type: str | None = None
    read_only: bool | None = None


class SecretProjection(Struct):
    items: Annotated[list[KeyToPath], ATOMIC] | None = None
    optional: bool | None = None
    name: str | None = None


class ServiceAccountTokenProjection(Struct):
    audience: str | None = None
    expiration_seconds: int | None = None
    path: str = field(default_factory=zero_str)


class VolumeProjection(Struct):
    secret: SecretProjection | None = None
    downward_api: DownwardAPIProjection | None = field(name="downwardAPI", default=None)
    config_map: ConfigMapProjection | None = None
    service_account_token: ServiceAccountTokenProjection | None = None
    cluster_trust_bundle: ClusterTrustBundleProjection | None = None
    pod_certificate: PodCertificateProjection | None = None


class ProjectedVolumeSource(Struct):
    sources: Annotated[list[VolumeProjection], ATOMIC] | None = field(default_factory=null)
    default_mode: Int32 | None = None


class QuobyteVolumeSource(Struct):
    registry: str = field(default_factory=zero_str)
    volume: str = field(default_factory=zero_str)
    read_only: bool | None = None
    user: str | None = None
    group: str | None = None
    tenant: str | None = None


class RBDVolumeSource(Struct):
    monitors: Annotated[list[str], ATOMIC] = field(default_factory=empty_list)
    image: str = field(default_factory=zero_str)
    fs_type: str | None = None
    pool: str | None = None
    user: str | None = None
    keyring: str | None = None
    secret_ref: LocalObjectReference | None = None
    read_only: bool | None = None


class ScaleIOVolumeSource(Struct):
    gateway: str = field(default_factory=zero_str)
    system: str = field(default_factory=zero_str)
    secret_ref: LocalObjectReference = field(default_factory=LocalObjectReference)
    ssl_enabled: bool | None = None
    protection_domain: str | None = None
    storage_pool: str | None = None
    storage_mode: str | None = None
    volume_name: str | None = None
    fs_type: str | None = None
    read_only: bool | None = None


class SecretVolumeSource(Struct):
    secret_name: str | None = None
    items: Annotated[list[KeyToPath], ATOMIC] | None = None
    default_mode: Int32 | None = None
    optional: bool | None = None


class StorageOSVolumeSource(Struct):
    volume_name: str | None = None
    volume_namespace: str | None = None
    fs_type: str | None = None
    read_only: bool | None = None
    secret_ref: LocalObjectReference | None = None


class VsphereVirtualDiskVolumeSource(Struct):
    volume_path: str = field(default_factory=zero_str)
    fs_type: str | None = None
    storage_policy_name: str | None = None
    storage_policy_id: str | None = field(name="storagePolicyID", default=None)


class Volume(Struct):
    name: str = field(default_factory=zero_str)
    aws_elastic_block_store: AWSElasticBlockStoreVolumeSource | None = None
    azure_disk: AzureDiskVolumeSource | None = None
    azure_file: AzureFileVolumeSource | None = None
    cephfs: CephFSVolumeSource | None = None
    cinder: CinderVolumeSource | None = None
    config_map: ConfigMapVolumeSource | None = None
    csi: CSIVolumeSource | None = None
    downward_api: DownwardAPIVolumeSource | None = field(name="downwardAPI", default=None)
    empty_dir: EmptyDirVolumeSource | None = None
    ephemeral: EphemeralVolumeSource | None = None
    fc: FCVolumeSource | None = None
    flex_volume: FlexVolumeSource | None = None
    flocker: FlockerVolumeSource | None = None
    gce_persistent_disk: GCEPersistentDiskVolumeSource | None = None
    git_repo: GitRepoVolumeSource | None = None
    glusterfs: GlusterfsVolumeSource | None = None
    host_path: HostPathVolumeSource | None = None
    image: ImageVolumeSource | None = None
    iscsi: ISCSIVolumeSource | None = None
    nfs: NFSVolumeSource | None = None
    persistent_volume_claim: PersistentVolumeClaimVolumeSource | None = None
    photon_persistent_disk: PhotonPersistentDiskVolumeSource | None = None
    portworx_volume: PortworxVolumeSource | None = None
    projected: ProjectedVolumeSource | None = None
    quobyte: QuobyteVolumeSource | None = None
    rbd: RBDVolumeSource | None = None
    scale_io: ScaleIOVolumeSource | None = field(name="scaleIO", default=None)
    secret: SecretVolumeSource | None = None
    storageos: StorageOSVolumeSource | None = None
    vsphere_volume: VsphereVirtualDiskVolumeSource | None = None
