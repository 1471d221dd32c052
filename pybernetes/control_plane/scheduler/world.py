"""From the informers' news to snapshot and queue: who is placed where, who waits, and whom an event may help.

Synchronous and without I/O, so that a plan always sees a state in which all news up to a point has been taken in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from pybernetes.aio import clock
from pybernetes.api.core_v1 import Namespace, Node, Pod
from pybernetes.api.policy_v1 import PodDisruptionBudget
from pybernetes.control_plane.scheduler import extenders
from pybernetes.control_plane.scheduler.facts import PodFacts
from pybernetes.control_plane.scheduler.plan import Nominations, Placement, Planner, Profile
from pybernetes.control_plane.scheduler.plugins.base import Plugin
from pybernetes.control_plane.scheduler.preemption import Memory, Outcome, preempt
from pybernetes.control_plane.scheduler.queue import SchedulingQueue, Waker
from pybernetes.control_plane.scheduler.snapshot import Snapshot

_DEVICES = "DynamicResources"


class World:
    """The state of one scheduler."""

    def __init__(
        self, profiles: Iterable[Profile], wake: Callable[[], None], first_backoff: float, max_backoff: float
    ) -> None:
        self.snapshot = Snapshot()
        self.nominations = Nominations()
        self.planners = {p.name: Planner(self.snapshot, p, clock.rng, self.nominations) for p in profiles}
        plugins: dict[str, Waker] = {p.name: p for p in self.plugins()}
        plugins[extenders.NAME] = extenders.Wishes()
        self.queue = SchedulingQueue(plugins, first_backoff=first_backoff, max_backoff=max_backoff)
        #: uid -> node name of Pods that are placed by a plan and not seen bound yet.
        self.assumed: dict[str, str] = {}
        #: PodDisruptionBudgets there are, for preemption.
        self.budgets: Callable[[], Sequence[PodDisruptionBudget]] = lambda: ()
        self._trials = {name: Memory() for name in self.planners}
        self._wake = wake

    def plugins(self) -> list[Plugin]:
        """Every plugin of every profile."""
        profiles = [planner.profile for planner in self.planners.values()]
        return [p for profile in profiles for p in (*profile.filters, *(s for s, _ in profile.scores))]

    # Planning

    def plan(self, pod: PodFacts) -> Placement:
        """A node, or a refusal with a nomination and victims if preemption helps. Changes nothing but nominations."""
        placement = self.planner_of(pod).plan(pod)
        if (outcome := self.room_for(placement)) is not None:
            self.nominate(placement, outcome)
        return placement

    def planner_of(self, pod: PodFacts) -> Planner:
        """The planner of the profile that the Pod asks for."""
        return self.planners[pod.pod.spec.scheduler_name or ""]

    def room_for(self, placement: Placement) -> Outcome | None:
        """Whom a refused Pod could push out; None when that is not asked."""
        planner, refusal = self.planner_of(placement.pod), placement.refusal
        if refusal is None or not refusal.total or not planner.profile.preempts:
            return None
        memory = self._trials[planner.profile.name]
        return preempt(planner, placement.pod, refusal, self.budgets(), clock.rng, memory)

    def nominate(self, placement: Placement, outcome: Outcome) -> None:
        """Note in a refused placement what becomes of it."""
        pod, refusal = placement.pod, placement.refusal
        assert refusal is not None
        if outcome.candidate is not None:
            placement.nominated, placement.victims = outcome.candidate.node, outcome.candidate.victims
            self.nominations.set(pod, placement.nominated)
        else:
            refusal.preemption = f"preemption: {outcome.message}"
            if outcome.keeps:
                placement.nominated = None
            else:
                self.nominations.set(pod, "")

    def explain(self, placement: Placement, tried: str) -> None:
        """Note in a refused placement, that nobody makes room for, what was tried with devices; `tried`: with success.

        The texts are upstream's, also for Pods without any claim. Of a Pod that was refused before its claims were
        looked at upstream says no more than "not found", and does not come to preemption.
        """
        refusal = placement.refusal
        assert refusal is not None
        names = [plugin.name for plugin in self.planner_of(placement.pod).profile.filters]
        if placement.nominated or not refusal.total or _DEVICES not in names:
            return
        if refusal.before_nodes and names.index(min(refusal.plugins)) < names.index(_DEVICES):
            refusal.claims, refusal.preemption = "not found", ""
        elif tried:
            refusal.claims = tried
        elif refusal.before_nodes or not self._has_claims(placement.pod):
            refusal.claims = "no new claims to deallocate"
        else:
            refusal.claims = "still not schedulable"

    def _has_claims(self, pod: PodFacts) -> bool:
        devices = self.snapshot.devices
        return bool(pod.pod.spec.resource_claims) or any(map(devices.behind, pod.pod_class.maybe_devices))

    # Pods

    def ours(self, pod: Pod) -> bool:
        """Whether this scheduler has to find a node for it."""
        return (
            not pod.spec.node_name
            and pod.spec.scheduler_name in self.planners
            and pod.metadata.deletion_timestamp is None
            and pod.status.phase not in ("Succeeded", "Failed")
        )

    def pod_added(self, pod: Pod) -> None:
        """A Pod came, or is seen for the first time."""
        uid = pod.metadata.uid
        if pod.spec.node_name:
            if pod.status.phase in ("Succeeded", "Failed"):
                self._pod_left(uid)
                return
            self._placed(pod)
            return
        if uid in self.assumed:
            if pod.metadata.deletion_timestamp is None:
                return  # older than the binding that is under way
            self.forget(uid)
        if self.ours(pod):
            facts = self.snapshot.facts(pod)
            if uid not in self.queue.pods:
                self.nominations.set(facts, pod.status.nominated_node_name or "")
            self.queue.add(facts, clock.monotonic())
            self._wake()
        else:
            self.queue.remove(uid)
            self._not_nominated(uid)

    def pod_updated(self, old: Pod, pod: Pod) -> None:
        """A Pod changed."""
        self.pod_added(pod)
        if old.status.nominated_node_name != pod.status.nominated_node_name:
            queued = self.queue.pods.get(pod.metadata.uid)
            if queued is not None and pod.metadata.uid in self.assumed:
                queued.pod.pod = pod  # it counts as being there already
            elif queued is not None:
                self.nominations.set(queued.pod, pod.status.nominated_node_name or "")

    def pod_deleted(self, pod: Pod) -> None:
        """A Pod is gone."""
        uid = pod.metadata.uid
        self.queue.remove(uid)
        self._not_nominated(uid)
        self._pod_left(uid)

    def _placed(self, pod: Pod) -> None:
        uid, node = pod.metadata.uid, pod.spec.node_name or ""
        self.assumed.pop(uid, None)
        self.queue.remove(uid)
        self._not_nominated(uid)
        known = self.snapshot.placed.get(uid)
        facts = self.snapshot.facts(pod)
        self.snapshot.place(facts, node)
        if known is None:
            self.event("Pod/added", None, facts)
        else:
            before = known[0]
            if before.group is not facts.group:
                self.event("Pod/labels", before, facts)
            if before.pod_class is not facts.pod_class and _smaller(before, facts):
                self.event("Pod/scaled-down", before, facts)

    def _pod_left(self, uid: str) -> None:
        self.assumed.pop(uid, None)
        facts = self.snapshot.remove(uid)
        if facts is not None:
            self.event("Pod/removed", facts, None)

    # Assumptions

    def assume(self, placement: Placement) -> None:
        """A plan placed the Pod: it and its volumes count from now on."""
        pod, node = placement.pod, placement.node
        self.assumed[pod.uid] = node
        if (work := placement.reservations.get("VolumeBinding")) is not None:
            self.snapshot.storage.promise(work, node)
        if (claims := placement.reservations.get("DynamicResources")) is not None:
            self.snapshot.devices.promise(claims)
        self._not_nominated(pod.uid)
        self.snapshot.place(pod, node)
        self.event("Pod/added", None, pod)

    def settled(self, placement: Placement) -> None:
        """What was reserved is written, or has failed."""
        if (work := placement.reservations.get("VolumeBinding")) is not None:
            self.snapshot.storage.release(work)
        if (claims := placement.reservations.get("DynamicResources")) is not None:
            self.snapshot.devices.release(claims)

    def forget(self, uid: str) -> None:
        """The binding failed: the place is free again."""
        if self.assumed.pop(uid, None) is not None:
            facts = self.snapshot.remove(uid)
            if facts is not None:
                self.event("Pod/removed", facts, None)
            if (queued := self.queue.pods.get(uid)) is not None:
                self.nominations.set(queued.pod, queued.pod.pod.status.nominated_node_name or "")

    def _not_nominated(self, uid: str) -> None:
        if (facts := self.nominations.pop(uid)) is not None:
            self.event("Pod/removed", facts, None)  # those it stood in the way of may try again

    # Namespaces

    def namespace_set(self, namespace: Namespace) -> None:
        """A namespace came or changed."""
        metadata = namespace.metadata
        if self.snapshot.terms.set_namespace(metadata.name, metadata.labels or {}):
            self.event("Namespace/labels", None, namespace)

    def namespace_deleted(self, namespace: Namespace) -> None:
        self.snapshot.terms.set_namespace(namespace.metadata.name, None)

    # Nodes

    def node_added(self, node: Node) -> None:
        self._node(None, node)

    def node_updated(self, old: Node, node: Node) -> None:
        self._node(old, node)

    def node_deleted(self, node: Node) -> None:
        self.snapshot.remove_node(node.metadata.name)
        self.event("Node/removed", node, None)

    def _node(self, old: Node | None, node: Node) -> None:
        changes = self.snapshot.set_node(node)
        if "added" in changes:
            self.event("Node/added", None, node)
            return
        for change in ("allocatable", "labels", "taints", "features"):
            if change in changes:
                self.event(f"Node/{change}", old, node)
        if changes:
            self.event("Node/updated", old, node)

    # Events

    def event(self, event: str, old: object, new: object) -> None:
        """Wake the Pods this may help."""
        if self.queue.event(event, old, new, clock.monotonic()):
            self._wake()


def _smaller(before: PodFacts, after: PodFacts) -> bool:
    wanted = after.pod_class.requests
    return any(value > wanted.get(name, 0) for name, value in before.pod_class.requests.items())
