"""Image volumes: the root file system of an image, mounted read-only once for all pods that use it.

`image-volumes/ID/root` in the kubelet's directory is the mount, and a file `image-volumes/ID/pods/UID` says that a
pod uses it: all that there is to know is on disk, so that a restarted kubelet goes on where the old one was. A reboot
takes the mount away and leaves the files; the next pod that needs it mounts it again.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from pybernetes.node.cri import ContainerRuntime, CRIError
from pybernetes.node.cri import types as t
from pybernetes.node.kubelet.volumes import mounts

log = logging.getLogger(__name__)

#: The kernel takes one page of mount options.
_PAGE = 4096
_LOWER = "lowerdir="


class ImageMounts:
    """One for the node. `offload` runs a blocking function in a thread."""

    def __init__(self, directory: Path, runtime: ContainerRuntime, offload: Callable[..., Awaitable[object]]) -> None:
        self._directory = directory
        self._runtime = runtime
        self._offload = offload
        self._locks: dict[str, asyncio.Lock] = {}  # mounting and unmounting of one image must not overlap

    async def mount(self, uid: str, image: t.Image) -> Path:
        """The image's root directory, which stays until `release(uid)`. Raises CRIError, OSError."""
        home = self._directory / image.id.rpartition(":")[2]
        async with self._lock(home):
            await self._offload(_mark, home, uid)
            if not await self._offload(mounts.is_mounted, home / "root"):
                found = await self._runtime.view_image(image.id, _key(home.name))
                await self._offload(_mount, found, home / "root")
        return home / "root"

    async def release(self, uid: str) -> None:
        """The pod is gone. Raises OSError."""
        await self._sweep(lambda known: known == uid)

    async def keep(self, uids: Collection[str]) -> None:
        """Release for all pods but these. Raises OSError."""
        await self._sweep(lambda known: known not in uids)

    def in_use(self) -> set[str]:
        """Ids of the images that pods have mounted."""
        return {f"sha256:{home.name}" for home in self._homes()}

    def _lock(self, home: Path) -> asyncio.Lock:
        return self._locks.setdefault(home.name, asyncio.Lock())

    def _homes(self) -> list[Path]:
        return list(self._directory.iterdir()) if self._directory.is_dir() else []

    async def _sweep(self, gone: Callable[[str], bool]) -> None:
        for home in self._homes():
            if not _concerns(home, gone):
                continue
            async with self._lock(home):
                if not await self._offload(_unmark, home, gone):
                    continue
                mounts.unmount(home / "root")
                try:
                    await self._runtime.release_view(_key(home.name))
                except CRIError as error:
                    log.warning("the view of image %s stays: %s", home.name, error)
                await self._offload(shutil.rmtree, home, True)


def _key(id: str) -> str:
    return f"pybernetes-volume-{id}"


def _mark(home: Path, uid: str) -> None:
    (home / "root").mkdir(parents=True, exist_ok=True)
    (home / "pods").mkdir(exist_ok=True)
    (home / "pods" / uid).touch()


def _pods(home: Path) -> list[str]:
    return os.listdir(home / "pods") if (home / "pods").is_dir() else []


def _concerns(home: Path, gone: Callable[[str], bool]) -> bool:
    """Whether a pod that is gone has used the image: only then is it worth to wait for those who are mounting it."""
    pods = _pods(home)
    return not pods or any(map(gone, pods))


def _unmark(home: Path, gone: Callable[[str], bool]) -> bool:
    """Forget the pods that are gone; whether no other is left."""
    known = _pods(home)
    left = [uid for uid in known if not gone(uid)]
    for uid in set(known).difference(left):
        (home / "pods" / uid).unlink()
    return not left


def _mount(found: list[t.SnapshotMount], target: Path) -> None:
    """Mount what the runtime names, read-only whatever it says, and without set-user-id programs or devices."""
    safe = mounts.MS_RDONLY | mounts.MS_NOSUID | mounts.MS_NODEV
    for one in found:
        if one.type == "bind" or {"bind", "rbind"} & set(one.options):
            mounts.mount(one.source, target, flags=mounts.MS_BIND | mounts.MS_REC)
            mounts.mount("none", target, flags=mounts.MS_REMOUNT | mounts.MS_BIND | safe)
            continue
        with _fitting([option for option in one.options if option not in ("ro", "rw")]) as options:
            mounts.mount(one.source, target, one.type, safe, options)


@contextmanager
def _fitting(options: list[str]) -> Iterator[str]:
    """Mount options as one text. Directories of very many layers would not fit: they are then named by descriptors."""
    opened: list[int] = []

    def short(directory: str) -> str:
        opened.append(os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
        return f"/proc/self/fd/{opened[-1]}"

    try:
        if len(",".join(options)) >= _PAGE:
            options = [
                _LOWER + ":".join(map(short, option.removeprefix(_LOWER).split(":")))
                if option.startswith(_LOWER)
                else option
                for option in options
            ]
        yield ",".join(options)
    finally:
        for descriptor in opened:
            os.close(descriptor)
