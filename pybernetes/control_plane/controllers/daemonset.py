"""The DaemonSet controller: a Pod on every node that fits."""

from __future__ import annotations

from collections.abc import Sequence

from pybernetes.aio import clock
from pybernetes.aio.backoff import ItemBackoff
from pybernetes.api.apps_v1 import ControllerRevision, DaemonSet, DaemonSetStatus
from pybernetes.api.core_v1 import Node, Pod
from pybernetes.client.client import Client
from pybernetes.client.controller import Controller, RequeueAfter, Retry, controller_of, key_of, split_key
from pybernetes.client.events import EventRecorder
from pybernetes.client.factory import InformerFactory
from pybernetes.control_plane.controllers import daemonset_plan as plan
from pybernetes.control_plane.controllers import pods as pod_state
from pybernetes.control_plane.controllers.ownership import Claims, add_indexes
from pybernetes.control_plane.controllers.pod_control import PodControl, is_namespace_terminating
from pybernetes.control_plane.controllers.revisions import POD_HASH, Collision, Revisions
from pybernetes.machinery import codec, labels

_LONGEST = 900.0
BURST = 250  #: Pods created or deleted by one step at most


class DaemonSetController(Controller):
    """Keys are DaemonSets."""

    name = "daemonset-controller"

    def __init__(self, client: Client, informers: InformerFactory, events: EventRecorder) -> None:
        super().__init__(client, informers, events)
        self._failed_pods = ItemBackoff(1.0, _LONGEST)
        #: By DaemonSet and (its uid, node): when the last failed Pod was removed, and how long the next one stays.
        self._held: dict[str, dict[tuple[str, str], tuple[float, float]]] = {}

    def setup(self) -> None:
        """Sets, their Pods and revisions, and nodes whose labels or taints change."""
        self.sets = self.informers.informer(DaemonSet)
        self.pods = self.informers.informer(Pod)
        self.nodes = self.informers.informer(Node)
        add_indexes(self.pods)
        self.sets.on(self.enqueue, self.enqueue_updated, self.enqueue)
        self.pods.on(self._pod, self._pod_updated, self._pod)
        self.nodes.on(self._node, self._node_updated, self._node)
        self._sets = self.client.resource(DaemonSet)
        self._claims = Claims(self.pods, self.client.resource(Pod), self._sets)
        history = self.informers.informer(ControllerRevision)
        self._revisions = Revisions(self.client, history, self._sets, POD_HASH)
        self._control = PodControl(self.client, self.pods, self.events)

    def _pod(self, pod: Pod) -> None:
        reference = controller_of(pod)
        if reference is not None:
            if reference.kind == "DaemonSet":
                self.queue.add(f"{pod.metadata.namespace}/{reference.name}")
        elif pod.metadata.deletion_timestamp is None and pod.metadata.labels:
            for owner in self.sets.list(pod.metadata.namespace):
                if labels.from_struct(owner.spec.selector).matches(pod.metadata.labels):
                    self.queue.add(key_of(owner))

    def _pod_updated(self, old: Pod, new: Pod) -> None:
        if controller_of(old) != controller_of(new):
            self._pod(old)
        self._pod(new)

    def _node(self, node: Node) -> None:
        for owner in self.sets.list():
            self.queue.add(key_of(owner))

    def _node_updated(self, old: Node, new: Node) -> None:
        for owner in self.sets.list():
            if plan.runs_on(owner, old) != plan.runs_on(owner, new):
                self.queue.add(key_of(owner))

    async def reconcile(self, key: str) -> RequeueAfter | None:
        """Place and remove Pods, move an update on, write the status."""
        owner = self.sets.get(*split_key(key))
        if owner is None:
            for item in self._held.pop(key, ()):
                self._failed_pods.forget(item)
            return None
        if not owner.spec.selector.match_labels and not owner.spec.selector.match_expressions:
            message = "This daemon set is selecting all pods. A non-empty selector is required."
            self.events.event(owner, "Warning", "SelectingAll", message)
            return None
        selector = labels.from_struct(owner.spec.selector)
        pods = await self._claims.claim(owner, selector)
        if owner.metadata.deletion_timestamp is not None:
            return None
        known = await self._revisions.of(owner, selector)
        try:
            revision = await self._revisions.current(owner, owner.spec.template, known, owner.status.collision_count)
        except Collision:
            status = codec.copy(owner.status)
            status.collision_count = (status.collision_count or 0) + 1
            await self._write_status(owner, status)
            raise Retry("hash collision") from None
        hashed = (revision.metadata.labels or {}).get(POD_HASH, "")
        if duplicates := [r for r in known if r.data == revision.data and r.metadata.uid != revision.metadata.uid]:
            await self._merge(duplicates, pods, hashed)
            known = [r for r in known if r not in duplicates]
            pods = await self._claims.claim(owner, selector)
        nodes = self.nodes.list()
        now = clock.timestamp()
        step = plan.manage(owner, nodes, _by_node(pods), hashed, now)
        wait = self._hold_back(owner, key, step, now)
        error = await self._perform(owner, step, hashed)
        pods = await self._claims.claim(owner, selector)
        if error is None and plan.is_rolling(owner):
            step = plan.roll(owner, nodes, _by_node(pods), hashed, now)
            error = await self._perform(owner, step, hashed)
            pods = await self._claims.claim(owner, selector)
        used = {(pod.metadata.labels or {}).get(POD_HASH) for pod in pods}
        old = [r for r in known if r.metadata.uid != revision.metadata.uid]
        unused = [r for r in old if (r.metadata.labels or {}).get(POD_HASH) not in used]
        limit = owner.spec.revision_history_limit
        await self._revisions.remove(unused[: max(0, len(old) - (10 if limit is None else limit))])
        await self._write_status(owner, self._status(owner, nodes, pods, hashed))
        if error is not None:
            if is_namespace_terminating(error):
                return None
            raise error
        min_ready = owner.spec.min_ready_seconds or 0
        waits = [w for pod in pods if (w := pod_state.available_in(pod, min_ready, now))]
        if wait:
            waits.append(wait)
        return RequeueAfter(min(waits)) if waits else None

    async def _merge(self, duplicates: Sequence[ControllerRevision], pods: Sequence[Pod], hashed: str) -> None:
        """Of several revisions of one template the newest stays, and the Pods become its own."""
        for pod in pods:
            if not plan.is_updated(pod, hashed):
                await self._control.patch_labels(pod, {POD_HASH: hashed})
        await self._revisions.remove(duplicates)

    def _hold_back(self, owner: DaemonSet, key: str, step: plan.Step, now: float) -> float | None:
        """Failed Pods are replaced with back-off per node, lest a broken one is started over and over."""
        waits = []
        held = self._held.setdefault(key, {})
        for pod in step.failed:
            item = (owner.metadata.uid, plan.node_of(pod))
            since, hold = held.get(item, (now, 0.0))
            if since + hold > now:
                step.delete.remove(pod)
                waits.append(since + hold - now)
                continue
            if now - since > 2 * _LONGEST:  # long ago: this is another story
                self._failed_pods.forget(item)
            held[item] = now, self._failed_pods.next(item)
            where = f"{pod.metadata.namespace}/{pod.metadata.name} on node {plan.node_of(pod)}"
            message = f"Found failed daemon pod {where}, will try to kill it"
            self.events.event(owner, "Warning", "FailedDaemonPod", message)
        for pod in step.succeeded:
            where = f"{pod.metadata.namespace}/{pod.metadata.name} on node {plan.node_of(pod)}"
            message = f"Found succeeded daemon pod {where}, will try to delete it"
            self.events.event(owner, "Normal", "SucceededDaemonPod", message)
        return min(waits, default=None)

    async def _perform(self, owner: DaemonSet, step: plan.Step, hashed: str) -> Exception | None:
        error = None
        if step.delete:
            error = await self._control.delete_many(owner, step.delete[:BURST])
        if step.create:
            new = [plan.new_pod(owner, node, hashed) for node in step.create[:BURST]]
            error = await self._control.create_many(owner, new) or error
            if len(step.create) > BURST:
                self.queue.add(key_of(owner))
        return error

    def _status(self, owner: DaemonSet, nodes: Sequence[Node], pods: Sequence[Pod], hashed: str) -> DaemonSetStatus:
        now = clock.timestamp()
        min_ready = owner.spec.min_ready_seconds or 0
        by_node = _by_node(pods)
        status = DaemonSetStatus(
            observed_generation=owner.metadata.generation,
            collision_count=owner.status.collision_count,
            conditions=owner.status.conditions,
        )
        updated = available = 0
        for node in nodes:
            starts, _ = plan.runs_on(owner, node)
            here = by_node.get(node.metadata.name, [])
            if not starts:
                status.number_misscheduled += bool(here)
                continue
            status.desired_number_scheduled += 1
            if not here:
                continue
            status.current_number_scheduled += 1
            oldest = plan.oldest(here)
            if pod_state.is_ready(oldest):
                status.number_ready += 1
                available += pod_state.is_available(oldest, min_ready, now)
            updated += plan.is_updated(oldest, hashed)
        status.updated_number_scheduled = updated or None
        status.number_available = available or None
        status.number_unavailable = (status.desired_number_scheduled - available) or None
        return status

    async def _write_status(self, owner: DaemonSet, status: DaemonSetStatus) -> None:
        if status == owner.status:
            return
        changed = codec.copy(owner)
        changed.status = status
        await self.sets.caught_up(await self._sets.update_status(changed))


def _by_node(pods: Sequence[Pod]) -> dict[str, list[Pod]]:
    """Those that are over and only wait to be removed (for a finalizer, say) leave their node to the next one."""
    found: dict[str, list[Pod]] = {}
    for pod in pods:
        if pod_state.is_terminal(pod) and pod_state.is_terminating(pod):
            continue
        if name := plan.node_of(pod):
            found.setdefault(name, []).append(pod)
    return found
