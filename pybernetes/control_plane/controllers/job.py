"""The Job controller: runs Pods until enough of them have succeeded.

Counting must survive anything: a Pod bears a finalizer until it is counted. The uids of ended Pods go into the status
first (`uncountedTerminatedPods`), then the finalizers are removed, then the uids become numbers; whatever crashes in
between, no Pod counts twice or not at all (KEP-2307).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pybernetes.aio import clock
from pybernetes.api.batch_v1 import Job, JobCondition, JobStatus, UncountedTerminatedPods
from pybernetes.api.core_v1 import Pod
from pybernetes.client.controller import Controller, RequeueAfter, controller_of, key_of, split_key
from pybernetes.client.informer import OWNER
from pybernetes.control_plane.controllers import job_plan as plan
from pybernetes.control_plane.controllers import pods as pod_state
from pybernetes.control_plane.controllers.ownership import Claims, add_indexes
from pybernetes.control_plane.controllers.pod_control import BURST, PodControl, all_of, is_namespace_terminating
from pybernetes.machinery import codec, labels
from pybernetes.machinery.errors import StatusError

_MANAGER = "kubernetes.io/job-controller"
_TRACKED = "job"  # Pods that bear the finalizer, by `namespace/name` of their Job, `namespace/` when nobody owns them


class JobController(Controller):
    """Keys are Jobs; `namespace/` stands for the Pods of Jobs that nobody owns any more."""

    name = "job-controller"

    def setup(self) -> None:
        """Jobs and their Pods."""
        self.jobs = self.informers.informer(Job)
        self.pods = self.informers.informer(Pod)
        add_indexes(self.pods)
        self.pods.add_index(_TRACKED, _tracked_job)
        self.jobs.on(self.enqueue, self.enqueue_updated, self._gone)
        self.pods.on(self._pod, self._pod_updated, self._pod_gone)
        self._dropped: set[str] = set()  # uids of Pods on their way out that nobody wanted: no reason to back off
        self._jobs = self.client.resource(Job)
        self._pods = self.client.resource(Pod)
        self._claims = Claims(self.pods, self._pods, self._jobs, plan.FINALIZER)
        self._control = PodControl(self.client, self.pods, self.events)

    def _gone(self, job: Job) -> None:
        self.enqueue(job)
        self.queue.add(f"{job.metadata.namespace}/")

    def _pod(self, pod: Pod) -> None:
        reference = controller_of(pod)
        if reference is not None:
            if reference.kind == "Job":
                self.queue.add(f"{pod.metadata.namespace}/{reference.name}")
            return
        if _tracked(pod):
            self.queue.add(f"{pod.metadata.namespace}/")
        for job in self._selecting(pod):
            self.queue.add(key_of(job))

    def _pod_gone(self, pod: Pod) -> None:
        self._dropped.discard(pod.metadata.uid)
        self._pod(pod)

    def _selecting(self, pod: Pod) -> list[Job]:
        found, jobs = pod.metadata.labels, self.jobs.list(pod.metadata.namespace)
        return [job for job in jobs if labels.from_struct(job.spec.selector).matches(found)] if found else []

    def _pod_updated(self, old: Pod, new: Pod) -> None:
        if controller_of(old) != controller_of(new):
            self._pod(old)
        self._pod(new)

    async def reconcile(self, key: str) -> RequeueAfter | None:
        """Count, decide, create or delete, and write the status."""
        namespace, name = split_key(key)
        tracked = self.pods.by_index(_TRACKED, key)
        if not name:  # those that a Job selects are about to be adopted
            await self._release([pod for pod in tracked if not self._selecting(pod)])
            return None
        cached = self.jobs.get(namespace, name)
        uid = cached.metadata.uid if cached is not None else ""
        await self._release([pod for pod in tracked if _job_uid(pod) != uid])
        if cached is None:
            return None
        if cached.spec.managed_by not in (None, "", _MANAGER):
            return None
        job: Job = codec.copy(cached)
        pods = await self._claims.claim(job, labels.from_struct(job.spec.selector))
        if plan.is_finished(job):
            await self._release([pod for pod in pods if _tracked(pod)])
            return None
        now = clock.timestamp()
        if job.status.start_time is None and not job.spec.suspend:
            job.status.start_time = clock.rfc3339()
        tally = await self._count(job, pods)
        pods = [p for pod in pods if (p := self.pods.get(namespace, pod.metadata.name)) is not None]
        active = [pod for pod in pods if pod_state.is_active(pod)]
        error: Exception | None = None
        wait: float | None = None
        if not self._ending(job):
            failed = plan.failure(job, tally, now)
            succeeded = plan.success(job, tally) if failed is None else None
            if failed is not None:
                _set(job.status, "FailureTarget", "True", *failed)
            elif succeeded is not None:
                _set(job.status, "SuccessCriteriaMet", "True", *succeeded)
        if self._ending(job):
            error = await self._control.delete_many(job, active) if active else None
            tally.active = 0 if error is None else len(active)
        elif job.metadata.deletion_timestamp is None:
            self._note_suspension(job)
            if job.spec.suspend:
                error = await self._drop(job, active) if active else None
                tally.active = 0 if error is None else len(active)
            elif not any(_tracked(pod) and pod_state.is_terminal(pod) for pod in pods):
                error, wait = await self._manage(job, pods, active, tally, now)
            # Else a Pod has ended since the count: it would be made anew. Its event brings us back.
        owned = self.pods.by_index(OWNER, job.metadata.uid)
        active = [pod for pod in owned if pod_state.is_active(pod)]
        terminating = [p for p in owned if pod_state.is_terminating(p) and not pod_state.is_terminal(p)]
        job.status.active = len(active) or None
        job.status.ready = sum(map(pod_state.is_ready, active))
        job.status.terminating = len(terminating)
        if not active and not terminating:
            self._finish(job)
        await self._write_status(cached, job)
        if error is not None:
            if not is_namespace_terminating(error):
                raise error
            return None
        deadline = plan.deadline_in(job, clock.timestamp())
        waits = [w for w in (wait, deadline) if w is not None and w > 0]
        return RequeueAfter(min(waits)) if waits and not plan.is_finished(job) else None

    # Counting

    async def _count(self, job: Job, pods: Sequence[Pod]) -> plan.Tally:
        """Count Pods that have ended since the last time; the tally of all."""
        status = job.status
        uncounted = status.uncounted_terminated_pods or UncountedTerminatedPods()
        succeeded_uids, failed_uids = {*(uncounted.succeeded or ())}, {*(uncounted.failed or ())}
        indexed = plan.is_indexed(job)
        tally = plan.Tally(
            completed=plan.parse_indexes(status.completed_indexes) if indexed else set(),
            failed_indexes=plan.parse_indexes(status.failed_indexes) if indexed else set(),
        )
        done: list[Pod] = []  # to be released
        decided = plan.condition(job, "SuccessCriteriaMet") is not None
        for pod in pods:
            if not _tracked(pod):
                continue
            if decided:  # what was still running then has no part in the outcome
                done.append(pod)
                continue
            uid, index = pod.metadata.uid, plan.index_of(pod)
            out_of_range = indexed and (index is None or index >= (job.spec.completions or 0))
            if pod.status.phase == "Succeeded":
                done.append(pod)
                if out_of_range:
                    continue
                if indexed and index is not None:
                    tally.completed.add(index)
                else:
                    succeeded_uids.add(uid)
            elif plan.has_failed(job, pod):
                done.append(pod)
                verdict = plan.judge(job, pod)
                if verdict.action == "FailJob" and not tally.fail_job:
                    tally.fail_job = verdict.message
                if verdict.action != "Ignore" and not out_of_range:
                    failed_uids.add(uid)
                per_index = job.spec.backoff_limit_per_index
                counts = per_index is not None and index is not None and index not in tally.completed
                if counts and (verdict.action == "FailIndex" or plan.failure_count(pod) + 1 > (per_index or 0)):
                    tally.failed_indexes.add(index or 0)
            elif pod_state.is_active(pod):
                tally.active += 1
                statuses = (*(pod.status.init_container_statuses or ()), *(pod.status.container_statuses or ()))
                tally.restarts += sum(s.restart_count for s in statuses)
        if done or succeeded_uids or failed_uids:
            if succeeded_uids or failed_uids:
                status.uncounted_terminated_pods = UncountedTerminatedPods(
                    succeeded=sorted(succeeded_uids) or None, failed=sorted(failed_uids) or None
                )
                if tally.fail_job:
                    _set(status, "FailureTarget", "True", "PodFailurePolicy", tally.fail_job)
                self._index_status(job, tally)
                await self._write_interim(job)
            await self._release(done)
            status.succeeded = (status.succeeded or 0) + len(succeeded_uids) or None
            status.failed = (status.failed or 0) + len(failed_uids) or None
            status.uncounted_terminated_pods = UncountedTerminatedPods()
        self._index_status(job, tally)
        if indexed:
            status.succeeded = len(tally.completed) or None
        tally.succeeded, tally.failed = status.succeeded or 0, status.failed or 0
        return tally

    def _index_status(self, job: Job, tally: plan.Tally) -> None:
        if plan.is_indexed(job):
            job.status.completed_indexes = plan.format_indexes(tally.completed) or None
            if job.spec.backoff_limit_per_index is not None:
                job.status.failed_indexes = plan.format_indexes(tally.failed_indexes)

    async def _release(self, pods: Sequence[Pod]) -> None:
        """Remove the finalizer from Pods that have been counted, and wait until the cache shows it."""

        async def one(pod: Pod) -> None:
            kept = [f for f in pod.metadata.finalizers or () if f != plan.FINALIZER]
            metadata: dict[str, Any] = {"uid": pod.metadata.uid, "finalizers": kept or None}
            try:
                patched = await self._pods.patch(pod.metadata.name, pod.metadata.namespace, {"metadata": metadata})
            except StatusError as error:
                if error.code not in (404, 409, 422):
                    raise
                return
            await self.pods.caught_up(patched)

        error = await all_of([lambda pod=pod: one(pod) for pod in pods])  # type: ignore[misc]
        if error is not None:
            raise error

    # Running

    async def _drop(self, job: Job, pods: Sequence[Pod]) -> Exception | None:
        """Delete Pods that are not wanted any more; released first, they do not count as failed."""
        await self._release([pod for pod in pods if _tracked(pod)])
        self._dropped |= {pod.metadata.uid for pod in pods}
        return await self._control.delete_many(job, pods)

    async def _manage(
        self, job: Job, pods: Sequence[Pod], active: Sequence[Pod], tally: plan.Tally, now: float
    ) -> tuple[Exception | None, float | None]:
        """Create or delete Pods; the first error, and how long to wait before creating more."""
        indexed = plan.is_indexed(job)
        if indexed:
            active, surplus = _by_index(job, active, tally)
            if surplus and (error := await self._drop(job, surplus)):
                return error, None
        tally.active = len(active)
        wanted = plan.wanted_active(job, tally)
        if len(active) > wanted:
            ordered = pod_state.in_deletion_order(active, {}, now)
            return await self._drop(job, ordered[: len(active) - wanted]), None
        missing = wanted - len(active)
        if plan.replaces_only_failed(job):
            missing -= sum(pod_state.is_terminating(p) and not pod_state.is_terminal(p) for p in pods)
        if missing <= 0:
            return None, None
        failed = [pod for pod in pods if plan.has_failed(job, pod) and pod.metadata.uid not in self._dropped]
        last_success = max((plan.finished_at(p) for p in pods if p.status.phase == "Succeeded"), default=None)
        per_index = job.spec.backoff_limit_per_index is not None
        if not per_index:
            wait = plan.delay([plan.finished_at(p) for p in failed], last_success, now)
            if wait > 0:
                return None, wait
        if not indexed:
            new = [plan.new_pod(job, None, 0) for _ in range(min(missing, BURST))]
            return await self._control.create_many(job, new), None
        taken = {plan.index_of(pod) for pod in active} | tally.completed | tally.failed_indexes
        free = [i for i in range(job.spec.completions or 0) if i not in taken]
        new, waits = [], []
        for index in free:
            if len(new) == min(missing, BURST):
                break
            failures = [p for p in failed if plan.index_of(p) == index]
            if per_index and (wait := plan.delay([plan.finished_at(p) for p in failures], None, now)) > 0:
                waits.append(wait)
                continue
            count = max((plan.failure_count(p) + 1 for p in failures), default=0)
            new.append(plan.new_pod(job, index, count))
        error = await self._control.create_many(job, new) if new else None
        return error, min(waits, default=None)

    def _note_suspension(self, job: Job) -> None:
        present = next((c for c in job.status.conditions or () if c.type == "Suspended"), None)
        if job.spec.suspend:
            if present is None or present.status != "True":
                _set(job.status, "Suspended", "True", "JobSuspended", "Job suspended")
                self.events.event(job, "Normal", "Suspended", "Job suspended")
            job.status.start_time = None
        elif present is not None and present.status == "True":
            _set(job.status, "Suspended", "False", "JobResumed", "Job resumed")
            job.status.start_time = clock.rfc3339()
            self.events.event(job, "Normal", "Resumed", "Job resumed")

    # Ending

    def _ending(self, job: Job) -> bool:
        return plan.condition(job, "FailureTarget") is not None or plan.condition(job, "SuccessCriteriaMet") is not None

    def _finish(self, job: Job) -> None:
        """Say so once nothing runs any more."""
        if (target := plan.condition(job, "FailureTarget")) is not None:
            reason, message = target.reason or "", target.message or ""
            _set(job.status, "Failed", "True", reason, message)
            self.events.event(job, "Warning", reason, message)
        elif (met := plan.condition(job, "SuccessCriteriaMet")) is not None:
            _set(job.status, "Complete", "True", met.reason or "", met.message or "")
            job.status.completion_time = clock.rfc3339()
            self.events.event(job, "Normal", "Completed", "Job completed")

    async def _write_interim(self, job: Job) -> None:
        updated = await self._jobs.update_status(codec.copy(job))
        job.metadata.resource_version = updated.metadata.resource_version
        await self.jobs.caught_up(updated)

    async def _write_status(self, cached: Job, job: Job) -> None:
        if job.status == cached.status and job.metadata.resource_version == cached.metadata.resource_version:
            return
        if job.status.uncounted_terminated_pods is None:
            job.status.uncounted_terminated_pods = UncountedTerminatedPods()
        await self.jobs.caught_up(await self._jobs.update_status(job))


def _tracked(pod: Pod) -> bool:
    return plan.FINALIZER in (pod.metadata.finalizers or ())


def _tracked_job(pod: Pod) -> tuple[str, ...]:
    if not _tracked(pod):
        return ()
    reference = controller_of(pod)
    if reference is None:
        return (f"{pod.metadata.namespace}/",)
    return (f"{pod.metadata.namespace}/{reference.name}",) if reference.kind == "Job" else ()


def _job_uid(pod: Pod) -> str:
    reference = controller_of(pod)
    return reference.uid if reference is not None else ""


def _by_index(job: Job, active: Sequence[Pod], tally: plan.Tally) -> tuple[list[Pod], list[Pod]]:
    """One running Pod for each open index; and those that are too many."""
    keep: dict[int, Pod] = {}
    surplus: list[Pod] = []
    for pod in sorted(active, key=lambda p: (p.metadata.creation_timestamp or "", p.metadata.name)):
        index = plan.index_of(pod)
        closed = index is None or index in keep or index in tally.completed or index in tally.failed_indexes
        if index is None or closed or index >= (job.spec.completions or 0):
            surplus.append(pod)
        else:
            keep[index] = pod
    return list(keep.values()), surplus


def _set(status: JobStatus, type_: str, value: str, reason: str, message: str) -> None:
    now = clock.rfc3339()
    condition = JobCondition(
        type=type_, status=value, reason=reason, message=message, last_probe_time=now, last_transition_time=now
    )
    status.conditions = [*(c for c in status.conditions or () if c.type != type_), condition]
