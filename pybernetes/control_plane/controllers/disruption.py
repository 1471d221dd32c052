"""The disruption controller: how many Pods of a PodDisruptionBudget may be evicted right now.

The API server grants evictions from `status.disruptionsAllowed` and notes each in `status.disruptedPods`; this
controller counts the healthy again, and forgets notes whose Pod is going, or did not go within two minutes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pybernetes.aio import clock
from pybernetes.api.apps_v1 import Deployment, ReplicaSet, StatefulSet
from pybernetes.api.core_v1 import Pod, ReplicationController
from pybernetes.api.policy_v1 import PodDisruptionBudget, PodDisruptionBudgetStatus
from pybernetes.client.controller import Controller, RequeueAfter, controller_of, key_of, split_key
from pybernetes.control_plane.controllers.numbers import resolve
from pybernetes.control_plane.controllers.pods import is_ready, is_terminating
from pybernetes.machinery import codec, labels
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.meta import Condition

_FORGET = 120.0  # seconds after which an eviction that was granted and did not happen is forgotten


class _Uncountable(Exception):
    """The number of Pods that should be there cannot be known."""


def desired_healthy(budget: PodDisruptionBudget, pods: Sequence[Pod], expected: int) -> tuple[int, int]:
    """(Pods expected, Pods that must stay healthy); `expected` is what their controllers want together."""
    spec = budget.spec
    if spec.max_unavailable is not None:
        return expected, max(0, expected - resolve(spec.max_unavailable, expected, round_up=True))
    if isinstance(spec.min_available, str):
        return expected, resolve(spec.min_available, expected, round_up=True)
    return len(pods), 1 if spec.min_available is None else spec.min_available


class DisruptionController(Controller):
    """Keys are PodDisruptionBudgets."""

    name = "disruption-controller"
    component = "controllermanager"

    def setup(self) -> None:
        """Budgets, Pods, and whatever controls Pods."""
        self.budgets = self.informers.informer(PodDisruptionBudget)
        self.pods = self.informers.informer(Pod)
        self.deployments = self.informers.informer(Deployment)
        self.replica_sets = self.informers.informer(ReplicaSet)
        self.stateful_sets = self.informers.informer(StatefulSet)
        self.replication = self.informers.informer(ReplicationController)
        self.budgets.on(self.enqueue, self.enqueue_updated)
        self.pods.on(self._pod, self._pod_updated, self._pod)
        for informer in (self.deployments, self.stateful_sets, self.replication, self.replica_sets):
            informer.on(updated=self._scaled)
        self._budgets = self.client.resource(PodDisruptionBudget)

    def _pod(self, pod: Pod) -> None:
        for budget in self.budgets.list(pod.metadata.namespace):
            if _selects(budget, pod):
                self.queue.add(key_of(budget))

    def _pod_updated(self, old: Pod, new: Pod) -> None:
        if is_ready(old) != is_ready(new) or is_terminating(old) != is_terminating(new):
            self._pod(new)
        elif old.metadata.labels != new.metadata.labels or controller_of(old) != controller_of(new):
            self._pod(old)
            self._pod(new)

    def _scaled(self, old: Any, new: Any) -> None:
        if old.spec.replicas != new.spec.replicas:
            for budget in self.budgets.list(new.metadata.namespace):
                self.queue.add(key_of(budget))

    async def reconcile(self, key: str) -> RequeueAfter | None:
        """Count, and write the status."""
        budget = self.budgets.get(*split_key(key))
        if budget is None:
            return None
        pods = [pod for pod in self.pods.list(budget.metadata.namespace) if _selects(budget, pod)]
        now = clock.timestamp()
        disrupted, again = self._disrupted(budget, pods, now)
        status: PodDisruptionBudgetStatus = codec.copy(budget.status)
        status.observed_generation = budget.metadata.generation
        status.disrupted_pods = disrupted or None
        try:
            expected, desired = desired_healthy(budget, pods, await self._expected(budget, pods))
        except (_Uncountable, ValueError) as error:
            self.events.event(budget, "Warning", "CalculateExpectedPodCountFailed", f"{error}")
            status.disruptions_allowed = 0
            _set(status, "False", "SyncFailed", str(error), budget.metadata.generation)
            await self._write(budget, status)
            return None
        healthy = sum(is_ready(pod) and not is_terminating(pod) and pod.metadata.name not in disrupted for pod in pods)
        allowed = max(0, healthy - desired) if expected > 0 else 0
        status.current_healthy, status.desired_healthy = healthy, desired
        status.expected_pods, status.disruptions_allowed = expected, allowed
        if allowed > 0:
            _set(status, "True", "SufficientPods", "", budget.metadata.generation)
        else:
            _set(status, "False", "InsufficientPods", "", budget.metadata.generation)
        await self._write(budget, status)
        return RequeueAfter(again) if again is not None else None

    def _disrupted(
        self, budget: PodDisruptionBudget, pods: Sequence[Pod], now: float
    ) -> tuple[dict[str, str], float | None]:
        by_name = {pod.metadata.name: pod for pod in pods}
        kept: dict[str, str] = {}
        waits = []
        for name, at in (budget.status.disrupted_pods or {}).items():
            pod = by_name.get(name)
            if pod is None or is_terminating(pod):
                continue
            remaining = clock.parse_rfc3339(at) + _FORGET - now
            if remaining <= 0:
                message = f"Pod was expected by PDB {key_of(budget)} to be deleted but it wasn't"
                self.events.event(pod, "Warning", "NotDeleted", message)
                continue
            kept[name] = at
            waits.append(remaining)
        return kept, min(waits, default=None)

    async def _expected(self, budget: PodDisruptionBudget, pods: Sequence[Pod]) -> int:
        """The replicas all controllers of these Pods want together."""
        spec = budget.spec
        if spec.max_unavailable is None and not isinstance(spec.min_available, str):
            return len(pods)
        scales: dict[str, int] = {}
        for pod in pods:
            reference = controller_of(pod)
            if reference is None:
                raise _Uncountable(f'found no controller ref for pod "{pod.metadata.name}"')
            if reference.uid not in scales:
                uid, size = await self._scale(pod, reference.api_version, reference.kind, reference.name, reference.uid)
                scales.setdefault(reference.uid, 0)
                scales[uid] = size
        return sum(scales.values())

    async def _scale(self, pod: Pod, api_version: str, kind: str, name: str, uid: str) -> tuple[str, int]:
        """(uid of what is scaled, its replicas)."""
        namespace = pod.metadata.namespace
        if api_version.startswith("apps/") and kind == "ReplicaSet":
            rs = self.replica_sets.get(namespace, name)
            if rs is not None and rs.metadata.uid == uid:
                owner = controller_of(rs)
                if owner is None or owner.kind != "Deployment":
                    return uid, _replicas(rs.spec.replicas)
                deployment = self.deployments.get(namespace, owner.name)
                if deployment is not None and deployment.metadata.uid == owner.uid:
                    return owner.uid, _replicas(deployment.spec.replicas)
        elif api_version.startswith("apps/") and kind == "StatefulSet":
            stateful = self.stateful_sets.get(namespace, name)
            if stateful is not None and stateful.metadata.uid == uid:
                return uid, _replicas(stateful.spec.replicas)
        elif api_version == "v1" and kind == "ReplicationController":
            controller = self.replication.get(namespace, name)
            if controller is not None and controller.metadata.uid == uid:
                return uid, _replicas(controller.spec.replicas)
        try:
            scale = await self.client.dynamic(api_version, kind).get_subresource(name, namespace, "scale")
        except StatusError as error:
            raise _Uncountable(f"{kind} {namespace}/{name} does not implement the scale subresource: {error}") from None
        if isinstance(scale, dict):
            return uid, int(scale.get("spec", {}).get("replicas", 0))
        return uid, int(scale.spec.replicas or 0)

    async def _write(self, budget: PodDisruptionBudget, status: PodDisruptionBudgetStatus) -> None:
        if status == budget.status:
            return
        changed = codec.copy(budget)
        changed.status = status
        await self.budgets.caught_up(await self._budgets.update_status(changed))


def _replicas(value: int | None) -> int:
    return 1 if value is None else value


def _selects(budget: PodDisruptionBudget, pod: Pod) -> bool:
    return labels.from_struct(budget.spec.selector).matches(pod.metadata.labels)


def _set(status: PodDisruptionBudgetStatus, value: str, reason: str, message: str, generation: int | None) -> None:
    present = next((c for c in status.conditions or () if c.type == "DisruptionAllowed"), None)
    same = present is not None and present.status == value
    condition = Condition(
        type="DisruptionAllowed",
        status=value,
        reason=reason,
        message=message,
        observed_generation=generation,
        last_transition_time=present.last_transition_time if present is not None and same else clock.rfc3339(),
    )
    status.conditions = [*(c for c in status.conditions or () if c.type != "DisruptionAllowed"), condition]
