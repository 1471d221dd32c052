"""Static pods: manifests in a directory, run without asking the API, and mirrored there so that people see them.

The uid of a static pod is made of its node and manifest, so it survives a restart and changes with the manifest. The
mirror is an object that says `kubernetes.io/config.mirror: UID`; deleting it changes nothing, it comes back.
The directory is looked at by its entries' times every second or so: cheap, and there is no portable event.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pybernetes.aio import clock
from pybernetes.aio.tasks import Nursery
from pybernetes.api import kinds
from pybernetes.api.core_v1 import Node, Pod, Toleration
from pybernetes.client.client import Client
from pybernetes.client.errors import Unavailable
from pybernetes.machinery import codec
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.meta import OwnerReference
from pybernetes.node.kubelet.config import Config

if TYPE_CHECKING:
    from pybernetes.node.kubelet.worker import PodWorker

log = logging.getLogger(__name__)

SOURCE, HASH, MIRROR, SEEN = (
    "kubernetes.io/config.source",
    "kubernetes.io/config.hash",
    "kubernetes.io/config.mirror",
    "kubernetes.io/config.seen",
)
INTERVAL = 1.0


def parse_manifest(data: bytes, path: Path, node_name: str) -> Pod:
    """The pod of a manifest, as this node runs it. Raises ValueError."""
    from pybernetes.api.rules import defaults_of
    from pybernetes.machinery import yaml

    document = yaml.load(data)
    if not isinstance(document, dict) or document.get("kind") != "Pod":
        raise ValueError("not a Pod")
    pod = codec.from_dict(Pod, document)
    digest = hashlib.md5(f"{node_name}\0{path}\0".encode() + data, usedforsecurity=False).hexdigest()
    metadata = pod.metadata
    metadata.name = f"{metadata.name}-{node_name}"
    metadata.namespace = metadata.namespace or "default"
    metadata.uid = digest
    metadata.annotations = {
        **(metadata.annotations or {}), SOURCE: "file", HASH: digest, SEEN: clock.rfc3339(),
    }  # fmt: skip
    pod.spec.node_name = node_name
    pod.spec.tolerations = [*(pod.spec.tolerations or ()), Toleration(operator="Exists", effect="NoExecute")]
    if (defaults := defaults_of(kinds.of(Pod))) is not None:
        defaults(pod)
    return pod


class StaticPods:
    """Watches the manifest directory and keeps the mirrors. `scanned` is set after the first look."""

    def __init__(
        self, config: Config, client: Client, changed: Callable[[Pod], None], removed: Callable[[str], None]
    ) -> None:
        self.scanned = asyncio.Event()
        self._config = config
        self._client = client
        self._changed = changed
        self._removed = removed
        self._stamps: dict[Path, tuple[int, int]] = {}
        self._pods: dict[Path, Pod] = {}
        self._mirrors: dict[str, Pod] = {}  # by uid of the static pod
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Look at the directory until cancelled; without one, at once done."""
        directory = self._config.manifest_dir
        if directory is None:
            self.scanned.set()
            return
        async with Nursery("static-pods") as nursery:
            nursery.start(self._keep_mirrors(), "mirrors")
            while True:
                self._scan(directory)
                self.scanned.set()
                await clock.sleep(INTERVAL)

    def _scan(self, directory: Path) -> None:
        found: dict[Path, tuple[int, int]] = {}
        if directory.is_dir():
            for path in sorted(directory.iterdir()):
                if path.suffix in (".yaml", ".yml", ".json") and not path.name.startswith("."):
                    try:
                        stat = path.stat()
                    except OSError:
                        continue
                    found[path] = (stat.st_mtime_ns, stat.st_size)
        for path in [path for path in self._stamps if path not in found]:
            del self._stamps[path]
            self._drop(path)
        for path, stamp in found.items():
            if self._stamps.get(path) == stamp:
                continue
            self._stamps[path] = stamp
            try:
                pod = parse_manifest(path.read_bytes(), path, self._config.node_name)
            except (ValueError, OSError, StatusError, msgspec.ValidationError) as error:
                log.error("manifest %s: %s", path, error)
                self._drop(path)
                continue
            old = self._pods.get(path)
            if old is not None and old.metadata.uid == pod.metadata.uid:
                continue
            self._drop(path)
            self._pods[path] = pod
            self._changed(pod)
            self._wake.set()

    def _drop(self, path: Path) -> None:
        if (pod := self._pods.pop(path, None)) is not None:
            self._removed(pod.metadata.uid)
            self._wake.set()

    # --- mirrors ---

    def mirror_seen(self, mirror: Pod, workers: Mapping[str, PodWorker]) -> None:
        """A mirror object appeared or changed."""
        uid = (mirror.metadata.annotations or {}).get(MIRROR, "")
        self._mirrors[uid] = mirror
        if (worker := workers.get(uid)) is not None:
            worker.show_in(mirror)
        if mirror.metadata.deletion_timestamp or all(uid != p.metadata.uid for p in self._pods.values()):
            self._wake.set()

    def mirror_gone(self, mirror: Pod, workers: Mapping[str, PodWorker]) -> None:
        """A mirror object was deleted: it will be made anew if its pod still exists."""
        uid = (mirror.metadata.annotations or {}).get(MIRROR, "")
        if (held := self._mirrors.get(uid)) is not None and held.metadata.uid == mirror.metadata.uid:
            del self._mirrors[uid]
            if (worker := workers.get(uid)) is not None:
                worker.show_in(None)
        self._wake.set()

    async def _keep_mirrors(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._sync_mirrors()
            except (StatusError, Unavailable) as error:
                log.info("mirror pods: %s", error)
                await clock.sleep(2.0)
                self._wake.set()

    async def _sync_mirrors(self) -> None:
        pods = self._client.resource(Pod)
        wanted = {pod.metadata.uid: pod for pod in self._pods.values()}
        for uid, mirror in [*self._mirrors.items()]:
            if uid not in wanted or mirror.metadata.deletion_timestamp:
                metadata = mirror.metadata
                try:
                    await pods.delete(metadata.name, metadata.namespace, grace_period=0, uid=metadata.uid)
                except StatusError as error:
                    if error.code not in (404, 409):
                        raise
        for uid, pod in wanted.items():
            if uid not in self._mirrors:
                try:
                    await pods.create(await self._mirror_of(pod))
                except StatusError as error:
                    if error.code != 409:  # its predecessor is still there: its end wakes us
                        raise

    async def _mirror_of(self, pod: Pod) -> Pod:
        mirror: Pod = codec.copy(pod)
        uid = mirror.metadata.uid
        mirror.metadata.uid = ""
        mirror.metadata.annotations = {**(mirror.metadata.annotations or {}), MIRROR: uid}
        try:
            node = await self._client.resource(Node).get(self._config.node_name)
        except StatusError:
            return mirror
        mirror.metadata.owner_references = [
            OwnerReference(
                api_version="v1", kind="Node", name=node.metadata.name, uid=node.metadata.uid, controller=True
            )
        ]
        return mirror
