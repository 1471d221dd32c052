"""The status of a pod, as one pure function of its spec and of what is known of it here.

`make` writes what the kubelet owns: phase, addresses, container statuses and its own conditions. Conditions that others
own (readiness gates, DisruptionTarget of an eviction) are not in the result; the status is written as a patch that
leaves them alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pybernetes.aio.clock import format_rfc3339
from pybernetes.api.core_v1 import (
    Container,
    ContainerState,
    ContainerStateRunning,
    ContainerStateTerminated,
    ContainerStateWaiting,
    ContainerStatus,
    ContainerUser,
    HostIP,
    LinuxContainerUser,
    Pod,
    PodCondition,
    PodIP,
    PodStatus,
    ResourceRequirements,
    VolumeMountStatus,
)
from pybernetes.node.kubelet import resize
from pybernetes.node.kubelet.lifecycle import finished, is_started
from pybernetes.node.kubelet.qos import qos_class
from pybernetes.node.kubelet.restarts import (
    AnyContainer,
    ephemeral_containers,
    init_containers,
    is_sidecar,
    may_restart_all,
    restarts,
)
from pybernetes.node.kubelet.state import CREATED, EXITED, HOOK_SHOWN, POST_START_HOOK, RUNNING, PodState, Run

PENDING, RUNNING_PHASE, SUCCEEDED, FAILED = "Pending", "Running", "Succeeded", "Failed"


def make(
    pod: Pod,
    state: PodState,
    now: float,
    host_ips: Sequence[str],
    runtime: str = "containerd",
    previous: PodStatus | None = None,
) -> PodStatus:
    """The status of a pod. `runtime` is the scheme of container ids.

    `previous` is the status made last (of the pod, when there is none): where transition times come from.
    """
    previous = previous or pod.status
    status = PodStatus(
        observed_generation=pod.metadata.generation,
        qos_class=pod.status.qos_class or qos_class(pod),
        start_time=format_rfc3339(state.start_time) if state.start_time else pod.status.start_time,
    )
    if state.rejected:
        status.phase, status.reason, status.message = FAILED, state.rejected.reason, state.rejected.message
        return status
    if host_ips:
        status.host_ip = host_ips[0]
        status.host_ips = [HostIP(ip=ip) for ip in host_ips]
    over = _over(state)
    builder = _Statuses(pod, state, now, runtime, over)
    waiting_reason = "PodInitializing" if init_containers(pod) else "ContainerCreating"
    init = [builder.make(c, "PodInitializing", init=True) for c in init_containers(pod)]
    main = [builder.make(c, waiting_reason) for c in pod.spec.containers]
    extra = [builder.make(c, "ContainerCreating") for c in ephemeral_containers(pod)]
    status.phase = _phase(pod, state, previous, init, main, over)
    status.init_container_statuses = init or None
    status.container_statuses = main or None
    status.ephemeral_container_statuses = extra or None
    if state.ending and over:  # not before: the reason of a failure comes with the failure
        status.reason, status.message = state.ending.reason or None, state.ending.message or None
        if previous.phase != SUCCEEDED:
            status.phase = FAILED
    if state.resources is not None:
        limits, requests = state.resources.get("limits"), state.resources.get("requests")
        status.resources = ResourceRequirements(limits=limits, requests=requests)
        status.allocated_resources = requests
    ips = _addresses(pod, state, host_ips)
    if ips:
        status.pod_ip = ips[0]
        status.pod_ips = [PodIP(ip=ip) for ip in ips]
    status.conditions = _conditions(pod, state, status, previous, init, main, now)
    return status


def _over(state: PodState) -> bool:
    """Terminating, and no container runs or can still start."""
    return (
        state.terminating_since is not None
        and not state.running()
        and not any(key.startswith("start/") for key in state.ops)
    )


def _addresses(pod: Pod, state: PodState, host_ips: Sequence[str]) -> Sequence[str]:
    if pod.spec.host_network:
        return list(host_ips)
    if state.sandbox and state.sandbox.ips:
        return state.sandbox.ips
    return [p.ip for p in pod.status.pod_ips or ()] if _over(state) else ()


class _Statuses:
    """Container statuses of one pod."""

    def __init__(self, pod: Pod, state: PodState, now: float, runtime: str, over: bool) -> None:
        self.pod = pod
        self.state = state
        self.now = now
        self.runtime = runtime
        self.over = over

    def make(self, container: AnyContainer, waiting: str, *, init: bool = False) -> ContainerStatus:
        state = self.state
        run = state.latest(container.name)
        before = state.previous(container.name)
        if run is not None and run.state == CREATED:
            run, before = before, None
        status = ContainerStatus(name=container.name, image=container.image or "", started=False)
        trouble = state.trouble.get(container.name)
        if run is None:
            if self.over and (known := self._known(container.name)) is not None:
                return known
            if self.over and not self._held_back(container):
                status.state = ContainerState(
                    terminated=ContainerStateTerminated(
                        exit_code=137,
                        reason="ContainerStatusUnknown",
                        message="The container could not be located when the pod was terminated",
                    )
                )
            elif trouble:
                status.state = _waiting(trouble.reason, trouble.message)
            else:
                status.state = _waiting(waiting)
            status.last_state = ContainerState()
            status.restart_count = max(state.counts.get(container.name, 0), 0)
            self._mounts(container, status)
            return status
        status.restart_count = run.restart_count
        status.image, status.image_id = run.image or status.image, run.image_id
        status.container_id = self._id(run)
        status.state = self._state(run)
        status.last_state = self._state(before) if before and before.state == EXITED else ContainerState()
        if run.state == RUNNING:
            status.started = is_started(container, run)
            status.ready = _is_ready(container, run, init)
            self._figures(run, run.resources, status)
        else:
            # What its next run would be given; what it had itself is of no more use.
            held = resize.PENDING in self.state.resize
            self._figures(run, run.resources if held else resize.resources_of(container), status)
            if not self.over:
                self._between(container, run, status, init)
        if init and not is_sidecar(container) and run.state == EXITED and run.exit_code == 0 and not run.superseded:
            status.ready = True
        self._mounts(container, status)
        return status

    def _held_back(self, container: AnyContainer) -> bool:
        """An init container before it has not succeeded: it never had its turn, and waits even in the end."""
        for before in init_containers(self.pod):
            if before.name == container.name:
                return False
            run = self.state.latest(before.name)
            ended_well = run is not None and run.state == EXITED and run.exit_code == 0
            if not is_sidecar(before) and not ended_well:
                return True
        return False

    def _known(self, name: str) -> ContainerStatus | None:
        """The last words of a container that the runtime has forgotten, if the API has them."""
        status = self.pod.status
        groups = (status.container_statuses, status.init_container_statuses, status.ephemeral_container_statuses)
        for group in groups:
            for known in group or ():
                if known.name == name and known.state and known.state.terminated:
                    return known
        return None

    def _between(self, container: AnyContainer, run: Run, status: ContainerStatus, init: bool) -> None:
        """An exited container that waits for its next run tells why."""
        assert status.state is not None
        if not isinstance(container, Container) or not restarts(self.pod, container, run, init=init):
            return
        trouble = self.state.trouble.get(container.name)
        if trouble and not (trouble.reason == POST_START_HOOK and self.now >= run.finished_at + HOOK_SHOWN):
            status.last_state, status.state = status.state, _waiting(trouble.reason, trouble.message)
            return
        # From the announcement until the next run is there: also while that is being started.
        announced, pause = self.state.told.get(container.name, ("", 0.0))
        if self.state.terminating_since is None and announced == run.id:
            whose = f"container={container.name} pod={full_name(self.pod)}"
            message = f"back-off {duration(int(pause))} restarting failed {whose}"
            status.last_state, status.state = status.state, _waiting("CrashLoopBackOff", message)
        elif self.state.terminating_since is None and (run.kill is not None or run.superseded):
            # Ended by us only to be started anew: nobody is to take that for an end of its own.
            reason = "PodInitializing" if run.superseded and init_containers(self.pod) else "ContainerCreating"
            status.last_state, status.state = status.state, _waiting(reason)

    def _state(self, run: Run) -> ContainerState:
        if run.state == RUNNING:
            return ContainerState(running=ContainerStateRunning(started_at=format_rfc3339(run.started_at)))
        return ContainerState(
            terminated=ContainerStateTerminated(
                exit_code=run.exit_code,
                reason=run.reason or ("Completed" if run.exit_code == 0 else "Error"),
                message=run.message or None,
                started_at=format_rfc3339(run.started_at),
                finished_at=format_rfc3339(run.finished_at),
                container_id=self._id(run),
            )
        )

    def _id(self, run: Run) -> str:
        return f"{self.runtime}://{run.id}"

    def _figures(self, run: Run, resources: resize.Resources | None, status: ContainerStatus) -> None:
        if resources is not None:
            limits, requests = resources.get("limits"), resources.get("requests")
            status.allocated_resources = dict(requests) if requests else None
            status.resources = ResourceRequirements(limits=limits, requests=requests)
        if run.user is not None:
            uid, gid, groups = run.user
            status.user = ContainerUser(linux=LinuxContainerUser(uid=uid, gid=gid, supplemental_groups=list(groups)))

    def _mounts(self, container: AnyContainer, status: ContainerStatus) -> None:
        mounts = [
            VolumeMountStatus(
                name=m.name,
                mount_path=m.mount_path,
                read_only=m.read_only or None,
                recursive_read_only="Disabled" if m.read_only else None,
            )
            for m in container.volume_mounts or ()
        ]
        status.volume_mounts = mounts or None


def _waiting(reason: str, message: str = "") -> ContainerState:
    return ContainerState(waiting=ContainerStateWaiting(reason=reason, message=message or None))


def _is_ready(container: AnyContainer, run: Run, init: bool) -> bool:
    if init and not is_sidecar(container):
        return False
    if not is_started(container, run):
        return False
    return container.readiness_probe is None or run.ready is True


def full_name(pod: Pod) -> str:
    """`name_namespace(uid)`, as messages name a pod."""
    return f"{pod.metadata.name}_{pod.metadata.namespace}({pod.metadata.uid})"


def duration(seconds: int) -> str:
    """As Go writes it: `10s`, `1m20s`, `5m0s`."""
    if seconds < 60:
        return f"{seconds}s"
    return f"{seconds // 60}m{seconds % 60}s"


# --- phase ------------------------------------------------------------------------------------------------------


def _phase(
    pod: Pod, state: PodState, previous: PodStatus, init: list[ContainerStatus], main: list[ContainerStatus], over: bool
) -> str:
    if previous.phase in (SUCCEEDED, FAILED):
        return previous.phase
    pending, failed, running, waiting, stopped, succeeded = 0, 0, 0, 0, 0, 0
    for container, status in zip(init_containers(pod), init, strict=True):
        now = status.state or ContainerState()
        if is_sidecar(container):
            if now.running:
                running += 1
                pending += not status.started
            elif not now.terminated and not (status.last_state and status.last_state.terminated):
                pending += 1
        elif now.terminated:
            failed += now.terminated.exit_code != 0 and not _restarts_as_init(pod, state, container, now.terminated)
            pending += now.terminated.exit_code != 0
        else:
            pending += 1
    for status in main:
        now, last = status.state or ContainerState(), status.last_state or ContainerState()
        done = now.terminated or last.terminated
        if now.running:
            running += 1
        elif done:
            stopped += 1
            succeeded += done.exit_code == 0
        else:
            waiting += 1
    if over:
        return SUCCEEDED if main and succeeded == len(main) else FAILED
    if failed:
        return FAILED
    if pending and not stopped and not any(s.state and s.state.running for s in main):
        return PENDING
    if waiting:
        return PENDING
    if running:
        return RUNNING_PHASE
    if stopped and all(_ended_for_good(pod, state, c, s) for c, s in zip(pod.spec.containers, main, strict=True)):
        return SUCCEEDED if stopped == succeeded else FAILED
    return RUNNING_PHASE if stopped else PENDING


def _restarts_as_init(pod: Pod, state: PodState, container: Container, ended: ContainerStateTerminated) -> bool:
    run = state.latest(container.name) or Run("", container.name, 0, "", state=EXITED, exit_code=ended.exit_code)
    return run.state != EXITED or restarts(pod, container, run, init=True)  # made, and still shown as it ended before


def _ended_for_good(pod: Pod, state: PodState, container: Container, status: ContainerStatus) -> bool:
    ended = status.state.terminated if status.state else None
    if ended is None:
        return False
    run = state.latest(container.name)  # it knows whether it was ended only to be started anew
    if run is None or run.state != EXITED:
        run = Run("", container.name, 0, "", state=EXITED, exit_code=ended.exit_code)
    return not restarts(pod, container, run)


# --- conditions -------------------------------------------------------------------------------------------------


def _conditions(
    pod: Pod, state: PodState, status: PodStatus, previous: PodStatus, init: list[ContainerStatus],
    main: list[ContainerStatus], now: float,
) -> list[PodCondition]:  # fmt: skip
    phase = status.phase or PENDING
    has_sandbox = state.sandbox is not None and state.sandbox.ready
    containers_ready = _containers_ready(pod, phase, init, main)
    found = [
        (
            "PodReadyToStartContainers",
            (has_sandbox and state.volumes_ready) or bool(has_sandbox and main and _any_run(main)),
            "",
            "",
        ),
        ("Initialized", *_initialized(pod, phase, init, main)),
        ("Ready", *_pod_ready(pod, containers_ready)),
        ("ContainersReady", *containers_ready),
        ("PodScheduled", True, "", ""),
    ]
    if may_restart_all(pod):
        reason = "PodCompleted" if phase == SUCCEEDED else "PodFailed" if phase == FAILED else ""
        found.append(("AllContainersRestarting", state.restarting and not reason, reason, ""))
    resizing = resize.progress(pod, state)
    if resizing.condition:
        found.append((resizing.condition, True, resizing.reason, resizing.message))
    if state.ending and state.ending.disruption:
        found.append(("DisruptionTarget", True, state.ending.disruption, state.ending.message))
    known = {c.type: c for c in (*(pod.status.conditions or ()), *(previous.conditions or ()))}
    stamp = format_rfc3339(now)
    conditions = []
    for kind, value, reason, message in found:
        text = "True" if value else "False"
        old = known.get(kind)
        same = old is not None and old.status == text
        conditions.append(
            PodCondition(
                type=kind,
                status=text,
                observed_generation=pod.metadata.generation,
                last_transition_time=(old.last_transition_time if same and old else None) or stamp,
                reason=reason or None,
                message=message or None,
            )
        )
    return conditions


def _any_run(statuses: Iterable[ContainerStatus]) -> bool:
    return any(s.state and s.state.running for s in statuses)


def _initialized(
    pod: Pod, phase: str, init: list[ContainerStatus], main: list[ContainerStatus]
) -> tuple[bool, str, str]:
    if not init:
        return True, "PodCompleted" if phase == SUCCEEDED else "", ""
    if phase == SUCCEEDED:
        return True, "PodCompleted", ""
    if any(s.container_id for s in main):
        return True, "", ""
    names = [
        s.name for c, s in zip(init_containers(pod), init, strict=True) if not (s.started if is_sidecar(c) else s.ready)
    ]
    if not names:
        return True, "", ""
    return False, "ContainersNotInitialized", f"containers with incomplete status: [{' '.join(names)}]"


def _containers_ready(
    pod: Pod, phase: str, init: list[ContainerStatus], main: list[ContainerStatus]
) -> tuple[bool, str, str]:
    if phase == SUCCEEDED:
        return False, "PodCompleted", ""
    if phase == FAILED:
        return False, "PodFailed", ""
    both = [s for c, s in zip(init_containers(pod), init, strict=True) if is_sidecar(c)] + main
    unready = [s.name for s in both if not s.ready]
    if unready:
        return False, "ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]"
    return True, "", ""


def _pod_ready(pod: Pod, containers: tuple[bool, str, str]) -> tuple[bool, str, str]:
    if not containers[0]:
        return containers
    known = {c.type: c.status for c in pod.status.conditions or ()}
    messages = []
    for gate in pod.spec.readiness_gates or ():
        value = known.get(gate.condition_type)
        if value is None:
            messages.append(f'corresponding condition of pod readiness gate "{gate.condition_type}" does not exist.')
        elif value != "True":
            messages.append(f'the status of pod readiness gate "{gate.condition_type}" is not "True", but {value}')
    if messages:
        return False, "ReadinessGatesNotReady", ", ".join(messages)
    return True, "", ""


def is_final(pod: Pod, state: PodState) -> bool:
    """Nothing will run any more: the status that says so is the last one."""
    return bool(state.rejected) or _over(state)


def ready(status: PodStatus) -> str:
    """The status of the Ready condition, "" when there is none."""
    return next((c.status for c in status.conditions or () if c.type == "Ready"), "")


__all__ = ["duration", "finished", "full_name", "is_final", "make", "ready"]
