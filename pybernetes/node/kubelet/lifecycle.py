"""The life of a pod on its node, as one pure function: pod, what is known of it here, and the time -> what to do now.

`decide` is level-triggered: it looks at everything each time and names all that can be done at once (volumes and
sandbox together; every container that is to stop), and when to look again if nothing happens. It never waits: what is
under way is in `state.ops`. The order of things:

    sandbox and volumes -> init containers one by one (sidecars: until started) -> containers one by one
    termination: pre-stop hooks -> containers -> sidecars, last first -> sandbox and volumes -> object -> leftovers

All containers may be restarted in place (a restart rule of one asks for it): they end, and the init phase begins again.
Termination is a one-way street, entered by deletion, by the kubelet's own decision (`state.ending`), or because all
containers have ended for good.
"""

from __future__ import annotations

from dataclasses import dataclass

from pybernetes.api.core_v1 import Container, Pod
from pybernetes.node.kubelet import commands as do
from pybernetes.node.kubelet.resize import PENDING, differs, needs_restart, resources_of, wants_pod_resize, wants_resize
from pybernetes.node.kubelet.restarts import (
    AnyContainer,
    asks_for_all,
    back_off_until,
    changed,
    ephemeral_containers,
    find_container,
    init_containers,
    is_sidecar,
    restarts,
    sidecars,
)
from pybernetes.node.kubelet.state import CREATED, EXITED, HOOK_SHOWN, RUNNING, Ending, Kill, PodState, Run

#: Even without grace a container gets a moment between the stop signal and SIGKILL, seconds.
MINIMUM_GRACE = 2.0
DEFAULT_GRACE = 30.0

