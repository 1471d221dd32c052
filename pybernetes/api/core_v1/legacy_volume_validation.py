"""Validation of volume sources from before CSI. Nothing here mounts them; manifests that have them are still judged as
upstream judges them. The same functions serve Pods and PersistentVolumes."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from pybernetes.machinery import field, names
from pybernetes.machinery.field import FieldError, Path

_BYTE = names.range_text(0, 255)
_IQN_START = "must be valid format starting with iqn, eui, or naa"
_IQN_FORMS = {
    "iqn": re.compile(r"iqn\.\d{4}-\d{2}\.([a-z0-9-_.]+)(:[^,;*&$|\s]+)?"),
    "eui": re.compile(r"eui.[0-9a-fA-F]{16}"),
    "naa": re.compile(r"naa.[0-9a-fA-F]{32}"),
}
_MANAGED = "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"
_BLOB = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"
_RESERVED = (".kubernetes.io", ".k8s.io")


def _byte(value: int | None, path: Path, errors: list[FieldError]) -> None:
    if value is not None and not 0 <= value <= 255:
        errors.append(field.invalid(path, value, _BYTE))


def _iqn(value: str, path: Path, errors: list[FieldError]) -> None:
    form = _IQN_FORMS.get(value[:3])
    if form is None:
        errors.append(field.invalid(path, value, _IQN_START))
    elif form.fullmatch(value) is None:
        errors.append(field.invalid(path, value, "must be valid format"))


def iscsi(source: Any, path: Path, errors: list[FieldError]) -> None:
    if source.iqn:
        _iqn(source.iqn, path.child("iqn"), errors)
    _byte(source.lun, path.child("lun"), errors)
    if (source.chap_auth_discovery or source.chap_auth_session) and source.secret_ref is None:
        errors.append(field.required(path.child("secretRef")))
    if source.initiator_name is not None:
        _iqn(source.initiator_name, path.child("initiatorname"), errors)
    if source.secret_ref is not None and not source.secret_ref.name:
        errors.append(field.required(path.child("secretRef", "name")))


def fibre_channel(source: Any, path: Path, errors: list[FieldError]) -> None:
    at = path.child("targetWWNs")
    if not source.target_wwns and not source.wwids:
        errors.append(field.required(at, "must specify either targetWWNs or wwids, but not both"))
    if source.target_wwns and source.wwids:
        text = "targetWWNs and wwids can not be specified simultaneously"
        errors.append(field.invalid(at, source.target_wwns, text))
    if source.target_wwns and source.lun is None:
        errors.append(field.required(path.child("lun"), "lun is required if targetWWNs is specified"))
    elif source.target_wwns:
        _byte(source.lun, path.child("lun"), errors)


def partition(source: Any, path: Path, errors: list[FieldError]) -> None:
    _byte(source.partition, path.child("partition"), errors)


def flocker(source: Any, path: Path, errors: list[FieldError]) -> None:
    if not source.dataset_name and not source.dataset_uuid:
        errors.append(field.required(path, "one of datasetName and datasetUUID is required"))
    if source.dataset_name and source.dataset_uuid:
        text = "datasetName and datasetUUID can not be specified simultaneously"
        errors.append(field.invalid(path, "resource", text))
    if "/" in (source.dataset_name or ""):
        errors.append(field.invalid(path.child("datasetName"), source.dataset_name, "must not contain '/'"))


def azure_disk(source: Any, path: Path, errors: list[FieldError]) -> None:
    caching, kinds = ("None", "ReadOnly", "ReadWrite"), ("Dedicated", "Managed", "Shared")
    if source.caching_mode is not None and source.caching_mode not in caching:
        errors.append(field.not_supported(path.child("cachingMode"), source.caching_mode, caching))
    if source.kind is not None and source.kind not in kinds:
        errors.append(field.not_supported(path.child("kind"), source.kind, kinds))
    elif source.kind == "Managed" and not source.disk_uri.startswith("/subscriptions/"):
        errors.append(field.not_supported(path.child("diskURI"), source.disk_uri, (_MANAGED,)))
    elif source.kind not in (None, "Managed") and not source.disk_uri.startswith("https://"):
        errors.append(field.not_supported(path.child("diskURI"), source.disk_uri, (_BLOB,)))


def quobyte(source: Any, path: Path, errors: list[FieldError]) -> None:
    if source.tenant is not None and len(source.tenant) >= 65:
        text = "must be a UUID and may not exceed a length of 64 characters"
        errors.append(field.required(path.child("tenant"), text))
    for pair in (source.registry or "").split(",") if source.registry else ():
        if pair.count(":") != 1 or not all(pair.split(":")):
            text = "must be a host:port pair or multiple pairs separated by commas"
            errors.append(field.invalid(path.child("registry"), source.registry, text))
            break


def storage_os(source: Any, path: Path, errors: list[FieldError]) -> None:
    if source.volume_name:
        for text in names.dns1123_label(source.volume_name):
            errors.append(field.invalid(path.child("volumeName"), source.volume_name, text))
    else:
        errors.append(field.required(path.child("volumeName")))
    if source.volume_namespace:
        for text in names.dns1123_label(source.volume_namespace):
            errors.append(field.invalid(path.child("volumeNamespace"), source.volume_namespace, text))
    if source.secret_ref is not None and not source.secret_ref.name:
        errors.append(field.required(path.child("secretRef", "name")))


def flex(source: Any, path: Path, errors: list[FieldError]) -> None:
    for key in source.options or ():
        if f".{key.partition('/')[0].lower()}".endswith(_RESERVED):
            text = "kubernetes.io and k8s.io namespaces are reserved"
            errors.append(field.invalid(path.child("options").key(key), key, text))


#: By attribute, of Volume and of PersistentVolumeSpec.
CHECKS: dict[str, Callable[[Any, Path, list[FieldError]], None]] = {
    "iscsi": iscsi,
    "fc": fibre_channel,
    "gce_persistent_disk": partition,
    "aws_elastic_block_store": partition,
    "flocker": flocker,
    "azure_disk": azure_disk,
    "quobyte": quobyte,
    "storageos": storage_os,
    "flex_volume": flex,
}
