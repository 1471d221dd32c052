"""Which files and directories of the node a container sees, and where: volume mounts, managed files, sub-paths.

A sub-path is opened component by component without following symlinks, so that nothing inside a volume can lead out of
it; what is handed to the runtime is a bind mount of the opened file, made by file descriptor. Without that a container
could swap a directory for a symlink between the check and the mount (CVE-2017-1002101).
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from pybernetes.api.core_v1 import Pod, Volume, VolumeMount
from pybernetes.node.cri import types as t
from pybernetes.node.kubelet.config import Paths
from pybernetes.node.kubelet.environment import ConfigError, expand, names_in
from pybernetes.node.kubelet.restarts import AnyContainer
from pybernetes.node.kubelet.volumes import mounts as kernel

_PROPAGATION = {
    "HostToContainer": t.MountPropagation.HOST_TO_CONTAINER,
    "Bidirectional": t.MountPropagation.BIDIRECTIONAL,
}

log = logging.getLogger(__name__)

#: Volume sources that can never be written to.
_READ_ONLY_SOURCES = ("config_map", "secret", "downward_api", "projected", "image")


class MissingSubPath(Exception):
    """A sub-path that an image does not have, and that cannot be made there."""


def container_mounts(
    pod: Pod, container: AnyContainer, volumes: Mapping[str, Path], env: Mapping[str, str], paths: Paths, count: int,
    hosts_file: Path | None, real: bool, images: Mapping[str, t.ImageSpec],
) -> list[t.Mount]:  # fmt: skip
    """The mounts of one container. Makes sub-paths and the termination message file.

    Raises ConfigError, MissingSubPath, OSError.
    """
    found: list[t.Mount] = []
    sources = {v.name: v for v in pod.spec.volumes or ()}
    for index, mount in enumerate(container.volume_mounts or ()):
        sub = _sub_path(mount, env)
        if (image := images.get(mount.name)) is not None:
            found.append(t.Mount(container_path=mount.mount_path, image=image, image_sub_path=sub, readonly=True))
            continue
        if (root := volumes.get(mount.name)) is None:
            raise ConfigError(f'cannot find volume "{mount.name}" to mount into container "{container.name}"')
        source = sources.get(mount.name)
        host = str(root)
        if sub:
            try:
                host = str(_bind_sub_path(pod, container, source, root, sub, paths, index, real))
            except (ConfigError, OSError) as error:  # what is where on the node is not for the pod's owner
                text = f'failed to prepare subPath for volumeMount "{mount.name}" of container "{container.name}"'
                log.warning("pod %s/%s: %s: %s", pod.metadata.namespace, pod.metadata.name, text, error)
                raise ConfigError(text) from error
        if mount.recursive_read_only == "Enabled":  # the node's status says that its handlers have no such mounts
            raise ConfigError(
                f'volume "{mount.name}" requested recursive read-only mode, but it is not supported by the runtime '
                f'class "{pod.spec.runtime_class_name or ""}"'
            )
        read_only = bool(mount.read_only) or (source is not None and _always_read_only(source))
        found.append(
            t.Mount(
                container_path=_absolute(mount.mount_path),
                host_path=host,
                readonly=read_only,
                propagation=_PROPAGATION.get(mount.mount_propagation or "", t.MountPropagation.PRIVATE),
            )
        )
    targets = {m.container_path.rstrip("/") for m in found}
    if hosts_file is not None and "/etc/hosts" not in targets:
        found.append(t.Mount(container_path="/etc/hosts", host_path=str(hosts_file)))
    message_path = container.termination_message_path or "/dev/termination-log"
    if message_path.rstrip("/") not in targets:
        file = paths.termination_file(pod.metadata.uid, container.name, count)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        file.chmod(0o666)  # the container's user may be anyone
        found.append(t.Mount(container_path=message_path, host_path=str(file)))
    return found


def _absolute(path: str) -> str:
    return path if path.startswith("/") else f"/{path}"


def _always_read_only(volume: Volume) -> bool:
    return any(getattr(volume, name) is not None for name in _READ_ONLY_SOURCES)


def _sub_path(mount: VolumeMount, env: Mapping[str, str]) -> str:
    text = mount.sub_path or ""
    if mount.sub_path_expr:
        if missing := sorted(name for name in names_in(mount.sub_path_expr) if name not in env):
            raise ConfigError(
                f'failed to expand subPath for volumeMount "{mount.name}": missing value for "{missing[0]}"'
            )
        text = expand(mount.sub_path_expr, env)
    if not text:
        return ""
    if text.startswith("/"):
        raise ConfigError(f"error SubPath `{text}` must not be an absolute path")
    if ".." in text.split("/"):
        raise ConfigError(f"unable to provision SubPath `{text}`: must not contain '..'")
    return text


def _bind_sub_path(
    pod: Pod, container: AnyContainer, volume: Volume | None, root: Path, sub: str, paths: Paths, index: int, real: bool
) -> Path:
    """The path to hand to the runtime for a sub-path of a volume."""
    fixed = volume is not None and volume.image is not None
    try:
        descriptor = _open_below(root, sub, create=not fixed)
    except FileNotFoundError:
        raise MissingSubPath(f"subPath {sub!r} does not exist in the image of the volume") from None
    try:
        if not real:
            return Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        is_dir = os.path.isdir(f"/proc/self/fd/{descriptor}")
        name = volume.name if volume else "volume"
        target = paths.subpaths(pod.metadata.uid) / name / container.name / str(index)
        kernel.unmount(target) if target.exists() else None
        target.parent.mkdir(parents=True, exist_ok=True)
        if is_dir:
            target.mkdir(exist_ok=True)
        else:
            target.touch(exist_ok=True)
        kernel.mount(f"/proc/self/fd/{descriptor}", target, flags=kernel.MS_BIND | kernel.MS_REC)
        return target
    finally:
        os.close(descriptor)


def _open_below(root: Path, sub: str, *, create: bool) -> int:
    """A descriptor of `root/sub` reached without leaving `root`. Missing directories are made.

    Symlinks are followed as long as they stay inside the volume: `..data` of atomically written ones is one.
    """
    real_root = Path(os.path.realpath(root))
    wanted = real_root / sub
    resolved = Path(os.path.realpath(wanted))
    if resolved != real_root and real_root not in resolved.parents:
        raise ConfigError(f"{sub!r} leads out of the volume")
    current = os.open(real_root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        mode = os.stat(real_root).st_mode & 0o7777
        for part in resolved.relative_to(real_root).parts:
            try:
                following = os.open(part, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=current)
            except FileNotFoundError:
                if not create:
                    raise
                os.mkdir(part, 0o750, dir_fd=current)
                following = os.open(part, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=current)
                os.chmod(f"/proc/self/fd/{following}", mode)
            os.close(current)
            current = following
            if stat.S_ISLNK(os.fstat(current).st_mode):
                raise ConfigError(f"{sub!r} changed while it was opened")
    except BaseException:
        os.close(current)
        raise
    return current
