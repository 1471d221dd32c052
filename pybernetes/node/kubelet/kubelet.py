"""The kubelet: pods assigned to this node on one side, the container runtime on the other, a worker for each pod.

Pods come from an informer on this node's pods and from a directory of manifests (static pods). Each new pod is admitted
or refused (`admission`), then gets a `PodWorker`. What the runtime reports goes to the worker of the pod concerned.
After a restart the kubelet takes over what runs: sandboxes and containers carry their pod's uid as label, and a pod
of the runtime that no source knows is taken down.
"""

from __future__ import annotations

import contextlib
import logging
from contextlib import aclosing

import msgspec

from pybernetes.aio import clock
from pybernetes.aio.backoff import Backoff
from pybernetes.aio.tasks import Nursery, Ready
from pybernetes.api.core_v1 import Node, Pod, Service
from pybernetes.client.client import Client
from pybernetes.client.events import EventRecorder
from pybernetes.client.factory import InformerFactory
from pybernetes.machinery.meta import ObjectMeta
from pybernetes.node.cri import ContainerRuntime, CRIError
from pybernetes.node.cri import types as t
from pybernetes.node.kubelet import admission, observe
from pybernetes.node.kubelet.cgroups import Cgroups
from pybernetes.node.kubelet.config import Config, Paths
from pybernetes.node.kubelet.host import Host, NodeFacts, offload
from pybernetes.node.kubelet.housekeeping import Housekeeping
from pybernetes.node.kubelet.images import Images
from pybernetes.node.kubelet.node_status import NodeKeeper
from pybernetes.node.kubelet.references import Watches
from pybernetes.node.kubelet.state import PodState
from pybernetes.node.kubelet.static_pods import StaticPods
from pybernetes.node.kubelet.storage_limits import StorageLimits
from pybernetes.node.kubelet.volumes.context import Context
from pybernetes.node.kubelet.volumes.images import ImageMounts
from pybernetes.node.kubelet.volumes.manager import Volumes
from pybernetes.node.kubelet.volumes.tokens import Tokens
from pybernetes.node.kubelet.worker import PodWorker

log = logging.getLogger(__name__)

MIRROR = "kubernetes.io/config.mirror"


