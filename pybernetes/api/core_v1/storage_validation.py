"""Validation of PersistentVolumes and PersistentVolumeClaims."""

from __future__ import annotations

import msgspec

from pybernetes.api import meta_validation as meta
from pybernetes.api.core_v1 import legacy_volume_validation as legacy
from pybernetes.api.core_v1.persistent_volume import PersistentVolume, PersistentVolumeSpec
from pybernetes.api.core_v1.persistent_volume_claim import PersistentVolumeClaim, PersistentVolumeClaimSpec
from pybernetes.api.core_v1.pod_update_validation import _diff
from pybernetes.api.core_v1.pod_validation import node_selector
from pybernetes.api.core_v1.volume_validation import csi_driver_name, host_path, nfs
from pybernetes.machinery import field, names, quantity
from pybernetes.machinery.field import FieldError, Path

SPEC = Path("spec")
ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
RECLAIM = ("Delete", "Recycle", "Retain")
NOT_SOURCES = frozenset(
    {
        "capacity",
        "access_modes",
        "claim_ref",
        "persistent_volume_reclaim_policy",
        "storage_class_name",
        "mount_options",
        "volume_mode",
        "node_affinity",
        "volume_attributes_class_name",
    }
)
SOURCES = tuple(name for name in PersistentVolumeSpec.__struct_fields__ if name not in NOT_SOURCES)


def _modes(listed: list[str] | None, path: Path, errors: list[FieldError]) -> None:
    for mode in listed or ():
        if mode not in ACCESS_MODES:
            errors.append(field.not_supported(path, mode, ACCESS_MODES))
    if "ReadWriteOncePod" in (listed or ()) and len(listed or ()) > 1:
        text = "may not use ReadWriteOncePod with other access modes"
        errors.append(field.forbidden(path, text))


def validate_persistent_volume(volume: PersistentVolume) -> list[FieldError]:
    errors = meta.object_meta(volume.metadata, False)
    volume_spec(volume.spec, SPEC, errors)
    return errors


def volume_spec(spec: PersistentVolumeSpec, path: Path, errors: list[FieldError], inline: bool = False) -> None:
    """A PersistentVolumeSpec; `inline` for the one in a VolumeAttachment, which has no claim, class or capacity."""
    if not inline and not spec.access_modes:
        errors.append(field.required(path.child("accessModes")))
    _modes(spec.access_modes, path.child("accessModes"), errors)
    if not inline:
        if not spec.capacity:
            errors.append(field.required(path.child("capacity")))
        elif "storage" not in spec.capacity or len(spec.capacity) > 1:
            errors.append(field.not_supported(path.child("capacity"), spec.capacity, ("storage",)))
        for name, text in (spec.capacity or {}).items():
            _positive(text, path.child("capacity").key(name), errors)
        if not spec.persistent_volume_reclaim_policy:
            errors.append(field.required(path.child("persistentVolumeReclaimPolicy")))
        elif spec.persistent_volume_reclaim_policy not in RECLAIM:
            at = path.child("persistentVolumeReclaimPolicy")
            errors.append(field.not_supported(at, spec.persistent_volume_reclaim_policy, RECLAIM))
    if spec.node_affinity is not None:
        at = path.child("nodeAffinity")
        if spec.node_affinity.required is None:
            errors.append(field.required(at.child("required"), "must specify required node constraints"))
        else:
            node_selector(spec.node_affinity.required, at.child("required"), errors)
    sources = [name for name in SOURCES if getattr(spec, name) is not None]
    if not sources:
        errors.append(field.required(path, "must specify a volume type"))
    for name in sources[1:]:
        at = path.child(_wire(spec, name))
        errors.append(field.forbidden(at, "may not specify more than 1 volume type"))
    for name in sources[:1]:
        if (check := legacy.CHECKS.get(name)) is not None:
            check(getattr(spec, name), path.child(_wire(spec, name)), errors)
    if spec.host_path is not None:
        host_path(spec.host_path, path.child("hostPath"), errors)
        if spec.host_path.path == "/" and spec.persistent_volume_reclaim_policy == "Recycle":
            text = "may not be 'recycle' for a hostPath mount of '/'"
            errors.append(field.forbidden(path.child("persistentVolumeReclaimPolicy"), text))
    if spec.nfs is not None:
        nfs(spec.nfs, path.child("nfs"), errors)
    if spec.local is not None:
        if not spec.local.path:
            errors.append(field.required(path.child("local", "path")))
        if spec.node_affinity is None:
            text = "Local volume requires node affinity"
            errors.append(field.required(path.child("nodeAffinity"), text))
    if spec.csi is not None:
        csi_driver_name(spec.csi.driver, path.child("csi", "driver"), errors)
        if not spec.csi.volume_handle:
            errors.append(field.required(path.child("csi", "volumeHandle")))
    if spec.storage_class_name:
        for text in names.dns1123_subdomain(spec.storage_class_name):
            errors.append(field.invalid(path.child("storageClassName"), spec.storage_class_name, text))
    _volume_mode(spec.volume_mode, path, errors)


def _wire(spec: PersistentVolumeSpec, attribute: str) -> str:
    return spec.__struct_encode_fields__[spec.__struct_fields__.index(attribute)]


def _volume_mode(mode: str | None, path: Path, errors: list[FieldError]) -> None:
    if mode is not None and mode not in ("Block", "Filesystem"):
        errors.append(field.not_supported(path.child("volumeMode"), mode, ("Block", "Filesystem")))


