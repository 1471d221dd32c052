"""What a kubelet says about CPU and memory, and the rates that two of its answers make. Pure.

CPU comes as seconds since the start, so one answer tells nothing about now. A container that has started between two
answers is measured from its start.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple

from pybernetes.api.core_v1 import Pod

#: (namespace, Pod, container); `NODE` is the node itself.
Key = tuple[str, str, str]
NODE: Key = ("", "", "")
#: Annotations by which the Pods of fake nodes say what they use (those of the fake runtime).
CPU_NOTE, MEMORY_NOTE = "fake.pybernetes.io/cpu-millicores", "fake.pybernetes.io/memory-bytes"
_FAKE_CPU, _FAKE_MEMORY = 1, 1 << 20

_LINE = re.compile(r"(\w+)(?:\{(.*)\})? (\S+)(?: \d+)?")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_CPU = {"container_cpu_usage_seconds_total", "node_cpu_usage_seconds_total"}
_MEMORY = {"container_memory_working_set_bytes", "node_memory_working_set_bytes"}


class Used(NamedTuple):
    """By one container or node."""

    nanocores: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One answer of a kubelet, taken at `time` (seconds)."""

    time: float
    cpu: dict[Key, float] = field(default_factory=dict)  #: seconds
    memory: dict[Key, float] = field(default_factory=dict)
    started: dict[Key, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Usage:
    """Rates over `window` seconds that ended at `time`."""

    time: float
    window: float
    used: dict[Key, Used]


def parse(text: str, time: float) -> Sample:
    """The sample in a text of `/metrics/resource`."""
    sample = Sample(time)
    for line in text.splitlines():
        if line.startswith("#") or (match := _LINE.match(line)) is None:
            continue
        name, labels, value = match[1], dict(_LABEL.findall(match[2] or "")), float(match[3])
        key = labels.get("namespace", ""), labels.get("pod", ""), labels.get("container", "")
        if name in _CPU:
            sample.cpu[key] = value
        elif name in _MEMORY:
            sample.memory[key] = value
        elif name == "container_start_time_seconds":
            sample.started[key] = value
    return sample


def between(before: Sample, now: Sample) -> Usage:
    """What was used from one sample to the next."""
    used: dict[Key, Used] = {}
    for key, seconds in now.cpu.items():
        started = now.started.get(key, 0.0)
        restarted = started > before.started.get(key, started)
        if key in before.cpu and seconds >= before.cpu[key] and not restarted:
            spent, over = seconds - before.cpu[key], now.time - before.time
        elif started:
            spent, over = seconds, now.time - started
        else:
            continue
        if over > 0 and key in now.memory:
            used[key] = Used(int(spent / over * 1e9), int(now.memory[key]))
    return Usage(now.time, now.time - before.time, used)


def played(pod: Pod) -> dict[Key, Used]:
    """What a Pod on a fake node says that it uses."""
    metadata = pod.metadata
    notes = metadata.annotations or {}

    def note(name: str, container: str, default: int) -> int:
        try:
            return int(notes.get(f"{name}.{container}", notes.get(name, default)))
        except ValueError:
            return default

    return {
        (metadata.namespace, metadata.name, one.name): Used(
            note(CPU_NOTE, one.name, _FAKE_CPU) * 1_000_000, note(MEMORY_NOTE, one.name, _FAKE_MEMORY)
        )
        for one in pod.spec.containers
    }
