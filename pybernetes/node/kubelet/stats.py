"""Figures of the node and its pods: `/stats/summary`, from the runtime's statistics and /proc, read when asked for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from pybernetes.aio import clock
from pybernetes.node.cri import types as t
from pybernetes.node.kubelet import configs, machine
from pybernetes.node.kubelet.state import RUNNING

if TYPE_CHECKING:
    from pybernetes.node.kubelet.kubelet import Kubelet


def _time(nanoseconds: int) -> str:
    return clock.format_rfc3339(nanoseconds / 1e9)


def _cpu(usage: t.CpuUsage | None) -> dict[str, Any] | None:
    if usage is None:
        return None
    return {
        "time": _time(usage.timestamp),
        "usageNanoCores": usage.usage_nano_cores or 0,
        "usageCoreNanoSeconds": usage.usage_core_nano_seconds or 0,
    }


def _memory(usage: t.MemoryUsage | None) -> dict[str, Any] | None:
    if usage is None:
        return None
    return {
        "time": _time(usage.timestamp),
        "usageBytes": usage.usage_bytes or usage.working_set_bytes or 0,
        "workingSetBytes": usage.working_set_bytes or 0,
        "rssBytes": usage.rss_bytes or 0,
    }


async def by_pod(kubelet: Kubelet) -> dict[str, list[t.ContainerStats]]:
    """Of what runs: a container that has ended uses nothing any more."""
    found: dict[str, list[t.ContainerStats]] = {}
    for one in await kubelet.runtime.list_container_stats():
        worker = kubelet.workers.get(one.attributes.labels.get(configs.POD_UID, ""))
        run = worker.state.find(one.attributes.id) if worker else None
        if worker is not None and run is not None and run.state == RUNNING:
            found.setdefault(worker.pod.metadata.uid, []).append(one)
    return found


async def summary(kubelet: Kubelet) -> dict[str, Any]:
    """`/stats/summary`. Raises CRIError."""
    now = clock.rfc3339()
    stats, memory = await by_pod(kubelet), machine.meminfo()
    working = memory.get("MemTotal", 0) - memory.get("MemAvailable", 0)
    disk = os.statvfs(kubelet.config.data_dir)
    filesystem = {
        "time": now,
        "availableBytes": disk.f_bavail * disk.f_frsize,
        "capacityBytes": disk.f_blocks * disk.f_frsize,
        "usedBytes": (disk.f_blocks - disk.f_bfree) * disk.f_frsize,
        "inodesFree": disk.f_favail,
        "inodes": disk.f_files,
        "inodesUsed": disk.f_files - disk.f_ffree,
    }
    pods = []
    for worker in kubelet.workers.values():
        metadata = worker.pod.metadata
        containers = [
            {
                "name": s.attributes.metadata.name,
                "startTime": clock.format_rfc3339(run.started_at),
                "cpu": _cpu(s.cpu),
                "memory": _memory(s.memory),
                "rootfs": {"time": now, "usedBytes": (s.writable_layer.used_bytes or 0) if s.writable_layer else 0},
            }
            for s in stats.get(metadata.uid, ())
            if (run := worker.state.find(s.attributes.id)) is not None
        ]
        cores = sum(((s.cpu.usage_nano_cores or 0) if s.cpu else 0) for s in stats.get(metadata.uid, ()))
        seconds = sum(((s.cpu.usage_core_nano_seconds or 0) if s.cpu else 0) for s in stats.get(metadata.uid, ()))
        working_set = sum(((s.memory.working_set_bytes or 0) if s.memory else 0) for s in stats.get(metadata.uid, ()))
        pods.append(
            {
                "podRef": {"name": metadata.name, "namespace": metadata.namespace, "uid": metadata.uid},
                "startTime": worker.status.start_time,
                "containers": containers,
                "cpu": {"time": now, "usageNanoCores": cores, "usageCoreNanoSeconds": seconds},
                "memory": {"time": now, "workingSetBytes": working_set},
            }
        )
    return {
        "node": {
            "nodeName": kubelet.config.node_name,
            "startTime": clock.format_rfc3339(machine.boot_time()),
            "cpu": {"time": now, "usageCoreNanoSeconds": node_cpu()},
            "memory": {
                "time": now,
                "availableBytes": memory.get("MemAvailable", 0),
                "usageBytes": memory.get("MemTotal", 0) - memory.get("MemFree", 0),
                "workingSetBytes": working,
            },
            "fs": filesystem,
            "runtime": {"imageFs": filesystem},
        },
        "pods": pods,
    }


def node_cpu() -> int:
    """CPU time of the machine, nanoseconds."""
    try:
        with open("/proc/stat") as file:
            fields = [int(x) for x in file.readline().split()[1:9]]
    except OSError:
        return 0
    return (sum(fields) - fields[3] - fields[4]) * 1_000_000_000 // os.sysconf("SC_CLK_TCK")
