"""One pod's worker: decides, starts operations, writes the status, and sleeps until something happens.

The loop never waits for an operation: operations are tasks, and each wakes the loop when it ends. So a shorter grace
period, a deletion or an exit are acted upon at once, whatever else is under way. The status is an operation as well:
one write is in flight at most, and what changes meanwhile goes with the next. While a pod is only on its way up,
changes are gathered for a moment: writing each would take processor time from the containers that are being started.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import Any, assert_never

import msgspec

from pybernetes.aio import clock
from pybernetes.aio.tasks import Nursery
from pybernetes.api.core_v1 import ObjectReference, Pod, PodStatus
from pybernetes.client.errors import Unavailable
from pybernetes.client.events import reference_to
from pybernetes.machinery.errors import StatusError
from pybernetes.node.cri import CRIError
from pybernetes.node.kubelet import commands as do
from pybernetes.node.kubelet import resize
from pybernetes.node.kubelet import status as statuses
from pybernetes.node.kubelet.executor import Executor, OperationError
from pybernetes.node.kubelet.host import Host
from pybernetes.node.kubelet.lifecycle import apply, decide
from pybernetes.node.kubelet.probes import LIVENESS, READINESS, STARTUP, Prober
from pybernetes.node.kubelet.restarts import AnyContainer, find_container, init_containers
from pybernetes.node.kubelet.state import EXITED, RUNNING, Ending, Op, PodState, Run, Trouble
from pybernetes.node.kubelet.volumes.context import VolumeError

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 10.0
#: How long changes of a pending pod's status are gathered before they are written, seconds; and those of one whose
#: container is being replaced: watchers see the old one and the new one, as they do where exits are found by polling.
GATHERING, REPLACING = 0.1, 1.0


class PodWorker:
    """Keeps one pod as its object wants it, from its first sight until nothing of it is left."""

    def __init__(self, host: Host, pod: Pod, state: PodState | None = None, *, static: bool = False) -> None:
        self.host = host
        self.pod = pod
        self.state = state or PodState()
        #: A static pod: its object in the API is only a mirror, its status goes there.
        self.static = static
        self.mirror: Pod | None = None
        #: The status as last computed: what the kubelet's own API shows.
        self.status = pod.status
        #: Outcomes of probes: (container, kind of probe, result) -> how many.
        self.probed: Counter[tuple[str, str, str]] = Counter()
        self._written: PodStatus | None = None
        #: Since when the status differs from what is written; 0: it does not.
        self._differs_since = 0.0
        self._wake = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[Any]] = {}
        self._nursery: Nursery | None = None
        self._refresh_again = False
        #: Condition, reason and message of the resize under way, as events last told it.
        self._resize = resize.NOTHING
        self._executor = Executor(host, lambda: self.pod, self.state, self._wake.set, self._start_probes, self._tell)

    # --- what happens to it ---

    def update(self, pod: Pod) -> None:
        """The object has changed. Troubles that came from the old one are tried again at once."""
        changed = pod.spec is not self.pod.spec or pod.metadata.annotations != self.pod.metadata.annotations
        self.pod = pod
        if self._written is not None and statuses.ready(pod.status) != statuses.ready(self._written):
            self._written = None  # somebody took the node for dead: say again how it is
        if changed:
            self.touch()
        self._wake.set()

    def touch(self) -> None:
        """Something the pod refers to has changed: look at configuration again, and renew the volumes' content."""
        for trouble in self.state.trouble.values():
            if trouble.config:
                trouble.retry_at = 0.0
        settled = self.state.volumes_ready and self.state.terminating_since is None
        if settled and self.pod.spec.volumes and self._nursery is not None:
            if "refresh-volumes" in self.state.ops:
                self._refresh_again = True
            else:
                self._begin("refresh-volumes", self._refresh_volumes())
        self._wake.set()

    def wake(self) -> None:
        """Look again."""
        self._wake.set()

    def show_in(self, mirror: Pod | None) -> None:
        """Write the status of this static pod to another mirror."""
        if mirror is None or self.mirror is None or mirror.metadata.uid != self.mirror.metadata.uid:
            self._written = None
        self.mirror = mirror
        self._wake.set()

    def remove(self) -> None:
        """The object is gone from the API."""
        self.state.removed = True
        self._wake.set()

    def end(self, ending: Ending) -> None:
        """The kubelet itself ends the pod (eviction)."""
        if self.state.ending is None:
            self.state.ending = ending
            self._wake.set()

    def exited(self, container_id: str) -> None:
        """The runtime says that a container or a sandbox ended."""
        state = self.state
        for box in (state.sandbox, *state.old_sandboxes):
            if box is not None and box.id == container_id:
                box.ready = False
                for run in state.running():
                    if run.sandbox_id == box.id:
                        self.exited(run.id)
                self._wake.set()
                return
        ended = state.find(container_id)
        if self._nursery is None or ended is None or ended.state != RUNNING:
            return
        if f"refresh/{ended.id}" not in state.ops:
            self._begin(f"refresh/{ended.id}", self._refresh(ended))

    @property
    def is_over(self) -> bool:
        """Nothing of the pod runs or will run."""
        return self.state.gone or statuses.is_final(self.pod, self.state)

    # --- the loop ---

    async def run(self) -> None:
        """Work until nothing of the pod is left."""
        state = self.state
        if not state.start_time:
            known = self.pod.status.start_time
            state.start_time = clock.parse_rfc3339(known) if known else clock.timestamp()
        self._adopt()
        async with Nursery(f"pod-{self.pod.metadata.namespace}-{self.pod.metadata.name}") as nursery:
            self._nursery = nursery
            try:
                for run in state.running():
                    if (container := find_container(self.pod, run.name)) is not None:
                        self._start_probes(container, run)
                while not state.gone:
                    self._wake.clear()
                    wake_at = min(self._decide(), self.host.volumes.of(self.pod.metadata.uid).renew_at)
                    if state.gone:
                        return
                    self._sync_status()
                    await self._pause(wake_at)
                    if self.host.volumes.due(self.pod.metadata.uid):
                        self.touch()
            finally:
                self._nursery = None

    async def _pause(self, wake_at: float) -> None:
        if wake_at == float("inf"):
            await self._wake.wait()
            return
        loop = asyncio.get_running_loop()
        timer = loop.call_later(max(wake_at - clock.timestamp(), 0.0) + 0.001, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            timer.cancel()

    def _adopt(self) -> None:
        """What only the API remembers: restart counts, and the pull of time on a pod that ran before us."""
        status = self.pod.status
        if self.state.sandbox is not None and status.resources is not None:
            self.state.resources = resize.resources_of(status)
        for known in (
            *(status.container_statuses or ()),
            *(status.init_container_statuses or ()),
        ):
            run = self.state.latest(known.name)
            if run is None and known.container_id:
                self.state.counts[known.name] = known.restart_count
            elif run is not None and (known.container_id or "").endswith(f"/{run.id}"):
                run.image, run.image_id = known.image, known.image_id
                run.ready, run.started = known.ready or None, known.started or None
            for state in (known.state, known.last_state):
                ended = state.terminated if state else None
                before = self.state.find((ended.container_id or "").rpartition("/")[2]) if ended else None
                if ended and before:
                    before.message = ended.message or before.message
        if status.phase in (statuses.SUCCEEDED, statuses.FAILED) and not self.state.running():
            self.state.ending = Ending(status.reason or "", status.message or "")

    def _decide(self) -> float:
        """Decide and act until there is nothing to do at once; when to look again."""
        while True:
            decision = decide(self.pod, self.state, clock.timestamp())
            again = False
            for command in decision.commands:
                again = self._act(command) or again
            if not again:
                return decision.wake_at

    def _act(self, command: do.Command) -> bool:
        """Carry out an immediate command (then the state is another), or start an operation."""
        state, now = self.state, clock.timestamp()
        match command:
            case do.BeginEnding(ending):
                self._tell("Normal", ending.reason, ending.message, "")
            case do.BeginKill(name, id, _, message):
                if (run := state.find(id)) is not None and run.kill is None:
                    self._tell("Normal", "Killing", message, name)
            case do.TellBackOff(name):
                text = f"Back-off restarting failed container {name} in pod {statuses.full_name(self.pod)}"
                self._tell("Warning", "BackOff", text, name)
            case do.BeginTermination() | do.BeginRestartAll() | do.EndRestartAll():
                pass
            case do.Cancel(key):
                if (task := self._tasks.get(key)) is not None:
                    task.cancel()
                return False
            case (
                do.SetUpVolumes() | do.CreateSandbox() | do.StartContainer() | do.RunPreStop() | do.StopContainer()
                | do.RemoveContainer() | do.StopSandbox() | do.ResizeContainer() | do.ResizePod() | do.TearDown()
                | do.DeleteObject() | do.CleanUp()
            ):  # fmt: skip
                if (flying := self._tasks.pop(command.key, None)) is not None:  # replaced by a more urgent one
                    flying.cancel()
                deadline = command.deadline if isinstance(command, do.StopContainer | do.RunPreStop) else 0.0
                op = Op(command.key, now, deadline)
                self._begin(command.key, self._operate(command, op), op)
                return False
            case _ as unknown:
                assert_never(unknown)
        return apply(command, state, now)

    def _begin(self, key: str, work: Any, op: Op | None = None) -> None:
        assert self._nursery is not None
        self.state.ops[key] = op or Op(key, clock.timestamp())
        task = self._nursery.start(work, key)
        self._tasks[key] = task
        task.add_done_callback(lambda done: self._ended(key, done))

    def _ended(self, key: str, task: asyncio.Task[Any]) -> None:
        if self._tasks.get(key) is task:
            del self._tasks[key]
            self.state.ops.pop(key, None)
        if not task.cancelled() and (error := task.exception()) is not None:  # a mistake of ours, logged: not at once
            self._failed(key.removeprefix("start/"), "InternalError", repr(error), None)
        self._wake.set()

    async def _operate(self, command: do.Operation, op: Op) -> None:
        trouble_key = command.name if isinstance(command, do.StartContainer) else command.key
        try:
            await self._executor.perform(command, op)
        except OperationError as error:
            self._failed(trouble_key, error.reason, error.message, error.retry_at, config=error.config)
        except (CRIError, StatusError, Unavailable, OSError) as error:
            log.warning("%s: %s: %s", statuses.full_name(self.pod), command.key, error)
            self._failed(trouble_key, "CreateContainerError", str(error), None)
        else:
            self.state.trouble.pop(trouble_key, None)

    def _failed(self, key: str, reason: str, message: str, retry_at: float | None, *, config: bool = False) -> None:
        now = clock.timestamp()
        old = self.state.trouble.get(key)
        delay = min(old.delay * 2, LONGEST_PAUSE) if old and old.delay else FIRST_PAUSE
        self.state.trouble[key] = Trouble(reason, message, now + delay if retry_at is None else retry_at, delay, config)

    async def _refresh(self, run: Run) -> None:
        try:
            await self._executor.refresh(run.id)
        except CRIError as error:
            log.warning("%s: status of container %s: %s", statuses.full_name(self.pod), run.name, error)

    async def _refresh_volumes(self) -> None:
        self._refresh_again = True
        while self._refresh_again:
            self._refresh_again = False
            try:
                await self.host.volumes.set_up(self.pod, lambda kind, reason, text: self._tell(kind, reason, text, ""))
            except VolumeError:  # told as an event; the old content stays
                self.host.volumes.of(self.pod.metadata.uid).renew_at = clock.timestamp() + 30

    # --- telling ---

    def _tell(self, kind: str, reason: str, message: str, container: str) -> None:
        reference = reference_to(self.mirror or self.pod)
        if container:
            group = "initContainers" if any(c.name == container for c in init_containers(self.pod)) else "containers"
            if any(c.name == container for c in self.pod.spec.ephemeral_containers or ()):
                group = "ephemeralContainers"
            reference = ObjectReference(
                api_version=reference.api_version,
                kind=reference.kind,
                name=reference.name,
                namespace=reference.namespace,
                uid=reference.uid,
                resource_version=reference.resource_version,
                field_path=f"spec.{group}{{{container}}}",
            )
        self.host.events.event(reference, kind, reason, message)

    def _tell_resize(self) -> None:
        """An event for each step of an in-place resize."""
        before, self._resize = self._resize, resize.progress(self.pod, self.state)
        if event := resize.event(self.pod, before, self._resize):
            self._tell(*event, "")

    def _sync_status(self) -> None:
        """Compute the status; write it if it is not what the API has."""
        host, state = self.host, self.state
        self.status = statuses.make(
            self.pod, state, clock.timestamp(), host.facts.ips, host.facts.runtime_name, self.status
        )
        self._tell_resize()
        target = self.mirror if self.static else self.pod
        final = statuses.is_final(self.pod, state)
        if state.removed or target is None or "status" in state.ops:
            return
        if self._written is None:
            self._written = target.status
        if self._written == self.status or _same(self._written, self.status):
            self._differs_since = 0.0
            if final and not state.final_written:
                state.final_written = True
                self._wake.set()
            return
        trouble = state.trouble.get("status")
        if trouble is not None and trouble.retry_at > clock.timestamp():
            asyncio.get_running_loop().call_later(trouble.retry_at - clock.timestamp() + 0.001, self._wake.set)
            return
        if pause := self._unhurried(self._written):
            self._differs_since = self._differs_since or clock.timestamp()
            if (left := self._differs_since + pause - clock.timestamp()) > 0:
                asyncio.get_running_loop().call_later(left + 0.001, self._wake.set)
                return
        self._differs_since = 0.0
        self._begin("status", self._write_status(target, self.status, final))

    def _unhurried(self, written: PodStatus) -> float:
        """How long the status may wait for more changes, seconds."""
        if self.status.phase == written.phase == statuses.PENDING:
            return GATHERING
        state = self.state
        latest = [state.latest(c.name) for c in self.pod.spec.containers]
        replaced = any(run is not None and run.state == EXITED and run.kill is not None for run in latest)
        return REPLACING if replaced and state.terminating_since is None and not state.restarting else 0.0

    async def _write_status(self, target: Pod, status: PodStatus, final: bool) -> None:
        body = status_patch(target.metadata.uid, self._written or target.status, status)
        try:
            await self.host.client.resource(Pod).patch(
                target.metadata.name, target.metadata.namespace, body, type="strategic", subresource="status"
            )
        except StatusError as error:
            if error.code == 404 or (error.code == 409 and "uid" in str(error).lower()):
                if not self.static:
                    self.host.lost(self.pod.metadata.uid)
                return
            log.warning("%s: status not written: %s", statuses.full_name(self.pod), error)
            self._failed("status", "", str(error), None)
            return
        except Unavailable as error:
            self._failed("status", "", str(error), None)
            return
        self.state.trouble.pop("status", None)
        self._written = status
        if final:
            self.state.final_written = True

    # --- probes ---

    def _start_probes(self, container: AnyContainer, run: Run) -> None:
        assert self._nursery is not None
        kinds = [(LIVENESS, container.liveness_probe), (READINESS, container.readiness_probe)]
        if container.startup_probe is not None and run.started is not True:
            kinds = [(STARTUP, container.startup_probe)]  # the others when it has succeeded
        for kind, probe in kinds:
            if probe is None:
                continue

            def changed(kind: str = kind) -> None:
                if kind == STARTUP and run.started and self._nursery is not None:
                    self._start_probes(container, run)
                self._wake.set()

            prober = Prober(
                self.host.runtime, kind, lambda: self.pod, container, run, probe, self._executor.pod_ip,
                changed, lambda a, b, c: self._tell(a, b, c, container.name), self.probed,
            )  # fmt: skip
            self._nursery.start(prober.run(), f"probe-{kind}-{run.name}-{run.restart_count}")


def _same(written: PodStatus, status: PodStatus) -> bool:
    """Whether the API's status says the same; what others own in it does not count."""
    own = {c.type: c for c in status.conditions or ()}
    theirs = [own_condition for own_condition in written.conditions or () if own_condition.type in own]
    merged = msgspec.structs.replace(
        status,
        conditions=theirs,
        nominated_node_name=written.nominated_node_name,
        resource_claim_statuses=written.resource_claim_statuses,
        resize=written.resize,
        extended_resource_claim_status=written.extended_resource_claim_status,
        node_allocatable_resource_claim_statuses=written.node_allocatable_resource_claim_statuses,
    )
    return (
        len(theirs) == len(own)
        and all(own[c.type] == c for c in theirs)
        and merged == msgspec.structs.replace(written, conditions=theirs)
    )


#: Fields of the status that others write.
_FOREIGN = {
    "nominatedNodeName", "resourceClaimStatuses", "resize",
    "extendedResourceClaimStatus", "nodeAllocatableResourceClaimStatuses",
}  # fmt: skip


def status_patch(uid: str, old: PodStatus, new: PodStatus) -> dict[str, Any]:
    """A strategic merge patch of the status: only what differs; null for what is unset now. Pure.

    The uid makes it fail for a pod that was created anew under the same name.
    """
    before, after = msgspec.to_builtins(old), msgspec.to_builtins(new)
    body: dict[str, Any] = {}
    for name, value in after.items():
        if before.get(name) != value:
            body[name] = value
    for name in before:
        if name not in after and name not in _FOREIGN:
            body[name] = None
    if "conditions" in body:
        known = {c["type"]: c for c in before.get("conditions") or ()}
        own = body.pop("conditions") or []  # none at all: refused at admission
        mine = {c["type"] for c in own}
        changed = []
        for condition in own:
            known_one = known.get(condition["type"])
            if known_one == condition:
                continue
            dropped = {k: None for k in known_one or () if k not in condition}
            changed.append({**condition, **dropped})
        for kind in ("PodResizePending", "PodResizeInProgress"):
            if kind in known and kind not in mine:
                changed.append({"$patch": "delete", "type": kind})
        if changed:
            body["conditions"] = changed
    for name in ("podIPs", "hostIPs"):  # merged by address: replace, or old addresses stay
        if body.get(name) and before.get(name):
            body[name] = [{"$patch": "replace"}, *body[name]]
    return {"metadata": {"uid": uid}, "status": body}
