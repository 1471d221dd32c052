"""Validation of volumes: exactly one source each, and what that source needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from pybernetes.api import meta_validation as meta
from pybernetes.api.core_v1 import legacy_volume_validation as legacy
from pybernetes.api.core_v1.env_validation import VOLUME_FIELDS, field_ref, resource_field
from pybernetes.api.core_v1.mount_validation import local_path, no_backsteps
from pybernetes.api.core_v1.volume import DownwardAPIVolumeFile, KeyToPath, ProjectedVolumeSource, Volume
from pybernetes.machinery import field, names, quantity
from pybernetes.machinery.field import FieldError, Path

__all__ = ["volumes"]

MODE_TEXT = "must be a number between 0 and 0777 (octal), both inclusive"
HOST_PATH_TYPES = (
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
)

#: attribute -> wire name of every source
SOURCES: dict[str, str] = dict(
    zip(
        [f for f in Volume.__struct_fields__ if f != "name"],
        [w for f, w in zip(Volume.__struct_fields__, Volume.__struct_encode_fields__, strict=True) if f != "name"],
        strict=True,
    )
)


def volumes(listed: Sequence[Volume], path: Path, errors: list[FieldError]) -> dict[str, str]:
    """Append what is wrong; returns name -> wire name of the source."""
    found: dict[str, str] = {}
    for i, volume in enumerate(listed):
        at = path.index(i)
        source = _source(volume, at, errors)
        if not volume.name:
            errors.append(field.required(at.child("name")))
        else:
            for text in names.dns1123_label(volume.name):
                errors.append(field.invalid(at.child("name"), volume.name, text))
            if volume.name in found:
                errors.append(field.duplicate(at.child("name"), volume.name))
        found[volume.name] = source
    return found


def _source(volume: Volume, path: Path, errors: list[FieldError]) -> str:
    found = ""
    for attribute, wire in SOURCES.items():
        source = getattr(volume, attribute)
        if source is None:
            continue
        if found:
            errors.append(field.forbidden(path.child(wire), "may not specify more than 1 volume type"))
            continue
        found = wire
        check = _CHECKS.get(attribute)
        if check is not None:
            check(source, path.child(wire), errors)
        for name in _REQUIRED.get(attribute, ()):
            if not getattr(source, name):
                errors.append(field.required(path.child(wire, _wire(source, name))))
    if not found:
        errors.append(field.required(path, "must specify a volume type"))
    return found


def _wire(source: Any, attribute: str) -> str:
    return str(source.__struct_encode_fields__[source.__struct_fields__.index(attribute)])


def mode(value: int | None, path: Path, errors: list[FieldError]) -> None:
    if value is not None and not 0 <= value <= 0o777:
        errors.append(field.invalid(path, value, MODE_TEXT))


def _items(listed: Iterable[KeyToPath] | None, path: Path, errors: list[FieldError]) -> None:
    for i, item in enumerate(listed or ()):
        at = path.child("items").index(i)
        if not item.key:
            errors.append(field.required(at.child("key")))
        if not item.path:
            errors.append(field.required(at.child("path")))
        else:
            _file_path(item.path, at.child("path"), errors)
        mode(item.mode, at.child("mode"), errors)


def _file_path(value: str, path: Path, errors: list[FieldError]) -> None:
    local_path(value, path, errors)
    if value.startswith("..") and not value.startswith("../"):
        errors.append(field.invalid(path, value, "must not start with '..'"))


def _downward(listed: Iterable[DownwardAPIVolumeFile] | None, path: Path, errors: list[FieldError]) -> None:
    for i, item in enumerate(listed or ()):
        at = path.child("items").index(i)
        if not item.path:
            errors.append(field.required(at.child("path")))
        else:
            _file_path(item.path, at.child("path"), errors)
        if item.field_ref is not None:
            field_ref(item.field_ref, VOLUME_FIELDS, at.child("fieldRef"), errors)
            if item.resource_field_ref is not None:
                text = "fieldRef and resourceFieldRef can not be specified simultaneously"
                errors.append(field.invalid(at, "resource", text))
        elif item.resource_field_ref is not None:
            resource_field(item.resource_field_ref, True, at.child("resourceFieldRef"), errors)
        else:
            errors.append(field.required(at, "one of fieldRef and resourceFieldRef is required"))
        mode(item.mode, at.child("mode"), errors)


def _empty_dir(source: Any, path: Path, errors: list[FieldError]) -> None:
    if source.size_limit is not None:
        try:
            negative = quantity.parse(source.size_limit).nano < 0
        except ValueError:
            negative = True
        if negative:
            text = "SizeLimit field must be a valid resource quantity"
            errors.append(field.forbidden(path.child("sizeLimit"), text))


def host_path(source: Any, path: Path, errors: list[FieldError]) -> None:
    if not source.path:
        errors.append(field.required(path.child("path")))
        return
    no_backsteps(source.path, path.child("path"), errors)
    if source.type is not None and source.type not in HOST_PATH_TYPES:
        errors.append(field.not_supported(path.child("type"), source.type, HOST_PATH_TYPES))


def _secret(source: Any, path: Path, errors: list[FieldError]) -> None:
    if not source.secret_name:
        errors.append(field.required(path.child("secretName")))
    mode(source.default_mode, path.child("defaultMode"), errors)
    _items(source.items, path, errors)


def _config_map(source: Any, path: Path, errors: list[FieldError]) -> None:
    if not source.name:
        errors.append(field.required(path.child("name")))
    mode(source.default_mode, path.child("defaultMode"), errors)
    _items(source.items, path, errors)


def _downward_api(source: Any, path: Path, errors: list[FieldError]) -> None:
    mode(source.default_mode, path.child("defaultMode"), errors)
    _downward(source.items, path, errors)


def nfs(source: Any, path: Path, errors: list[FieldError]) -> None:
    if not source.server:
        errors.append(field.required(path.child("server")))
    if not source.path:
        errors.append(field.required(path.child("path")))
    elif not source.path.startswith("/"):
        errors.append(field.invalid(path.child("path"), source.path, "must be an absolute path"))


_good: set[bytes] = set()  # projected volumes without fault: every Pod has the one of its token
_pack = msgspec.msgpack.Encoder().encode


def _projected(source: ProjectedVolumeSource, path: Path, errors: list[FieldError]) -> None:
    packed = _pack(source)
    if packed in _good:
        return
    before = len(errors)
    _check_projected(source, path, errors)
    if len(errors) == before and len(packed) < 2048 and len(_good) < 1024:
        _good.add(packed)


def _check_projected(source: ProjectedVolumeSource, path: Path, errors: list[FieldError]) -> None:
    mode(source.default_mode, path.child("defaultMode"), errors)
    paths: set[str] = set()

    def unique(value: str, at: Path) -> None:
        if value in paths:
            errors.append(field.invalid(at, value, "conflicting duplicate paths"))
        paths.add(value)

    for i, part in enumerate(source.sources or ()):
        at = path.child("sources").index(i)
        count = 0
        for name, keyed in (("secret", part.secret), ("configMap", part.config_map)):
            if keyed is None:
                continue
            count += 1
            if count > 1:
                errors.append(field.forbidden(at.child(name), "may not specify more than 1 volume type"))
                continue
            if not keyed.name:
                errors.append(field.required(at.child(name, "name")))
            _items(keyed.items, at.child(name), errors)
            for item in keyed.items or ():
                unique(item.path, path)
        if part.downward_api is not None:
            count += 1
            _downward(part.downward_api.items, at.child("downwardAPI"), errors)
            for file in part.downward_api.items or ():
                unique(file.path, path)
        if (token := part.service_account_token) is not None:
            count += 1
            where = at.child("serviceAccountToken")
            seconds = token.expiration_seconds
            if seconds is not None and seconds < 600:
                text = "may not specify a duration less than 10 minutes"
                errors.append(field.invalid(where.child("expirationSeconds"), seconds, text))
            elif seconds is not None and seconds > 2**32:
                text = "may not specify a duration larger than 2^32 seconds"
                errors.append(field.invalid(where.child("expirationSeconds"), seconds, text))
            if not token.path:
                errors.append(field.required(where.child("path")))
            else:
                _file_path(token.path, where.child("path"), errors)
                unique(token.path, path)
        if (bundle := part.cluster_trust_bundle) is not None:
            count += 1
            _trust_bundle(bundle, at.child("clusterTrustBundle"), errors)
            unique(bundle.path, path)
        if part.pod_certificate is not None:
            count += 1
            _pod_certificate(part.pod_certificate, at.child("podCertificate"), errors)
        if count == 0:
            errors.append(field.required(at, "must specify a volume type"))


def _trust_bundle(bundle: Any, path: Path, errors: list[FieldError]) -> None:
    if bundle.name is not None and bundle.signer_name is not None:
        errors.append(field.invalid(path, bundle, "only one of name and signerName may be used"))
    elif bundle.name is None and bundle.signer_name is None:
        errors.append(field.required(path, "either name or signerName must be specified"))
    elif bundle.name is not None:
        if not bundle.name:
            errors.append(field.required(path.child("name"), "must be a valid object name"))
        if bundle.label_selector is not None:
            text = "labelSelector must be unset if name is specified"
            errors.append(field.invalid(path.child("labelSelector"), bundle.label_selector, text))
    else:
        meta.label_selector(bundle.label_selector, path.child("labelSelector"), errors)
    if not bundle.path:
        errors.append(field.required(path.child("path")))
    else:
        _file_path(bundle.path, path.child("path"), errors)


KEY_TYPES = ("RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519")


def _pod_certificate(source: Any, path: Path, errors: list[FieldError]) -> None:
    if not source.signer_name:
        errors.append(field.required(path.child("signerName"), "must be a valid signer name"))
    if source.key_type not in KEY_TYPES:
        errors.append(field.not_supported(path.child("keyType"), source.key_type, KEY_TYPES))
    seconds = source.max_expiration_seconds
    if seconds is not None and not 3600 <= seconds <= 91 * 24 * 3600:
        text = "if provided, maxExpirationSeconds must be between 3600 and 7862400"
        errors.append(field.invalid(path.child("maxExpirationSeconds"), seconds, text))
    if not source.credential_bundle_path and not source.key_path and not source.certificate_chain_path:
        text = "specify at least one of credentialBundlePath, keyPath, and certificateChainPath"
        errors.append(field.required(path, text))


def _csi(source: Any, path: Path, errors: list[FieldError]) -> None:
    csi_driver_name(source.driver, path.child("driver"), errors)
    if source.node_publish_secret_ref is not None and not source.node_publish_secret_ref.name:
        errors.append(field.required(path.child("nodePublishSecretRef", "name")))


def csi_driver_name(name: str, path: Path, errors: list[FieldError]) -> None:
    if not name:
        errors.append(field.required(path))
        return
    if len(name) > 63:
        errors.append(field.too_long(path, name, 63))
    for text in names.dns1123_subdomain(name.lower()):
        errors.append(field.invalid(path, name, text))


def _ephemeral(source: Any, path: Path, errors: list[FieldError]) -> None:
    if source.volume_claim_template is None:
        errors.append(field.required(path.child("volumeClaimTemplate")))
        return
    from pybernetes.api.core_v1.storage_validation import claim_spec

    claim_spec(source.volume_claim_template.spec, path.child("volumeClaimTemplate", "spec"), errors)


def _image(source: Any, path: Path, errors: list[FieldError]) -> None:
    if not source.reference:
        errors.append(field.required(path.child("reference")))
    if source.pull_policy not in ("Always", "IfNotPresent", "Never"):
        supported = ("Always", "IfNotPresent", "Never")
        errors.append(field.not_supported(path.child("pullPolicy"), source.pull_policy or "", supported))


def _git_repo(source: Any, path: Path, errors: list[FieldError]) -> None:
    if source.directory:
        local_path(source.directory, path.child("directory"), errors)


Check = Callable[[Any, Path, list[FieldError]], None]
_CHECKS: dict[str, Check] = {
    "empty_dir": _empty_dir,
    "host_path": host_path,
    "secret": _secret,
    "config_map": _config_map,
    "downward_api": _downward_api,
    "projected": _projected,
    "nfs": nfs,
    "csi": _csi,
    "ephemeral": _ephemeral,
    "image": _image,
    "git_repo": _git_repo,
    **legacy.CHECKS,
}
_REQUIRED: dict[str, tuple[str, ...]] = {
    "persistent_volume_claim": ("claim_name",),
    "iscsi": ("target_portal", "iqn"),
    "rbd": ("monitors", "image"),
    "cephfs": ("monitors",),
    "cinder": ("volume_id",),
    "glusterfs": ("endpoints", "path"),
    "gce_persistent_disk": ("pd_name",),
    "aws_elastic_block_store": ("volume_id",),
    "azure_file": ("secret_name", "share_name"),
    "azure_disk": ("disk_name", "disk_uri"),
    "flex_volume": ("driver",),
    "portworx_volume": ("volume_id",),
    "quobyte": ("registry", "volume"),
    "scale_io": ("gateway", "system", "volume_name"),
    "vsphere_volume": ("volume_path",),
    "photon_persistent_disk": ("pd_id",),
    "git_repo": ("repository",),
}
