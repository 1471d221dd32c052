"""Validation of a container's environment, and of references to fields of the Pod and to resources."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from pybernetes.api.core_v1.container import EnvFromSource, EnvVar, EnvVarSource
from pybernetes.api.core_v1.container_context import Context
from pybernetes.api.core_v1.mount_validation import local_path
from pybernetes.api.core_v1.references import ObjectFieldSelector, ResourceFieldSelector
from pybernetes.machinery import field, names
from pybernetes.machinery.field import FieldError, Path

ENV_FIELDS = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
VOLUME_FIELDS = ("metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid")
RESOURCE_FIELDS = (
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
)
MEMORY_DIVISORS = ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei")
_SUBSCRIPT = re.compile(r"^(.*)\['(.*)'\]$")


def env(listed: Iterable[EnvVar], context: Context, path: Path, errors: list[FieldError]) -> None:
    for i, variable in enumerate(listed):
        if not variable.name:
            errors.append(field.required(path.index(i).child("name")))
        else:
            for text in names.env_var_name(variable.name):
                errors.append(field.invalid(path.index(i).child("name"), variable.name, text))
        if variable.value_from is not None:
            at = path.index(i).child("valueFrom")
            if variable.value:
                errors.append(field.invalid(at, "", "may not be specified when `value` is not empty"))
            else:
                _env_source(variable.value_from, context, at, errors)


def _env_source(source: EnvVarSource, context: Context, path: Path, errors: list[FieldError]) -> None:
    count = 0
    if source.field_ref is not None:
        count += 1
        field_ref(source.field_ref, ENV_FIELDS, path.child("fieldRef"), errors)
    if source.resource_field_ref is not None:
        count += 1
        resource_field(source.resource_field_ref, False, path.child("resourceFieldRef"), errors)
    for name, selector in (("configMapKeyRef", source.config_map_key_ref), ("secretKeyRef", source.secret_key_ref)):
        if selector is not None:
            count += 1
            at = path.child(name)
            if not selector.name:
                errors.append(field.required(at.child("name")))
            if not selector.key:
                errors.append(field.required(at.child("key")))
            else:
                for text in names.config_map_key(selector.key):
                    errors.append(field.invalid(at.child("key"), selector.key, text))
    if (file := source.file_key_ref) is not None:
        count += 1
        at = path.child("fileKeyRef")
        if not file.key:
            errors.append(field.required(at.child("key")))
        else:
            for text in names.env_var_name(file.key):
                errors.append(field.invalid(at.child("key"), file.key, text))
        if not file.volume_name:
            errors.append(field.required(at.child("volumeName")))
        elif context.volumes.get(file.volume_name) not in (None, "emptyDir"):
            text = "must be an emptyDir volume"
            errors.append(field.invalid(at.child("volumeName"), file.volume_name, text))
        elif file.volume_name not in context.volumes:
            errors.append(field.not_found(at.child("volumeName"), file.volume_name))
        if not file.path:
            errors.append(field.required(at.child("path")))
        else:
            local_path(file.path, at.child("path"), errors)
    if count == 0:
        text = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        errors.append(field.invalid(path, "", text))
    elif count > 1:
        errors.append(field.invalid(path, "", "may not have more than one field specified at a time"))


def field_ref(ref: ObjectFieldSelector, supported: Sequence[str], path: Path, errors: list[FieldError]) -> None:
    if not ref.api_version:
        errors.append(field.required(path.child("apiVersion")))
        return
    if not ref.field_path:
        errors.append(field.required(path.child("fieldPath")))
        return
    at = path.child("fieldPath")
    if match := _SUBSCRIPT.match(ref.field_path):
        prefix, key = match[1], match[2]
        if prefix == "metadata.annotations":
            for text in names.qualified_name(key.lower()):
                errors.append(field.invalid(path, key, text))
        elif prefix == "metadata.labels":
            for text in names.qualified_name(key):
                errors.append(field.invalid(path, key, text))
        else:
            errors.append(field.invalid(path, prefix, "does not support subscript"))
        return
    known = {
        *ENV_FIELDS,
        *VOLUME_FIELDS,
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.hostNetwork",
        "status.phase",
    }
    if ref.api_version != "v1":
        text = f"error converting fieldPath: unsupported pod version: {ref.api_version}"
        errors.append(field.invalid(at, ref.field_path, text))
    elif ref.field_path not in known:
        text = f"error converting fieldPath: field label not supported: {ref.field_path}"
        errors.append(field.invalid(at, ref.field_path, text))
    elif ref.field_path not in supported:
        errors.append(field.not_supported(at, ref.field_path, sorted(supported)))


def resource_field(ref: ResourceFieldSelector, in_volume: bool, path: Path, errors: list[FieldError]) -> None:
    if in_volume and not ref.container_name:
        errors.append(field.required(path.child("containerName")))
        return
    if not ref.resource:
        errors.append(field.required(path.child("resource")))
        return
    if ref.resource not in RESOURCE_FIELDS and not ref.resource.startswith(
        ("requests.hugepages-", "limits.hugepages-")
    ):
        errors.append(field.not_supported(path.child("resource"), ref.resource, RESOURCE_FIELDS))
        return
    divisor = ref.divisor or "0"
    if divisor == "0":
        return
    name = ref.resource.partition(".")[2]
    if name == "cpu":
        if divisor not in ("1m", "1"):
            text = "only divisor's values 1m and 1 are supported with the cpu resource"
            errors.append(field.invalid(path.child("divisor"), ref.resource, text))
    elif divisor not in MEMORY_DIVISORS:
        what = "memory" if name == "memory" else "local ephemeral storage" if name[0] == "e" else "hugepages"
        listed = ", ".join(MEMORY_DIVISORS)
        text = f"only divisor's values {listed} are supported with the {what} resource"
        errors.append(field.invalid(path.child("divisor"), ref.resource, text))


def env_from(listed: Iterable[EnvFromSource], path: Path, errors: list[FieldError]) -> None:
    for i, source in enumerate(listed):
        at = path.index(i)
        if source.prefix:
            for text in names.env_var_name(source.prefix):
                errors.append(field.invalid(at.child("prefix"), source.prefix, text))
        count = 0
        for name, ref in (("configMapRef", source.config_map_ref), ("secretRef", source.secret_ref)):
            if ref is not None:
                count += 1
                if not ref.name:
                    errors.append(field.required(at.child(name, "name")))
        if count == 0:
            errors.append(field.invalid(path, "", "must specify one of: `configMapRef` or `secretRef`"))
        elif count > 1:
            errors.append(field.invalid(path, "", "may not have more than one field specified at a time"))
