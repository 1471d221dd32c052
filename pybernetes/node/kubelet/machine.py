"""The machine below the node: what it has, what it is, and whether it is running out of something. Linux only."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pybernetes.machinery import quantity

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "ppc64le": "ppc64le", "s390x": "s390x"}


@dataclass(frozen=True, slots=True)
class Pressure:
    """What the node is short of."""

    memory: bool = False
    disk: bool = False
    pids: bool = False


def architecture() -> str:
    """In Go's words: amd64, arm64."""
    return _ARCHITECTURES.get(platform.machine(), platform.machine())


def labels(name: str) -> dict[str, str]:
    """The labels every node gets."""
    return {
        "beta.kubernetes.io/arch": architecture(),
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": architecture(),
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
    }


def meminfo() -> dict[str, int]:
    """/proc/meminfo in bytes."""
    found = {}
    for line in _read("/proc/meminfo").splitlines():
        name, _, value = line.partition(":")
        words = value.split()
        if words and words[0].isdigit():
            found[name] = int(words[0]) * (1024 if words[-1] == "kB" else 1)
    return found


def capacity(directory: Path) -> dict[str, str]:
    """CPU, memory, ephemeral storage and huge pages of this machine, as quantities."""
    disk = os.statvfs(_existing(directory))
    found = {
        "cpu": str(len(os.sched_getaffinity(0))),
        "memory": f"{meminfo().get('MemTotal', 0) // 1024}Ki",
        "ephemeral-storage": f"{disk.f_blocks * disk.f_frsize // 1024}Ki",
    }
    pages = Path("/sys/kernel/mm/hugepages")
    if pages.is_dir():
        for entry in sorted(pages.iterdir()):
            size = int(entry.name.removeprefix("hugepages-").removesuffix("kB"))
            count = int(_read(str(entry / "nr_hugepages")) or 0)
            shown = f"{size // 1024**2}Gi" if size >= 1024**2 else f"{size // 1024}Mi" if size >= 1024 else f"{size}Ki"
            found[f"hugepages-{shown}"] = quantity.canonical(f"{count * size}Ki") if count else "0"
    return found


def boot_time() -> float:
    """When the machine started, Unix seconds."""
    lines = (line.split() for line in _read("/proc/stat").splitlines())
    return next((float(words[1]) for words in lines if words[:1] == ["btime"]), 0.0)


def system_info() -> dict[str, str]:
    """`nodeInfo`, but for the versions of runtime and kubelet."""
    machine_id = _read("/etc/machine-id").strip()
    name = "Linux"
    for line in _read("/etc/os-release").splitlines():
        if line.startswith("PRETTY_NAME="):
            name = line.partition("=")[2].strip().strip('"')
    return {
        "machineID": machine_id,
        "systemUUID": _read("/sys/class/dmi/id/product_uuid").strip() or machine_id,
        "bootID": _read("/proc/sys/kernel/random/boot_id").strip(),
        "kernelVersion": platform.release(),
        "osImage": name,
        "operatingSystem": "linux",
        "architecture": architecture(),
    }


def pressure(directory: Path, thresholds: Mapping[str, str]) -> Pressure:
    """Compare with the eviction thresholds (`memory.available: 100Mi`, `nodefs.available: 10%`)."""
    memory = meminfo()
    disk = os.statvfs(_existing(directory))
    signals = {
        "memory.available": (memory.get("MemAvailable", 0), memory.get("MemTotal", 0)),
        "nodefs.available": (disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize),
        "nodefs.inodesFree": (disk.f_favail, disk.f_files),
    }
    low = {name for name, text in thresholds.items() if name in signals and _below(*signals[name], text)}
    pids = False
    if limit := _read("/proc/sys/kernel/pid_max").strip():
        running = _read("/proc/loadavg").split()
        pids = len(running) > 3 and int(running[3].partition("/")[2]) > 0.95 * int(limit)
    return Pressure("memory.available" in low, bool(low - {"memory.available"}), pids)


def thresholds(capacity: Mapping[str, str], hard: Mapping[str, str]) -> dict[str, str]:
    """What eviction keeps free of each resource, which Pods therefore cannot have."""
    found = {}
    for signal, name in (("memory.available", "memory"), ("nodefs.available", "ephemeral-storage")):
        text = hard.get(signal, "")
        if name in capacity and text:
            part = text.endswith("%")
            found[name] = str(int(quantity.value(capacity[name]) * float(text[:-1]) / 100)) if part else text
    return found


def _below(available: int, total: int, threshold: str) -> bool:
    if total <= 0:
        return False
    if threshold.endswith("%"):
        return available < total * float(threshold[:-1]) / 100
    return available < quantity.value(threshold)


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
