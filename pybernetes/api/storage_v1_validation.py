"""Validation of StorageClasses, VolumeAttachments, CSI objects and VolumeAttributesClasses."""

from __future__ import annotations

from pybernetes.api import meta_validation as meta
from pybernetes.api.core_v1.storage_validation import volume_spec
from pybernetes.api.core_v1.volume_validation import csi_driver_name
from pybernetes.api.storage_v1 import (
    CSIDriver,
    CSINode,
    CSIStorageCapacity,
    StorageClass,
    VolumeAttachment,
    VolumeAttributesClass,
)
from pybernetes.machinery import field, names, quantity
from pybernetes.machinery.field import FieldError, Path

SPEC = Path("spec")
MAX_PARAMETERS, MAX_PARAMETERS_SIZE = 512, 256 * 1024


def _parameters(given: dict[str, str] | None, path: Path, errors: list[FieldError]) -> None:
    listed = given or {}
    if len(listed) > MAX_PARAMETERS:
        errors.append(field.too_long(path, "Provisioner Parameters exceeded max allowed", MAX_PARAMETERS))
    size = 0
    for key, value in listed.items():
        if not key:
            errors.append(field.invalid(path, key, "field can not be empty."))
        size += len(key) + len(value)
    if size > MAX_PARAMETERS_SIZE:
        errors.append(field.too_long(path, "", MAX_PARAMETERS_SIZE))


def validate_storage_class(storage_class: StorageClass) -> list[FieldError]:
    errors = meta.object_meta(storage_class.metadata, False)
    if not storage_class.provisioner:
        errors.append(field.required("provisioner", storage_class.provisioner))
    else:
        for text in names.qualified_name(storage_class.provisioner.lower()):
            errors.append(field.invalid("provisioner", storage_class.provisioner, text))
    _parameters(storage_class.parameters, Path("parameters"), errors)
    if storage_class.reclaim_policy not in ("Delete", "Retain"):
        errors.append(field.not_supported("reclaimPolicy", storage_class.reclaim_policy or "", ("Delete", "Retain")))
    mode = storage_class.volume_binding_mode
    if mode is None:
        errors.append(field.required("volumeBindingMode"))
    elif mode not in ("Immediate", "WaitForFirstConsumer"):
        errors.append(field.not_supported("volumeBindingMode", mode, ("Immediate", "WaitForFirstConsumer")))
    for i, term in enumerate(storage_class.allowed_topologies or ()):
        at = Path("allowedTopologies").index(i)
        if not term.match_label_expressions:
            errors.append(field.required(at))
        seen: set[str] = set()
        for j, requirement in enumerate(term.match_label_expressions or ()):
            where = at.child("matchLabelExpressions").index(j)
            for text in names.qualified_name(requirement.key):
                errors.append(field.invalid(where.child("key"), requirement.key, text))
            if requirement.key in seen:
                errors.append(field.duplicate(where.child("key"), requirement.key))
            seen.add(requirement.key)
            if not requirement.values:
                errors.append(field.required(where.child("values")))
    return errors


def validate_storage_class_update(new: StorageClass, old: StorageClass) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata)
    if (new.parameters or {}) != (old.parameters or {}):
        errors.append(field.forbidden("parameters", "updates to parameters are forbidden."))
    if new.provisioner != old.provisioner:
        errors.append(field.forbidden("provisioner", "updates to provisioner are forbidden."))
    if new.reclaim_policy != old.reclaim_policy:
        errors.append(field.forbidden("reclaimPolicy", "updates to reclaimPolicy are forbidden."))
    meta.immutable(new.volume_binding_mode, old.volume_binding_mode, Path("volumeBindingMode"), errors)
    return errors


def validate_volume_attachment(attachment: VolumeAttachment) -> list[FieldError]:
    errors = meta.object_meta(attachment.metadata, False)
    spec = attachment.spec
    csi_driver_name(spec.attacher, SPEC.child("attacher"), errors)
    source = spec.source
    at = SPEC.child("source")
    if source.inline_volume_spec is None and not source.persistent_volume_name:
        if source.persistent_volume_name is None:
            errors.append(field.required(at, "must specify exactly one of inlineVolumeSpec and persistentVolumeName"))
        else:
            errors.append(
                field.required(at.child("persistentVolumeName"), "must specify non empty persistentVolumeName")
            )
    elif source.inline_volume_spec is not None and source.persistent_volume_name:
        text = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
        errors.append(field.forbidden(at, text))
    elif source.inline_volume_spec is not None:
        volume_spec(source.inline_volume_spec, at.child("inlineVolumeSpec"), errors, inline=True)
    if not spec.node_name:
        errors.append(field.required(SPEC.child("nodeName")))
    else:
        for text in names.dns1123_subdomain(spec.node_name):
            errors.append(field.invalid(SPEC.child("nodeName"), spec.node_name, text))
    return errors


def validate_volume_attachment_update(new: VolumeAttachment, old: VolumeAttachment) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata)
    meta.immutable(new.spec, old.spec, SPEC, errors)
    return errors


