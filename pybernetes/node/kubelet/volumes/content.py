"""What is in configMap, secret, downwardAPI and projected volumes: sources to files. Pure but for the objects given.

Each function returns `{path: File}` or raises VolumeError in the words users know from events.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping, Sequence

from pybernetes.api.core_v1 import ConfigMap, DownwardAPIVolumeFile, KeyToPath, Pod, Secret
from pybernetes.node.kubelet.fields import field_value, resource_value
from pybernetes.node.kubelet.restarts import find_container
from pybernetes.node.kubelet.volumes.atomic import File
from pybernetes.node.kubelet.volumes.context import VolumeError

DEFAULT_MODE = 0o644

Files = dict[str, File]


def of_config_map(
    found: ConfigMap | None, name: str, items: Sequence[KeyToPath] | None, mode: int, optional: bool
) -> Files:
    """The files of a ConfigMap, text and binary."""
    if found is None:
        if optional:
            return {}
        raise VolumeError(f'configmap "{name}" not found')
    data = {key: value.encode("utf-8", "surrogateescape") for key, value in (found.data or {}).items()}
    data.update((key, b64decode(value)) for key, value in (found.binary_data or {}).items())
    return _select(data, items, mode, optional, "configmap references non-existent config key: ")


def of_secret(found: Secret | None, name: str, items: Sequence[KeyToPath] | None, mode: int, optional: bool) -> Files:
    """The files of a Secret."""
    if found is None:
        if optional:
            return {}
        raise VolumeError(f'secret "{name}" not found')
    data = {key: b64decode(value) for key, value in (found.data or {}).items()}
    return _select(data, items, mode, optional, "references non-existent secret key: ")


def _select(
    data: Mapping[str, bytes], items: Sequence[KeyToPath] | None, mode: int, optional: bool, complaint: str
) -> Files:
    if not items:
        return {key: File(value, mode) for key, value in data.items()}
    files: Files = {}
    for item in items:
        if item.key not in data:
            if optional:
                continue
            raise VolumeError(f"{complaint}{item.key}")
        files[item.path] = File(data[item.key], mode if item.mode is None else item.mode)
    return files


def of_downward_api(
    pod: Pod, items: Sequence[DownwardAPIVolumeFile] | None, mode: int, allocatable: Mapping[str, str]
) -> Files:
    """Fields and resources of the pod itself."""
    files: Files = {}
    for item in items or ():
        try:
            if item.field_ref is not None:
                text = field_value(pod, item.field_ref.field_path)
            elif item.resource_field_ref is not None:
                reference = item.resource_field_ref
                container = find_container(pod, reference.container_name or "")
                if container is None:
                    raise ValueError(f"container {reference.container_name} not found")
                text = resource_value(container, reference.resource, reference.divisor, allocatable)
            else:
                continue
        except ValueError as error:
            raise VolumeError(str(error)) from None
        files[item.path] = File(text.encode(), mode if item.mode is None else item.mode)
    return files


def shared_with_group(files: Files, gid: int) -> Files:
    """With an fsGroup its members and the owner may read every file, whatever its mode says."""
    if gid < 0:
        return files
    return {path: file._replace(mode=file.mode | 0o440) for path, file in files.items()}
