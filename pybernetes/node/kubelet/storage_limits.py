"""Limits of local storage: pods that use more of it than they may are evicted.

Nothing in the kernel bounds a directory, so usage is looked at every ten seconds, as upstream does: emptyDirs that have
a size limit, and for containers with a limit of ephemeral storage their writable layers and logs, each container alone
and, with the emptyDirs on disk, the pod as a whole. Nodes whose pods have no such limits pay nothing.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pybernetes.aio import clock
from pybernetes.api.core_v1 import Pod, Volume
from pybernetes.machinery import quantity
from pybernetes.node.cri import CRIError
from pybernetes.node.kubelet import qos
from pybernetes.node.kubelet.configs import CONTAINER_NAME, POD_UID
from pybernetes.node.kubelet.host import Host, offload
from pybernetes.node.kubelet.state import Ending

if TYPE_CHECKING:
    from pybernetes.node.kubelet.worker import PodWorker

log = logging.getLogger(__name__)

INTERVAL = 10.0
RESOURCE = "ephemeral-storage"


class StorageLimits:
    """Enforces the limits of one node's pods."""

    def __init__(self, host: Host, workers: Callable[[], Mapping[str, PodWorker]]) -> None:
        self._host = host
        self._workers = workers

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await clock.sleep(INTERVAL)
            try:
                await self._look()
            except (CRIError, OSError) as error:
                log.warning("local storage: %s", error)

    async def _look(self) -> None:
        layers: Counter[tuple[str, str]] | None = None
        for worker in [*self._workers().values()]:
            if worker.is_over or worker.state.ending is not None or worker.static or not bounded(worker.pod):
                continue
            if layers is None:
                layers = await self._layers()
            if text := await offload(self._host.config, self._excess, worker.pod, layers):
                self._host.events.event(worker.pod, "Warning", "Evicted", text)
                worker.end(Ending("Evicted", text, grace=0.0, disruption="TerminationByKubelet"))

    async def _layers(self) -> Counter[tuple[str, str]]:
        """Bytes in writable layers: (pod uid, container name) -> sum."""
        found: Counter[tuple[str, str]] = Counter()
        for stats in await self._host.runtime.list_container_stats():
            labels, layer = stats.attributes.labels, stats.writable_layer
            if layer is not None:
                found[labels.get(POD_UID, ""), labels.get(CONTAINER_NAME, "")] += layer.used_bytes or 0
        return found

    def _excess(self, pod: Pod, layers: Mapping[tuple[str, str], int]) -> str:
        metadata, paths = pod.metadata, self._host.paths
        mounted = self._host.volumes.of(metadata.uid).paths
        directories = {v.name: disk_usage(mounted[v.name]) for v in pod.spec.volumes or () if _on_disk(v, mounted)}
        logs = paths.pod_logs(metadata.namespace, metadata.name, metadata.uid)
        containers = {
            c.name: layers.get((metadata.uid, c.name), 0) + disk_usage(logs / c.name) for c in pod.spec.containers
        }
        return excess(pod, directories, containers)


def _on_disk(volume: Volume, mounted: Mapping[str, Path]) -> bool:
    return volume.empty_dir is not None and not volume.empty_dir.medium and volume.name in mounted


def bounded(pod: Pod) -> bool:
    """Whether the pod has any limit of local storage. Pure."""
    return any(v.empty_dir and v.empty_dir.size_limit for v in pod.spec.volumes or ()) or any(
        RESOURCE in qos.limits(c) for c in pod.spec.containers
    )


def excess(pod: Pod, directories: Mapping[str, int], containers: Mapping[str, int]) -> str:
    """What a pod uses too much of, "" when all is well: bytes in its emptyDirs on disk, and of its containers. Pure."""
    for volume in pod.spec.volumes or ():
        size = volume.empty_dir.size_limit if volume.empty_dir else None
        if size and (limit := quantity.value(size)) and directories.get(volume.name, 0) > limit:
            return f'Usage of EmptyDir volume "{volume.name}" exceeds the limit "{size}". '
    bounds = {c.name: bound for c in pod.spec.containers if (bound := qos.limits(c).get(RESOURCE))}
    whole = qos.pod_total(pod, RESOURCE, limit=True)
    if bounds and sum(directories.values()) + sum(containers.values()) > whole.value:
        return f"Pod ephemeral local storage usage exceeds the total limit of containers {whole}. "
    for name, bound in bounds.items():
        if containers.get(name, 0) > quantity.value(bound):
            return f'Container {name} exceeded its local ephemeral storage limit "{bound}". '
    return ""


def disk_usage(root: Path) -> int:
    """Bytes that the files below a directory occupy on disk."""
    total = 0
    for folder, _, names in os.walk(root):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512
    return total


__all__ = ["StorageLimits", "bounded", "excess"]
