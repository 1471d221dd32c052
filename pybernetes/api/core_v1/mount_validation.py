"""Validation of paths, and of what is mounted where in a container."""

from __future__ import annotations

from pybernetes.api.core_v1.container import VolumeMount
from pybernetes.api.core_v1.container_context import AnyContainer, Context
from pybernetes.machinery import field
from pybernetes.machinery.field import FieldError, Path


def local_path(value: str, path: Path, errors: list[FieldError]) -> None:
    """A relative path that does not climb."""
    if value.startswith("/"):
        errors.append(field.invalid(path, value, "must be a relative path"))
    no_backsteps(value, path, errors)


def no_backsteps(value: str, path: Path, errors: list[FieldError]) -> None:
    if ".." in value.replace("\\", "/").split("/"):
        errors.append(field.invalid(path, value, "must not contain '..'"))


def mounts(container: AnyContainer, context: Context, path: Path, errors: list[FieldError]) -> None:
    seen: set[str] = set()
    devices = {device.device_path for device in container.volume_devices or ()}
    for i, mount in enumerate(container.volume_mounts or ()):
        if not mount.name:
            errors.append(field.required(path.index(i).child("name")))
        elif mount.name not in context.volumes:
            errors.append(field.not_found(path.index(i).child("name"), mount.name))
        if not mount.mount_path:
            errors.append(field.required(path.index(i).child("mountPath")))
        if mount.mount_path in seen:
            errors.append(field.invalid(path.index(i).child("mountPath"), mount.mount_path, "must be unique"))
        seen.add(mount.mount_path)
        if mount.mount_path in devices:
            text = "must not already exist as a path in volumeDevices"
            errors.append(field.invalid(path.index(i).child("mountPath"), mount.mount_path, text))
        if mount.sub_path or mount.sub_path_expr:
            _sub_paths(mount, path.index(i), errors)
        if mount.mount_propagation is not None:
            _propagation(container, mount.mount_propagation, path.index(i).child("mountPropagation"), errors)
        if mount.recursive_read_only is not None:
            _recursive(mount, path.index(i).child("recursiveReadOnly"), errors)


def _sub_paths(mount: VolumeMount, path: Path, errors: list[FieldError]) -> None:
    if mount.sub_path:
        local_path(mount.sub_path, path.child("subPath"), errors)
    if mount.sub_path_expr:
        if mount.sub_path:
            text = "subPathExpr and subPath are mutually exclusive"
            errors.append(field.invalid(path.child("subPathExpr"), mount.sub_path_expr, text))
        local_path(mount.sub_path_expr, path.child("subPathExpr"), errors)


def _propagation(container: AnyContainer, value: str, path: Path, errors: list[FieldError]) -> None:
    supported = ("Bidirectional", "HostToContainer", "None")
    if value not in supported:
        errors.append(field.not_supported(path, value, supported))
    elif value == "Bidirectional" and not (container.security_context and container.security_context.privileged):
        text = "Bidirectional mount propagation is available only to privileged containers"
        errors.append(field.forbidden(path, text))


def _recursive(mount: VolumeMount, path: Path, errors: list[FieldError]) -> None:
    value = mount.recursive_read_only
    if value == "Disabled":
        return
    if value not in ("Enabled", "IfPossible"):
        errors.append(field.not_supported(path, value, ("Disabled", "Enabled", "IfPossible")))
        return
    if not mount.read_only:
        errors.append(field.forbidden(path, "may only be specified when readOnly is true"))
    if mount.mount_propagation not in (None, "None"):
        errors.append(field.forbidden(path, "may only be specified when mountPropagation is None or not specified"))


def devices(container: AnyContainer, context: Context, path: Path, errors: list[FieldError]) -> None:
    seen_names: set[str] = set()
    seen_paths: set[str] = set()
    for i, device in enumerate(container.volume_devices or ()):
        at = path.index(i)
        source = context.volumes.get(device.name)
        if not device.name:
            errors.append(field.required(at.child("name")))
        elif device.name in seen_names:
            errors.append(field.invalid(at.child("name"), device.name, "must be unique"))
        elif source is None:
            errors.append(field.not_found(at.child("name"), device.name))
        elif source not in ("persistentVolumeClaim", "ephemeral"):
            text = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
            errors.append(field.invalid(at.child("name"), device.name, text))
        if not device.device_path:
            errors.append(field.required(at.child("devicePath")))
        elif device.device_path in seen_paths:
            errors.append(field.invalid(at.child("devicePath"), device.device_path, "must be unique"))
        elif ".." in device.device_path.split("/"):
            text = "can not contain backsteps ('..')"
            errors.append(field.invalid(at.child("devicePath"), device.device_path, text))
        seen_names.add(device.name)
        seen_paths.add(device.device_path)
