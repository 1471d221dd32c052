"""The Deployment controller: moves Pods from one template to the next through ReplicaSets.

`deployment_plan` decides sizes and conditions; this module reads the ReplicaSets, executes the sizes and writes the
status. A reconcile does one step and writes the status once, at its end, with every condition that came up on the
way: upstream writes some of these in between, which nobody can rely on.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from pybernetes.aio import clock
from pybernetes.api.apps_v1 import Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet, ReplicaSetSpec
from pybernetes.api.core_v1 import Pod
from pybernetes.client.controller import (
    Controller,
    RequeueAfter,
    Retry,
    controller_of,
    controller_reference,
    key_of,
    split_key,
)
from pybernetes.client.informer import OWNER
from pybernetes.control_plane.controllers import deployment_plan as plan
from pybernetes.control_plane.controllers.numbers import template_hash
from pybernetes.control_plane.controllers.ownership import Claims, add_indexes
from pybernetes.control_plane.controllers.pod_control import is_namespace_terminating
from pybernetes.machinery import codec, labels
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.meta import LabelSelector, ObjectMeta

log = logging.getLogger(__name__)


class DeploymentController(Controller):
    """Rolls out Deployments."""

    name = "deployment-controller"

    def setup(self) -> None:
        """Deployments, their ReplicaSets, and Pods (Recreate waits for the last old one to go)."""
        self.deployments = self.informers.informer(Deployment)
        self.sets = self.informers.informer(ReplicaSet)
        self.pods = self.informers.informer(Pod)
        add_indexes(self.sets)
        self.pods.add_owner_index()
        self.deployments.on(self.enqueue, self.enqueue_updated, self.enqueue)
        self.sets.on(self._set_changed, self._set_updated, self._set_changed)
        self.pods.on(deleted=self._pod_deleted)
        self._deployments = self.client.resource(Deployment)
        self._sets = self.client.resource(ReplicaSet)
        self._claims = Claims(self.sets, self._sets, self._deployments)

    def _set_changed(self, rs: ReplicaSet) -> None:
        reference = controller_of(rs)
        if reference is not None:
            if reference.kind == "Deployment":
                self.queue.add(f"{rs.metadata.namespace}/{reference.name}")
        elif rs.metadata.labels:
            for deployment in self.deployments.list(rs.metadata.namespace):
                if labels.from_struct(deployment.spec.selector).matches(rs.metadata.labels):
                    self.queue.add(key_of(deployment))

    def _set_updated(self, old: ReplicaSet, new: ReplicaSet) -> None:
        self._set_changed(new)
        if controller_of(old) != controller_of(new):
            self._set_changed(old)

    def _pod_deleted(self, pod: Pod) -> None:
        reference = controller_of(pod)
        if reference is None or reference.kind != "ReplicaSet":
            return
        rs = self.sets.get(pod.metadata.namespace, reference.name)
        if rs is None or (owner := controller_of(rs)) is None or owner.kind != "Deployment":
            return
        deployment = self.deployments.get(pod.metadata.namespace, owner.name)
        if deployment is not None and not plan.is_rolling(deployment):
            self.queue.add(key_of(deployment))

    async def reconcile(self, key: str) -> RequeueAfter | None:
        """One step of the rollout."""
        cached = self.deployments.get(*split_key(key))
        if cached is None:
            return None
        deployment: Deployment = codec.copy(cached)
        selector = deployment.spec.selector
        if not selector.match_labels and not selector.match_expressions:
            message = "This deployment is selecting all pods. A non-empty selector is required."
            self.events.event(deployment, "Warning", "SelectingAll", message)
            status = codec.copy(deployment.status)
            status.observed_generation = deployment.metadata.generation
            await self._write_status(cached, deployment, status)
            return None
        sets = await self._claims.claim(deployment, labels.from_struct(selector))
        if deployment.metadata.deletion_timestamp is not None:
            new = plan.find_new(deployment, sets)
            await self._write_status(cached, deployment, plan.count(deployment, new, sets, clock.rfc3339()))
            return None
        self._note_pause(deployment)
        try:
            new, old = await self._step(deployment, cached, sets)
        except _Failed as failed:
            await self._write_status(cached, deployment, deployment.status)
            raise failed.error from None
        if deployment.spec.paused or plan.is_scaling(deployment, sets):
            status = plan.count(deployment, new, [*old, *([new] if new else [])], clock.rfc3339())
        else:
            status = self._rollout_status(deployment, new, old)
        await self._write_status(cached, deployment, status)
        return self._next_look(deployment, status)

    # One step

    async def _step(
        self, deployment: Deployment, cached: Deployment, sets: Sequence[ReplicaSet]
    ) -> tuple[ReplicaSet | None, list[ReplicaSet]]:
        """Do one step; returns the new ReplicaSet and the old ones as they then are."""
        frozen = bool(deployment.spec.paused) or plan.is_scaling(deployment, sets)
        old = [rs for rs in sets if rs is not plan.find_new(deployment, sets)]
        rolling = plan.is_rolling(deployment)
        new = await self._new_set(deployment, cached, sets, create=rolling and not frozen)
        everything = [*old, *([new] if new else [])]
        if frozen:
            everything = await self._resize(deployment, everything, plan.scale(deployment, new, old))
            if deployment.spec.paused:
                await self._clean_up(deployment, old)
        elif rolling:
            if new is not None:
                sizes = plan.grow_new(deployment, new, everything) or plan.shrink_old(deployment, new, old)
                everything = await self._resize(deployment, everything, sizes)
        else:
            everything = await self._recreate(deployment, cached, sets, new, old)
        if not frozen and plan.is_complete(deployment, deployment.status):
            await self._clean_up(deployment, old)
        new = plan.find_new(deployment, everything)
        return new, [rs for rs in everything if rs is not new]

    async def _recreate(
        self,
        deployment: Deployment,
        cached: Deployment,
        sets: Sequence[ReplicaSet],
        new: ReplicaSet | None,
        old: Sequence[ReplicaSet],
    ) -> list[ReplicaSet]:
        everything = [*old, *([new] if new else [])]
        shrink = {rs.metadata.name: 0 for rs in old if plan.replicas(rs)}
        if shrink:
            return await self._resize(deployment, everything, shrink)
        for rs in old:
            for pod in self.pods.by_index(OWNER, rs.metadata.uid):
                if pod.status.phase not in ("Failed", "Succeeded"):
                    return everything
        if new is None:
            new = await self._new_set(deployment, cached, sets, create=True)
            everything = [*old, *([new] if new else [])]
        if new is not None and plan.replicas(new) != plan.desired(deployment):
            sizes = {new.metadata.name: plan.desired(deployment)}
            everything = await self._resize(deployment, everything, sizes)
        return everything

    async def _new_set(
        self, deployment: Deployment, cached: Deployment, sets: Sequence[ReplicaSet], *, create: bool
    ) -> ReplicaSet | None:
        """The ReplicaSet of the current template, with its annotations right; created if wanted."""
        new = plan.find_new(deployment, sets)
        old = [rs for rs in sets if rs is not new]
        next_revision = max(map(plan.revision, old), default=0) + 1
        if new is not None:
            annotations = plan.new_annotations(deployment, new.metadata.annotations, next_revision, exists=True)
            min_ready = deployment.spec.min_ready_seconds
            if annotations != new.metadata.annotations or (new.spec.min_ready_seconds or 0) != (min_ready or 0):
                changed = codec.copy(new)
                changed.metadata.annotations = annotations
                changed.spec.min_ready_seconds = min_ready
                new = await self._update_set(changed)
            if plan.has_deadline(deployment) and plan.get_condition(deployment.status, "Progressing") is None:
                self._progress(deployment, "FoundNewReplicaSet", f'Found new replica set "{new.metadata.name}"')
        elif create:
            new, created = await self._create_set(deployment, cached, sets, next_revision)
            if new is None:
                return None
            if created and plan.has_deadline(deployment):
                message = f'Created new replica set "{new.metadata.name}"'
                self._progress(deployment, "NewReplicaSetCreated", message)
        else:
            return None
        await self._note_revision(deployment, cached, (new.metadata.annotations or {}).get(plan.REVISION, ""))
        return new

    async def _create_set(
        self, deployment: Deployment, cached: Deployment, sets: Sequence[ReplicaSet], revision: int
    ) -> tuple[ReplicaSet | None, bool]:
        template = codec.copy(deployment.spec.template)
        hashed = template_hash(template, deployment.status.collision_count)
        template.metadata.labels = {**(template.metadata.labels or {}), plan.HASH: hashed}
        selector: LabelSelector = codec.copy(deployment.spec.selector)
        selector.match_labels = {**(selector.match_labels or {}), plan.HASH: hashed}
        size = plan.initial_size(deployment, None, sets)
        rs = ReplicaSet(
            metadata=ObjectMeta(
                name=f"{deployment.metadata.name[: 252 - len(hashed)]}-{hashed}",
                namespace=deployment.metadata.namespace,
                labels=template.metadata.labels,
                annotations=plan.new_annotations(deployment, None, revision, exists=False),
                owner_references=[controller_reference(deployment)],
            ),
            spec=ReplicaSetSpec(
                replicas=size,
                min_ready_seconds=deployment.spec.min_ready_seconds,
                selector=selector,
                template=template,
            ),
        )
        try:
            created = await self._sets.create(rs)
        except StatusError as error:
            if is_namespace_terminating(error):
                return None, False
            if error.reason == "AlreadyExists":
                present = await self._sets.get(rs.metadata.name, rs.metadata.namespace)
                owner = controller_of(present)
                same = plan.same_template(present.spec.template, deployment.spec.template)
                if owner is not None and owner.uid == deployment.metadata.uid and same:
                    return present, False
                deployment.status.collision_count = (deployment.status.collision_count or 0) + 1
                raise _Failed(Retry(str(error))) from None
            message = f'Failed to create new replica set "{rs.metadata.name}": {error}'
            if plan.has_deadline(deployment):
                now = clock.rfc3339()
                plan.set_condition(deployment.status, "Progressing", "False", "ReplicaSetCreateError", message, now)
            self.events.event(deployment, "Warning", "ReplicaSetCreateError", message)
            raise _Failed(error) from None
        if size > 0:
            message = f"Scaled up replica set {created.metadata.name} from 0 to {size}"
            self.events.event(deployment, "Normal", "ScalingReplicaSet", message)
        await self.sets.caught_up(created)
        return created, True

    async def _resize(self, deployment: Deployment, sets: Sequence[ReplicaSet], sizes: plan.Plan) -> list[ReplicaSet]:
        """Give ReplicaSets their new sizes; all of them, as they then are."""
        result = []
        annotations = plan.size_annotations(deployment)
        for rs in sets:
            size = sizes.get(rs.metadata.name, plan.replicas(rs))
            noted = annotations.items() <= (rs.metadata.annotations or {}).items()
            if rs.metadata.name not in sizes or (size == plan.replicas(rs) and noted):
                result.append(rs)
                continue
            before = plan.replicas(rs)
            changed = codec.copy(rs)
            changed.spec.replicas = size
            changed.metadata.annotations = {**(rs.metadata.annotations or {}), **annotations}
            result.append(await self._update_set(changed))
            if size != before:
                direction = "up" if size > before else "down"
                message = f"Scaled {direction} replica set {rs.metadata.name} from {before} to {size}"
                self.events.event(deployment, "Normal", "ScalingReplicaSet", message)
        return result

    async def _update_set(self, changed: ReplicaSet) -> ReplicaSet:
        updated = await self._sets.update(changed)
        await self.sets.caught_up(updated)
        return updated

    async def _clean_up(self, deployment: Deployment, old: Sequence[ReplicaSet]) -> None:
        for rs in plan.to_clean_up(deployment, old):
            try:
                await self._sets.delete(rs.metadata.name, rs.metadata.namespace, uid=rs.metadata.uid)
            except StatusError as error:
                if error.code != 404:
                    raise
            await self.sets.terminating(rs)

    async def _note_revision(self, deployment: Deployment, cached: Deployment, revision: str) -> None:
        if not revision or (deployment.metadata.annotations or {}).get(plan.REVISION) == revision:
            return
        metadata = deployment.metadata
        patch = {"metadata": {"annotations": {plan.REVISION: revision}, "uid": metadata.uid}}
        # By way of the status, where an annotation is not a change of what is wanted: the generation stays.
        patched = await self._deployments.patch(metadata.name, metadata.namespace, patch, subresource="status")
        metadata.annotations = patched.metadata.annotations
        metadata.resource_version = patched.metadata.resource_version

    # Status

    def _note_pause(self, deployment: Deployment) -> None:
        if not plan.has_deadline(deployment):
            return
        current = plan.get_condition(deployment.status, "Progressing")
        if current is not None and current.reason == "ProgressDeadlineExceeded":
            return
        paused = current is not None and current.reason == "DeploymentPaused"
        now = clock.rfc3339()
        if deployment.spec.paused and not paused:
            message = "Deployment is paused"
            plan.set_condition(deployment.status, "Progressing", "Unknown", "DeploymentPaused", message, now)
        elif not deployment.spec.paused and paused:
            message = "Deployment is resumed"
            plan.set_condition(deployment.status, "Progressing", "Unknown", "DeploymentResumed", message, now)

    def _progress(self, deployment: Deployment, reason: str, message: str) -> None:
        plan.set_condition(deployment.status, "Progressing", "True", reason, message, clock.rfc3339())

    def _rollout_status(
        self, deployment: Deployment, new: ReplicaSet | None, old: Sequence[ReplicaSet]
    ) -> DeploymentStatus:
        now = clock.rfc3339()
        everything = [*old, *([new] if new else [])]
        status = plan.count(deployment, new, everything, now)
        current = plan.get_condition(deployment.status, "Progressing")
        if not plan.has_deadline(deployment):
            plan.drop_condition(status, "Progressing")
        finished = (
            status.replicas == status.updated_replicas
            and current is not None
            and current.reason == "NewReplicaSetAvailable"
        )
        if plan.has_deadline(deployment) and not finished:
            subject = f'ReplicaSet "{new.metadata.name}"' if new else f'Deployment "{deployment.metadata.name}"'
            if plan.is_complete(deployment, status):
                message = f"{subject} has successfully progressed."
                plan.set_condition(status, "Progressing", "True", "NewReplicaSetAvailable", message, now)
            elif plan.is_progressing(deployment, status):
                condition = DeploymentCondition(
                    type="Progressing",
                    status="True",
                    reason="ReplicaSetUpdated",
                    message=f"{subject} is progressing.",
                    last_update_time=now,
                    last_transition_time=now,
                )
                if current is not None and current.status == "True":
                    condition.last_transition_time = current.last_transition_time
                plan.replace_condition(status, condition)
            elif self._deadline_in(deployment, status) == 0:
                message = f"{subject} has timed out progressing."
                plan.set_condition(status, "Progressing", "False", "ProgressDeadlineExceeded", message, now)
        failure = next(
            (
                c
                for rs in [*([new] if new else []), *old]
                for c in rs.status.conditions or ()
                if c.type == "ReplicaFailure"
            ),
            None,
        )
        if failure is None:
            plan.drop_condition(status, "ReplicaFailure")
        else:
            reason, message = failure.reason or "", failure.message or ""
            plan.set_condition(status, "ReplicaFailure", failure.status, reason, message, now)
        return status

    def _deadline_in(self, deployment: Deployment, status: DeploymentStatus) -> float | None:
        """Seconds until the progress deadline (0: over); None when none runs."""
        current = plan.get_condition(status, "Progressing")
        if (
            current is None
            or not plan.has_deadline(deployment)
            or deployment.spec.paused
            or plan.is_complete(deployment, status)
            or current.reason in ("NewReplicaSetAvailable", "ProgressDeadlineExceeded")
        ):
            return None
        since = clock.parse_rfc3339(current.last_update_time or current.last_transition_time or clock.rfc3339())
        deadline = since + (deployment.spec.progress_deadline_seconds or 0)
        return max(0.0, deadline - clock.timestamp())

    def _next_look(self, deployment: Deployment, status: DeploymentStatus) -> RequeueAfter | None:
        remaining = self._deadline_in(deployment, status)
        return None if remaining is None else RequeueAfter(remaining + 1.0)

    async def _write_status(self, cached: Deployment, deployment: Deployment, status: DeploymentStatus) -> None:
        """Write it unless it is what the cache has. `deployment` has the annotations that belong to its version.

        The annotations of `cached` would not do: a status written with them takes back the revision just noted.
        """
        if _normal(status) == _normal(cached.status):
            return
        changed = codec.copy(deployment)
        changed.status = status
        await self.deployments.caught_up(await self._deployments.update_status(changed))


class _Failed(Exception):
    """A step that ends the reconcile after its status has been written."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


def _normal(status: DeploymentStatus) -> tuple[object, ...]:
    """For comparison: unset and zero are the same, the order of conditions does not matter."""
    conditions = sorted(status.conditions or (), key=lambda c: c.type)
    rest = (getattr(status, name) or None for name in status.__struct_fields__ if name != "conditions")
    return (*rest, *conditions)
