"""Reading the runtime: one container's status into its `Run`; all pods of a node after a restart of the kubelet."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from pybernetes.api.core_v1 import Pod
from pybernetes.node.cri import ContainerRuntime, NotFound
from pybernetes.node.cri import types as t
from pybernetes.node.kubelet import configs
from pybernetes.node.kubelet.config import Paths
from pybernetes.node.kubelet.logs import tail_for_message
from pybernetes.node.kubelet.restarts import find_container
from pybernetes.node.kubelet.state import CREATED, EXITED, RUNNING, PodState, Run, Sandbox

MAX_MESSAGE = 4096
_STATES = {t.ContainerState.CREATED: CREATED, t.ContainerState.RUNNING: RUNNING, t.ContainerState.EXITED: EXITED}


async def read_run(runtime: ContainerRuntime, paths: Paths, pod: Pod, run: Run) -> bool:
    """Bring a run up to date; whether it changed state. A container that is gone counts as exited."""
    before = run.state
    if before == EXITED:
        return False
    try:
        status = await runtime.container_status(run.id)
    except NotFound:
        run.state, run.exit_code, run.reason = EXITED, 137, "ContainerStatusUnknown"
        run.message = "The container could not be located when the pod was deleted.  The container used to be Running"
        run.finished_at = run.finished_at or run.started_at
        return True
    take_status(run, status)
    if run.state == EXITED and before != EXITED:
        run.message = _termination_message(pod, paths, run, status)
    return run.state != before


def take_status(run: Run, status: t.ContainerStatus) -> None:
    """Copy what the runtime says."""
    run.state = _STATES.get(status.state, EXITED)
    run.created_at = status.created_at / 1e9
    run.started_at = status.started_at / 1e9 if status.started_at else run.started_at
    run.finished_at = status.finished_at / 1e9
    run.exit_code = status.exit_code
    run.reason = status.reason if run.state == EXITED else ""
    if status.user and status.user.linux:
        linux = status.user.linux
        run.user = (linux.uid, linux.gid, tuple(linux.supplemental_groups))


def _termination_message(pod: Pod, paths: Paths, run: Run, status: t.ContainerStatus) -> str:
    """The runtime's words, if it has any; then what the container left in its termination file, or in its log."""
    container = find_container(pod, run.name)
    text = ""
    with contextlib.suppress(OSError):
        path = paths.termination_file(pod.metadata.uid, run.name, run.restart_count)
        with path.open("rb") as file:
            text = file.read(MAX_MESSAGE).decode("utf-8", "replace")
    policy = container.termination_message_policy if container else None
    if not text and policy == "FallbackToLogsOnError" and run.exit_code != 0:
        metadata = pod.metadata
        log = paths.log_file(metadata.namespace, metadata.name, metadata.uid, run.name, run.restart_count)
        text = tail_for_message(log)
    return ": ".join(part for part in (status.message, text) if part)


@dataclass(slots=True)
class Found:
    """A pod of the runtime: who it is, and what there is of it."""

    namespace: str
    name: str
    uid: str
    state: PodState = field(default_factory=PodState)


async def find_pods(runtime: ContainerRuntime) -> dict[str, Found]:
    """All pods the runtime has sandboxes of, by uid: how a kubelet takes over after a restart."""
    found: dict[str, Found] = {}
    boxes: dict[str, list[t.PodSandbox]] = {}
    for box in await runtime.list_pod_sandboxes():
        if uid := box.labels.get(configs.POD_UID, ""):
            boxes.setdefault(uid, []).append(box)
    containers: dict[str, list[t.Container]] = {}
    for container in await runtime.list_containers():
        if uid := container.labels.get(configs.POD_UID, ""):
            containers.setdefault(uid, []).append(container)
    for uid, group in boxes.items():
        group.sort(key=lambda box: (box.created_at, box.metadata.attempt))
        metadata = group[-1].metadata
        one = found[uid] = Found(metadata.namespace, metadata.name, uid)
        state = one.state
        for box in group:
            known = Sandbox(
                box.id, box.metadata.attempt, box.state is t.PodSandboxState.READY, created_at=box.created_at / 1e9
            )
            if state.sandbox is not None:
                state.old_sandboxes.append(state.sandbox)
            state.sandbox = known
        if state.sandbox is not None and state.sandbox.ready:
            with contextlib.suppress(NotFound):
                state.sandbox.ips = (await runtime.pod_sandbox_status(state.sandbox.id)).ips
        for container in sorted(containers.get(uid, []), key=lambda c: c.created_at):
            with contextlib.suppress(NotFound):
                run = _run_of(container, await runtime.container_status(container.id))
                state.runs.setdefault(run.name, []).append(run)
    return found


def _run_of(container: t.Container, status: t.ContainerStatus) -> Run:
    notes: Mapping[str, str] = container.annotations
    run = Run(
        container.id,
        container.labels.get(configs.CONTAINER_NAME, container.metadata.name),
        int(notes.get(configs.RESTART_COUNT, container.metadata.attempt)),
        container.pod_sandbox_id,
        image=status.image.image,
        image_id=status.image_ref,
        spec_hash=notes.get(configs.HASH, ""),
        log_path=str(Path(status.log_path)),
    )
    take_status(run, status)
    run.message = status.message
    if text := notes.get(configs.RESOURCES):
        run.resources = msgspec.json.decode(text, type=dict[str, dict[str, str]])
    return run
