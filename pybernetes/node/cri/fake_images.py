"""The fake runtime's images: every name can be pulled, but for those that the configuration says no registry has."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from fnmatch import fnmatchcase

from pybernetes.aio import clock

from . import types as t
from .errors import ImagePullError, Unsupported
from .fake_records import now
from .image_names import normalise

#: Size told for every image, bytes.
IMAGE_SIZE = 1 << 20


class FakeImages:
    """`runtime.Images` in memory. `pull_seconds` is how long a pull takes."""

    def __init__(self, present: Sequence[str], missing: Sequence[str], pull_seconds: float) -> None:
        self._images: dict[str, t.Image] = {}
        self._missing = missing
        self._pull_seconds = pull_seconds
        for image in present:
            self._add_image(image)

    def _check(self) -> None:
        """Raise Unavailable when the runtime is down."""

    async def image_status(self, image: str) -> t.Image | None:
        self._check()
        return self.find(image)

    async def list_images(self) -> list[t.Image]:
        self._check()
        return list({image.id: image for image in self._images.values()}.values())

    async def pull_image(
        self, image: str, auth: t.AuthConfig | None = None, sandbox_config: t.PodSandboxConfig | None = None
    ) -> str:
        self._check()
        if self._pull_seconds:
            await clock.sleep(self._pull_seconds)
        try:
            name = normalise(image)
        except ValueError as error:
            raise ImagePullError(f'failed to parse image reference "{image}": {error}') from None
        if any(fnmatchcase(image, pattern) for pattern in self._missing):
            raise ImagePullError(f'failed to resolve reference "{name}": {name}: not found')
        return self._add_image(image).id

    async def view_image(self, image: str, key: str) -> list[t.SnapshotMount]:
        raise Unsupported("the fake runtime's images have no files")

    async def release_view(self, key: str) -> None:
        raise Unsupported("the fake runtime's images have no files")

    async def remove_image(self, image: str) -> None:
        self._check()
        if found := self.find(image):
            for name in [name for name, other in self._images.items() if other.id == found.id]:
                del self._images[name]

    async def image_fs_info(self) -> t.ImageFsInfo:
        self._check()
        usage = t.FilesystemUsage(
            timestamp=now(),
            fs_id=t.FilesystemIdentifier(mountpoint="/fake"),
            used_bytes=IMAGE_SIZE * len(self._images),
            inodes_used=len(self._images),
        )
        return t.ImageFsInfo(image_filesystems=[usage])

    def _add_image(self, image: str) -> t.Image:
        name = normalise(image)
        digest = hashlib.sha256(name.encode()).hexdigest()
        if name not in self._images:
            self._images[name] = t.Image(
                id=f"sha256:{digest}",
                repo_tags=[name] if "@" not in name else [],
                repo_digests=[f"{name.partition('@')[0].rpartition(':')[0] or name}@sha256:{digest}"],
                size=IMAGE_SIZE,
            )
        return self._images[name]

    def find(self, image: str) -> t.Image | None:
        if image.startswith("sha256:"):
            return next((found for found in self._images.values() if found.id == image), None)
        try:
            return self._images.get(normalise(image))
        except ValueError:
            return None
