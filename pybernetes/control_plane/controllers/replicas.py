"""Keeping N replicas of a Pod: the core of ReplicaSets and ReplicationControllers, which differ only in their type.

Decisions are two numbers: how many active Pods there are, and how many there should be. What is missing is created
from the template, what is too much is deleted in the order of `pods.in_deletion_order`. The status says what was
seen, also when creating fails (condition ReplicaFailure).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, Generic, TypeVar

from pybernetes.aio import clock
from pybernetes.api.core_v1 import Pod, PodTemplateSpec
from pybernetes.client.controller import Controller, RequeueAfter, controller_of, key_of, split_key
from pybernetes.client.informer import Informer, Matcher
from pybernetes.control_plane.controllers import pods as pod_state
from pybernetes.control_plane.controllers.ownership import Claims, add_indexes
from pybernetes.control_plane.controllers.pod_control import (
    BURST,
    PodControl,
    is_namespace_terminating,
    pod_from_template,
)
from pybernetes.machinery import codec
from pybernetes.machinery.meta import Object

T = TypeVar("T", bound=Object)


class ReplicaController(Controller, Generic[T]):
    """See the module. Subclasses name the kind and read its spec."""

    kind: type[T]
    condition_type: type[Any]

    def setup(self) -> None:
        """Owners, and the Pods that are theirs or might be."""
        self.owners: Informer[T] = self.informers.informer(self.kind)
        self.pods: Informer[Pod] = self.informers.informer(Pod)
        add_indexes(self.pods)
        self.owners.on(self.enqueue, self.enqueue_updated, self.enqueue)
        self.pods.on(self._pod_changed, self._pod_updated, self._pod_changed)
        self._resource = self.client.resource(self.kind)
        self._claims = Claims(self.pods, self.client.resource(Pod), self._resource)
        self._control = PodControl(self.client, self.pods, self.events)

    @abstractmethod
    def selector(self, owner: T) -> Matcher | None:
        """The selector; None when it would select everything."""

    @abstractmethod
    def template(self, owner: T) -> PodTemplateSpec:
        """The template of its Pods."""

    def kin(self, owner: T) -> Sequence[Pod]:
        """The Pods of related owners, which count for spreading deletions over nodes."""
        return ()

    # Sources

    def _pod_changed(self, pod: Pod) -> None:
        reference = controller_of(pod)
        if reference is not None:
            self._enqueue_owner(pod.metadata.namespace, reference.kind, reference.name, reference.uid)
        elif pod.metadata.deletion_timestamp is None:
            self._enqueue_matching(pod)

    def _pod_updated(self, old: Pod, new: Pod) -> None:
        before, after = controller_of(old), controller_of(new)
        if before is not None and (after is None or after.uid != before.uid):
            self._enqueue_owner(old.metadata.namespace, before.kind, before.name, before.uid)
        if after is not None:
            self._enqueue_owner(new.metadata.namespace, after.kind, after.name, after.uid)
        elif before is not None or old.metadata.labels != new.metadata.labels:
            self._enqueue_matching(new)

    def _enqueue_owner(self, namespace: str, kind: str, name: str, uid: str) -> None:
        if kind != self.kind.__name__:
            return
        owner = self.owners.get(namespace, name)
        if owner is not None and owner.metadata.uid == uid:
            self.queue.add(f"{namespace}/{name}")

    def _enqueue_matching(self, pod: Pod) -> None:
        if not pod.metadata.labels:
            return
        for owner in self.owners.list(pod.metadata.namespace):
            selector = self.selector(owner)
            if selector is not None and selector.matches(pod.metadata.labels):
                self.queue.add(key_of(owner))

    # Reconciling

    async def reconcile(self, key: str) -> RequeueAfter | None:
        """Bring the number of Pods to what the spec says, and the status to what is."""
        owner = self.owners.get(*split_key(key))
        if owner is None or (selector := self.selector(owner)) is None:
            return None
        claimed = await self._claims.claim(owner, selector, lambda pod: not pod_state.is_terminal(pod))
        error: Exception | None = None
        reason = ""
        spec: Any = owner.spec  # type: ignore[attr-defined]
        if owner.metadata.deletion_timestamp is None:
            active = [pod for pod in claimed if pod_state.is_active(pod)]
            missing = (1 if spec.replicas is None else spec.replicas) - len(active)
            if missing > 0:
                reason = "FailedCreate"
                template = self.template(owner)
                error = await self._control.create_many(
                    owner, [pod_from_template(template, owner) for _ in range(min(missing, BURST))]
                )
                if error is not None and is_namespace_terminating(error):
                    error = None
            elif missing < 0:
                reason = "FailedDelete"
                counts = pod_state.by_node(self.kin(owner) or active)
                ordered = pod_state.in_deletion_order(active, counts, clock.timestamp())
                error = await self._control.delete_many(owner, ordered[: min(-missing, BURST)])
            if missing:  # the caches have seen what was done
                claimed = await self._claims.claim(owner, selector, lambda pod: not pod_state.is_terminal(pod))
        await self._write_status(owner, claimed, error, reason)
        if error is not None:
            raise error
        now = clock.timestamp()
        waits = [
            wait
            for pod in claimed
            if pod_state.is_active(pod) and (wait := pod_state.available_in(pod, spec.min_ready_seconds or 0, now))
        ]
        return RequeueAfter(min(waits)) if waits else None

    async def _write_status(self, owner: T, claimed: Sequence[Pod], error: Exception | None, reason: str) -> None:
        current: Any = owner.status  # type: ignore[attr-defined]
        spec: Any = owner.spec  # type: ignore[attr-defined]
        now = clock.timestamp()
        active = [pod for pod in claimed if pod_state.is_active(pod)]
        labels = ((self.template(owner).metadata or Object().metadata).labels or {}).items()
        ready = [pod for pod in active if pod_state.is_ready(pod)]
        status = codec.copy(current)
        status.replicas = len(active)
        status.fully_labeled_replicas = sum(labels <= (pod.metadata.labels or {}).items() for pod in active)
        status.ready_replicas = len(ready)
        status.available_replicas = sum(pod_state.is_available(pod, spec.min_ready_seconds or 0, now) for pod in ready)
        if hasattr(status, "terminating_replicas"):
            status.terminating_replicas = sum(
                pod_state.is_terminating(pod) and not pod_state.is_terminal(pod) for pod in claimed
            )
        status.observed_generation = owner.metadata.generation
        status.conditions = self._conditions(current.conditions or (), error, reason)
        if _same(status, current):
            return
        changed = codec.copy(owner)
        changed.status = status
        await self.owners.caught_up(await self._resource.update_status(changed))

    def _conditions(self, current: Iterable[Any], error: Exception | None, reason: str) -> list[Any] | None:
        others = [c for c in current if c.type != "ReplicaFailure"]
        if error is not None:
            failure = next((c for c in current if c.type == "ReplicaFailure"), None)
            if failure is None:
                failure = self.condition_type(
                    type="ReplicaFailure",
                    status="True",
                    reason=reason,
                    message=str(error),
                    last_transition_time=clock.rfc3339(),
                )
            others.append(failure)
        return others or None


def _same(a: Any, b: Any) -> bool:
    """Equal, where unset and zero are the same."""
    names = type(a).__struct_fields__
    return all((getattr(a, name) or None) == (getattr(b, name) or None) for name in names)
