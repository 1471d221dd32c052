"""Jobs: which indexes are done, what a failed Pod means, how long to wait, what the outcome is. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pybernetes.aio import clock
from pybernetes.api.batch_v1 import Job, JobCondition, PodFailurePolicyRule
from pybernetes.api.core_v1 import EnvVar, EnvVarSource, ObjectFieldSelector, Pod
from pybernetes.control_plane.controllers import pods as pod_state
from pybernetes.control_plane.controllers.pod_control import pod_from_template
from pybernetes.machinery import codec

FINALIZER = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"
FAILURES = "batch.kubernetes.io/job-index-failure-count"
IGNORED_FAILURES = "batch.kubernetes.io/job-index-ignored-failure-count"
_FIRST_DELAY, _LONGEST_DELAY = 10.0, 600.0


def condition(job: Job, type_: str) -> JobCondition | None:
    """The condition of that type, if it is True."""
    return next((c for c in job.status.conditions or () if c.type == type_ and c.status == "True"), None)


def is_finished(job: Job) -> bool:
    """Whether it is Complete or Failed."""
    return condition(job, "Complete") is not None or condition(job, "Failed") is not None


def is_indexed(job: Job) -> bool:
    """Whether each completion has a number."""
    return job.spec.completion_mode == "Indexed"


def parallelism(job: Job) -> int:
    """How many Pods may run at once."""
    return 1 if job.spec.parallelism is None else job.spec.parallelism


def replaces_only_failed(job: Job) -> bool:
    """Whether a Pod counts only when it has ended, not already when it is being deleted."""
    return job.spec.pod_replacement_policy == "Failed" or job.spec.pod_failure_policy is not None


# Indexes


def parse_indexes(text: str | None) -> set[int]:
    """The numbers of `0-2,5`."""
    found: set[int] = set()
    for part in (text or "").split(","):
        low, dash, high = part.partition("-")
        if low.isdigit():
            found.update(range(int(low), int(high if dash else low) + 1))
    return found


def format_indexes(indexes: Iterable[int]) -> str:
    """`0-2,5`; two neighbours are `0,1`."""
    parts: list[list[int]] = []
    for index in sorted(indexes):
        if parts and parts[-1][1] == index - 1:
            parts[-1][1] = index
        else:
            parts.append([index, index])
    return ",".join(str(a) if a == b else f"{a},{b}" if b == a + 1 else f"{a}-{b}" for a, b in parts)


def index_of(pod: Pod) -> int | None:
    """The Pod's completion index."""
    text = (pod.metadata.annotations or {}).get(INDEX, "")
    return int(text) if text.isdigit() else None


def failure_count(pod: Pod) -> int:
    """How often this Pod's index had failed before it."""
    text = (pod.metadata.annotations or {}).get(FAILURES, "")
    return int(text) if text.isdigit() else 0


def new_pod(job: Job, index: int | None, failures: int) -> Pod:
    """The next Pod of the Job; with its number, if it has one."""
    pod = pod_from_template(codec.copy(job.spec.template), job)
    pod.metadata.finalizers = [*(pod.metadata.finalizers or ()), FINALIZER]
    if index is None:
        return pod
    name = job.metadata.name
    pod.metadata.generate_name = f"{name}-{index}-"
    pod.metadata.annotations = {**(pod.metadata.annotations or {}), INDEX: str(index)}
    pod.metadata.labels = {**(pod.metadata.labels or {}), INDEX: str(index)}
    if job.spec.backoff_limit_per_index is not None:
        pod.metadata.annotations[FAILURES] = str(failures)
    if pod.spec.hostname is None:
        pod.spec.hostname = f"{name}-{index}"
    source = EnvVarSource(field_ref=ObjectFieldSelector(field_path=f"metadata.labels['{INDEX}']"))
    for container in (*(pod.spec.init_containers or ()), *pod.spec.containers):
        if all(variable.name != "JOB_COMPLETION_INDEX" for variable in container.env or ()):
            container.env = [*(container.env or ()), EnvVar(name="JOB_COMPLETION_INDEX", value_from=source)]
    return pod


# Pods


def has_failed(job: Job, pod: Pod) -> bool:
    """Whether a Pod counts as failed."""
    if pod.status.phase == "Failed":
        return True
    if replaces_only_failed(job) or pod.status.phase == "Succeeded":
        return False
    return pod.metadata.deletion_timestamp is not None


def finished_at(pod: Pod) -> float:
    """When its last container ended (Unix seconds), or when it was deleted, or when it stopped being ready."""
    times = [
        s.state.terminated.finished_at
        for s in pod.status.container_statuses or ()
        if s.state and s.state.terminated and s.state.terminated.finished_at
    ]
    if times:
        return max(map(clock.parse_rfc3339, times))
    if pod.metadata.deletion_timestamp:
        return clock.parse_rfc3339(pod.metadata.deletion_timestamp)
    ready = pod_state.condition(pod, "Ready")
    text = (ready.last_transition_time if ready else None) or pod.metadata.creation_timestamp
    return clock.parse_rfc3339(text) if text else clock.timestamp()


