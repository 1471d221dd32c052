"""batch/v1."""

from __future__ import annotations

from typing import cast

from pybernetes.api.batch_v1 import Job
from pybernetes.control_plane.apiserver.call import Call
from pybernetes.control_plane.apiserver.objects import AnyObject
from pybernetes.control_plane.apiserver.resource import Strategy
from pybernetes.machinery.meta import LabelSelector

_UID_LABEL = "batch.kubernetes.io/controller-uid"
_NAME_LABEL = "batch.kubernetes.io/job-name"


class JobStrategy(Strategy):
    has_status = True
    counts_generation = True
    orphans_by_default = True
    fields = {"status.successful": lambda job: str(job.status.succeeded or 0)}

    def prepare_create(self, obj: AnyObject, call: Call) -> None:
        super().prepare_create(obj, call)
        generate_selector(cast(Job, obj))


def generate_selector(job: Job) -> None:
    """Give a job that does not bring its own selector one by its uid, and its Pods the labels for it."""
    spec = job.spec
    if spec.manual_selector:
        return
    uid = job.metadata.uid
    labels = dict(spec.template.metadata.labels or {})
    wanted = {
        "controller-uid": uid,
        "job-name": job.metadata.name,
        _UID_LABEL: uid,
        _NAME_LABEL: job.metadata.name,
    }
    for key, value in wanted.items():
        labels.setdefault(key, value)
    spec.template.metadata.labels = labels
    selector = spec.selector or LabelSelector()
    selector.match_labels = {**(selector.match_labels or {})}
    selector.match_labels.setdefault(_UID_LABEL, uid)
    spec.selector = selector


class CronJobStrategy(Strategy):
    has_status = True
    counts_generation = True


STRATEGIES: dict[str, type[Strategy]] = {"Job": JobStrategy, "CronJob": CronJobStrategy}