def validate_csi_driver(driver: CSIDriver) -> list[FieldError]:
    errors = meta.object_meta(driver.metadata, False, lambda name: [])
    csi_driver_name(driver.metadata.name, Path("metadata").child("name"), errors)
    spec = driver.spec
    for name, value in (
        ("attachRequired", spec.attach_required),
        ("podInfoOnMount", spec.pod_info_on_mount),
        ("storageCapacity", spec.storage_capacity),
    ):
        if value is None:
            errors.append(field.required(SPEC.child(name)))
    policies = ("File", "None", "ReadWriteOnceWithFSType")
    if spec.fs_group_policy not in policies:
        errors.append(field.not_supported(SPEC.child("fsGroupPolicy"), spec.fs_group_policy or "", policies))
    for mode in spec.volume_lifecycle_modes or ():
        if mode not in ("Ephemeral", "Persistent"):
            errors.append(field.not_supported(SPEC.child("volumeLifecycleModes"), mode, ("Ephemeral", "Persistent")))
    seen: set[str] = set()
    for i, token in enumerate(spec.token_requests or ()):
        at = SPEC.child("tokenRequests").index(i)
        if token.audience in seen:
            errors.append(field.duplicate(at.child("audience"), token.audience))
        seen.add(token.audience)
        if token.expiration_seconds is not None and token.expiration_seconds < 600:
            text = "may not specify a duration less than 10 minutes"
            errors.append(field.invalid(at.child("expirationSeconds"), token.expiration_seconds, text))
    return errors


def validate_csi_driver_update(new: CSIDriver, old: CSIDriver) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata)
    meta.immutable(new.spec.attach_required, old.spec.attach_required, SPEC.child("attachedRequired"), errors)
    modes = (new.spec.volume_lifecycle_modes, old.spec.volume_lifecycle_modes)
    meta.immutable(*modes, SPEC.child("volumeLifecycleModes"), errors)
    return errors


def validate_csi_node(node: CSINode) -> list[FieldError]:
    errors = meta.object_meta(node.metadata, False)
    _drivers(node, errors)
    return errors


def _drivers(node: CSINode, errors: list[FieldError]) -> None:
    seen: set[str] = set()
    for i, driver in enumerate(node.spec.drivers):
        at = SPEC.child("drivers").index(i)
        csi_driver_name(driver.name, at.child("name"), errors)
        if not driver.node_id:
            errors.append(field.required(at.child("nodeID"), driver.node_id))
        elif len(driver.node_id) > 256:
            text = "must be 256 characters or less"
            errors.append(field.invalid(at.child("nodeID"), driver.node_id, text))
        if driver.name in seen:
            errors.append(field.duplicate(at.child("name"), driver.name))
        seen.add(driver.name)
        keys: set[str] = set()
        for key in driver.topology_keys or ():
            if key in keys:
                errors.append(field.duplicate(at.child("topologyKeys"), key))
            keys.add(key)
            for text in names.qualified_name(key):
                errors.append(field.invalid(at.child("topologyKeys"), key, text))
        if driver.allocatable is not None:
            meta.non_negative(driver.allocatable.count, at.child("allocatable", "count"), errors)


def validate_csi_node_update(new: CSINode, old: CSINode) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata)
    _drivers(new, errors)
    before = {driver.name: driver for driver in old.spec.drivers}
    for i, driver in enumerate(new.spec.drivers):
        was = before.get(driver.name)
        if was is not None and (was.node_id, was.topology_keys) != (driver.node_id, driver.topology_keys):
            errors.append(field.invalid(SPEC.child("drivers").index(i), driver, meta.IMMUTABLE))
    return errors


def validate_csi_storage_capacity(capacity: CSIStorageCapacity) -> list[FieldError]:
    errors = meta.object_meta(capacity.metadata, True)
    meta.label_selector(capacity.node_topology, Path("nodeTopology"), errors)
    if not capacity.storage_class_name:
        errors.append(field.required("storageClassName"))
    for name, value in (("capacity", capacity.capacity), ("maximumVolumeSize", capacity.maximum_volume_size)):
        if value is not None:
            try:
                if quantity.parse(value).nano < 0:
                    errors.append(field.invalid(name, value, meta.NOT_NEGATIVE))
            except ValueError as error:
                errors.append(field.invalid(name, value, str(error)))
    return errors


def validate_csi_storage_capacity_update(new: CSIStorageCapacity, old: CSIStorageCapacity) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata)
    meta.immutable(new.node_topology, old.node_topology, Path("nodeTopology"), errors)
    meta.immutable(new.storage_class_name, old.storage_class_name, Path("storageClassName"), errors)
    return errors


def validate_volume_attributes_class(attributes: VolumeAttributesClass) -> list[FieldError]:
    errors = meta.object_meta(attributes.metadata, False)
    csi_driver_name(attributes.driver_name, Path("driverName"), errors)
    if not attributes.parameters:
        errors.append(field.required("parameters", "must contain at least one key/value pair"))
    _parameters(attributes.parameters, Path("parameters"), errors)
    return errors


def validate_volume_attributes_class_update(new: VolumeAttributesClass, old: VolumeAttributesClass) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata)
    if new.driver_name != old.driver_name:
        errors.append(field.forbidden("driverName", "updates to driverName are forbidden."))
    if new.parameters != old.parameters:
        errors.append(field.forbidden("parameters", "updates to parameters are forbidden."))
    return errors
