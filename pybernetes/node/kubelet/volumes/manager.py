"""The volumes of the pods on this node: set up, kept current, taken down. The list of plugins is `_PLUGINS`."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from pybernetes.aio import clock
from pybernetes.api.core_v1 import Pod, Volume
from pybernetes.node.kubelet.volumes import local, mounts, projected
from pybernetes.node.kubelet.volumes.context import Context, VolumeError
from pybernetes.node.kubelet.volumes.images import ImageMounts

log = logging.getLogger(__name__)

Tell = Callable[[str, str, str], None]

#: Attribute of a volume -> what sets it up and returns its path on the node.
_PLUGINS: dict[str, Callable[[Context, Pod, Volume], Awaitable[Path]]] = {
    "empty_dir": local.empty_dir,
    "host_path": local.host_path,
    "persistent_volume_claim": local.claim,
    "ephemeral": local.claim,
}


@dataclass(slots=True)
class Mounted:
    """The volumes of one pod: name -> path on the node, and when the first of them must be renewed (Unix seconds)."""

    paths: dict[str, Path] = field(default_factory=dict)
    renew_at: float = float("inf")


class Volumes:
    """One for the node."""

    def __init__(self, context: Context, images: ImageMounts) -> None:
        self.context = context
        self.images = images
        self._pods: dict[str, Mounted] = {}

    def of(self, uid: str) -> Mounted:
        """What is mounted for a pod."""
        return self._pods.setdefault(uid, Mounted())

    async def set_up(self, pod: Pod, tell: Tell) -> None:
        """Set up all volumes that are not there yet, and bring the content of the others up to date.

        Each that fails is told as an event of its own; raises VolumeError for the first of them in the end.
        """
        mounted = self.of(pod.metadata.uid)
        failures: list[tuple[str, VolumeError]] = []
        renew_at = float("inf")
        for volume in pod.spec.volumes or ():
            try:
                path, renew = await self._one(pod, volume, mounted)
            except VolumeError as error:
                failures.append((volume.name, error))
                text = f'MountVolume.SetUp failed for volume "{volume.name}" : {error}'
                tell("Warning", "FailedMount", text)
            except OSError as error:
                failures.append((volume.name, VolumeError(str(error))))
                tell("Warning", "FailedMount", f'MountVolume.SetUp failed for volume "{volume.name}" : {error}')
            else:
                if path is not None:
                    mounted.paths[volume.name] = path
                renew_at = min(renew_at, renew)
        mounted.renew_at = renew_at
        if failures:
            raise VolumeError(f'MountVolume.SetUp failed for volume "{failures[0][0]}" : {failures[0][1]}')

    async def _one(self, pod: Pod, volume: Volume, mounted: Mounted) -> tuple[Path | None, float]:
        forever = float("inf")
        if projected.plugin_of(volume):
            return await projected.set_up(self.context, pod, volume)
        if volume.image is not None:
            return None, forever  # mounted with the container, whose image is got the same way
        if volume.name in mounted.paths:
            return mounted.paths[volume.name], forever
        for attribute, plugin in _PLUGINS.items():
            if getattr(volume, attribute) is not None:
                return await plugin(self.context, pod, volume), forever
        for attribute in local.UNSUPPORTED:
            if getattr(volume, attribute, None) is not None:
                raise VolumeError(f"volume source {_wire_name(attribute)} is not supported by this kubelet")
        # A volume without source is an emptyDir.
        raise VolumeError("no volume plugin matched")

    async def tear_down(self, uid: str) -> None:
        """Unmount and remove the volumes of a pod. Raises OSError."""
        self._pods.pop(uid, None)
        await self.context.offload(_remove_volumes, self.context.paths.pod(uid), self.context.config.real_mounts)
        await self.images.release(uid)
        self.context.tokens.forget(uid)

    def due(self, uid: str) -> bool:
        """Whether something must be renewed now."""
        return self.of(uid).renew_at <= clock.timestamp()


def _wire_name(attribute: str) -> str:
    return next(f.encode_name for f in msgspec.structs.fields(Volume) if f.name == attribute)


def _remove_volumes(directory: Path, real: bool) -> None:
    for part in ("volume-subpaths", "volumes"):
        folder = directory / part
        if not folder.exists():
            continue
        if real:
            for point in mounts.mounts_below(folder):
                mounts.unmount(point)
        shutil.rmtree(folder, ignore_errors=True)
