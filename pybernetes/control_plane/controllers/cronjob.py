"""The CronJob controller: creates a Job at each time of a schedule, and keeps the last few.

A Job's name is made of the time it was due, so that a controller that crashed after creating it does not create it
again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from pybernetes.aio import clock
from pybernetes.api.batch_v1 import CronJob, Job
from pybernetes.api.core_v1 import ObjectReference
from pybernetes.client.controller import (
    Controller,
    RequeueAfter,
    controller_of,
    controller_reference,
    key_of,
    split_key,
)
from pybernetes.client.events import reference_to
from pybernetes.control_plane.controllers import cron
from pybernetes.control_plane.controllers.job_plan import condition, is_finished
from pybernetes.control_plane.controllers.ownership import add_indexes, owned_by
from pybernetes.control_plane.controllers.pod_control import is_namespace_terminating
from pybernetes.machinery import codec
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.meta import ObjectMeta

SCHEDULED_AT = "batch.kubernetes.io/cronjob-scheduled-timestamp"
_TOO_MANY = 100
_DOCS = "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/"


def due(schedule: cron.Schedule, zone: str, since: float, now: float) -> tuple[float | None, float | None, int]:
    """(the last time due in `since`..`now`, the next one after `now`, how many were due; counting stops at 101)."""
    last, count = None, 0
    at = schedule.after(since, zone)
    while at is not None and at <= now:
        last, count = at, count + 1
        if count > _TOO_MANY and not schedule.every:
            # Far behind: find the last by looking from ever nearer to now, not by walking all of them.
            span = now - since
            for part in (3600.0, 86400.0, 31 * 86400.0, span):
                candidate = schedule.after(now - min(part, span), zone)
                if candidate is not None and candidate <= now:
                    at = candidate
                    while (following := schedule.after(at, zone)) is not None and following <= now:
                        at = following
                    return at, following, count
        at = schedule.after(at, zone)
    return last, at, count


class CronJobController(Controller):
    """Keys are CronJobs."""

    name = "cronjob-controller"

    def setup(self) -> None:
        """CronJobs and the Jobs they made."""
        self.cron_jobs = self.informers.informer(CronJob)
        self.jobs = self.informers.informer(Job)
        add_indexes(self.jobs)
        self.cron_jobs.on(self.enqueue, self._updated)
        self.jobs.on(self._job, lambda old, new: self._job(new), self._job)
        self._jobs = self.client.resource(Job)
        self._cron_jobs = self.client.resource(CronJob)

    def _updated(self, old: CronJob, new: CronJob) -> None:
        """Another schedule begins with its next time: what it would have done before is not made up for."""
        if (old.spec.schedule, old.spec.time_zone) == (new.spec.schedule, new.spec.time_zone):
            self.enqueue_updated(old, new)
            return
        try:
            schedule, own_zone = cron.parse(new.spec.schedule)
            now = clock.timestamp()
            following = schedule.after(now, new.spec.time_zone or own_zone or "UTC")
        except (KeyError, OSError, ValueError):
            self.enqueue(new)
            return
        if following is not None:
            self.queue.add_after(key_of(new), following - now + 0.1)

    def _job(self, job: Job) -> None:
        reference = controller_of(job)
        if reference is not None and reference.kind == "CronJob":
            self.queue.add(f"{job.metadata.namespace}/{reference.name}")

    async def reconcile(self, key: str) -> RequeueAfter | None:
        """Note what became of Jobs, start one if it is time, and say when to look again."""
        cached = self.cron_jobs.get(*split_key(key))
        if cached is None or cached.metadata.deletion_timestamp is not None:
            return None
        owner: CronJob = codec.copy(cached)
        jobs = owned_by(self.jobs, owner)
        self._note_jobs(owner, jobs)
        await self._clean_up(owner, jobs)
        try:
            again = await self._schedule(owner, jobs)
        finally:
            if owner.status != cached.status:
                cron_job = codec.copy(cached)
                cron_job.status = owner.status
                await self.cron_jobs.caught_up(await self._cron_jobs.update_status(cron_job))
        return again

    def _note_jobs(self, owner: CronJob, jobs: Sequence[Job]) -> None:
        by_uid = {job.metadata.uid: job for job in jobs}
        active: list[ObjectReference] = []
        known = set()
        for reference in owner.status.active or ():
            job = by_uid.get(reference.uid or "")
            known.add(reference.uid)
            if job is None:
                message = f"Active job went missing: {reference.name}"
                self.events.event(owner, "Normal", "MissingJob", message)
            elif is_finished(job):
                outcome = "Complete" if condition(job, "Complete") else "Failed"
                message = f"Saw completed job: {job.metadata.name}, condition: {outcome}"
                self.events.event(owner, "Normal", "SawCompletedJob", message)
            else:
                active.append(reference)
        for job in jobs:
            if job.metadata.uid not in known and not is_finished(job):
                message = f"Saw a job that the controller did not create or forgot: {job.metadata.name}"
                self.events.event(owner, "Warning", "UnexpectedJob", message)
            if condition(job, "Complete") and (at := job.status.completion_time):
                owner.status.last_successful_time = max(owner.status.last_successful_time or "", at)
        owner.status.active = active or None

    async def _clean_up(self, owner: CronJob, jobs: Sequence[Job]) -> None:
        for type_, limit in (
            ("Complete", owner.spec.successful_jobs_history_limit),
            ("Failed", owner.spec.failed_jobs_history_limit),
        ):
            if limit is None:
                continue
            ended = [job for job in jobs if condition(job, type_) and not job.metadata.deletion_timestamp]
            ended.sort(key=lambda job: (not job.status.start_time, job.status.start_time or "", job.metadata.name))
            for job in ended[: max(0, len(ended) - limit)]:
                await self._delete(owner, job)

    async def _delete(self, owner: CronJob, job: Job) -> None:
        metadata = job.metadata
        try:
            await self._jobs.delete(metadata.name, metadata.namespace, propagation="Background", uid=metadata.uid)
        except StatusError as error:
            if error.code != 404:
                self.events.event(owner, "Warning", "FailedDelete", f"Deleted job: {error}")
                raise
        self.events.event(owner, "Normal", "SuccessfulDelete", f"Deleted job {metadata.name}")
        owner.status.active = [r for r in owner.status.active or () if r.uid != metadata.uid] or None
        await self.jobs.terminating(job)

    async def _schedule(self, owner: CronJob, jobs: Sequence[Job]) -> RequeueAfter | None:
        wanted = owner.spec.time_zone
        if wanted is not None and not cron.is_zone(wanted):
            message = f'invalid timeZone: "{wanted}": unknown time zone {wanted}'
            self.events.event(owner, "Warning", "UnknownTimeZone", message)
            return None
        if owner.spec.suspend:
            return None
        if "TZ" in owner.spec.schedule:
            text = f'CRON_TZ or TZ used in schedule "{owner.spec.schedule}" is not officially supported, see {_DOCS}'
            self.events.event(owner, "Warning", "UnsupportedSchedule", f"{text} for more details")
        try:
            schedule, own_zone = cron.parse(owner.spec.schedule)
        except ValueError as error:
            message = f'unparseable schedule: "{owner.spec.schedule}" : {error}'
            self.events.event(owner, "Warning", "UnparseableSchedule", message)
            return None
        zone = wanted or own_zone or "UTC"
        now = clock.timestamp()
        since = clock.parse_rfc3339(
            owner.status.last_schedule_time or owner.metadata.creation_timestamp or clock.rfc3339()
        )
        deadline = owner.spec.starting_deadline_seconds
        if deadline is not None:
            since = max(since, now - deadline)
        last, following, count = due(schedule, zone, since, now)
        if following is None and last is None:
            message = f"invalid schedule: {owner.spec.schedule} : time difference between two schedules is less than"
            self.events.event(owner, "Warning", "InvalidSchedule", f"{message} 1 second")
            return None
        again = RequeueAfter(max(0.0, following - now) + 0.1) if following is not None else None
        if count > _TOO_MANY:
            advice = "Set or decrease .spec.startingDeadlineSeconds or check clock skew"
            message = f"too many missed start times. {advice}"
            self.events.event(owner, "Warning", "TooManyMissedTimes", message)
        if last is None:
            return again
        name = f"{owner.metadata.name}-{math.floor(last / 60)}"
        if (present := self.jobs.get(owner.metadata.namespace, name)) is not None:
            owner.status.last_schedule_time = clock.format_rfc3339(last)
            self._recall(owner, present)
            return again
        active = owner.status.active or []
        if active and owner.spec.concurrency_policy == "Forbid":
            message = "Not starting job because prior execution is running and concurrency policy is Forbid"
            self.events.event(owner, "Normal", "JobAlreadyActive", message)
            return again
        if owner.spec.concurrency_policy == "Replace":
            uids = {reference.uid for reference in active}
            for job in jobs:
                if job.metadata.uid in uids:
                    await self._delete(owner, job)
        try:
            created = await self._jobs.create(self._job_for(owner, name, last))
        except StatusError as error:
            if is_namespace_terminating(error):
                return None
            if error.reason == "AlreadyExists":
                return again
            self.events.event(owner, "Warning", "FailedCreate", f"Error creating job: {error}")
            raise
        self.events.event(owner, "Normal", "SuccessfulCreate", f"Created job {name}")
        owner.status.active = [*(owner.status.active or ()), reference_to(created)]
        owner.status.last_schedule_time = clock.format_rfc3339(last)
        await self.jobs.caught_up(created)
        return again

    def _recall(self, owner: CronJob, job: Job) -> None:
        """Note as active a Job made before a crash that came before its note."""
        active = owner.status.active or []
        reference = controller_of(job)
        if reference is None or reference.uid != owner.metadata.uid or is_finished(job):
            return
        if all(known.uid != job.metadata.uid for known in active):
            owner.status.active = [*active, reference_to(job)]

    def _job_for(self, owner: CronJob, name: str, at: float) -> Job:
        template = owner.spec.job_template
        metadata = template.metadata
        return Job(
            metadata=ObjectMeta(
                name=name,
                namespace=owner.metadata.namespace,
                labels=metadata.labels,
                annotations={**(metadata.annotations or {}), SCHEDULED_AT: cron.in_zone(at, owner.spec.time_zone)},
                owner_references=[controller_reference(owner)],
            ),
            spec=template.spec,
        )
