"""Image volumes: layers by their names, options that fit a page, and who still uses an image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pybernetes.node.cri import types as t
from pybernetes.node.cri.errors import NotFound
from pybernetes.node.cri.image_views import chain_id
from pybernetes.node.kubelet.volumes.images import ImageMounts, _fitting

A, B = t.Image(id="sha256:aa"), t.Image(id="sha256:bb")


class Views:
    """A runtime that has images to see, and nothing to mount for them."""

    def __init__(self) -> None:
        self.keys: set[str] = set()

    async def view_image(self, image: str, key: str) -> list[t.SnapshotMount]:
        if image == "sha256:none":
            raise NotFound(image)
        self.keys.add(key)
        return []

    async def release_view(self, key: str) -> None:
        self.keys.discard(key)


async def directly(function: Any, *args: Any) -> Any:
    return function(*args)


async def test_an_image_is_let_go_with_its_last_pod(tmp_path: Path) -> None:
    runtime: Any = Views()
    images = ImageMounts(tmp_path / "images", runtime, directly)
    assert images.in_use() == set()
    await images.release("nobody")
    for uid, image in (("1", A), ("2", A), ("2", B)):
        assert (await images.mount(uid, image)).is_dir()
    assert images.in_use() == {A.id, B.id}
    await images.release("2")
    assert images.in_use() == {A.id} and runtime.keys == {"pybernetes-volume-aa"}
    again = ImageMounts(tmp_path / "images", runtime, directly)  # after a restart of the kubelet
    await again.keep({"1"})
    assert again.in_use() == {A.id}
    await again.keep({"3"})
    assert again.in_use() == set() and not runtime.keys


def test_layers_are_named_by_all_below_them() -> None:
    one, two = "sha256:" + "1" * 64, "sha256:" + "2" * 64
    assert chain_id("", one) == one
    assert chain_id(one, two) == "sha256:9932074217c35353d2e03a3f5a86549f7c67bfeb0ba53e23d69f4d4c8f7958f5"


def test_many_layers_are_named_by_descriptor(tmp_path: Path) -> None:
    folders = [tmp_path / str(number) for number in range(100)]
    for folder in folders:
        folder.mkdir()
    with _fitting(["index=off", "lowerdir=/a:/b"]) as options:
        assert options == "index=off,lowerdir=/a:/b"
    with _fitting(["lowerdir=" + ":".join(map(str, folders))]) as options:
        assert len(options) < 4096
        found = options.removeprefix("lowerdir=").split(":")
        assert [Path(name).resolve() for name in found] == folders