DEADLINE = Ending("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do now, and when to decide again at the latest (Unix seconds; infinity: at the next event)."""

    commands: tuple[do.Command, ...]
    wake_at: float


def decide(pod: Pod, state: PodState, now: float) -> Decision:
    """The next commands. Commands for operations in flight are not repeated."""
    return _Decider(pod, state, now).run()


def apply(command: do.Command, state: PodState, now: float) -> bool:
    """The effect of an immediate command on the state; False for commands that are not of this kind."""
    match command:
        case do.BeginEnding(ending):
            state.ending = ending
        case do.BeginTermination(grace):
            if state.terminating_since is None:
                state.terminating_since, state.kill_deadline = now, now + grace
            state.grace, state.kill_deadline = grace, min(state.kill_deadline, now + grace)
        case do.BeginKill(_, id, deadline, message, restart):
            run = state.find(id)
            if run is not None and run.kill is not None:
                run.kill.deadline, run.kill.restart = deadline, run.kill.restart or restart
            elif run is not None:
                run.kill = Kill(deadline, message, restart=restart)
        case do.BeginRestartAll():
            state.restarting = True
        case do.EndRestartAll():
            state.restarting = False
            for runs in state.runs.values():
                for run in runs[-1:]:
                    run.superseded = run.state != RUNNING  # one that was only made stands for no end of the init phase
        case do.TellBackOff(name, id, pause):
            state.told[name] = id, pause
        case _:
            return False
    return True


def finished(pod: Pod, state: PodState) -> bool:
    """All regular containers have ended for good, or an init container failed for good."""
    for init in init_containers(pod):
        run = state.latest(init.name)
        failed = run is not None and run.state == EXITED and run.exit_code != 0
        if failed and run and not is_sidecar(init) and not restarts(pod, init, run, init=True):
            return True
    for container in pod.spec.containers:
        run = state.latest(container.name)
        if run is None or run.state != EXITED or restarts(pod, container, run):
            return False
    return bool(pod.spec.containers)


def initialized(pod: Pod, state: PodState) -> bool:
    """The init phase of the current sandbox is over."""
    sandbox = state.sandbox.id if state.sandbox else ""
    latest = (state.latest(c.name) for c in pod.spec.containers)
    return any(run is not None and run.sandbox_id == sandbox and not run.superseded for run in latest)


def is_started(container: AnyContainer, run: Run) -> bool:
    """Running, its post-start hook done, and its startup probe (if any) has succeeded."""
    return run.state == RUNNING and run.post_started and (container.startup_probe is None or run.started is True)


class _Decider:
    def __init__(self, pod: Pod, state: PodState, now: float) -> None:
        self.pod = pod
        self.state = state
        self.now = now
        self.wake_at = float("inf")
        self.commands: list[do.Command] = []

    def run(self) -> Decision:
        state = self.state
        if state.gone:
            pass
        elif state.rejected:
            self._leave()
        else:
            self._check_deadline()
            grace = self._grace()
            if grace is not None and (state.terminating_since is None or grace < state.grace):
                self.commands.append(do.BeginTermination(grace))  # and decide again
            elif state.terminating_since is not None:
                self._terminate()
            else:
                self._sync()
        return Decision(tuple(self.commands), self.wake_at)

    # --- whether to end ---

    def _check_deadline(self) -> None:
        limit, state = self.pod.spec.active_deadline_seconds, self.state
        if limit is None or state.ending or state.terminating_since is not None or not state.start_time:
            return
        end = state.start_time + limit
        if self.now >= end:
            state_ending = do.BeginEnding(DEADLINE)
            self.commands.append(state_ending)
        else:
            self._wake(end)

    def _usual_grace(self) -> float:
        own = self.pod.spec.termination_grace_period_seconds
        return DEFAULT_GRACE if own is None else float(own)

    def _grace(self) -> float | None:
        """Seconds for termination; None when the pod is to live."""
        metadata, usual = self.pod.metadata, self._usual_grace()
        chosen: list[float] = []
        if metadata.deletion_timestamp:
            given = metadata.deletion_grace_period_seconds
            chosen.append(usual if given is None else given)
        elif self.state.removed:
            chosen.append(usual)
        if self.state.ending:
            chosen.append(usual if self.state.ending.grace is None else self.state.ending.grace)
        elif any(isinstance(c, do.BeginEnding) for c in self.commands):
            chosen.append(usual)
        if not chosen and finished(self.pod, self.state):
            chosen.append(usual)
        return min(chosen, default=None)

    # --- ending ---

    def _terminate(self) -> None:
        state = self.state
        for key, op in state.ops.items():
            if op.interruptible and (key.startswith("start/") or key == "volumes"):
                self.commands.append(do.Cancel(key))
        for run in state.running():
            if run.kill is None or run.kill.deadline > state.kill_deadline:
                self.commands.append(
                    do.BeginKill(run.name, run.id, state.kill_deadline, f"Stopping container {run.name}")
                )
        if self.commands:
            return
        self._stop_containers(ordered=True)
        if state.running() or any(key.startswith(("start/", "sandbox")) for key in state.ops):
            return
        boxes = self._stop_sandboxes()
        if not state.torn_down and "volumes" not in state.ops:
            self._operate(do.TearDown())
        if not boxes and state.torn_down:
            self._leave()

    def _stop_sandboxes(self) -> bool:
        """Stop every sandbox that was not stopped by us: one that died by itself still has its network."""
        boxes = [b for b in (*self.state.old_sandboxes, self.state.sandbox) if b is not None and not b.stopped]
        for box in boxes:
            self._operate(do.StopSandbox(box.id))
        return bool(boxes)

    def _leave(self) -> None:
        if self.state.removed:
            self._operate(do.CleanUp())
        elif self.pod.metadata.deletion_timestamp and self.state.final_written:
            self._operate(do.DeleteObject())

    def _stop_containers(self, *, ordered: bool) -> None:
        """Carry on with every container that is to stop: its hook first, then the signal, sidecars in their turn."""
        running = {run.name for run in self.state.running()}
        order = [c.name for c in sidecars(self.pod)]
        for run in self.state.running():
            kill = run.kill
            if kill is None:
                continue
            container = find_container(self.pod, run.name)
            hook = container.lifecycle.pre_stop if container and container.lifecycle else None
            if hook and not kill.hook_done and self.now < kill.deadline:
                if run.post_started or f"start/{run.name}" not in self.state.ops:
                    self._operate(do.RunPreStop(run.name, run.id, kill.deadline))
                self._wake(kill.deadline)
            if hook and not kill.hook_done and self.now < kill.deadline:
                continue
            if ordered and run.name in order and self.now < kill.deadline:
                later = order[order.index(run.name) + 1 :]
                if any(name not in order or name in later for name in running):
                    self._wake(kill.deadline)
                    continue
            stop = do.StopContainer(run.name, run.id, max(kill.deadline, self.now + MINIMUM_GRACE))
            flying = self.state.ops.get(stop.key)
            if flying is None:
                self._operate(stop)
            elif flying.deadline > stop.deadline + 0.5:
                self.commands.append(stop)

    # --- living ---

    def _sync(self) -> None:
        state = self.state
        box = state.sandbox
        if box is None or not box.ready:
            if alive := state.running():
                self._kill_all(alive)
                return
            if self._stop_sandboxes():
                return
            self._operate(do.CreateSandbox(box.attempt + 1 if box else 0))
            if not state.volumes_ready:
                self._operate(do.SetUpVolumes())
            return
        if self._restart_all():
            return
        self._check_running()
        self._stop_containers(ordered=False)
        self._prune()
        if not state.volumes_ready:
            self._operate(do.SetUpVolumes())
            return
        for ephemeral in ephemeral_containers(self.pod):
            if state.latest(ephemeral.name) is None:
                self._start(ephemeral)
        if any(key.startswith("start/") and not self._is_ephemeral(key[6:]) for key in state.ops):
            return  # one at a time: the order of containers is a promise
        if self._init_phase():
            for container in self.pod.spec.containers:
                if self._needs_start(container) and self._start(container):
                    return

    def _restart_all(self) -> bool:
        """End all containers at once, without hooks, when the exit of one asks for it; whether that is under way."""
        state = self.state
        if not state.restarting:
            latest = ((c, state.latest(c.name)) for c in (*init_containers(self.pod), *self.pod.spec.containers))
            if not any(run is not None and asks_for_all(c, run) for c, run in latest):
                return False
            self.commands.append(do.BeginRestartAll())
            return True
        starting = [key for key in state.ops if key.startswith("start/") and not self._is_ephemeral(key[6:])]
        self.commands += [do.Cancel(key) for key in starting if state.ops[key].interruptible]
        alive = [run for run in state.running() if not self._is_ephemeral(run.name)]
        for run in alive:
            if run.kill is None or not run.kill.restart:
                self._kill(run, 0.0, f"Container {run.name} will be restarted with all others", restart=True)
        self._stop_containers(ordered=False)
        if not alive and not starting:
            self.commands.append(do.EndRestartAll())
        return True

    def _is_ephemeral(self, name: str) -> bool:
        return any(c.name == name for c in ephemeral_containers(self.pod))

    def _init_phase(self) -> bool:
        """Advance the init containers; whether the others may run."""
        box = self.state.sandbox
        assert box is not None
        if initialized(self.pod, self.state):
            for sidecar in sidecars(self.pod):
                run = self._run_here(sidecar.name)
                if (run is None or run.state != RUNNING) and self._start(sidecar):
                    return False
            return True
        for init in init_containers(self.pod):
            run = self._run_here(init.name)
            if is_sidecar(init):
                if run is None or run.state != RUNNING:
                    self._start(init)
                    return False
                if not is_started(init, run):
                    return False
            elif run is None or run.state == CREATED:
                self._start(init)
                return False
            elif run.state == RUNNING:
                return False
            elif run.exit_code != 0:
                if restarts(self.pod, init, run, init=True):
                    self._start(init)
                return False
        return True

    def _run_here(self, name: str) -> Run | None:
        """The latest run, if it belongs to the current sandbox."""
        run = self.state.latest(name)
        box = self.state.sandbox
        return run if run and box and run.sandbox_id == box.id and not run.superseded else None

    def _needs_start(self, container: Container) -> bool:
        run = self.state.latest(container.name)
        if run is None or run.state == CREATED:
            return True
        if run.state == RUNNING:
            return False
        return restarts(self.pod, container, run)

    def _start(self, container: AnyContainer) -> bool:
        """Start a container unless it has to wait; whether it was asked for."""
        name = container.name
        if until := back_off_until(self.state, container, self.now):
            self._wake(until)
            run = self.state.latest(name)
            if run and name in self.state.trouble and run.finished_at + HOOK_SHOWN > self.now:
                self._wake(run.finished_at + HOOK_SHOWN)
            if run and self.state.told.get(name, ("", 0.0))[0] != run.id:
                self.commands.append(do.TellBackOff(name, run.id, self.state.back_off[name].delay))
            return False
        return self._operate(do.StartContainer(name, self.state.next_count(name)), trouble=name)

    def _check_running(self) -> None:
        """Containers that must be replaced, and those to be resized, like the pod around them."""
        if PENDING not in self.state.resize and wants_pod_resize(self.pod, self.state):
            self._resize_pod()
        for container in (*self.pod.spec.containers, *init_containers(self.pod)):
            run = self.state.latest(container.name)
            if run is None or run.state != RUNNING or run.kill is not None:
                continue
            name = container.name
            grace = self._usual_grace()
            if changed(container, run):
                self._kill(run, grace, f"Container {name} definition changed, will be restarted")
            elif run.healthy is False:
                own = container.liveness_probe.termination_grace_period_seconds if container.liveness_probe else None
                self._kill(
                    run, grace if own is None else own, f"Container {name} failed liveness probe, will be restarted"
                )
            elif run.started is False:
                own = container.startup_probe.termination_grace_period_seconds if container.startup_probe else None
                self._kill(
                    run, grace if own is None else own, f"Container {name} failed startup probe, will be restarted"
                )
            elif wants_resize(self.pod, container, run) and PENDING not in self.state.resize:
                if needs_restart(container, differs(run.resources, resources_of(container))):
                    self._kill(run, grace, f"Container {name} resize requires restart", restart=True)
                else:
                    self._operate(do.ResizeContainer(name, run.id))

    def _resize_pod(self) -> None:
        """A container without a limit has the pod's, and its resize policy is about that one then."""
        if not self._operate(do.ResizePod()) or "resize" in self.state.trouble:
            return
        changed = differs(self.state.resources, resources_of(self.pod.spec))
        for run in self.state.running():
            container = find_container(self.pod, run.name)
            if run.kill is not None or not isinstance(container, Container):
                continue
            own = resources_of(container).get("limits", {})
            if needs_restart(container, changed - own.keys()):
                self._kill(run, self._usual_grace(), f"Container {run.name} resize requires restart", restart=True)

    def _kill_all(self, runs: list[Run]) -> None:
        for run in runs:
            if run.kill is None:
                self._kill(run, self._usual_grace(), f"Stopping container {run.name}")
        if not self.commands:
            self._stop_containers(ordered=False)

    def _kill(self, run: Run, grace: float, message: str, *, restart: bool = False) -> None:
        self.commands.append(do.BeginKill(run.name, run.id, self.now + grace, message, restart))

    def _prune(self) -> None:
        """Keep of every container the current run and the one before."""
        for name, runs in self.state.runs.items():
            if len(runs) > 2:
                for run in runs[:-2]:
                    self._operate(do.RemoveContainer(name, run.id))

    # --- how ---

    def _operate(self, command: do.Operation, trouble: str = "") -> bool:
        """Ask for an operation, unless it is in flight or its last failure is too fresh; whether it was asked for."""
        if command.key in self.state.ops:
            return False
        problem = self.state.trouble.get(trouble or command.key)
        if problem is not None and problem.retry_at > self.now:
            self._wake(problem.retry_at)
            return False
        self.commands.append(command)
        return True

    def _wake(self, at: float) -> None:
        self.wake_at = min(self.wake_at, at)
