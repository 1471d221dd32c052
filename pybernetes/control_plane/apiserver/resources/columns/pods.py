"""How a Pod prints: the state of its containers in one word, the restarts, and when the last one was."""

from __future__ import annotations

from typing import Any

from pybernetes.api.core_v1 import ContainerStatus, Pod
from pybernetes.control_plane.apiserver.resource import Table
from pybernetes.control_plane.apiserver.resources.columns.cells import NONE, age, columns, since


def _always(pod: Pod, name: str) -> bool:
    """Whether an init container is a sidecar."""
    return any(c.name == name and c.restart_policy == "Always" for c in pod.spec.init_containers or ())


def _moment(status: ContainerStatus) -> str:
    last = status.last_state
    ended = last.terminated if last is not None else None
    return (ended.finished_at if ended is not None else None) or ""


def _init_word(status: ContainerStatus, done: int, total: int) -> str:
    state = status.state
    ended = state.terminated if state is not None else None
    if ended is not None:
        if ended.reason:
            return f"Init:{ended.reason}"
        return f"Init:Signal:{ended.signal}" if ended.signal else f"Init:ExitCode:{ended.exit_code}"
    waiting = state.waiting if state is not None else None
    if waiting is not None and waiting.reason and waiting.reason != "PodInitializing":
        return f"Init:{waiting.reason}"
    return f"Init:{done}/{total}"


def summary(pod: Pod) -> tuple[int, int, str, int, str]:
    """(ready, total, status word, restarts, moment of the last restart). Pure but for the clock."""
    status, spec = pod.status, pod.spec
    word = status.reason or status.phase or ""
    for condition in status.conditions or ():
        if condition.type == "PodScheduled" and condition.reason == "SchedulingGated":
            word = "SchedulingGated"
    init = spec.init_containers or []
    total = len(spec.containers) + sum(1 for c in init if c.restart_policy == "Always")
    ready = restarts = sidecar_restarts = 0
    last = sidecar_last = ""
    initializing = False
    for at, container in enumerate(status.init_container_statuses or ()):
        restarts += container.restart_count
        last = max(last, _moment(container))
        sidecar = _always(pod, container.name)
        if sidecar:
            sidecar_restarts += container.restart_count
            sidecar_last = max(sidecar_last, _moment(container))
        ended = container.state.terminated if container.state is not None else None
        if ended is not None and ended.exit_code == 0:
            continue
        if sidecar and container.started:
            if container.ready:
                ready += 1
            continue
        word = _init_word(container, at, len(init))
        initializing = True
        break
    if not initializing or _initialized(pod):
        restarts, last = sidecar_restarts, sidecar_last
        word, more_ready, more, moment = _main_word(pod, word)
        ready += more_ready
        restarts += more
        last = max(last, moment)
    if pod.metadata.deletion_timestamp is not None:
        if status.reason == "NodeLost":
            word = "Unknown"
        elif status.phase not in ("Succeeded", "Failed"):
            word = "Terminating"
    return ready, total, word, restarts, last


def _initialized(pod: Pod) -> bool:
    return any(c.type == "Initialized" and c.status == "True" for c in pod.status.conditions or ())


def _main_word(pod: Pod, word: str) -> tuple[str, int, int, str]:
    ready = restarts = 0
    last = ""
    running = False
    for container in reversed(pod.status.container_statuses or ()):
        restarts += container.restart_count
        last = max(last, _moment(container))
        state = container.state
        waiting = state.waiting if state is not None else None
        ended = state.terminated if state is not None else None
        if waiting is not None and waiting.reason:
            word = waiting.reason
        elif ended is not None:
            if ended.reason:
                word = ended.reason
            else:
                word = f"Signal:{ended.signal}" if ended.signal else f"ExitCode:{ended.exit_code}"
        elif container.ready and state is not None and state.running is not None:
            running = True
            ready += 1
    if word == "Completed" and running:
        is_ready = any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions or ())
        word = "Running" if is_ready else "NotReady"
    return word, ready, restarts, last


def row(pod: Any) -> list[Any]:
    ready, total, word, restarts, last = summary(pod)
    shown = str(restarts)
    if restarts and last:
        shown = f"{restarts} ({since(last)} ago)"
    ip = pod.status.pod_ips[0].ip if pod.status.pod_ips else (pod.status.pod_ip or NONE)
    gates = NONE
    if wanted := pod.spec.readiness_gates:
        true = {c.type for c in pod.status.conditions or () if c.status == "True"}
        gates = f"{sum(1 for gate in wanted if gate.condition_type in true)}/{len(wanted)}"
    return [
        pod.metadata.name,
        f"{ready}/{total}",
        word,
        shown,
        age(pod),
        ip,
        pod.spec.node_name or NONE,
        pod.status.nominated_node_name or NONE,
        gates,
    ]


TABLE = Table(columns("Name|Ready|Status|Restarts|Age|*IP|*Node|*Nominated Node|*Readiness Gates"), row)