def _positive(text: str, path: Path, errors: list[FieldError]) -> None:
    try:
        if quantity.parse(text).nano <= 0:
            errors.append(field.invalid(path, text, "must be greater than zero"))
    except ValueError as error:
        errors.append(field.invalid(path, text, str(error)))


def validate_persistent_volume_update(new: PersistentVolume, old: PersistentVolume) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata)
    volume_spec(new.spec, SPEC, errors)
    changed = any(getattr(new.spec, name) != getattr(old.spec, name) for name in SOURCES)
    if changed:
        text = "spec.persistentvolumesource is immutable after creation"
        errors.append(field.forbidden(SPEC.child("persistentvolumesource"), f"{text}\n{_diff(old.spec, new.spec)}"))
    meta.immutable(new.spec.volume_mode, old.spec.volume_mode, SPEC.child("volumeMode"), errors)
    if old.spec.node_affinity is not None and new.spec.node_affinity != old.spec.node_affinity:
        shown = new.spec.node_affinity
        errors.append(field.invalid(SPEC.child("nodeAffinity"), shown, meta.IMMUTABLE))
    return errors


def validate_persistent_volume_status_update(new: PersistentVolume, old: PersistentVolume) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata)
    if not new.metadata.resource_version:
        errors.append(field.required("resourceVersion"))
    return errors


def validate_persistent_volume_claim(claim: PersistentVolumeClaim) -> list[FieldError]:
    errors = meta.object_meta(claim.metadata, True)
    claim_spec(claim.spec, SPEC, errors)
    return errors


def claim_spec(spec: PersistentVolumeClaimSpec, path: Path, errors: list[FieldError]) -> None:
    if not spec.access_modes:
        errors.append(field.required(path.child("accessModes"), "at least 1 access mode is required"))
    meta.label_selector(spec.selector, path.child("selector"), errors)
    _modes(spec.access_modes, path.child("accessModes"), errors)
    requests = (spec.resources.requests if spec.resources else None) or {}
    at = path.child("resources").key("storage")
    if "storage" not in requests:
        errors.append(field.required(at))
    else:
        _positive(requests["storage"], at, errors)
    if spec.storage_class_name:
        for text in names.dns1123_subdomain(spec.storage_class_name):
            errors.append(field.invalid(path.child("storageClassName"), spec.storage_class_name, text))
    _volume_mode(spec.volume_mode, path, errors)
    for name, source in (("dataSource", spec.data_source), ("dataSourceRef", spec.data_source_ref)):
        if source is None:
            continue
        if not source.name:
            errors.append(field.required(path.child(name, "name")))
        if not source.kind:
            errors.append(field.required(path.child(name, "kind")))
        elif not source.api_group and source.kind != "PersistentVolumeClaim":
            text = "must be 'PersistentVolumeClaim' when referencing the default apiGroup"
            errors.append(field.invalid(path.child(name), source.kind, text))
    if spec.data_source is not None and spec.data_source_ref is not None:
        one, two = spec.data_source, spec.data_source_ref
        if (one.kind, one.name, one.api_group) != (two.kind, two.name, two.api_group):
            errors.append(field.invalid(path, path.child("dataSource"), "must match dataSourceRef"))


def validate_persistent_volume_claim_update(new: PersistentVolumeClaim, old: PersistentVolumeClaim) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata)
    claim_spec(new.spec, SPEC, errors)
    replace = msgspec.structs.replace
    plain = replace(new.spec)
    before = old.spec
    bound = old.status.phase == "Bound"
    if not before.volume_name:  # the binder's write
        plain.volume_name = before.volume_name
    if before.storage_class_name is None and plain.storage_class_name:  # the default class came later
        plain.storage_class_name = None
    requests = (before.resources.requests if before.resources else None) or {}
    if bound and plain.resources is not None:
        plain.resources = replace(plain.resources, requests=dict(requests) or None)
        if before.resources is not None and plain.resources.requests != before.resources.requests:
            plain.resources.requests = before.resources.requests
    plain.volume_attributes_class_name = before.volume_attributes_class_name
    if plain != before:
        text = (
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
        )
        errors.append(field.forbidden(SPEC, f"{text}\n{_diff(before, plain)}"))
    asked = ((new.spec.resources.requests if new.spec.resources else None) or {}).get("storage")
    had = requests.get("storage")
    if asked and had and quantity.cmp(asked, had) < 0:
        capacity = (old.status.capacity or {}).get("storage", "0")
        if quantity.cmp(asked, capacity) <= 0:
            text = "field can not be less than status.capacity"
            errors.append(field.forbidden(SPEC.child("resources", "requests", "storage"), text))
    if before.volume_attributes_class_name and not new.spec.volume_attributes_class_name:
        text = "update from non-nil value to nil is forbidden"
        errors.append(field.forbidden(SPEC.child("volumeAttributesClassName"), text))
    return errors


def validate_persistent_volume_claim_status_update(
    new: PersistentVolumeClaim, old: PersistentVolumeClaim
) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata)
    _modes(new.status.access_modes, Path("status", "accessModes"), errors)
    for name, text in (new.status.capacity or {}).items():
        try:
            quantity.parse(text)
        except ValueError as error:
            errors.append(field.invalid(Path("status", "capacity").key(name), text, str(error)))
    return errors
