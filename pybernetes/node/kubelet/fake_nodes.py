"""Thousands of nodes in one object: for clusters inside a test process, and for simulations.

The pods of fake nodes live by the same state machine (`lifecycle.decide`) and show the same status (`status.make`) as
those of a real kubelet; only the effects are none: a sandbox is an address, a container is a timer. What a
container does is decided by its command and annotations (`node.cri.fake_programs`): `true`, `sleep 5` and `exit 1`
do what they say, anything else runs until it is stopped. Probes succeed. Volumes and images are taken for granted.

One informer sees the pods of all nodes, a few writers send what changed, and leases are renewed a slice at a time, so
that ten thousand pods on five thousand nodes cost no task and no timer of their own while they just run.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass, field
from typing import assert_never

import msgspec

from pybernetes.aio import clock
from pybernetes.aio.tasks import Nursery, Ready
from pybernetes.api.coordination_v1 import Lease, LeaseSpec
from pybernetes.api.core_v1 import Node, NodeSpec, NodeStatus, Pod, PodStatus, declared_features
from pybernetes.client.client import Client
from pybernetes.client.errors import Unavailable
from pybernetes.client.informer import Informer
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.meta import ObjectMeta
from pybernetes.node.cri.fake_programs import Behaviour, Launch, behaviour_of
from pybernetes.node.cri.fake_records import AddressPool, new_id
from pybernetes.node.kubelet import commands as do
from pybernetes.node.kubelet import machine
from pybernetes.node.kubelet import status as statuses
from pybernetes.node.kubelet.config import KUBELET_VERSION
from pybernetes.node.kubelet.lifecycle import apply, decide
from pybernetes.node.kubelet.node_status import (
    ATTACHED_BY_CONTROLLER,
    LEASES,
    conditions,
    foreign,
    parse_taint,
    withdrawn,
)
from pybernetes.node.kubelet.resize import resources_of
from pybernetes.node.kubelet.restarts import find_container, next_back_off, spec_hash
from pybernetes.node.kubelet.state import EXITED, RUNNING, Ending, PodState, Run, Sandbox

log = logging.getLogger(__name__)

RUNTIME = "fake"


@dataclass(frozen=True)
class Config:
    """A set of fake nodes."""

    #: How many; they are called `PREFIX-0`, `PREFIX-1`, ...
    count: int = 1
    prefix: str = "fake"
    #: What each offers.
    capacity: dict[str, str] = field(
        default_factory=lambda: {"cpu": "32", "memory": "256Gi", "ephemeral-storage": "1Ti", "pods": "110"}
    )
    #: Labels and taints (`key=value:Effect`) of each. Labels may contain `{i}`, the number of the node.
    labels: dict[str, str] = field(default_factory=dict)
    taints: tuple[str, ...] = ()
    #: Range of pod addresses, all nodes together.
    pod_cidr: str = "10.128.0.0/9"
    #: Range of node addresses.
    node_cidr: str = "172.16.0.0/12"
    #: Seconds from a pod's arrival to its containers running.
    start_seconds: float = 0.0
    #: Seconds in which every lease is renewed once; 0: no leases.
    lease_interval: float = 20.0
    lease_duration: int = 40
    #: Writes in flight at a time.
    writers: int = 64


class _FakePod:
    """One pod: its object, its state, what was written of it, and the timer that wakes it."""

    __slots__ = ("ip", "pod", "queued", "state", "status", "timer", "written")

    def __init__(self, pod: Pod) -> None:
        self.pod = pod
        self.state = PodState()
        self.status = pod.status
        self.written: PodStatus | None = None
        self.queued = False
        self.timer: asyncio.TimerHandle | None = None
        self.ip = ""


class FakeNodes:
    """`run()` until cancelled; `ready` is set, with the number of nodes, when all of them are Ready in the API."""

    def __init__(self, config: Config, client: Client) -> None:
        self.config = config
        self.client = client
        self.ready: Ready[int] = Ready()
        self._node_pool = AddressPool(config.node_cidr)
        self._pod_pool = AddressPool(config.pod_cidr)
        self._ips: dict[str, tuple[str, ...]] = {}
        self._pods: dict[str, _FakePod] = {}
        self._dirty: deque[_FakePod] = deque()
        self._more = asyncio.Event()
        self._leases: dict[str, Lease] = {}
        self._nodes = client.resource(Node)
        self._pod_api = client.resource(Pod)
        self._lease_api = client.resource(Lease)
        self._informer: Informer[Pod] = Informer(self._pod_api, field_selector="spec.nodeName!=")
        self._node_informer: Informer[Node] = Informer(self._nodes, label_selector="type=fake")
        self._doubted: dict[str, None] = {}  # nodes that somebody has declared not ready
        self._doubt = asyncio.Event()

    @property
    def names(self) -> list[str]:
        """The nodes there are."""
        return [*self._ips]

    async def run(self) -> None:
        """Register the nodes, then play their pods."""
        async with Nursery("fake-nodes") as nursery:
            await self.add(self.config.count)
            self._informer.on(self._seen, lambda _, new: self._seen(new), self._gone)
            nursery.start(self._informer.run(), "pods")
            self._node_informer.on(self._node_seen, lambda _, new: self._node_seen(new))
            nursery.start(self._node_informer.run(), "nodes")
            nursery.start(self._insist(), "insist")
            for i in range(self.config.writers):
                nursery.start(self._write(), f"writer-{i}")
            if self.config.lease_interval:
                nursery.start(self._renew_leases(), "leases")
            self.ready.set(len(self._ips))
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                for fake in self._pods.values():
                    if fake.timer is not None:
                        fake.timer.cancel()

    # --- nodes ---

    async def add(self, count: int) -> list[str]:
        """Register more nodes; their names."""
        first = len(self._ips)
        names = [f"{self.config.prefix}-{i}" for i in range(first, first + count)]
        for name in names:
            self._ips[name] = (self._node_pool.allocate(),)
        waiting = deque(enumerate(names, first))

        async def register() -> None:
            while waiting:
                await self._register(*waiting.popleft())

        async with asyncio.TaskGroup() as group:
            for i in range(min(self.config.writers, count)):
                group.create_task(register(), name=f"fake-nodes/register-{i}")
        return names

    async def remove(self, name: str) -> None:
        """Let a node fall silent: its lease is not renewed any more, its pods are left as they are."""
        self._ips.pop(name, None)
        self._leases.pop(name, None)

    async def _register(self, number: int, name: str) -> None:
        config = self.config
        labels = {**machine.labels(name), "type": "fake"}
        labels.update({key: value.replace("{i}", str(number)) for key, value in config.labels.items()})
        body = self._body(name)
        node = Node(
            metadata=ObjectMeta(name=name, labels=labels, annotations=dict(ATTACHED_BY_CONTROLLER)),
            spec=NodeSpec(taints=[parse_taint(text) for text in config.taints] or None),
            status=msgspec.convert(body, NodeStatus),
        )
        try:
            await self._nodes.create(node)
        except StatusError as error:
            if error.code != 409:
                raise
            await self._post(name)
        if config.lease_interval:
            await self._renew(name)

    async def _post(self, name: str) -> None:
        node = self._node_informer.get("", name)
        allocatable = {
            **self._allocatable(node),
            **dict.fromkeys(withdrawn(node, self.config.capacity) if node else ()),
        }
        body = {"status": {**self._body(name), "allocatable": allocatable}}
        await self._nodes.patch(name, "", body, type="strategic", subresource="status")

    def _node_seen(self, node: Node) -> None:
        if node.metadata.name not in self._ips:
            return
        allocatable, capacity = node.status.allocatable or {}, self.config.capacity
        if (
            any(c.type == "Ready" and c.status != "True" for c in node.status.conditions or ())
            or any(allocatable.get(name) != amount for name, amount in foreign(node, capacity).items())
            or withdrawn(node, capacity)
        ):
            self._doubted[node.metadata.name] = None
            self._doubt.set()

    async def _insist(self) -> None:
        """Say again that they are ready: who did not see their leases for a while thinks that they are gone. And offer
        what others have added to their capacity, and nothing that they took back."""
        while True:
            await self._doubt.wait()
            self._doubt.clear()
            for name in [*self._doubted]:
                del self._doubted[name]
                try:
                    await self._post(name)
                except (StatusError, Unavailable) as error:
                    if not (isinstance(error, StatusError) and error.code == 404):
                        self._doubted[name] = None
            if self._doubted:
                self._doubt.set()
                await clock.sleep(1.0)

    def _allocatable(self, node: Node | None) -> dict[str, str | None]:
        capacity = self.config.capacity
        return {**capacity, **(foreign(node, capacity) if node is not None else {})}

    def _body(self, name: str) -> dict[str, object]:
        config, now = self.config, clock.rfc3339()
        return {
            "capacity": config.capacity,
            "allocatable": self._allocatable(self._node_informer.get("", name)),
            "conditions": conditions(True, "", machine.Pressure(), {}, now),
            "addresses": [
                {"type": "InternalIP", "address": self._ips[name][0]},
                {"type": "Hostname", "address": name},
            ],
            "nodeInfo": {
                "architecture": machine.architecture(),
                "operatingSystem": "linux",
                "kubeletVersion": KUBELET_VERSION,
                "containerRuntimeVersion": f"{RUNTIME}://1.0.0",
                "osImage": "fake",
            },
            "declaredFeatures": declared_features.OURS,
        }

    async def _renew_leases(self) -> None:
        """All leases once in an interval, a slice every half second."""
        slices = max(int(self.config.lease_interval * 2), 1)
        at = 0
        while True:
            await clock.sleep(self.config.lease_interval / slices)
            names = self.names[at::slices]
            at = (at + 1) % slices
            for name in names:
                try:
                    await self._renew(name)
                except (StatusError, Unavailable) as error:
                    self._leases.pop(name, None)
                    log.info("lease of %s not renewed: %s", name, error)

    async def _renew(self, name: str) -> None:
        spec = LeaseSpec(
            holder_identity=name,
            lease_duration_seconds=self.config.lease_duration,
            renew_time=clock.rfc3339_micro(),
        )
        known = self._leases.get(name)
        if known is None:
            lease = Lease(metadata=ObjectMeta(name=name, namespace=LEASES), spec=spec)
            try:
                self._leases[name] = await self._lease_api.create(lease)
                return
            except StatusError as error:
                if error.code != 409:
                    raise
                known = await self._lease_api.get(name, LEASES)
        self._leases[name] = await self._lease_api.update(msgspec.structs.replace(known, spec=spec))

    # --- pods ---

    def _seen(self, pod: Pod) -> None:
        if pod.spec.node_name not in self._ips:
            return
        fake = self._pods.get(pod.metadata.uid)
        if fake is None:
            fake = self._pods[pod.metadata.uid] = _FakePod(pod)
            fake.state.start_time = clock.timestamp()
            self._take_over(fake)
            if self.config.start_seconds and not fake.state.runs:
                self._wake_at(fake, clock.timestamp() + self.config.start_seconds)
                return
        else:
            fake.pod = pod
            if fake.written is not None and statuses.ready(pod.status) != statuses.ready(fake.written):
                fake.written = None  # somebody took the node for dead: say again how it is
            if fake.timer is not None and not fake.state.sandbox and not pod.metadata.deletion_timestamp:
                return  # still within its start time
        self._step(fake)

    def _gone(self, pod: Pod) -> None:
        fake = self._pods.pop(pod.metadata.uid, None)
        if fake is not None:
            if fake.timer is not None:
                fake.timer.cancel()
            if fake.ip:
                self._pod_pool.release(fake.ip)

    def _take_over(self, fake: _FakePod) -> None:
        """A pod that has a status already (these nodes were restarted) goes on from it."""
        status, state = fake.pod.status, fake.state
        if status.start_time:
            state.start_time = clock.parse_rfc3339(status.start_time)
        if status.phase in (statuses.SUCCEEDED, statuses.FAILED):
            state.ending = Ending(status.reason or "", status.message or "")
            for known in status.container_statuses or ():
                ended = known.state.terminated if known.state else None
                run = self._run_of(fake, known.name, known.restart_count)
                run.state, run.exit_code = EXITED, ended.exit_code if ended else 137
                if ended:
                    run.id = (ended.container_id or run.id).rpartition("/")[2]
                    run.started_at = clock.parse_rfc3339(ended.started_at) if ended.started_at else 0.0
                    run.finished_at = clock.parse_rfc3339(ended.finished_at) if ended.finished_at else 0.0

    def _step(self, fake: _FakePod) -> None:
        """Decide and do until there is nothing to do now; then note what must be written."""
        state = fake.state
        while True:
            decision = decide(fake.pod, state, clock.timestamp())
            if not decision.commands:
                break
            for command in decision.commands:
                self._do(fake, command)
            if any(isinstance(c, do.DeleteObject | do.CleanUp) for c in decision.commands):
                return
        if decision.wake_at != float("inf"):
            self._wake_at(fake, decision.wake_at)
        ips = self._ips.get(fake.pod.spec.node_name or "", ())
        fake.status = statuses.make(fake.pod, state, clock.timestamp(), ips, RUNTIME, fake.status)
        if fake.status != (fake.written or fake.pod.status):
            self._queue(fake)
        elif statuses.is_final(fake.pod, state) and not state.final_written:
            state.final_written = True
            self._step(fake)

    def _queue(self, fake: _FakePod) -> None:
        if not fake.queued:
            fake.queued = True
            self._dirty.append(fake)
            self._more.set()

    def _wake_at(self, fake: _FakePod, at: float) -> None:
        if fake.timer is not None:
            fake.timer.cancel()
        delay = max(at - clock.timestamp(), 0.0) + 0.001
        fake.timer = asyncio.get_running_loop().call_later(delay, self._woken, fake)

    def _woken(self, fake: _FakePod) -> None:
        fake.timer = None
        if fake.pod.metadata.uid in self._pods:
            self._step(fake)

    def _do(self, fake: _FakePod, command: do.Command) -> None:
        """The effects of a fake pod: changes of its state, at once."""
        state, now = fake.state, clock.timestamp()
        match command:
            case do.BeginKill(_, id):
                apply(command, state, now)
                if (run := state.find(id)) is not None and run.kill is not None:
                    run.kill.hook_done = True  # there is nothing that a hook could do
            case (
                do.BeginEnding() | do.BeginTermination() | do.BeginRestartAll() | do.EndRestartAll() | do.TellBackOff()
            ):  # fmt: skip
                apply(command, state, now)
            case do.Cancel() | do.RunPreStop():
                pass
            case do.SetUpVolumes():
                state.volumes_ready = True
            case do.CreateSandbox(attempt):
                if not fake.pod.spec.host_network and not fake.ip:
                    fake.ip = self._pod_pool.allocate()
                state.sandbox = Sandbox(new_id(), attempt, True, [fake.ip] if fake.ip else [], now)
            case do.StartContainer(name, count):
                self._start(fake, name, count)
            case do.StopContainer(name, id, _):
                stopped = state.find(id)
                count = stopped.restart_count if stopped is not None else 0
                self._exit(fake, id, self._behaviour(fake, name, count).stop_exit_code)
            case do.RemoveContainer(name, id):
                state.runs[name] = [run for run in state.runs[name] if run.id != id]
            case do.StopSandbox(id):
                for box in (*state.old_sandboxes, state.sandbox):
                    if box is not None and box.id == id:
                        box.ready, box.stopped = False, True
            case do.ResizeContainer(name, id):
                container, resized = find_container(fake.pod, name), state.find(id)
                if container is not None and resized is not None:
                    resized.resources = resources_of(container)
            case do.ResizePod():
                state.resources = resources_of(fake.pod.spec)
            case do.TearDown():
                state.torn_down = True
            case do.DeleteObject():
                self._queue(fake)
            case do.CleanUp():
                state.gone = True
            case _ as unknown:
                assert_never(unknown)

    def _run_of(self, fake: _FakePod, name: str, count: int) -> Run:
        container = find_container(fake.pod, name)
        box = fake.state.sandbox
        run = Run(
            new_id(), name, count, box.id if box else "",
            image=(container.image or "") if container else "",
            image_id=f"sha256:{spec_hash(container) if container else ''}",
            spec_hash=spec_hash(container) if container else "",
            resources=resources_of(container) if container else None,
        )  # fmt: skip
        fake.state.runs.setdefault(name, []).append(run)
        return run

    def _start(self, fake: _FakePod, name: str, count: int) -> None:
        state, now = fake.state, clock.timestamp()
        last = state.latest(name)
        if last is not None and last.state == EXITED:
            state.back_off[name] = next_back_off(state.back_off.get(name), last.finished_at, now)
        run = self._run_of(fake, name, count)
        run.state, run.created_at, run.started_at = RUNNING, now, now
        run.healthy = run.ready = run.started = True
        behaviour = self._behaviour(fake, name, count)
        if behaviour.start_error:
            self._exit(fake, run.id, 128, message=behaviour.start_error, reason="StartError")
        elif behaviour.exit_code is not None:
            code, oom = behaviour.exit_code, behaviour.oom
            asyncio.get_running_loop().call_later(behaviour.after, self._ended, fake, run.id, code, oom)

    def _behaviour(self, fake: _FakePod, name: str, count: int) -> Behaviour:
        pod = fake.pod
        container = find_container(pod, name)
        command = [
            *((container.command if container else None) or ()),
            *((container.args if container else None) or ()),
        ]
        try:
            return behaviour_of(
                Launch(
                    name, (container.image or "") if container else "", command,
                    {e.name: e.value or "" for e in (container.env if container else None) or ()},
                    pod.metadata.namespace, pod.metadata.name, pod.metadata.annotations or {}, count,
                )
            )  # fmt: skip
        except ValueError as error:
            return Behaviour(start_error=str(error))

    def _ended(self, fake: _FakePod, run_id: str, code: int, oom: bool) -> None:
        if fake.pod.metadata.uid in self._pods:
            self._exit(fake, run_id, code, reason="OOMKilled" if oom else "")
            self._step(fake)

    def _exit(self, fake: _FakePod, run_id: str, code: int, *, message: str = "", reason: str = "") -> None:
        run = fake.state.find(run_id)
        if run is not None and run.state == RUNNING:
            run.state, run.exit_code, run.finished_at = EXITED, code, clock.timestamp()
            run.reason = reason or ("Completed" if code == 0 else "Error")
            run.message = message

    # --- writing ---

    async def _write(self) -> None:
        while True:
            while self._dirty:
                fake = self._dirty.popleft()
                fake.queued = False
                try:
                    await self._write_one(fake)
                except StatusError as error:
                    if error.code not in (404, 409):
                        log.warning("pod %s: %s", fake.pod.metadata.name, error)
                    # Conflict: the next version of the object is on its way to us, and we look again.
                except Unavailable:
                    await clock.sleep(0.5)
                    self._queue(fake)
            self._more.clear()
            await self._more.wait()

    async def _write_one(self, fake: _FakePod) -> None:
        pod, state = fake.pod, fake.state
        if pod.metadata.uid not in self._pods:
            return
        if state.final_written and pod.metadata.deletion_timestamp:
            await self._pod_api.delete(pod.metadata.name, pod.metadata.namespace, grace_period=0, uid=pod.metadata.uid)
            return
        status, final = fake.status, statuses.is_final(pod, state)
        own = {c.type for c in status.conditions or ()}
        foreign = [c for c in pod.status.conditions or () if c.type not in own]
        merged = msgspec.structs.replace(
            status,
            conditions=[*(status.conditions or ()), *foreign],
            nominated_node_name=pod.status.nominated_node_name,
            resource_claim_statuses=pod.status.resource_claim_statuses,
            extended_resource_claim_status=pod.status.extended_resource_claim_status,
        )
        stored = await self._pod_api.update_status(msgspec.structs.replace(pod, status=merged))
        if int(stored.metadata.resource_version) > int(fake.pod.metadata.resource_version):
            fake.pod = stored
        fake.written = status
        if final and not state.final_written:
            state.final_written = True
            self._step(fake)
