"""TTL after finished: Jobs that ask for it are deleted some time after they ended, with their Pods."""

from __future__ import annotations

from pybernetes.aio import clock
from pybernetes.api.batch_v1 import Job
from pybernetes.client.controller import Controller, RequeueAfter, split_key
from pybernetes.machinery.errors import StatusError


def expires(job: Job) -> float | None:
    """The Unix time at which the Job is to go; None while it runs, or when it stays."""
    ttl = job.spec.ttl_seconds_after_finished
    if ttl is None or job.metadata.deletion_timestamp is not None:
        return None
    for condition in job.status.conditions or ():
        if condition.type in ("Complete", "Failed") and condition.status == "True" and condition.last_transition_time:
            return clock.parse_rfc3339(condition.last_transition_time) + ttl
    return None


class TTLAfterFinishedController(Controller):
    """Keys are Jobs."""

    name = "ttl-after-finished-controller"

    def setup(self) -> None:
        """Jobs that have ended and have a TTL."""
        self.jobs = self.informers.informer(Job)
        self.jobs.on(self._job, lambda old, new: self._job(new))

    def _job(self, job: Job) -> None:
        if expires(job) is not None:
            self.enqueue(job)

    async def reconcile(self, key: str) -> RequeueAfter | None:
        """Delete the Job, or wait for its time."""
        namespace, name = split_key(key)
        job = self.jobs.get(namespace, name)
        if job is None or (at := expires(job)) is None:
            return None
        if (remaining := at - clock.timestamp()) > 0:
            return RequeueAfter(remaining)
        resource = self.client.resource(Job)
        try:
            fresh = await resource.get(name, namespace)  # its TTL may just have been raised
            if (at := expires(fresh)) is None or at > clock.timestamp():
                return None
            version = fresh.metadata.resource_version
            uid = fresh.metadata.uid
            await resource.delete(name, namespace, propagation="Foreground", uid=uid, resource_version=version)
        except StatusError as error:
            if error.code != 404:
                raise
        return None
