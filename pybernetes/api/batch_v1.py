"""Types of batch/v1: batch_v1."""

from __future__ import annotations

from typing import Annotated

from pybernetes.api.core_v1.references import ObjectReference
from pybernetes.api.core_v1.template import PodTemplateSpec
from pybernetes.machinery.meta import LabelSelector, Object, ObjectMeta
from pybernetes.machinery.types import (
    ATOMIC,
    SET,
    Counting,
    Int32,
    Merge,
    Struct,
    Time,
    constant,
    empty_list,
    field,
    null,
    zero_str,
)


class PodFailurePolicyOnExitCodesRequirement(Struct):
    container_name: str | None = None
    operator: str = field(default_factory=zero_str)
    values: Annotated[list[Int32], SET] = field(default_factory=empty_list)


class PodFailurePolicyOnPodConditionsPattern(Struct):
    type: str = field(default_factory=zero_str)
    status: str = field(default_factory=zero_str)


class PodFailurePolicyRule(Struct):
    action: str = field(default_factory=zero_str)
    on_exit_codes: PodFailurePolicyOnExitCodesRequirement | None = None
    on_pod_conditions: Annotated[list[PodFailurePolicyOnPodConditionsPattern], ATOMIC] | None = None


class PodFailurePolicy(Struct):
    rules: Annotated[list[PodFailurePolicyRule], ATOMIC] = field(default_factory=empty_list)


class SuccessPolicyRule(Struct):
    succeeded_indexes: str | None = None
    succeeded_count: Int32 | None = None


class SuccessPolicy(Struct):
    rules: Annotated[list[SuccessPolicyRule], ATOMIC] = field(default_factory=empty_list)


class JobSpec(Struct):
    parallelism: Int32 | None = None
    completions: Int32 | None = None
    active_deadline_seconds: int | None = None
    pod_failure_policy: PodFailurePolicy | None = None
    success_policy: SuccessPolicy | None = None
    backoff_limit: Int32 | None = None
    backoff_limit_per_index: Int32 | None = None
    max_failed_indexes: Int32 | None = None
    selector: LabelSelector | None = None
    manual_selector: bool | None = None
    template: PodTemplateSpec = field(default_factory=PodTemplateSpec)
    ttl_seconds_after_finished: Int32 | None = None
    completion_mode: str | None = None
    suspend: bool | None = None
    pod_replacement_policy: str | None = None
    managed_by: str | None = None


class JobTemplateSpec(Struct):
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    spec: JobSpec = field(default_factory=JobSpec)


class CronJobSpec(Struct):
    schedule: str = field(default_factory=zero_str)
    time_zone: str | None = None
    starting_deadline_seconds: int | None = None
    concurrency_policy: str | None = None
    suspend: bool | None = None
    job_template: JobTemplateSpec = field(default_factory=JobTemplateSpec)
    successful_jobs_history_limit: Int32 | None = None
    failed_jobs_history_limit: Int32 | None = None


class CronJobStatus(Struct):
    active: Annotated[list[ObjectReference], ATOMIC] | None = None
    last_schedule_time: Time | None = None
    last_successful_time: Time | None = None


class CronJob(Object):
    api_version: str = field(default_factory=constant("batch/v1"))
    kind: str = field(default_factory=constant("CronJob"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    spec: CronJobSpec = field(default_factory=CronJobSpec)
    status: CronJobStatus = field(default_factory=CronJobStatus)


class JobCondition(Struct):
    type: str = field(default_factory=zero_str)
    status: str = field(default_factory=zero_str)
    last_probe_time: Time | None = field(default_factory=null)
    last_transition_time: Time | None = field(default_factory=null)
    reason: str | None = None
    message: str | None = None


class UncountedTerminatedPods(Struct):
    succeeded: Annotated[list[str], SET] | None = None
    failed: Annotated[list[str], SET] | None = None


class JobStatus(Counting):
    counts = ("active", "succeeded", "failed")
    conditions: Annotated[list[JobCondition], Merge(atomic=True, patch="merge", merge_key="type")] | None = None
    start_time: Time | None = None
    completion_time: Time | None = None
    active: Int32 | None = None
    succeeded: Int32 | None = None
    failed: Int32 | None = None
    terminating: Int32 | None = None
    completed_indexes: str | None = None
    failed_indexes: str | None = None
    uncounted_terminated_pods: UncountedTerminatedPods | None = None
    ready: Int32 | None = None


class Job(Object):
    api_version: str = field(default_factory=constant("batch/v1"))
    kind: str = field(default_factory=constant("Job"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    spec: JobSpec = field(default_factory=JobSpec)
    status: JobStatus = field(default_factory=JobStatus)