class Kubelet:
    """One node. `ready` is set, with the address of the node's API, when pods are being served."""

    def __init__(self, config: Config, client: Client, runtime: ContainerRuntime) -> None:
        self.config = config
        self.client = client
        self.runtime = runtime
        self.ready: Ready[str] = Ready()
        self.events = EventRecorder(client, "kubelet", config.node_name)
        self.informers = InformerFactory(client)
        self.pods = self.informers.informer(Pod, field_selector=f"spec.nodeName={config.node_name}")
        self.services = self.informers.informer(Service)
        self.workers: dict[str, PodWorker] = {}
        #: Pods that wait for their predecessor of the same name to disappear: uid -> pod.
        self._waiting: dict[str, Pod] = {}
        self._adopted: dict[str, observe.Found] = {}
        self._nursery: Nursery | None = None
        self.facts = NodeFacts(ips=config.node_ips)
        paths = Paths(config)
        watches = Watches(client, self._touched)
        context = Context(
            config=config,
            paths=paths,
            client=client,
            watches=watches,
            tokens=Tokens(client),
            allocatable=lambda: self.facts.allocatable,
            offload=lambda function, *args: offload(config, function, *args),
        )
        self.host = Host(
            config=config,
            paths=paths,
            runtime=runtime,
            client=client,
            events=self.events,
            images=Images(runtime, config.parallel_pulls),
            volumes=Volumes(context, ImageMounts(paths.image_volumes, runtime, context.offload)),
            watches=watches,
            cgroups=Cgroups(config.cgroup_root),
            facts=self.facts,
            services=lambda: self.services.list(),
            services_synced=self.services.synced,
            lost=self._lost,
        )
        self.node = NodeKeeper(config, client, runtime, self.facts, self.events)
        self.statics = StaticPods(config, client, self._static_changed, self._static_removed)
        self.housekeeping = Housekeeping(self.host, lambda: self.workers, self.node)
        self.storage_limits = StorageLimits(self.host, lambda: self.workers)

    async def run(self) -> None:
        """Run until cancelled. Containers go on running when it ends."""
        self.host.paths.pods.mkdir(parents=True, exist_ok=True)
        async with Nursery(f"kubelet-{self.config.node_name}") as nursery:
            self._nursery = nursery
            self.host.watches.attach(nursery)
            nursery.start(self.informers.run(), "informers")
            nursery.start(self.events.run(), "events")
            await self._runtime_there()
            await self.node.measure()
            self._adopted = await observe.find_pods(self.runtime)
            keeper = nursery.start(self.node.run(), "node")
            nursery.start(self._watch_runtime(), "runtime-events")
            server = await self._serve(nursery)
            await self.pods.synced()
            self.pods.on(self._added, self._updated, self._deleted)
            nursery.start(self.statics.run(), "static-pods")
            await self.statics.scanned.wait()
            self._drop_orphans()
            nursery.start(self.housekeeping.run(), "housekeeping")
            nursery.start(self.storage_limits.run(), "storage-limits")
            self.ready.set(server)
            await keeper

    async def _runtime_there(self) -> None:
        backoff = Backoff(0.05, 5.0)
        while True:
            try:
                version = await self.runtime.version()
            except CRIError as error:
                log.info("waiting for the container runtime: %s", error)
                await backoff.wait()
            else:
                self.facts.runtime_name = version.runtime_name
                return

    async def _serve(self, nursery: Nursery) -> str:
        """Start the node's own API; its address ("" without one)."""
        if not self.config.port or self.config.tls_cert is None:
            return ""
        from pybernetes.node.kubelet.server import Server

        server = Server(self)
        nursery.start(server.run(), "server")
        return await server.ready.wait()

    # --- pods of the API ---

    def _added(self, pod: Pod) -> None:
        uid = pod.metadata.uid
        if MIRROR in (pod.metadata.annotations or {}):
            self.statics.mirror_seen(pod, self.workers)
            return
        if uid in self.workers:
            self.workers[uid].update(pod)
            return
        if self._predecessor(pod) is not None:
            self._waiting[uid] = pod
            return
        self._start(pod)

    def _updated(self, old: Pod, pod: Pod) -> None:
        uid = pod.metadata.uid
        if uid in self._waiting:
            self._waiting[uid] = pod
        elif uid in self.workers:
            if old.spec != pod.spec:
                self.host.watches.hold(pod)
                self.workers[uid].update(pod)
                self._judge_resize(self.workers[uid])
            else:
                self.workers[uid].update(pod)
        else:
            self._added(pod)

    def _deleted(self, pod: Pod) -> None:
        if MIRROR in (pod.metadata.annotations or {}):
            self.statics.mirror_gone(pod, self.workers)
            return
        self._waiting.pop(pod.metadata.uid, None)
        self._lost(pod.metadata.uid)

    def _lost(self, uid: str) -> None:
        if (worker := self.workers.get(uid)) is not None and not worker.static:
            worker.remove()

    def _predecessor(self, pod: Pod) -> PodWorker | None:
        """A pod of the same name that still has files and containers here."""
        for worker in self.workers.values():
            metadata = worker.pod.metadata
            if metadata.name == pod.metadata.name and metadata.namespace == pod.metadata.namespace:
                return worker
        return None

    def _start(self, pod: Pod, *, static: bool = False) -> None:
        """Admit the pod and give it a worker."""
        assert self._nursery is not None
        uid = pod.metadata.uid
        found = self._adopted.pop(uid, None)
        state = found.state if found else PodState()
        worker = PodWorker(self.host, pod, state, static=static)
        if found is not None:
            self.host.cgroups.weigh(pod)
        elif not pod.metadata.deletion_timestamp and pod.status.phase not in ("Succeeded", "Failed"):
            refusal = admission.admit(pod, self._beside(worker), self._node(), self.config)
            if refusal is not None:
                state.rejected = refusal
                self.events.event(pod, "Warning", refusal.reason, refusal.message)
        self.workers[uid] = worker
        self.host.watches.hold(pod)
        self._nursery.start(self._work(worker), f"pod-{pod.metadata.namespace}-{pod.metadata.name}")

    async def _work(self, worker: PodWorker) -> None:
        uid = worker.pod.metadata.uid
        try:
            while not worker.state.gone:
                try:
                    await worker.run()
                except Exception:  # a pod that trips over a mistake of ours must not be lost, nor take others along
                    log.exception("pod %s/%s", worker.pod.metadata.namespace, worker.pod.metadata.name)
                    worker.state.ops.clear()
                    await clock.sleep(1.0)
        finally:
            self.workers.pop(uid, None)
            self.host.watches.release(uid)
            self.host.images.forget(uid)
        for other in self.workers.values():
            if other.state.resize:  # there may be room now
                self._judge_resize(other)
        for waiting, pod in [*self._waiting.items()]:
            if self._predecessor(pod) is None:
                del self._waiting[waiting]
                self._start(pod)

    def _node(self) -> Node:
        """The node as admission sees it."""
        node = self.node.node
        if node is None:
            node = Node(metadata=ObjectMeta(name=self.config.node_name, labels=dict(self.config.labels)))
        status = msgspec.structs.replace(node.status, allocatable=dict(self.facts.allocatable))
        return msgspec.structs.replace(node, status=status)

    def _beside(self, worker: PodWorker) -> list[Pod]:
        """The other pods that use the node. One that is gone from the API is none of them, though its containers may
        still be stopping: its place has been given away already, and the scheduler would only learn it from a failure.
        """
        others = (w for w in self.workers.values() if w is not worker)
        return [w.pod for w in others if not w.is_over and not w.state.removed]

    def _judge_resize(self, worker: PodWorker) -> None:
        """Decide whether the node has room for what the pod now asks."""
        worker.state.resize = admission.resize_refusal(worker.pod, self._beside(worker), self.facts.allocatable)
        worker.wake()

    def _touched(self, uid: str) -> None:
        if (worker := self.workers.get(uid)) is not None:
            worker.touch()

    # --- static pods ---

    def _static_changed(self, pod: Pod) -> None:
        uid = pod.metadata.uid
        if uid in self.workers:
            self.workers[uid].update(pod)
        elif self._predecessor(pod) is not None:
            self._waiting[uid] = pod
        else:
            self._start(pod, static=True)

    def _static_removed(self, uid: str) -> None:
        self._waiting.pop(uid, None)
        if (worker := self.workers.get(uid)) is not None:
            worker.remove()

    # --- the runtime ---

    def _drop_orphans(self) -> None:
        """Pods that run here and that nobody knows: an empty pod is started for each, only to be taken down."""
        for found in [*self._adopted.values()]:
            pod = Pod(metadata=ObjectMeta(name=found.name, namespace=found.namespace, uid=found.uid))
            log.info("pod %s/%s (%s) is unknown to the API: stopping it", found.namespace, found.name, found.uid)
            self._start(pod)
            self.workers[found.uid].remove()

    async def _watch_runtime(self) -> None:
        """Follow the runtime's events; look at everything when the stream (re)starts, and now and then."""
        backoff = Backoff(0.1, 5.0)
        async with Nursery("runtime") as nursery:
            nursery.start(self._relist_regularly(), "relist")
            while True:
                try:
                    async with aclosing(self.runtime.events()) as events:
                        async for event in events:
                            backoff.reset()
                            if event.kind is t.EventKind.SUBSCRIBED:
                                await self.relist()
                            elif event.kind is t.EventKind.EXITED:
                                self._exited(event.container_id)
                except CRIError as error:
                    log.info("events of the container runtime: %s", error)
                await backoff.wait()

    def _exited(self, container_id: str) -> None:
        for worker in self.workers.values():
            worker.exited(container_id)

    async def _relist_regularly(self) -> None:
        while True:
            await clock.sleep(self.config.relist_interval)
            with contextlib.suppress(CRIError):
                await self.relist()

    async def relist(self) -> None:
        """Compare with the runtime: tell workers of exits that no event told them of."""
        containers = {c.id: c for c in await self.runtime.list_containers(state=t.ContainerState.RUNNING)}
        boxes = {b.id for b in await self.runtime.list_pod_sandboxes(state=t.PodSandboxState.READY)}
        now = clock.timestamp()
        for worker in self.workers.values():
            state = worker.state
            for run in state.running():
                if run.id not in containers and now - run.started_at > 1.0:
                    worker.exited(run.id)
            if state.sandbox is not None and state.sandbox.ready and state.sandbox.id not in boxes:
                worker.exited(state.sandbox.id)

    def find(self, namespace: str, name: str, uid: str = "") -> PodWorker | None:
        """The worker of a pod, for the node's API."""
        for worker in self.workers.values():
            metadata = worker.pod.metadata
            if metadata.name == name and metadata.namespace == namespace and uid in ("", metadata.uid):
                return worker
        return None


__all__ = ["Config", "Kubelet"]
