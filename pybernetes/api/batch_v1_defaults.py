"""Defaults of Jobs and CronJobs."""

from __future__ import annotations

from pybernetes.api.batch_v1 import CronJob, Job, JobSpec
from pybernetes.api.core_v1.pod_defaults import default_pod_template_spec

MAX_INT32 = 2**31 - 1


def default_job(job: Job) -> None:
    spec = job.spec
    _job_spec(spec)
    labels = spec.template.metadata.labels
    if not job.metadata.labels and labels:
        job.metadata.labels = dict(labels)


def _job_spec(spec: JobSpec) -> None:
    default_pod_template_spec(spec.template)
    if spec.completions is None and spec.parallelism is None:
        spec.completions = spec.parallelism = 1
    if spec.parallelism is None:
        spec.parallelism = 1
    if spec.backoff_limit is None:
        spec.backoff_limit = 6 if spec.backoff_limit_per_index is None else MAX_INT32
    if spec.completion_mode is None:
        spec.completion_mode = "NonIndexed"
    if spec.suspend is None:
        spec.suspend = False
    if spec.pod_failure_policy is not None:
        for rule in spec.pod_failure_policy.rules:
            for pattern in rule.on_pod_conditions or ():
                if not pattern.status:
                    pattern.status = "True"
    if spec.pod_replacement_policy is None:
        spec.pod_replacement_policy = "TerminatingOrFailed" if spec.pod_failure_policy is None else "Failed"
    if spec.manual_selector is False:
        spec.manual_selector = None if spec.selector is None else False


def default_cron_job(cron_job: CronJob) -> None:
    spec = cron_job.spec
    if not spec.concurrency_policy:
        spec.concurrency_policy = "Allow"
    if spec.suspend is None:
        spec.suspend = False
    if spec.successful_jobs_history_limit is None:
        spec.successful_jobs_history_limit = 3
    if spec.failed_jobs_history_limit is None:
        spec.failed_jobs_history_limit = 1
    # Not the defaults of a Job: upstream defaults only the Pod template of a template.
    default_pod_template_spec(spec.job_template.spec.template)
