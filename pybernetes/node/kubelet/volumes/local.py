"""Volumes of this node: emptyDir and hostPath, and persistent volumes made of a local path."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from pybernetes.api.core_v1 import HostPathVolumeSource, PersistentVolume, PersistentVolumeClaim, Pod, Volume
from pybernetes.machinery import quantity
from pybernetes.machinery.errors import StatusError
from pybernetes.node.kubelet import qos
from pybernetes.node.kubelet.volumes import mounts, ownership
from pybernetes.node.kubelet.volumes.context import Context, VolumeError, fs_group, root_mode


async def empty_dir(context: Context, pod: Pod, volume: Volume) -> Path:
    """A directory of the pod, on disk or (medium Memory) in a tmpfs of at most `sizeLimit` bytes."""
    source = volume.empty_dir
    assert source is not None
    path = context.paths.volume(pod.metadata.uid, "empty-dir", volume.name)
    medium = source.medium or ""
    if medium not in ("", "Memory"):
        raise VolumeError(f"emptyDir medium {medium!r} is not supported by this kubelet")
    size = _tmpfs_size(context, pod, source.size_limit) if medium == "Memory" else 0
    await context.offload(_make_empty_dir, path, medium == "Memory" and context.config.real_mounts, size, fs_group(pod))
    return path


def _tmpfs_size(context: Context, pod: Pod, limit: str | None) -> int:
    """The smallest of sizeLimit, the pod's memory limit and the node's memory; bytes."""
    sizes = [quantity.value(context.allocatable().get("memory", "0"))]
    if limit is not None and quantity.value(limit) > 0:
        sizes.append(quantity.value(limit))
    if all("memory" in qos.limits(c) for c in pod.spec.containers):
        sizes.append(qos.pod_total(pod, "memory", limit=True).value)
    return min((s for s in sizes if s > 0), default=0)


def _make_empty_dir(path: Path, tmpfs: bool, size: int, gid: int) -> None:
    known = path.is_dir()
    path.mkdir(parents=True, exist_ok=True)
    if tmpfs and not os.path.ismount(path):
        mounts.mount("tmpfs", path, "tmpfs", 0, f"size={size}" if size else "")
    elif known:
        return  # in use already: its owner and mode are the pod's affair
    if gid >= 0:
        os.chown(path, -1, gid)
    os.chmod(path, root_mode(gid, tmpfs=tmpfs))


_CHECKS = {
    "Directory": (stat.S_ISDIR, "is not a directory"),
    "File": (stat.S_ISREG, "is not a file"),
    "Socket": (stat.S_ISSOCK, "is not a socket"),
    "CharDevice": (stat.S_ISCHR, "is not a character device"),
    "BlockDevice": (stat.S_ISBLK, "is not a block device"),
}


async def host_path(context: Context, pod: Pod, volume: Volume) -> Path:
    """A path of the node, checked or created by type."""
    assert volume.host_path is not None
    return await _check_host_path(context, volume.host_path)


async def _check_host_path(context: Context, source: HostPathVolumeSource) -> Path:
    path, kind = Path(source.path), source.type or ""
    if ".." in path.parts:
        raise VolumeError(f"hostPath {source.path} must not contain '..'")

    def check() -> None:
        if kind == "DirectoryOrCreate":
            if not path.exists():
                path.mkdir(parents=True)
                path.chmod(0o755)
            check_kind("Directory")
        elif kind == "FileOrCreate":
            if not path.exists():
                path.touch(mode=0o644)
                path.chmod(0o644)
            check_kind("File")
        elif kind:
            check_kind(kind)
        elif not path.exists():
            path.mkdir(parents=True, exist_ok=True)  # as runtimes do for a missing bind source

    def check_kind(name: str) -> None:
        test, complaint = _CHECKS[name]
        if not path.exists() or not test(path.stat().st_mode):
            raise VolumeError(f"hostPath type check failed: {source.path} {complaint}")

    if kind and kind not in _CHECKS and kind not in ("DirectoryOrCreate", "FileOrCreate"):
        raise VolumeError(f"hostPath type {kind!r} is not known")
    try:
        await context.offload(check)
    except OSError as error:
        raise VolumeError(f"hostPath {source.path}: {error}") from None
    return path


async def claim(context: Context, pod: Pod, volume: Volume) -> Path:
    """A persistentVolumeClaim (or the claim of a generic ephemeral volume) bound to a hostPath or local volume."""
    namespace = pod.metadata.namespace
    ephemeral = volume.ephemeral is not None
    if volume.persistent_volume_claim is not None:
        name = volume.persistent_volume_claim.claim_name
    else:
        name = f"{pod.metadata.name}-{volume.name}"
    try:
        found = await context.client.resource(PersistentVolumeClaim).get(name, namespace)
        if found.metadata.deletion_timestamp:
            raise VolumeError(f'PVC "{namespace}/{name}" is being deleted')
        owners = found.metadata.owner_references or ()
        if ephemeral and not any(o.uid == pod.metadata.uid for o in owners):
            raise VolumeError(f"PVC {namespace}/{name} was not created for pod {namespace}/{pod.metadata.name}")
        if found.status.phase != "Bound" or not found.spec.volume_name:
            raise VolumeError(f'PVC "{namespace}/{name}" is not bound')
        bound = await context.client.resource(PersistentVolume).get(found.spec.volume_name)
    except StatusError as error:
        raise VolumeError(f'error processing PVC "{namespace}/{name}": {error}') from None
    if bound.spec.claim_ref is None or bound.spec.claim_ref.uid != found.metadata.uid:
        raise VolumeError(f'PV "{bound.metadata.name}" is not bound to PVC "{namespace}/{name}"')
    if bound.spec.host_path is not None:
        return await _check_host_path(context, bound.spec.host_path)
    if bound.spec.local is not None:
        path = Path(bound.spec.local.path)
        if not os.path.exists(path):  # noqa: ASYNC240 - one stat
            raise VolumeError(f'path "{path}" does not exist')
        await context.offload(ownership.give, path, pod)
        return path
    source = next((f for f in bound.spec.__struct_fields__ if f in UNSUPPORTED and getattr(bound.spec, f)), "unknown")
    raise VolumeError(f'PV "{bound.metadata.name}": volume source {source} is not supported by this kubelet')


#: Volume sources that are refused by name, as attributes of a volume or of a persistent volume's spec.
UNSUPPORTED = (
    "aws_elastic_block_store", "azure_disk", "azure_file", "cephfs", "cinder", "csi", "fc", "flex_volume", "flocker",
    "gce_persistent_disk", "git_repo", "glusterfs", "iscsi", "nfs", "photon_persistent_disk", "portworx_volume",
    "quobyte", "rbd", "scale_io", "storageos", "vsphere_volume",
)  # fmt: skip
