"""What the kubelet tells scrapers, in Prometheus' text form: of itself, of probes, and of what containers use.

All of it is read when asked for, and nothing is sampled in the background. `metrics/cadvisor` has the handful of series
that dashboards read, under their usual names; `metrics/resource` is what the metrics pipeline reads.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pybernetes.machinery.exposition import ALPHA, BETA, STABLE, Sample, family, page
from pybernetes.node.cri import CRIError
from pybernetes.node.cri import types as t
from pybernetes.node.kubelet import machine, stats

if TYPE_CHECKING:
    from pybernetes.node.kubelet.kubelet import Kubelet

#: The kubelet's health checks.
CHECKS = ("log", "ping", "syncloop")


def own(kubelet: Kubelet) -> bytes:
    """`/metrics`: the kubelet itself."""
    workers = kubelet.workers.values()
    pods = sum(1 for worker in workers if worker.state.running())
    containers = sum(len(worker.state.running()) for worker in workers)
    ended: Iterable[Sample] = (
        ({"container_type": kind, "exit_code": str(code)}, count)
        for (kind, code), count in sorted(kubelet.host.terminated.items())
    )
    return page(
        [
            *family("kubelet_running_pods", "gauge", "Pods with a container that runs", ALPHA, [({}, pods)]),
            *family(
                "kubelet_running_containers", "gauge", "Containers by their state", ALPHA,
                [({"container_state": "running"}, containers)],
            ),
            *family("terminated_containers_total", "counter", "Containers that ended, by exit code", ALPHA, ended),
            *family(
                "kubelet_node_name", "gauge", "Always 1; the label is the name of the node", ALPHA,
                [({"node": kubelet.config.node_name}, 1)],
            ),
            *family(
                "process_cpu_seconds_total", "counter", "CPU time of this process, in seconds", "",
                [({}, sum(os.times()[:2]))],
            ),
        ]
    )  # fmt: skip


def slis(asked: int) -> bytes:
    """`/metrics/slis`: the health checks, and how often they were asked; who can answer this is well."""
    return page(
        [
            *family(
                "kubernetes_healthcheck", "gauge", "The result of a health check: 1 is well", STABLE,
                [({"name": name, "type": "healthz"}, 1) for name in CHECKS],
            ),
            *family(
                "kubernetes_healthchecks_total", "counter", "Results of health checks so far", STABLE,
                [({"name": name, "status": "success", "type": "healthz"}, asked) for name in CHECKS if asked],
            ),
        ]
    )  # fmt: skip


async def _containers(kubelet: Kubelet) -> list[tuple[dict[str, str], t.ContainerStats]]:
    try:
        found = await stats.by_pod(kubelet)
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


async def resources(kubelet: Kubelet) -> bytes:
    """`/metrics/resource`: CPU and memory of containers, pods and the node."""
    rows, memory = await _containers(kubelet), machine.meminfo()
    cpu, used, starts = list[Sample](), list[Sample](), list[Sample]()
    pods: dict[tuple[str, str], tuple[float, int]] = {}
    for labels, one in rows:
        key = (labels["namespace"], labels["pod"])
        seconds, size = pods.get(key, (0.0, 0))
        seconds += (one.cpu.usage_core_nano_seconds or 0) / 1e9 if one.cpu else 0
        size += (one.memory.working_set_bytes or 0) if one.memory else 0
        pods[key] = (seconds, size)
        worker = kubelet.find(labels["namespace"], labels["pod"])
        if one.cpu:
            cpu.append((labels, (one.cpu.usage_core_nano_seconds or 0) / 1e9))
        if one.memory:
            used.append((labels, one.memory.working_set_bytes or 0))
        if worker and (run := worker.state.latest(labels["container"])):
            starts.append((labels, run.started_at))
    by_pod = [({"namespace": namespace, "pod": name}, value) for (namespace, name), value in pods.items()]
    lines: list[str] = []
    for name, kind, about, samples in (
        ("container_cpu_usage_seconds_total", "counter", "CPU time of a container, in core seconds", cpu),
        ("container_memory_working_set_bytes", "gauge", "Working set of a container", used),
        ("container_start_time_seconds", "gauge", "When a container started, in Unix seconds", starts),
        ("node_cpu_usage_seconds_total", "counter", "CPU time of the node, in core seconds",
         [({}, stats.node_cpu() / 1e9)]),
        ("node_memory_working_set_bytes", "gauge", "Working set of the node",
         [({}, memory.get("MemTotal", 0) - memory.get("MemAvailable", 0))]),
        ("pod_cpu_usage_seconds_total", "counter", "CPU time of a pod, in core seconds",
         [(labels, value[0]) for labels, value in by_pod]),
        ("pod_memory_working_set_bytes", "gauge", "Working set of a pod",
         [(labels, value[1]) for labels, value in by_pod]),
        ("resource_scrape_error", "gauge", "1 if the figures could not be had", [({}, 0)]),
    ):  # fmt: skip
        lines += family(name, kind, about, STABLE, samples)
    return page(lines)


async def cadvisor(kubelet: Kubelet) -> bytes:
    """`/metrics/cadvisor`: the series of containers that dashboards know."""
    rows, lines = await _containers(kubelet), list[str]()
    for name, kind, about in (
        ("container_cpu_usage_seconds_total", "counter", "CPU time of a container, in core seconds"),
        ("container_memory_working_set_bytes", "gauge", "Working set of a container"),
        ("container_memory_usage_bytes", "gauge", "Memory of a container, caches included"),
        ("container_memory_rss", "gauge", "Resident memory of a container"),
        ("container_fs_usage_bytes", "gauge", "What a container has written to its file system"),
    ):
        samples = [(labels, _figure(name, one)) for labels, one in rows]
        lines += family(name, kind, about, "", samples)
    return page(lines)


def _figure(name: str, one: t.ContainerStats) -> float:
    match name:
        case "container_cpu_usage_seconds_total":
            return (one.cpu.usage_core_nano_seconds or 0) / 1e9 if one.cpu else 0
        case "container_memory_working_set_bytes":
            return (one.memory.working_set_bytes or 0) if one.memory else 0
        case "container_memory_usage_bytes":
            return (one.memory.usage_bytes or 0) if one.memory else 0
        case "container_memory_rss":
            return (one.memory.rss_bytes or 0) if one.memory else 0
        case "container_fs_usage_bytes":
            return (one.writable_layer.used_bytes or 0) if one.writable_layer else 0
    raise ValueError(name)


def probes(kubelet: Kubelet) -> bytes:
    """`/metrics/probes`: how often each probe had which outcome."""
    samples: list[Sample] = []
    for worker in kubelet.workers.values():
        metadata = worker.pod.metadata
        for (container, kind, result), count in worker.probed.items():
            labels = {
                "container": container, "namespace": metadata.namespace, "pod": metadata.name,
                "pod_uid": metadata.uid, "probe_type": kind, "result": result,
            }  # fmt: skip
            samples.append((labels, count))
    return page(family("prober_probe_total", "counter", "Outcomes of the probes of a container", BETA, samples))
