"""The StatefulSet controller: Pods with names, in order, each with its own volumes.

`statefulset_plan` says what may be done next; a reconcile does it, writes the status, and is called again by what comes
of it. Templates are kept as ControllerRevisions, because during an update Pods of two are wanted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pybernetes.aio import clock
from pybernetes.api.apps_v1 import ControllerRevision, StatefulSet, StatefulSetStatus
from pybernetes.api.core_v1 import PersistentVolumeClaim, Pod
from pybernetes.client.controller import Controller, RequeueAfter, Retry, controller_of, key_of, split_key
from pybernetes.control_plane.controllers import pods as pod_state
from pybernetes.control_plane.controllers import statefulset_plan as plan
from pybernetes.control_plane.controllers.ownership import Claims, add_indexes
from pybernetes.control_plane.controllers.pod_control import is_namespace_terminating
from pybernetes.control_plane.controllers.revisions import REVISION_HASH, Collision, Revisions, template_of
from pybernetes.machinery import codec, labels
from pybernetes.machinery.errors import StatusError


class StatefulSetController(Controller):
    """Keys are StatefulSets."""

    name = "statefulset-controller"

    def setup(self) -> None:
        """Sets, their Pods, claims and revisions."""
        self.sets = self.informers.informer(StatefulSet)
        self.pods = self.informers.informer(Pod)
        self.claims = self.informers.informer(PersistentVolumeClaim)
        add_indexes(self.pods)
        self.sets.on(self.enqueue, self.enqueue_updated, self.enqueue)
        self.pods.on(self._pod, self._pod_updated, self._pod)
        self._sets = self.client.resource(StatefulSet)
        self._pods = self.client.resource(Pod)
        self._claims = Claims(self.pods, self._pods, self._sets)
        history = self.informers.informer(ControllerRevision)
        self._revisions = Revisions(self.client, history, self._sets, REVISION_HASH)

    def _pod(self, pod: Pod) -> None:
        reference = controller_of(pod)
        if reference is not None:
            if reference.kind == "StatefulSet":
                self.queue.add(f"{pod.metadata.namespace}/{reference.name}")
        elif pod.metadata.deletion_timestamp is None and pod.metadata.labels:
            for owner in self.sets.list(pod.metadata.namespace):
                if labels.from_struct(owner.spec.selector).matches(pod.metadata.labels):
                    self.queue.add(key_of(owner))

    def _pod_updated(self, old: Pod, new: Pod) -> None:
        if controller_of(old) != controller_of(new):
            self._pod(old)
        self._pod(new)

    async def reconcile(self, key: str) -> RequeueAfter | None:
        """One step."""
        owner = self.sets.get(*split_key(key))
        if owner is None:
            return None
        selector = labels.from_struct(owner.spec.selector)
        known = await self._revisions.of(owner, selector)
        pods = await self._claims.claim(owner, selector, lambda pod: plan.ordinal(owner, pod) is not None)
        collisions = owner.status.collision_count
        try:
            update = await self._revisions.current(owner, owner.spec.template, known, collisions)
        except Collision:
            status = codec.copy(owner.status)
            status.collision_count = (collisions or 0) + 1
            await self._write_status(owner, status)
            raise Retry("hash collision") from None
        current = next((r for r in known if r.metadata.name == owner.status.current_revision), update)
        error: Exception | None = None
        if owner.metadata.deletion_timestamp is None:
            try:
                await self._perform(owner, pods, current, update)
            except StatusError as failed:
                if is_namespace_terminating(failed):
                    return None
                error = failed
            pods = await self._claims.claim(owner, selector, lambda pod: plan.ordinal(owner, pod) is not None)
        await self._write_status(owner, self._status(owner, pods, current.metadata.name, update.metadata.name))
        used = {current.metadata.name, update.metadata.name, *map(plan.revision_of, pods)}
        await self._revisions.clean_up(known, used, owner.spec.revision_history_limit)
        if error is not None:
            raise error
        return self._next_look(owner, pods)

    async def _perform(
        self, owner: StatefulSet, pods: Sequence[Pod], current: ControllerRevision, update: ControllerRevision
    ) -> None:
        by_name: Mapping[str, ControllerRevision] = {r.metadata.name: r for r in (current, update)}
        step = plan.step(owner, pods, current.metadata.name, update.metadata.name, clock.timestamp())
        condemned = {pod.metadata.uid for pod in step.condemned}
        for pod in pods:
            await self._own_claims(owner, pod, condemned=pod.metadata.uid in condemned)
            if pod.metadata.uid in condemned or not pod_state.is_active(pod):
                continue
            if pod.status.phase == "Pending":
                await self._create_claims(owner, pod)  # somebody may have removed one before the Pod could start
            if (pod.metadata.labels or {}).get(plan.POD_NAME) != pod.metadata.name:
                await self._identify(owner, pod)
        for pod in step.recreate:
            name = pod.metadata.name
            if pod.status.phase == "Failed":
                message = f"StatefulSet {key_of(owner)} is recreating failed Pod {name}"
                self.events.event(owner, "Warning", "RecreatingFailedPod", message)
            else:
                message = f"StatefulSet {key_of(owner)} is recreating terminated Pod {name}"
                self.events.event(owner, "Normal", "RecreatingTerminatedPod", message)
            await self._delete(owner, pod)
        for number, revision in step.create:
            template = template_of(by_name[revision])
            pod = plan.new_pod(owner, template, revision, number)
            await self._create_claims(owner, pod)
            await self._create(owner, pod)
        for pod in step.delete:
            await self._delete(owner, pod)

    async def _create(self, owner: StatefulSet, pod: Pod) -> None:
        name = f"Pod {pod.metadata.name} in StatefulSet {owner.metadata.name}"
        try:
            created = await self._pods.create(pod)
        except StatusError as error:
            if error.reason == "AlreadyExists":  # its predecessor is not gone from the server yet
                raise
            self.events.event(owner, "Warning", "FailedCreate", f"create {name} failed error: {error}")
            raise
        self.events.event(owner, "Normal", "SuccessfulCreate", f"create {name} successful")
        await self.pods.caught_up(created)

    async def _identify(self, owner: StatefulSet, pod: Pod) -> None:
        """A Pod that was adopted gets the labels of its place."""
        name = f"Pod {pod.metadata.name} in StatefulSet {owner.metadata.name}"
        wanted = {plan.POD_NAME: pod.metadata.name, plan.POD_INDEX: str(plan.ordinal(owner, pod))}
        change = {"metadata": {"labels": wanted, "uid": pod.metadata.uid}}
        try:
            changed = await self._pods.patch(pod.metadata.name, pod.metadata.namespace, change)
        except StatusError as error:
            self.events.event(owner, "Warning", "FailedUpdate", f"update {name} failed error: {error}")
            raise
        self.events.event(owner, "Normal", "SuccessfulUpdate", f"update {name} successful")
        await self.pods.caught_up(changed)

    async def _delete(self, owner: StatefulSet, pod: Pod) -> None:
        metadata = pod.metadata
        name = f"Pod {metadata.name} in StatefulSet {owner.metadata.name}"
        try:
            await self._pods.delete(metadata.name, metadata.namespace, uid=metadata.uid)
        except StatusError as error:
            if error.code != 404:
                self.events.event(owner, "Warning", "FailedDelete", f"delete {name} failed error: {error}")
                raise
        else:
            self.events.event(owner, "Normal", "SuccessfulDelete", f"delete {name} successful")
        await self.pods.terminating(pod)

    async def _create_claims(self, owner: StatefulSet, pod: Pod) -> None:
        resource = self.client.resource(PersistentVolumeClaim)
        for claim in plan.claims(owner, pod.metadata.name):
            namespace, name = claim.metadata.namespace, claim.metadata.name
            if (present := self.claims.get(namespace, name)) is not None:
                if present.metadata.deletion_timestamp is not None:
                    raise Retry(f"claim {name} is being deleted")
                continue
            claim.metadata.owner_references = plan.claim_owners(owner, (), None, condemned=False) or None
            place = f"Pod {pod.metadata.name} in StatefulSet {owner.metadata.name}"
            try:
                created = await resource.create(claim)
            except StatusError as error:
                if error.reason == "AlreadyExists":
                    continue
                self.events.event(
                    owner, "Warning", "FailedCreate", f"create Claim {name} for {place} failed error: {error}"
                )
                raise
            self.events.event(owner, "Normal", "SuccessfulCreate", f"create Claim {name} {place} success")
            await self.claims.caught_up(created)

    async def _own_claims(self, owner: StatefulSet, pod: Pod, *, condemned: bool) -> None:
        """Keep the owners of a Pod's claims as the retention policy wants them."""
        resource = self.client.resource(PersistentVolumeClaim)
        for wanted in plan.claims(owner, pod.metadata.name):
            claim = self.claims.get(wanted.metadata.namespace, wanted.metadata.name)
            if claim is None:
                continue
            present = claim.metadata.owner_references or []
            owners = plan.claim_owners(owner, present, pod, condemned=condemned)
            if {r.uid for r in owners} != {r.uid for r in present}:
                changed = codec.copy(claim)
                changed.metadata.owner_references = owners or None
                await self.claims.caught_up(await resource.update(changed))

    def _status(self, owner: StatefulSet, pods: Sequence[Pod], current: str, update: str) -> StatefulSetStatus:
        now = clock.timestamp()
        made = [pod for pod in pods if pod.status.phase]
        ready = [pod for pod in made if pod.status.phase == "Running" and pod_state.is_ready(pod)]
        counted = [pod for pod in made if not pod_state.is_terminating(pod)]
        min_ready = owner.spec.min_ready_seconds or 0
        status = StatefulSetStatus(
            observed_generation=owner.metadata.generation,
            replicas=len(made),
            ready_replicas=len(ready),
            available_replicas=sum(pod_state.is_available(pod, min_ready, now) for pod in ready),
            current_replicas=sum(plan.revision_of(pod) == current for pod in counted),
            updated_replicas=sum(plan.revision_of(pod) == update for pod in counted),
            current_revision=current,
            update_revision=update,
            collision_count=owner.status.collision_count or 0,
            conditions=owner.status.conditions,
        )
        counts = {status.replicas, status.updated_replicas or 0, status.ready_replicas or 0}  # zeros are left out
        done = counts == {plan.replicas(owner)}
        if plan.is_rolling(owner) and done:
            status.current_replicas, status.current_revision = status.updated_replicas, update
        return status

    async def _write_status(self, owner: StatefulSet, status: StatefulSetStatus) -> None:
        if status == owner.status:
            return
        changed = codec.copy(owner)
        changed.status = status
        await self.sets.caught_up(await self._sets.update_status(changed))

    def _next_look(self, owner: StatefulSet, pods: Sequence[Pod]) -> RequeueAfter | None:
        min_ready = owner.spec.min_ready_seconds or 0
        now = clock.timestamp()
        waits = [wait for pod in pods if (wait := pod_state.available_in(pod, min_ready, now))]
        return RequeueAfter(min(waits)) if waits else None
