"""The node object: registered, kept current, and its lease renewed.

The lease is the heartbeat (10 s); the status is written when something changed and every five minutes otherwise. What
others put into the object - labels, extended resources in capacity, foreign conditions - stays: writes are patches of
what the kubelet owns. Pressure is looked at every half minute from /proc and statvfs, which costs microseconds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

import msgspec

from pybernetes.aio import clock
from pybernetes.aio.backoff import Backoff
from pybernetes.aio.tasks import Nursery
from pybernetes.api.coordination_v1 import Lease, LeaseSpec
from pybernetes.api.core_v1 import Node, NodeSpec, NodeStatus, Taint, declared_features
from pybernetes.api.storage_v1 import CSINode
from pybernetes.client.client import Client
from pybernetes.client.errors import Unavailable
from pybernetes.client.events import EventRecorder
from pybernetes.client.informer import Informer
from pybernetes.machinery import quantity
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.meta import ObjectMeta, OwnerReference
from pybernetes.node.cri import ContainerRuntime, CRIError
from pybernetes.node.cri import types as t
from pybernetes.node.kubelet import machine, node_events
from pybernetes.node.kubelet.config import KUBELET_VERSION, Config
from pybernetes.node.kubelet.host import NodeFacts

log = logging.getLogger(__name__)

LEASES = "kube-node-lease"
#: Volumes are attached by the control plane, not by the node itself.
ATTACHED_BY_CONTROLLER = {"volumes.kubernetes.io/controller-managed-attach-detach": "true"}
_OWN_ADDRESSES = frozenset({"InternalIP", "Hostname"})
MAX_IMAGES = 50


def conditions(
    ready: bool, message: str, pressure: machine.Pressure, known: dict[str, Any], now: str
) -> list[dict[str, Any]]:
    """The node's conditions in wire form; transition times come from `known` (by type). Pure."""
    rows = [
        ("MemoryPressure", pressure.memory, "KubeletHasInsufficientMemory", "kubelet has insufficient memory available",
         "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("DiskPressure", pressure.disk, "KubeletHasDiskPressure", "kubelet has disk pressure",
         "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("PIDPressure", pressure.pids, "KubeletHasInsufficientPID", "kubelet has insufficient PID available",
         "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ("Ready", ready, "KubeletReady", "kubelet is posting ready status", "KubeletNotReady", message),
    ]  # fmt: skip
    found = []
    for kind, value, reason_true, text_true, reason_false, text_false in rows:
        status = "True" if value else "False"
        old = known.get(kind)
        same = old is not None and old.status == status
        found.append(
            {
                "type": kind,
                "status": status,
                "reason": reason_true if value else reason_false,
                "message": text_true if value else text_false,
                "lastHeartbeatTime": now,
                "lastTransitionTime": (old.last_transition_time if old is not None and same else None) or now,
            }
        )
    return found


def parse_taint(text: str) -> Taint:
    """`key=value:Effect` or `key:Effect`. Raises ValueError."""
    head, colon, effect = text.rpartition(":")
    if not colon or effect not in ("NoSchedule", "PreferNoSchedule", "NoExecute"):
        raise ValueError(f"invalid taint {text!r}: key=value:Effect")
    key, _, value = head.partition("=")
    return Taint(key=key, value=value or None, effect=effect)


def foreign(node: Node, own: Mapping[str, str]) -> dict[str, str]:
    """Extended resources in a node's capacity that its kubelet (which knows `own`) has not put there."""
    capacity = node.status.capacity or {}
    return {name: amount for name, amount in capacity.items() if "/" in name and name not in own}


def withdrawn(node: Node, own: Mapping[str, str]) -> list[str]:
    """Extended resources that a node still offers although nobody says any more that it has them."""
    capacity = node.status.capacity or {}
    return [name for name in node.status.allocatable or {} if "/" in name and name not in capacity and name not in own]


class NodeKeeper:
    """Registers the node and keeps status and lease; `node` is the object as last seen."""

    def __init__(
        self, config: Config, client: Client, runtime: ContainerRuntime, facts: NodeFacts, events: EventRecorder
    ) -> None:
        self.config = config
        self.node: Node | None = None
        self.pressure = machine.Pressure()
        self._client = client
        self._nodes = client.resource(Node)
        self._leases = client.resource(Lease)
        self._informer: Informer[Node] = Informer(self._nodes, field_selector=f"metadata.name={config.node_name}")
        self._runtime = runtime
        self._facts = facts
        self._events = events
        self._wake = asyncio.Event()
        self._own: Mapping[str, str] = {}  #: allocatable, without what others have announced
        self._info: dict[str, Any] = {}
        self._pod_cidr = ""
        self._last: tuple[Any, ...] = ()
        self._ready = False

    async def measure(self) -> None:
        """Find out what the machine has. Raises CRIError."""
        version = await self._runtime.version()
        capacity = dict(self.config.capacity or machine.capacity(self.config.data_dir))
        capacity.setdefault("pods", str(self.config.max_pods))
        allocatable = dict(capacity)
        thresholds = machine.thresholds(capacity, self.config.eviction_hard)
        for name, amount in (*self.config.reserved.items(), *thresholds.items()):
            if name in allocatable:
                left = quantity.sub(allocatable[name], amount)
                allocatable[name] = left if quantity.cmp(left, "0") > 0 else "0"
        self._own = allocatable
        self._facts.capacity, self._facts.allocatable = capacity, allocatable
        self._facts.memory = quantity.value(capacity.get("memory", "0"))
        self._info = {
            **machine.system_info(),
            "containerRuntimeVersion": f"{version.runtime_name}://{version.runtime_version}",
            "kubeletVersion": KUBELET_VERSION,
            "kubeProxyVersion": "",
        }

    def changed(self) -> None:
        """Something in the status may have changed: look at once."""
        self._wake.set()

    async def run(self) -> None:
        """Register, then keep status and lease until cancelled."""
        if not self.config.register:
            await asyncio.get_running_loop().create_future()
        backoff = Backoff(0.1, 7.0)
        while True:
            try:
                await self._register()
                break
            except (StatusError, Unavailable) as error:
                log.info("node %s not registered yet: %s", self.config.node_name, error)
                await backoff.wait()
        self._events.event(self._reference(), "Normal", "Starting", "Starting kubelet.")
        self._informer.on(self._seen, lambda _, new: self._seen(new), lambda _: self._wake.set())
        async with Nursery("node") as nursery:
            nursery.start(self._informer.run(), "informer")
            nursery.start(self._keep_lease(), "lease")
            await self._keep_status()

    def _reference(self) -> Any:
        from pybernetes.api.core_v1 import ObjectReference

        name = self.config.node_name
        return ObjectReference(kind="Node", name=name, uid=name)  # as upstream: Events of a node name it as uid

    def _tell(self, reasons: list[str]) -> None:
        for reason in reasons:
            text = f"Node {self.config.node_name} status is now: {reason}"
            self._events.event(self._reference(), "Normal", reason, text)

    def _seen(self, node: Node) -> None:
        before, self.node = self.node, node
        if reason := node_events.schedulable(before, node):
            self._tell([reason])
        cidr = ",".join(node.spec.pod_cidrs or ()) or node.spec.pod_cidr or ""
        if cidr and cidr != self._pod_cidr:
            self._pod_cidr = cidr
            self._wake.set()
        allocatable = {**self._own, **self._foreign()}
        if allocatable != self._facts.allocatable:
            self._facts.allocatable = allocatable
            self._wake.set()
        if before is None or before.status.conditions != node.status.conditions:
            self._wake.set()

    # --- registration ---

    async def _register(self) -> None:
        labels = {**machine.labels(self.config.node_name), **self.config.labels}
        body = await self._status_body({})
        node = Node(
            metadata=ObjectMeta(name=self.config.node_name, labels=labels, annotations=dict(ATTACHED_BY_CONTROLLER)),
            spec=NodeSpec(taints=[parse_taint(text) for text in self.config.taints] or None),
            status=msgspec.convert(body, NodeStatus),
        )
        try:
            self.node = await self._nodes.create(node)
            self._tell(node_events.changes({}, body["conditions"]))
        except StatusError as error:
            if error.code != 409:
                raise
            self.node = await self._nodes.get(self.config.node_name)
            known = self.node.metadata.labels or {}
            if missing := {key: value for key, value in labels.items() if known.get(key) != value}:
                self.node = await self._nodes.patch(self.config.node_name, "", {"metadata": {"labels": missing}})
            await self._write_status()
        await self._list_drivers()

    async def _list_drivers(self) -> None:
        """The node's list of CSI drivers, which says that it has none: who waits for the list need not wait."""
        name, owner, lists = self.config.node_name, self._owner(), self._client.resource(CSINode)
        try:
            try:
                await lists.create(CSINode(metadata=ObjectMeta(name=name, owner_references=owner)))
            except StatusError as error:
                if error.code != 409:
                    raise
                # The one of a Node that was deleted would be collected with that.
                await lists.patch(name, "", {"metadata": {"ownerReferences": msgspec.to_builtins(owner)}})
        except StatusError as error:
            log.warning("no CSINode %s: %s", name, error)

    # --- status ---

    async def _keep_status(self) -> None:
        loop = asyncio.get_running_loop()
        written = clock.monotonic()
        cidr_told = ""
        while True:
            # What makes a node ready (its network) comes within moments of its start.
            pause = self.config.pressure_interval if self._ready else min(0.25, self.config.pressure_interval)
            timer = loop.call_later(pause, self._wake.set)
            try:
                await self._wake.wait()
            finally:
                timer.cancel()
            self._wake.clear()
            if self._pod_cidr != cidr_told:
                cidr_told = self._pod_cidr
                try:
                    await self._runtime.update_runtime_config(cidr_told)
                except CRIError as error:
                    log.warning("the runtime did not take the pod range: %s", error)
                    cidr_told = ""
            due = clock.monotonic() - written >= self.config.status_interval
            try:
                if await self._write_status(only_if_changed=not due):
                    written = clock.monotonic()
            except (StatusError, Unavailable) as error:
                log.info("node status not written: %s", error)
                if isinstance(error, StatusError) and error.code == 404:
                    await self._register_again()
                await clock.sleep(1.0 + clock.rng.random())
                self._wake.set()

    async def _register_again(self) -> None:
        try:
            await self._register()
        except (StatusError, Unavailable) as error:
            log.warning("node %s is gone and cannot be registered: %s", self.config.node_name, error)

    async def _write_status(self, *, only_if_changed: bool = False) -> bool:
        known = {c.type: c for c in (self.node.status.conditions or ()) if c.type} if self.node else {}
        body = await self._status_body(known)
        if self.node is not None:
            body["allocatable"].update(dict.fromkeys(withdrawn(self.node, self._facts.capacity)))
        if len(self._facts.ips) > 1:  # the list is merged by type, which cannot hold two: replace it, but for others'
            named = self.node.status.addresses if self.node is not None else None
            others = [{"type": a.type, "address": a.address} for a in named or () if a.type not in _OWN_ADDRESSES]
            body["addresses"] = [{"$patch": "replace"}, *body["addresses"], *others]
        shown = [{k: v for k, v in c.items() if k != "lastHeartbeatTime"} for c in body["conditions"]]
        fingerprint = ({**body, "conditions": shown},)
        # Somebody else (the node lifecycle controller) may have set our conditions to Unknown.
        intact = all(known.get(c["type"]) and known[c["type"]].status == c["status"] for c in body["conditions"])
        if only_if_changed and fingerprint == self._last and intact:
            return False
        boot_id = str(self._info.get("bootID", ""))
        is_rebooted = node_events.rebooted(self.node, boot_id)
        self.node = await self._nodes.patch(
            self.config.node_name, "", {"status": body}, type="strategic", subresource="status"
        )
        if is_rebooted:
            text = f"Node {self.config.node_name} has been rebooted, boot id: {boot_id}"
            self._events.event(self._reference(), "Warning", "Rebooted", text)
        self._last = fingerprint
        self._tell(node_events.changes(known, body["conditions"]))
        return True

    async def _status_body(self, known: dict[str, Any]) -> dict[str, Any]:
        """The status in wire form."""
        self._ready, message = await self._readiness()
        ready = self._ready
        self.pressure = machine.pressure(self.config.data_dir, self.config.eviction_hard)
        addresses = [{"type": "InternalIP", "address": ip} for ip in self._facts.ips]
        addresses.append({"type": "Hostname", "address": self.config.node_name})
        body: dict[str, Any] = {
            "capacity": dict(self._facts.capacity),
            "allocatable": {**self._own, **self._foreign()},
            "conditions": conditions(ready, message, self.pressure, known, clock.rfc3339()),
            "addresses": addresses,
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self.config.port}},
            "nodeInfo": self._info,
            "runtimeHandlers": [{"name": "", "features": {"recursiveReadOnlyMounts": False, "userNamespaces": False}}],
            "features": {"supplementalGroupsPolicy": False},
            "declaredFeatures": declared_features.OURS,
        }
        images = await self._images()
        if images:
            body["images"] = images
        return body

    def _foreign(self) -> dict[str, str]:
        """Resources that others have put into the node's capacity: all of them can be had."""
        return foreign(self.node, self._facts.capacity) if self.node is not None else {}

    async def _readiness(self) -> tuple[bool, str]:
        try:
            status = await self._runtime.status()
        except CRIError as error:
            return False, f"container runtime is down: {error}"
        failing = [
            (kind, status.condition(kind))
            for kind in ("RuntimeReady", "NetworkReady")
            if not status.condition(kind).status
        ]
        if not failing:
            return True, ""
        texts = []
        for kind, condition in failing:
            what = "container runtime network not ready" if kind == "NetworkReady" else "container runtime not ready"
            texts.append(f"{what}: {kind}=false reason:{condition.reason} message:{condition.message}")
        return False, ", ".join(texts)

    async def _images(self) -> list[dict[str, Any]]:
        try:
            images: list[t.Image] = await self._runtime.list_images()
        except CRIError:
            return []
        images.sort(key=lambda image: -image.size)
        return [
            {"names": [*image.repo_digests, *image.repo_tags], "sizeBytes": image.size} for image in images[:MAX_IMAGES]
        ]

    # --- lease ---

    async def _keep_lease(self) -> None:
        """Renew the heartbeat; a short back-off when the server does not answer."""
        lease: Lease | None = None
        while True:
            pause = self.config.lease_interval
            try:
                lease = await self._renew(lease)
            except StatusError as error:
                log.info("lease not renewed: %s", error)
                lease, pause = None, 1.0
            except Unavailable as error:
                log.info("lease not renewed: %s", error)
                pause = 1.0
            await clock.sleep(pause)

    async def _renew(self, lease: Lease | None) -> Lease:
        name = self.config.node_name
        if lease is None:
            try:
                lease = await self._leases.get(name, LEASES)
            except StatusError as error:
                if error.code != 404:
                    raise
                return await self._leases.create(self._lease())
        spec = msgspec.structs.replace(
            lease.spec,
            holder_identity=name,
            lease_duration_seconds=self.config.lease_duration,
            renew_time=clock.rfc3339_micro(),
        )
        return await self._leases.update(msgspec.structs.replace(lease, spec=spec))

    def _owner(self) -> list[OwnerReference] | None:
        if self.node is None or not self.node.metadata.uid:
            return None
        return [OwnerReference(api_version="v1", kind="Node", name=self.node.metadata.name, uid=self.node.metadata.uid)]

    def _lease(self) -> Lease:
        name = self.config.node_name
        return Lease(
            metadata=ObjectMeta(name=name, namespace=LEASES, owner_references=self._owner()),
            spec=LeaseSpec(
                holder_identity=name,
                lease_duration_seconds=self.config.lease_duration,
                renew_time=clock.rfc3339_micro(),
            ),
        )
