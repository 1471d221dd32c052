"""Image archives into containerd: blobs, then the image's name.

Speaks containerd's content, images and leases services directly. That is what `ctr images import` does, without the
process, and blobs that are there already are not read at all, so that a second import costs two calls an image.
Layers are not unpacked here: the CRI plugin does it with the first container of the image.

Reads OCI archives (`index.json`) and those of `docker save` (`manifest.json`, which newer Dockers write beside it).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import platform
import tarfile
from pathlib import Path
from typing import IO, Any, cast

import msgspec
from grpclib.const import Cardinality
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError

from pybernetes.aio import clock
from pybernetes.node.cri import wire
from pybernetes.node.cri.client import CRIClient, error_of
from pybernetes.node.cri.errors import AlreadyExists, NotFound, Unavailable
from pybernetes.node.cri.image_names import normalise
from pybernetes.node.cri.image_views import ARCHITECTURES

_INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
_OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
_OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
_CHUNK = 1 << 20
_STAT, _WRITE, _COMMIT = 0, 1, 2


class ArchiveError(Exception):
    """The file is no image archive, or one that is broken; the text names file and reason."""


class Blob(msgspec.Struct, frozen=True):
    """A blob of an archive: where its bytes are, and (for manifests) what it must keep alive."""

    media_type: str
    digest: str
    size: int
    member: str = ""
    data: bytes | None = None
    labels: dict[str, str] = {}


class ArchivedImage(msgspec.Struct, frozen=True):
    """An image of an archive: its full names, and its blobs, what is referred to before what refers; the last is it."""

    names: list[str]
    blobs: list[Blob]


def read_archive(tar: tarfile.TarFile) -> list[ArchivedImage]:
    """The images in an archive. Raises ArchiveError."""
    try:
        return _read_oci(tar) if _has(tar, "index.json") else _read_docker(tar)
    except (KeyError, ValueError, TypeError, tarfile.TarError) as error:
        raise ArchiveError(f"not an image archive: {error}") from error


def _has(tar: tarfile.TarFile, name: str) -> bool:
    try:
        tar.getmember(name)
    except KeyError:
        return False
    return True


def _file(tar: tarfile.TarFile, name: str) -> IO[bytes]:
    file = tar.extractfile(name)
    if file is None:
        raise ValueError(f"{name} is no file")
    return file


def _load(tar: tarfile.TarFile, name: str) -> Any:
    return json.load(_file(tar, name))


def _blob_path(digest: str) -> str:
    algorithm, _, value = digest.partition(":")
    return f"blobs/{algorithm}/{value}"


def _read_oci(tar: tarfile.TarFile) -> list[ArchivedImage]:
    tags = _docker_tags(tar)
    images = []
    for entry in _load(tar, "index.json")["manifests"]:
        notes = entry.get("annotations") or {}
        manifest, blobs = _manifest(tar, entry)
        name = notes.get("io.containerd.image.name") or notes.get("org.opencontainers.image.ref.name", "")
        names = [normalise(name)] if "/" in name or ":" in name else tags.get(manifest["config"]["digest"], [])
        if not names:
            raise ValueError("an image without a name (save it by its name and tag, not by its id)")
        images.append(ArchivedImage(names=names, blobs=blobs))
    return images


def _docker_tags(tar: tarfile.TarFile) -> dict[str, list[str]]:
    """Config digest -> names, from the manifest.json that Docker writes beside the index."""
    if not _has(tar, "manifest.json"):
        return {}
    return {
        "sha256:" + Path(entry["Config"]).name.removesuffix(".json"): [
            normalise(n) for n in entry.get("RepoTags") or []
        ]
        for entry in _load(tar, "manifest.json")
    }


def _manifest(tar: tarfile.TarFile, entry: dict[str, Any]) -> tuple[dict[str, Any], list[Blob]]:
    """The manifest for this machine that an index's entry leads to, and the blobs below it, itself last."""
    data = _file(tar, _blob_path(entry["digest"])).read()
    content = json.loads(data)
    if entry.get("mediaType") in _INDEXES or "manifests" in content:
        wanted = ARCHITECTURES.get(platform.machine(), platform.machine())
        for inner in content["manifests"]:
            place = inner.get("platform") or {}
            if place.get("architecture", wanted) == wanted and _has(tar, _blob_path(inner["digest"])):
                return _manifest(tar, inner)
        raise ValueError(f"no image for linux/{wanted} in it")
    blobs = [
        Blob(media_type=d["mediaType"], digest=d["digest"], size=d["size"], member=_blob_path(d["digest"]))
        for d in [*content["layers"], content["config"]]
    ]
    return content, [*blobs, _root(entry.get("mediaType", _OCI_MANIFEST), data, blobs)]


def _root(media_type: str, data: bytes, below: list[Blob]) -> Blob:
    """A manifest. Its labels are how containerd's garbage collector finds what belongs to it."""
    labels = {f"containerd.io/gc.ref.content.{number}": blob.digest for number, blob in enumerate(below)}
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    return Blob(media_type=media_type, digest=digest, size=len(data), data=data, labels=labels)


