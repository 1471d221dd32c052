"""Warnings about jobs: their names, their templates, and more indexes than can be followed."""

from __future__ import annotations

from collections.abc import Iterator

from pybernetes.api.batch_v1 import CronJob, Job, JobSpec
from pybernetes.api.core_v1.pod_warnings import name_in_pods, template_warnings
from pybernetes.machinery.field import Path

__all__ = ["warn_cron_job", "warn_job"]

#: From here on a job with many failed indexes may not be able to tell which.
MANY_COMPLETIONS, MANY_AT_ONCE = 100_000, 10_000
# The path is upstream's.
_ZONE = (
    "cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see "
    "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
)


def warn_job(new: Job, old: Job | None) -> list[str]:
    if old is not None and new.metadata.generation == old.metadata.generation:
        return []
    names = name_in_pods(new.metadata.name) if old is None else []
    return [*names, *_job_spec(new.spec, Path("spec"))]


def warn_cron_job(new: CronJob, old: CronJob | None) -> list[str]:
    found = name_in_pods(new.metadata.name) if old is None else []
    spec = new.spec.job_template.spec
    if spec is not None and (old is None or new.metadata.generation != old.metadata.generation):
        found += _job_spec(spec, Path("spec", "jobTemplate", "spec"))
    if old is not None and "TZ" in new.spec.schedule:
        found.append(_ZONE)
    return found


def _job_spec(spec: JobSpec, path: Path) -> Iterator[str]:
    many = (spec.completions or 0) > MANY_COMPLETIONS and (spec.parallelism or 0) > MANY_AT_ONCE
    if spec.completion_mode == "Indexed" and many:
        yield (
            "In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, "
            "Kubernetes might not be able to track completedIndexes when a big number of indexes fail"
        )
    yield from template_warnings(spec.template, path.child("template"))
