"""Reading image archives; writing them into containerd is tested with the real one (tests/e2e)."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from pybernetes.bootstrap.images import File, ImageConfig, build_image
from pybernetes.node.containerd.content import ArchivedImage, ArchiveError, read_archive


def pack(path: Path, files: dict[str, bytes], links: dict[str, str] | None = None) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
    return path


def read(path: Path) -> list[ArchivedImage]:
    with tarfile.open(path) as tar:
        return read_archive(tar)


def test_our_own_archives(tmp_path: Path) -> None:
    path = build_image("app:v1", [{"/a": File(b"a")}, {"/b": File(b"b")}], ImageConfig(), tmp_path / "app.tar")
    (image,) = read(path)
    assert image.names == ["docker.io/library/app:v1"]
    layers = [blob for blob in image.blobs if blob.media_type.endswith("layer.v1.tar")]
    assert len(layers) == 2 and len(image.blobs) == 4
    manifest = image.blobs[-1]
    assert manifest.data is not None and manifest.digest == "sha256:" + hashlib.sha256(manifest.data).hexdigest()
    assert sorted(manifest.labels.values()) == sorted(blob.digest for blob in image.blobs[:-1])


def test_docker_save_with_linked_layers(tmp_path: Path) -> None:
    config = json.dumps({"rootfs": {"type": "layers", "diff_ids": []}}).encode()
    manifest = [{"Config": "abc.json", "RepoTags": ["app:1", "r.io/app:2"], "Layers": ["x/layer.tar", "y/layer.tar"]}]
    path = pack(
        tmp_path / "saved.tar",
        {"manifest.json": json.dumps(manifest).encode(), "abc.json": config, "x/layer.tar": b"layer"},
        {"y/layer.tar": "../x/layer.tar"},
    )
    (image,) = read(path)
    assert image.names == ["docker.io/library/app:1", "r.io/app:2"]
    layer = "sha256:" + hashlib.sha256(b"layer").hexdigest()
    assert [blob.digest for blob in image.blobs[:2]] == [layer, layer]
    assert image.blobs[1].size == 5 and image.blobs[1].member == "x/layer.tar"
    assert image.blobs[-1].data is not None
    made = json.loads(image.blobs[-1].data)
    assert made["config"]["digest"] == "sha256:" + hashlib.sha256(config).hexdigest()


def test_an_index_leads_to_this_machines_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files: dict[str, bytes] = {}

    def blob(value: object) -> dict[str, object]:
        data = json.dumps(value).encode()
        digest = hashlib.sha256(data).hexdigest()
        files[f"blobs/sha256/{digest}"] = data
        return {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": f"sha256:{digest}", "size": 1}

    entries = []
    for architecture in ("amd64", "arm64"):
        config = blob({"architecture": architecture})
        entries.append({**blob({"config": config, "layers": []}), "platform": {"architecture": architecture}})
    index = {**blob({"manifests": entries}), "mediaType": "application/vnd.oci.image.index.v1+json"}
    index["annotations"] = {"io.containerd.image.name": "r.io/multi:1"}
    files["index.json"] = json.dumps({"manifests": [index]}).encode()
    path = pack(tmp_path / "multi.tar", files)
    for machine, entry in (("x86_64", entries[0]), ("aarch64", entries[1])):
        monkeypatch.setattr("platform.machine", lambda machine=machine: machine)
        (image,) = read(path)
        assert image.names == ["r.io/multi:1"]
        assert image.blobs[-1].digest == entry["digest"]
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(ArchiveError, match="no image for linux/riscv64"):
        read(path)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"hello.txt": b"hi"}, "not an image archive"),
        ({"index.json": b"{}"}, "not an image archive"),
        ({"index.json": b"no json"}, "not an image archive"),
        ({"manifest.json": b'[{"Config": "c", "Layers": []}]', "c": b"{}"}, "without a name"),
    ],
)
def test_what_is_no_image_archive(tmp_path: Path, files: dict[str, bytes], message: str) -> None:
    with pytest.raises(ArchiveError, match=message):
        read(pack(tmp_path / "x.tar", files))
