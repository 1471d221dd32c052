"""Leftovers: directories and cgroups of pods that are gone, logs that grow, images nobody uses, pressure.

All of it is slow work with a long pause; none of it is on a pod's path to running or to being gone.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pybernetes.aio import clock
from pybernetes.api.core_v1 import Pod
from pybernetes.node.cri import CRIError
from pybernetes.node.kubelet import qos
from pybernetes.node.kubelet.host import Host, offload
from pybernetes.node.kubelet.state import Ending
from pybernetes.node.kubelet.volumes import mounts

if TYPE_CHECKING:
    from pybernetes.node.kubelet.node_status import NodeKeeper
    from pybernetes.node.kubelet.worker import PodWorker

log = logging.getLogger(__name__)

INTERVAL = 60.0
#: An image is kept at least this long after its last use, seconds.
MIN_IMAGE_AGE = 120.0


class Housekeeping:
    """Periodic cleaning of one node."""

    def __init__(self, host: Host, workers: Callable[[], Mapping[str, PodWorker]], node: NodeKeeper) -> None:
        self._host = host
        self._workers = workers
        self._node = node

    async def run(self) -> None:
        """Clean at once (a restart may have left something), then every minute."""
        while True:
            try:
                await offload(self._host.config, self._remove_orphans, set(self._workers()))
                await self._host.volumes.images.keep(set(self._workers()))
                await self._rotate_logs()
                await self._relieve()
                await self._collect_images()
            except (CRIError, OSError) as error:
                log.warning("housekeeping: %s", error)
            await clock.sleep(INTERVAL)

    def _remove_orphans(self, known: set[str]) -> None:
        paths, config = self._host.paths, self._host.config
        if paths.pods.is_dir():
            for uid in os.listdir(paths.pods):
                if uid not in known:
                    log.info("removing what is left of pod %s", uid)
                    if config.real_mounts:
                        for point in mounts.mounts_below(paths.pod(uid)):
                            mounts.unmount(point)
                    shutil.rmtree(paths.pod(uid), ignore_errors=True)
        if paths.logs.is_dir():
            for name in os.listdir(paths.logs):
                if name.rpartition("_")[2] not in known:
                    shutil.rmtree(paths.logs / name, ignore_errors=True)
        for uid in self._host.cgroups.pods() - known:
            self._host.cgroups.remove(uid)

    # --- logs ---

    async def _rotate_logs(self) -> None:
        config = self._host.config
        for worker in self._workers().values():
            metadata = worker.pod.metadata
            for run in worker.state.running():
                path = self._host.paths.log_file(
                    metadata.namespace, metadata.name, metadata.uid, run.name, run.restart_count
                )
                try:
                    size = path.stat().st_size
                except OSError:
                    continue
                if size > config.log_max_size:
                    rotate(path, config.log_max_files)
                    await self._host.runtime.reopen_container_log(run.id)

    # --- images ---

    async def _collect_images(self) -> None:
        """Remove unused images, those not used for longest first, when the disk is fuller than the high mark."""
        config, runtime = self._host.config, self._host.runtime
        stat = os.statvfs(config.data_dir)
        total, free = stat.f_blocks * stat.f_frsize, stat.f_bavail * stat.f_frsize
        if not total or 100 * (total - free) / total < config.image_gc_high:
            return
        to_free = total - free - total * config.image_gc_low // 100
        used = {c.image_ref for c in await runtime.list_containers()}
        used |= {c.image_id for c in await runtime.list_containers()}
        used |= self._host.volumes.images.in_use()
        now, seen = clock.timestamp(), self._host.images.used_at
        images = [i for i in await runtime.list_images() if i.id not in used and not i.pinned]
        for image in sorted(images, key=lambda i: seen.setdefault(i.id, now)):
            if to_free <= 0:
                return
            if now - seen[image.id] < MIN_IMAGE_AGE:
                continue
            await runtime.remove_image(image.id)
            to_free -= image.size
            seen.pop(image.id, None)

    # --- pressure ---

    async def _relieve(self) -> None:
        """Evict one pod when the node is short of memory or disk."""
        pressure = self._node.pressure
        if not (pressure.memory or pressure.disk):
            return
        resource = "memory" if pressure.memory else "ephemeral-storage"
        usage = await self._usage(resource)
        alive = [w for w in self._workers().values() if not w.is_over and w.state.ending is None and not w.static]
        if not alive:
            return
        victim = max(alive, key=lambda w: eviction_rank(w.pod, resource, usage.get(w.pod.metadata.uid, 0)))
        text = f"The node was low on resource: {resource}. "
        self._host.events.event(victim.pod, "Warning", "Evicted", text)
        victim.end(Ending("Evicted", text, grace=0.0, disruption="TerminationByKubelet"))

    async def _usage(self, resource: str) -> dict[str, int]:
        if resource != "memory":
            return {}
        found: dict[str, int] = {}
        for stats in await self._host.runtime.list_container_stats():
            uid = stats.attributes.labels.get("io.kubernetes.pod.uid", "")
            found[uid] = found.get(uid, 0) + ((stats.memory.working_set_bytes or 0) if stats.memory else 0)
        return found


def eviction_rank(pod: Pod, resource: str, used: int) -> tuple[bool, int, int]:
    """Who goes first (the greatest): users above their request, then low priority, then the largest excess. Pure."""
    wanted = qos.pod_total(pod, resource).value
    return used > wanted, -(pod.spec.priority or 0), used - wanted


def rotate(path: Path, keep: int) -> None:
    """`0.log` becomes `0.log.TIME`; of those the newest `keep - 1` stay. The writer must open the file anew."""
    os.rename(path, path.with_name(f"{path.name}.{clock.now():%Y%m%d-%H%M%S}"))
    old = sorted(path.parent.glob(f"{path.name}.*"), reverse=True)
    for file in old[max(keep - 1, 0) :]:
        file.unlink(missing_ok=True)


__all__ = ["Housekeeping", "eviction_rank", "rotate"]