def delay(failed: Sequence[float], last_success: float | None, now: float) -> float:
    """Seconds to wait before the next Pod: 10 s after the first failure, doubling, since the last success."""
    after = [at for at in failed if last_success is None or at > last_success]
    if not after:
        return 0.0
    wait = min(_FIRST_DELAY * 2.0 ** min(len(after) - 1, 30), _LONGEST_DELAY)
    return max(0.0, max(after) + wait - now)


@dataclass(frozen=True)
class Verdict:
    """What the Pod failure policy says of a failed Pod."""

    action: str = "Count"  #: Count, Ignore, FailJob or FailIndex
    message: str = ""


def judge(job: Job, pod: Pod) -> Verdict:
    """Apply the Pod failure policy; without one, or a matching rule, the failure counts."""
    policy = job.spec.pod_failure_policy
    if policy is None or pod.status.phase != "Failed":
        return Verdict()
    where = f"{pod.metadata.namespace}/{pod.metadata.name}"
    for number, rule in enumerate(policy.rules):
        if rule.action == "FailIndex" and job.spec.backoff_limit_per_index is None:
            continue
        if (text := _matches(rule, pod, where)) is not None:
            return Verdict(rule.action, f"{text} matching {rule.action} rule at index {number}")
    return Verdict()


def _matches(rule: PodFailurePolicyRule, pod: Pod, where: str) -> str | None:
    if (codes := rule.on_exit_codes) is not None:
        statuses = (*(pod.status.init_container_statuses or ()), *(pod.status.container_statuses or ()))
        for status in statuses:
            ended = status.state.terminated if status.state else None
            if ended is None or ended.exit_code == 0 or codes.container_name not in (None, status.name):
                continue
            if (ended.exit_code in codes.values) == (codes.operator == "In"):
                return f"Container {status.name} for pod {where} failed with exit code {ended.exit_code}"
    for pattern in rule.on_pod_conditions or ():
        found = pod_state.condition(pod, pattern.type)
        if found is not None and found.status == (pattern.status or "True"):
            return f"Pod {where} has condition {pattern.type}"
    return None


# The outcome


@dataclass
class Tally:
    """What has come of the Job's Pods, all counted."""

    succeeded: int = 0
    failed: int = 0
    active: int = 0
    restarts: int = 0  #: of containers in running Pods, which count when they restart in place
    completed: set[int] = field(default_factory=set)
    failed_indexes: set[int] = field(default_factory=set)
    fail_job: str = ""  #: the message of a failure policy that ended it


#: (reason, message)
Outcome = tuple[str, str]


def failure(job: Job, tally: Tally, now: float) -> Outcome | None:
    """Why the Job has failed, if it has."""
    if tally.fail_job:
        return "PodFailurePolicy", tally.fail_job
    limit = 6 if job.spec.backoff_limit is None else job.spec.backoff_limit
    if tally.failed > limit or _too_many_restarts(job, tally, limit):
        return "BackoffLimitExceeded", "Job has reached the specified backoff limit"
    if (left := deadline_in(job, now)) is not None and left <= 0:
        return "DeadlineExceeded", "Job was active longer than specified deadline"
    if is_indexed(job) and job.spec.backoff_limit_per_index is not None and job.spec.completions is not None:
        most = job.spec.max_failed_indexes
        if most is not None and len(tally.failed_indexes) > most:
            text = "Job has exceeded the specified maximal number of failed indexes"
            return "MaxFailedIndexesExceeded", text
        if tally.failed_indexes and len(tally.failed_indexes) + len(tally.completed) >= job.spec.completions:
            return "FailedIndexes", "Job has failed indexes"
    return None


def _too_many_restarts(job: Job, tally: Tally, limit: int) -> bool:
    spec = job.spec.template.spec
    if spec is None or spec.restart_policy != "OnFailure":
        return False
    return tally.restarts > 0 if limit == 0 else tally.restarts >= limit


def deadline_in(job: Job, now: float) -> float | None:
    """Seconds until activeDeadlineSeconds is over; None when there is none or the Job does not run."""
    if job.spec.active_deadline_seconds is None or not job.status.start_time or job.spec.suspend:
        return None
    return clock.parse_rfc3339(job.status.start_time) + job.spec.active_deadline_seconds - now


def success(job: Job, tally: Tally) -> Outcome | None:
    """Why the Job has succeeded, if it has."""
    policy = job.spec.success_policy
    if policy is not None and is_indexed(job):
        for number, rule in enumerate(policy.rules):
            counted = (
                tally.completed & parse_indexes(rule.succeeded_indexes) if rule.succeeded_indexes else tally.completed
            )
            needed = (
                rule.succeeded_count if rule.succeeded_count is not None else len(parse_indexes(rule.succeeded_indexes))
            )
            if len(counted) >= needed:
                return "SuccessPolicy", f"Matched rules at index {number}"
    reached = "CompletionsReached", "Reached expected number of succeeded pods"
    completions = job.spec.completions
    if completions is None:
        return reached if tally.succeeded > 0 and tally.active == 0 else None
    return reached if tally.succeeded >= completions else None


def wanted_active(job: Job, tally: Tally) -> int:
    """How many Pods should run now."""
    if job.spec.completions is None:
        return tally.active if tally.succeeded > 0 else parallelism(job)
    return max(0, min(parallelism(job), job.spec.completions - tally.succeeded - len(tally.failed_indexes)))