def _read_docker(tar: tarfile.TarFile) -> list[ArchivedImage]:
    """`docker save` before it wrote OCI: a config and layers by name; the manifest is made here."""
    images = []
    for entry in _load(tar, "manifest.json"):
        blobs = []
        for member in entry["Layers"]:
            while (info := tar.getmember(member)).issym():  # layers that are the same are links
                member = str(Path(member).parent / info.linkname) if "/" not in info.linkname else info.linkname
                member = member.removeprefix("../")
            digest = hashlib.file_digest(cast(Any, _file(tar, member)), "sha256").hexdigest()
            blobs.append(Blob(media_type=_OCI_LAYER, digest=f"sha256:{digest}", size=info.size, member=member))
        config = _file(tar, entry["Config"]).read()
        digest = "sha256:" + hashlib.sha256(config).hexdigest()
        blobs.append(Blob(media_type=_OCI_CONFIG, digest=digest, size=len(config), data=config))
        described = [{"mediaType": b.media_type, "digest": b.digest, "size": b.size} for b in blobs]
        manifest = {
            "schemaVersion": 2,
            "mediaType": _OCI_MANIFEST,
            "config": described[-1],
            "layers": described[:-1],
        }
        names = [normalise(name) for name in entry.get("RepoTags") or []]
        if not names:
            raise ValueError("an image without a name (save it by its name and tag, not by its id)")
        data = json.dumps(manifest, separators=(",", ":")).encode()
        images.append(ArchivedImage(names=names, blobs=[*blobs, _root(_OCI_MANIFEST, data, blobs)]))
    return images


# --- into the node ------------------------------------------------------------------------------------------------


async def import_archive(client: CRIClient, path: Path) -> list[str]:
    """Bring every image of an archive into the node; their full names. What is there already is left alone.

    Raises ArchiveError, OSError for the file, CRIError for the runtime.
    """
    try:
        tar = tarfile.open(path)  # noqa: SIM115 - closed by the `with` below; compressed archives are opened as well
    except tarfile.TarError as error:
        raise ArchiveError(f"{path}: not an image archive: {error}") from error
    names: list[str] = []
    with tar:
        try:
            images = read_archive(tar)
        except ArchiveError as error:
            raise ArchiveError(f"{path}: {error}") from error
        for image in images:
            missing = [name for name in image.names if not await _points_to(client, name, image.blobs[-1].digest)]
            if missing:
                async with client.lease("import") as lease:
                    for blob in image.blobs:
                        await _write(client, lease, tar, blob)
                    for name in missing:
                        await _name(client, lease, name, image.blobs[-1])
                        await _seen(client, name)
            names += image.names
    return names


async def _points_to(client: CRIClient, name: str, digest: str) -> bool:
    try:
        reply = await client.call("Images.Get", client.timeout, name=name)
    except NotFound:
        return False
    return bool(reply["image"]["target"]["digest"] == digest)


async def _write(client: CRIClient, lease: str, tar: tarfile.TarFile, blob: Blob) -> None:
    try:
        await client.call("Content.Info", client.timeout, digest=blob.digest)
        return
    except NotFound:
        pass
    method = wire.method("Content.Write")
    reference = {"ref": f"import-{lease[-16:]}-{blob.digest}", "total": blob.size, "expected": blob.digest}
    try:
        async with client.channel().request(
            method.path,
            Cardinality.STREAM_STREAM,
            cast(Any, method.request),
            cast(Any, method.response),
            metadata=client.metadata(lease),
        ) as stream:
            offset = 0
            if blob.data is not None:
                await stream.send_message({"action": _WRITE, "data": blob.data, "offset": 0, **reference})
                await stream.recv_message()
                offset = len(blob.data)
            else:
                file = _file(tar, blob.member)
                while chunk := file.read(_CHUNK):
                    await stream.send_message({"action": _WRITE, "data": chunk, "offset": offset, **reference})
                    await stream.recv_message()
                    offset += len(chunk)
            commit = {"action": _COMMIT, "offset": offset, "labels": blob.labels, **reference}
            await stream.send_message(commit, end=True)
            await stream.recv_message()
    except GRPCError as error:
        failure = error_of(error)
        if not isinstance(failure, AlreadyExists):
            raise failure from None
    except (OSError, StreamTerminatedError, ProtocolError) as error:
        raise Unavailable(f"{client.socket}: {error}") from None


async def _name(client: CRIClient, lease: str, name: str, root: Blob) -> None:
    image = {
        "name": name,
        "target": {"media_type": root.media_type, "digest": root.digest, "size": root.size},
    }
    try:
        await client.call("Images.Create", client.timeout, lease=lease, image=image)
    except AlreadyExists:
        await client.call("Images.Update", client.timeout, lease=lease, image=image)


async def _seen(client: CRIClient, name: str) -> None:
    """Wait until the CRI plugin has taken note of a name: it hears of new images by an event."""
    pause = 0.002
    async with asyncio.timeout(client.timeout):
        while await client.image_status(name) is None:
            await clock.sleep(pause)
            pause = min(pause * 2, 0.1)
