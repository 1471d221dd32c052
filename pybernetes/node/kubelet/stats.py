"""Figures of the node and its pods: the summary for the API, and Prometheus texts for scrapers.

All from the runtime's statistics and /proc, read when asked for. `metrics/cadvisor` has the handful of series that
dashboards and the metrics pipeline read, under their usual names; nothing is sampled in the background.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from pybernetes.aio import clock
from pybernetes.node.cri import CRIError
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


async def _by_pod(kubelet: Kubelet) -> dict[str, list[t.ContainerStats]]:
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
    stats, memory = await _by_pod(kubelet), machine.meminfo()
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
            "cpu": {"time": now, "usageCoreNanoSeconds": _node_cpu()},
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


def _node_cpu() -> int:
    """CPU time of the machine, nanoseconds."""
    try:
        with open("/proc/stat") as file:
            fields = [int(x) for x in file.readline().split()[1:9]]
    except OSError:
        return 0
    return (sum(fields) - fields[3] - fields[4]) * 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def _line(name: str, labels: dict[str, str], value: float) -> str:
    shown = ",".join(f'{key}="{text}"' for key, text in labels.items())
    number = repr(int(value) if value == int(value) else value)  # all digits: rates are made of small differences
    return f"{name}{{{shown}}} {number}" if shown else f"{name} {number}"


def own_metrics(kubelet: Kubelet) -> str:
    """`/metrics`: the kubelet itself."""
    workers = kubelet.workers.values()
    running = sum(len(w.state.running()) for w in workers)
    lines = [
        "# TYPE kubelet_running_pods gauge",
        _line("kubelet_running_pods", {}, sum(1 for w in workers if w.state.running())),
        "# TYPE kubelet_running_containers gauge",
        _line("kubelet_running_containers", {"container_state": "running"}, running),
        "# TYPE terminated_containers_total counter",
        *(
            _line("terminated_containers_total", {"container_type": kind, "exit_code": str(code)}, count)
            for (kind, code), count in sorted(kubelet.host.terminated.items())
        ),
        "# TYPE kubelet_node_name gauge",
        _line("kubelet_node_name", {"node": kubelet.config.node_name}, 1),
        "# TYPE process_cpu_seconds_total counter",
        _line("process_cpu_seconds_total", {}, sum(os.times()[:2])),
    ]
    return "\n".join(lines) + "\n"


async def _containers(kubelet: Kubelet) -> list[tuple[dict[str, str], t.ContainerStats]]:
    try:
        found = await _by_pod(kubelet)
    except CRIError:
        return []
    rows = []
    for uid, group in found.items():
        worker = kubelet.workers.get(uid)
        if worker is None:
            continue
        metadata = worker.pod.metadata
        for one in group:
            labels = {
                "container": one.attributes.metadata.name, "namespace": metadata.namespace, "pod": metadata.name,
            }  # fmt: skip
            rows.append((labels, one))
    return rows


async def resource_metrics(kubelet: Kubelet) -> str:
    """`/metrics/resource`: CPU and memory of containers, pods and the node."""
    rows, memory = await _containers(kubelet), machine.meminfo()
    cpu, used, starts = [], [], []
    pods: dict[tuple[str, str], tuple[float, int]] = {}
    for labels, one in rows:
        key = (labels["namespace"], labels["pod"])
        seconds, size = pods.get(key, (0.0, 0))
        seconds += (one.cpu.usage_core_nano_seconds or 0) / 1e9 if one.cpu else 0
        size += (one.memory.working_set_bytes or 0) if one.memory else 0
        pods[key] = (seconds, size)
        worker = kubelet.find(labels["namespace"], labels["pod"])
        if one.cpu:
            cpu.append(_line("container_cpu_usage_seconds_total", labels, (one.cpu.usage_core_nano_seconds or 0) / 1e9))
        if one.memory:
            used.append(_line("container_memory_working_set_bytes", labels, one.memory.working_set_bytes or 0))
        if worker and (run := worker.state.latest(labels["container"])):
            starts.append(_line("container_start_time_seconds", labels, run.started_at))
    lines = [
        "# TYPE container_cpu_usage_seconds_total counter", *cpu,
        "# TYPE container_memory_working_set_bytes gauge", *used,
        "# TYPE container_start_time_seconds gauge", *starts,
        "# TYPE pod_cpu_usage_seconds_total counter",
        *(_line("pod_cpu_usage_seconds_total", {"namespace": n, "pod": p}, v[0]) for (n, p), v in pods.items()),
        "# TYPE pod_memory_working_set_bytes gauge",
        *(_line("pod_memory_working_set_bytes", {"namespace": n, "pod": p}, v[1]) for (n, p), v in pods.items()),
        "# TYPE node_cpu_usage_seconds_total counter", _line("node_cpu_usage_seconds_total", {}, _node_cpu() / 1e9),
        "# TYPE node_memory_working_set_bytes gauge",
        _line("node_memory_working_set_bytes", {}, memory.get("MemTotal", 0) - memory.get("MemAvailable", 0)),
        "# TYPE resource_scrape_error gauge", _line("resource_scrape_error", {}, 0),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


async def container_metrics(kubelet: Kubelet) -> str:
    """`/metrics/cadvisor`: the series of containers that dashboards know."""
    lines = []
    rows = await _containers(kubelet)
    for name, kind in (
        ("container_cpu_usage_seconds_total", "counter"),
        ("container_memory_working_set_bytes", "gauge"),
        ("container_memory_usage_bytes", "gauge"),
        ("container_memory_rss", "gauge"),
        ("container_fs_usage_bytes", "gauge"),
    ):
        lines.append(f"# TYPE {name} {kind}")
        for labels, one in rows:
            value = {
                "container_cpu_usage_seconds_total": (one.cpu.usage_core_nano_seconds or 0) / 1e9 if one.cpu else 0,
                "container_memory_working_set_bytes": (one.memory.working_set_bytes or 0) if one.memory else 0,
                "container_memory_usage_bytes": (one.memory.usage_bytes or 0) if one.memory else 0,
                "container_memory_rss": (one.memory.rss_bytes or 0) if one.memory else 0,
                "container_fs_usage_bytes": (one.writable_layer.used_bytes or 0) if one.writable_layer else 0,
            }[name]
            lines.append(_line(name, labels, value))
    return "\n".join(lines) + "\n"


def probe_metrics(kubelet: Kubelet) -> str:
    """`/metrics/probes`: how often each probe had which outcome."""
    lines = ["# TYPE prober_probe_total counter"]
    for worker in kubelet.workers.values():
        metadata = worker.pod.metadata
        for (container, kind, result), count in worker.probed.items():
            labels = {
                "container": container, "namespace": metadata.namespace, "pod": metadata.name,
                "pod_uid": metadata.uid, "probe_type": kind, "result": result,
            }  # fmt: skip
            lines.append(_line("prober_probe_total", labels, count))
    return "\n".join(lines) + "\n"
