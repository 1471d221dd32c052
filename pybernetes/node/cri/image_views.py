"""The root file system of an image, to be mounted where no container of it runs: image volumes.

The CRI mounts images only from containerd 2.1 on. containerd's own services do it in every version, as its CRI plugin
does for a container: each layer is unpacked onto the one below it into a snapshot that is named by all of them (the
chain id of the OCI image specification), and a read-only view of the topmost is what can be mounted. A view that says
so itself is kept by the garbage collector, and its layers with it, even when the image's name is removed meanwhile.
"""

from __future__ import annotations

import hashlib
import json
import platform
from typing import Any, cast

from grpclib.const import Cardinality
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError

from pybernetes.aio import clock

from . import types as t
from . import wire
from .client import CRIClient, error_of
from .errors import AlreadyExists, CRIError, NotFound, Unavailable

#: Names of the machine's architecture in images.
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


async def view(client: CRIClient, image: str, key: str) -> list[t.SnapshotMount]:
    """What to mount to see the image; the layers that are packed still are unpacked. Raises CRIError, NotFound."""
    snapshotter = await _snapshotter(client)
    try:
        reply = await client.call("Snapshots.Mounts", client.timeout, snapshotter=snapshotter, key=key)
        return cast("list[t.SnapshotMount]", reply["mounts"])
    except NotFound:
        pass
    async with client.lease("view") as lease:
        layers = await _layers(client, image)
        top = ""
        for diff, layer in layers:
            below, top = top, chain_id(top, diff)
            await _unpack(client, lease, snapshotter, below, top, layer)
        labels = {"containerd.io/gc.root": clock.format_rfc3339(clock.timestamp())}
        reply = await client.call(
            "Snapshots.View", client.timeout, snapshotter=snapshotter, key=key, parent=top, labels=labels
        )
    return cast("list[t.SnapshotMount]", reply["mounts"])


async def release(client: CRIClient, key: str) -> None:
    """Let go of a view. Idempotent."""
    snapshotter = await _snapshotter(client)
    try:
        await client.call("Snapshots.Remove", client.timeout, snapshotter=snapshotter, key=key)
    except NotFound:
        pass


def chain_id(below: str, diff: str) -> str:
    """The name of a layer on top of others ("" for none). Pure."""
    return "sha256:" + hashlib.sha256(f"{below} {diff}".encode()).hexdigest() if below else diff


async def _snapshotter(client: CRIClient) -> str:
    """The one that the CRI plugin uses."""
    status = await client.status(verbose=True)
    found = json.loads(status.info.get("config", "{}")).get("containerd", {}).get("snapshotter")
    return str(found or "overlayfs")


async def _layers(client: CRIClient, image: str) -> list[tuple[str, dict[str, Any]]]:
    """Digest of the unpacked layer and descriptor of the packed one, for each layer from the bottom."""
    target = (await client.call("Images.Get", client.timeout, name=image))["image"]["target"]
    manifest = await _document(client, target["digest"])
    while "manifests" in manifest:
        wanted = ARCHITECTURES.get(platform.machine(), platform.machine())
        fitting = [m for m in manifest["manifests"] if m.get("platform", {}).get("architecture", wanted) == wanted]
        if not fitting:
            raise NotFound(f"no match for platform linux/{wanted} in {image}")
        manifest = await _document(client, fitting[0]["digest"])
    config = await _document(client, manifest["config"]["digest"])
    found = [
        (diff, {"media_type": layer["mediaType"], "digest": layer["digest"], "size": layer["size"]})
        for diff, layer in zip(config.get("rootfs", {}).get("diff_ids") or (), manifest["layers"], strict=False)
    ]
    if len(found) != len(manifest["layers"]):
        raise CRIError(f"{image} is no image with a root file system: its configuration does not list the layers")
    return found


async def _document(client: CRIClient, digest: str) -> Any:
    method = wire.method("Content.Read")
    data = b""
    try:
        async with client.channel().request(
            method.path,
            Cardinality.UNARY_STREAM,
            cast(Any, method.request),
            cast(Any, method.response),
            metadata=client.metadata(),
        ) as stream:
            await stream.send_message({"digest": digest}, end=True)
            async for part in stream:
                data += cast("dict[str, bytes]", part).get("data", b"")
    except GRPCError as error:
        raise error_of(error) from None
    except (OSError, StreamTerminatedError, ProtocolError) as error:
        raise Unavailable(f"{client.socket}: {error}") from None
    return json.loads(data)


async def _unpack(
    client: CRIClient, lease: str, snapshotter: str, below: str, name: str, layer: dict[str, Any]
) -> None:
    """Make the snapshot `name`, unless it is there: `layer` on top of `below`."""
    where = {"snapshotter": snapshotter}
    try:
        await client.call("Snapshots.Stat", client.timeout, key=name, **where)
        return
    except NotFound:
        pass
    key = f"pybernetes-unpack-{clock.rng.getrandbits(64):016x}"
    reply = await client.call("Snapshots.Prepare", client.timeout, lease=lease, key=key, parent=below, **where)
    try:
        # As slow as the disk: no time limit.
        await client.call("Diff.Apply", None, lease=lease, diff=layer, mounts=reply["mounts"])
        await client.call("Snapshots.Commit", client.timeout, lease=lease, name=name, key=key, **where)
    except CRIError as error:
        await client.call("Snapshots.Remove", client.timeout, key=key, **where)
        if not isinstance(error, AlreadyExists):  # then somebody else was faster
            raise
