"""Validation of Jobs and CronJobs."""

from __future__ import annotations

from functools import lru_cache

import msgspec

from pybernetes.api import meta_validation as meta
from pybernetes.api.batch_v1 import CronJob, CronJobSpec, Job, JobSpec, PodFailurePolicyRule
from pybernetes.api.core_v1.pod_validation import pod_template_spec
from pybernetes.api.core_v1.template import PodTemplateSpec
from pybernetes.machinery import field, labels, names
from pybernetes.machinery.field import FieldError, Path
from pybernetes.machinery.text import join_quoted

SPEC = Path("spec")
MAX_FAILED_INDEXES = 100_000
MAX_PARALLEL_INDEXED = 100_000
_CONTROLLER_UID = "batch.kubernetes.io/controller-uid"


def validate_job(job: Job) -> list[FieldError]:
    errors = meta.object_meta(job.metadata, True)
    _generated_selector(job, errors)
    _job_spec(job.spec, SPEC, True, errors)
    if job.spec.completion_mode == "Indexed" and (job.spec.completions or 0) > 0 and job.metadata.name:
        last = f"{job.metadata.name}-{(job.spec.completions or 1) - 1}"
        for text in names.dns1123_label(last):
            shown = f"will not able to create pod with invalid DNS label: {last}: {text}"
            errors.append(field.invalid("metadata.name", job.metadata.name, shown))
    return errors


def _generated_selector(job: Job, errors: list[FieldError]) -> None:
    if job.spec.manual_selector or job.spec.selector is None:
        return
    own = job.spec.template.metadata.labels or {}
    at = SPEC.child("template", "metadata", "labels")
    for key, wanted in (("controller-uid", job.metadata.uid), ("job-name", job.metadata.name)):
        legacy = own.get(key)
        prefixed = own.get(f"batch.kubernetes.io/{key}")
        if legacy is None and prefixed is None:
            errors.append(field.required(at.key(f"batch.kubernetes.io/{key}"), f"must be '{wanted}'"))
        elif (prefixed or legacy) != wanted:
            errors.append(field.invalid(at, own, f"must be '{wanted}'"))


def _job_spec(spec: JobSpec, path: Path, with_selector: bool, errors: list[FieldError]) -> None:
    """`with_selector`: a Job has one by now; the template in a CronJob must not have any."""
    for name, value in (
        ("parallelism", spec.parallelism),
        ("completions", spec.completions),
        ("activeDeadlineSeconds", spec.active_deadline_seconds),
        ("backoffLimit", spec.backoff_limit),
        ("ttlSecondsAfterFinished", spec.ttl_seconds_after_finished),
        ("backoffLimitPerIndex", spec.backoff_limit_per_index),
        ("maxFailedIndexes", spec.max_failed_indexes),
    ):
        meta.non_negative(value, path.child(name), errors)
    mode = spec.completion_mode
    if mode is not None and mode not in ("Indexed", "NonIndexed"):
        errors.append(field.not_supported(path.child("completionMode"), mode, ("Indexed", "NonIndexed")))
    if mode == "Indexed":
        if spec.completions is None:
            text = "when completion mode is Indexed"
            errors.append(field.required(path.child("completions"), text))
        if (spec.parallelism or 0) > MAX_PARALLEL_INDEXED:
            text = "must be less than or equal to 100000 when completion mode is Indexed"
            errors.append(field.invalid(path.child("parallelism"), spec.parallelism, text))
    else:
        text = "requires indexed completion mode"
        if spec.backoff_limit_per_index is not None:
            errors.append(field.invalid(path.child("backoffLimitPerIndex"), spec.backoff_limit_per_index, text))
        if spec.max_failed_indexes is not None:
            errors.append(field.invalid(path.child("maxFailedIndexes"), spec.max_failed_indexes, text))
    if spec.max_failed_indexes is not None:
        if spec.backoff_limit_per_index is None:
            text = "when maxFailedIndexes is specified"
            errors.append(field.required(path.child("backoffLimitPerIndex"), text))
        if spec.completions is not None and spec.max_failed_indexes > spec.completions:
            text = "must be less than or equal to completions"
            errors.append(field.invalid(path.child("maxFailedIndexes"), spec.max_failed_indexes, text))
    if spec.managed_by is not None:
        for text in (
            names.qualified_name(spec.managed_by)
            if "/" in spec.managed_by
            else ['must be a domain-prefixed path (such as "acme.io/foo")']
        ):
            errors.append(field.invalid(path.child("managedBy"), spec.managed_by, text))
        if len(spec.managed_by) > 63:
            errors.append(field.too_long(path.child("managedBy"), spec.managed_by, 63))
    _failure_policy(spec, path, errors)
    _success_policy(spec, path, errors)
    replacement = spec.pod_replacement_policy
    if replacement is not None:
        allowed = ("Failed",) if spec.pod_failure_policy is not None else ("Failed", "TerminatingOrFailed")
        if replacement not in allowed:
            errors.append(field.not_supported(path.child("podReplacementPolicy"), replacement, allowed))
    at = path.child("template")
    pod_template_spec(spec.template, at, errors)
    policy = spec.template.spec.restart_policy if spec.template.spec else None
    where = at.child("spec", "restartPolicy")
    if not policy or policy == "Always":
        errors.append(field.required(where, 'valid values: "OnFailure", "Never"'))
    elif policy not in ("OnFailure", "Never"):
        errors.append(field.not_supported(where, policy, ("OnFailure", "Never")))
    elif spec.pod_failure_policy is not None and policy != "Never":
        text = 'only "Never" is supported when podFailurePolicy is specified'
        errors.append(field.invalid(where, policy, text))
    if not with_selector:
        if spec.selector is not None:
            text = "`selector` will be auto-generated"
            errors.append(field.invalid(path.child("selector"), spec.selector, text))
        if spec.manual_selector:
            errors.append(field.not_supported(path.child("manualSelector"), True, ("nil", "false")))
        return
    if spec.selector is None:
        errors.append(field.required(path.child("selector")))
        return
    meta.label_selector(spec.selector, path.child("selector"), errors)
    own = spec.template.metadata.labels or {}
    try:
        if not labels.from_struct(spec.selector).matches(own):
            text = "`selector` does not match template `labels`"
            errors.append(field.invalid(at.child("metadata", "labels"), own, text))
    except ValueError:
        return  # reported above


def _failure_policy(spec: JobSpec, path: Path, errors: list[FieldError]) -> None:
    policy = spec.pod_failure_policy
    if policy is None:
        return
    at = path.child("podFailurePolicy", "rules")
    if len(policy.rules) > 20:
        errors.append(field.too_many(at, len(policy.rules), 20))
    known = set()
    if spec.template.spec is not None:
        known = {c.name for c in (*spec.template.spec.containers, *(spec.template.spec.init_containers or ()))}
    for i, rule in enumerate(policy.rules):
        _failure_rule(rule, known, spec, at.index(i), errors)


def _failure_rule(
    rule: PodFailurePolicyRule, known: set[str], spec: JobSpec, path: Path, errors: list[FieldError]
) -> None:
    actions = ("Count", "FailIndex", "FailJob", "Ignore")
    if not rule.action:
        errors.append(field.required(path.child("action"), f"valid values: {join_quoted(list(actions))}"))
    elif rule.action == "FailIndex" and spec.backoff_limit_per_index is None:
        text = "requires the backoffLimitPerIndex to be set"
        errors.append(field.invalid(path.child("action"), rule.action, text))
    elif rule.action not in actions:
        errors.append(field.not_supported(path.child("action"), rule.action, actions))
    if rule.on_exit_codes is not None and rule.on_pod_conditions:
        text = "specifying both OnExitCodes and OnPodConditions is not supported"
        errors.append(field.invalid(path, rule, text))
    elif rule.on_exit_codes is None and not rule.on_pod_conditions:
        text = "specifying one of OnExitCodes and OnPodConditions is required"
        errors.append(field.invalid(path, rule, text))
    if (codes := rule.on_exit_codes) is not None:
        at = path.child("onExitCodes")
        if codes.operator not in ("In", "NotIn"):
            wrong = field.not_supported(at.child("operator"), codes.operator, ("In", "NotIn"))
            missing = field.required(at.child("operator"), 'valid values: "In", "NotIn"')
            errors.append(wrong if codes.operator else missing)
        if codes.container_name is not None and codes.container_name not in known:
            text = "must be one of the container or initContainer names in the pod template"
            errors.append(field.invalid(at.child("containerName"), codes.container_name, text))
        values = at.child("values")
        if not codes.values:
            errors.append(field.invalid(values, codes.values, "at least one value is required"))
        elif len(codes.values) > 255:
            errors.append(field.too_many(values, len(codes.values), 255))
        for i, code in enumerate(codes.values):
            if code == 0 and codes.operator == "In":
                text = "must not be 0 for the In operator"
                errors.append(field.invalid(values.index(i), code, text))
            if code in codes.values[:i]:
                errors.append(field.duplicate(values.index(i), code))
        if codes.values != sorted(codes.values):
            errors.append(field.invalid(values, codes.values, "must be ordered"))
    for i, pattern in enumerate(rule.on_pod_conditions or ()):
        at = path.child("onPodConditions").index(i)
        for text in names.qualified_name(pattern.type):
            errors.append(field.invalid(at.child("type"), pattern.type, text))
        if pattern.status not in ("True", "False", "Unknown"):
            supported = ("False", "True", "Unknown")
            errors.append(field.not_supported(at.child("status"), pattern.status or "", supported))


def _success_policy(spec: JobSpec, path: Path, errors: list[FieldError]) -> None:
    policy = spec.success_policy
    if policy is None:
        return
    at = path.child("successPolicy")
    if spec.completion_mode != "Indexed":
        errors.append(field.invalid(at, policy, "requires indexed completion mode"))
        return
    rules = at.child("rules")
    if not policy.rules:
        errors.append(field.required(rules, "at least one rules must be specified when the successPolicy is specified"))
    if len(policy.rules) > 20:
        errors.append(field.too_many(rules, len(policy.rules), 20))
    for i, rule in enumerate(policy.rules):
        where = rules.index(i)
        if rule.succeeded_count is None and rule.succeeded_indexes is None:
            text = "at least one of succeededCount or succeededIndexes must be specified"
            errors.append(field.required(where, text))
        total = spec.completions or 0
        if rule.succeeded_indexes is not None:
            try:
                total = indexes_count(rule.succeeded_indexes, spec.completions or 0)
            except ValueError as error:
                text = f"error parsing succeededIndexes: {error}"
                errors.append(field.invalid(where.child("succeededIndexes"), rule.succeeded_indexes, text))
                continue
        if rule.succeeded_count is not None:
            meta.positive(rule.succeeded_count, where.child("succeededCount"), errors)
            if rule.succeeded_count > total:
                what = "the number of indexes in the specified succeededIndexes field"
                if rule.succeeded_indexes is None:
                    what = f"{total}"
                text = f"must be less than or equal to {total} (the number of specified completions)"
                if rule.succeeded_indexes is not None:
                    text = f"must be less than or equal to {total} ({what})"
                errors.append(field.invalid(where.child("succeededCount"), rule.succeeded_count, text))


def indexes_count(text: str, completions: int) -> int:
    """How many indexes `1,3-5` names. Raises ValueError."""
    if not text:
        return 0
    total, last = 0, -1
    for part in text.split(","):
        low, dash, high = part.partition("-")
        if not low.isdigit() or (dash and not high.isdigit()):
            raise ValueError(f'cannot convert string to integer for index: "{part}"')
        first, end = int(low), int(high) if dash else int(low)
        if first <= last:
            raise ValueError(f"non-increasing order, previous: {last}, current: {first}")
        if end < first or (dash and end == first):
            raise ValueError(f"non-increasing order, previous: {first}, current: {end}")
        if end >= completions:
            raise ValueError(f'too large index: "{end}"')
        total += end - first + 1
        last = end
    return total


def validate_job_update(new: Job, old: Job) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata)
    spec, before = new.spec, old.spec
    if spec == before:
        return errors
    _job_spec(spec, SPEC, True, errors)
    if spec.completions != before.completions:
        at = SPEC.child("completions")
        elastic = spec.completion_mode == "Indexed" and spec.completions is not None and before.completions is not None
        if not elastic:
            errors.append(field.invalid(at, spec.completions, meta.IMMUTABLE))
        elif spec.completions != spec.parallelism or before.completions != before.parallelism:
            text = "can only be modified in tandem with spec.parallelism"
            errors.append(field.invalid(at, spec.completions, text))
    meta.immutable(spec.selector, before.selector, SPEC.child("selector"), errors)
    _template_kept(new, old, errors)
    for name, now, was in (
        ("completionMode", spec.completion_mode, before.completion_mode),
        ("podFailurePolicy", spec.pod_failure_policy, before.pod_failure_policy),
        ("backoffLimitPerIndex", spec.backoff_limit_per_index, before.backoff_limit_per_index),
        ("managedBy", spec.managed_by, before.managed_by),
        ("successPolicy", spec.success_policy, before.success_policy),
    ):
        meta.immutable(now, was, SPEC.child(name), errors)
    return errors


def _template_kept(new: Job, old: Job, errors: list[FieldError]) -> None:
    template: PodTemplateSpec = new.spec.template
    before = old.spec.template
    if template == before:
        return
    not_started = bool(old.spec.suspend) and (old.status.start_time is None or bool(new.spec.suspend))
    if not_started and template.spec is not None and before.spec is not None:
        # Queueing controllers steer a suspended Job's Pods before it starts.
        replace = msgspec.structs.replace
        resources_like = {c.name: c.resources for c in before.spec.containers}
        spec = replace(
            template.spec,
            node_selector=before.spec.node_selector,
            affinity=before.spec.affinity,
            tolerations=before.spec.tolerations,
            scheduling_gates=before.spec.scheduling_gates,
            containers=[replace(c, resources=resources_like.get(c.name)) for c in template.spec.containers],
        )
        metadata = template.metadata
        if metadata is not None and before.metadata is not None:
            metadata = replace(metadata, labels=before.metadata.labels, annotations=before.metadata.annotations)
        template = PodTemplateSpec(metadata=metadata, spec=spec)
    if template != before:
        errors.append(field.invalid(SPEC.child("template"), new.spec.template, meta.IMMUTABLE))


def validate_job_status_update(new: Job, old: Job) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata)
    status, before = new.status, old.status
    path = Path("status")
    for name, value in (
        ("active", status.active),
        ("succeeded", status.succeeded),
        ("failed", status.failed),
        ("ready", status.ready),
        ("terminating", status.terminating),
    ):
        meta.non_negative(value, path.child(name), errors)
    if status == before:
        return errors
    done = {c.type: c.status == "True" for c in status.conditions or ()}
    was = {c.type: c.status == "True" for c in before.conditions or ()}
    if done.get("Complete") and done.get("Failed"):
        text = "cannot set Complete=True and Failed=true conditions"
        errors.append(field.invalid(path.child("conditions"), "Complete", text))
    for kind in ("Complete", "Failed", "FailureTarget", "SuccessCriteriaMet"):
        if was.get(kind) and not done.get(kind):
            text = f"cannot disable the terminal {kind}=True condition"
            errors.append(field.invalid(path.child("conditions"), kind, text))
    finished = done.get("Complete") or done.get("Failed")
    if finished and status.active:
        text = "active>0 is invalid for finished job"
        errors.append(field.invalid(path.child("active"), status.active, text))
    if status.completion_time is not None and not done.get("Complete"):
        text = "cannot set completionTime when there is no Complete=True condition"
        errors.append(field.invalid(path.child("completionTime"), status.completion_time, text))
    if done.get("Complete") and not was.get("Complete") and status.completion_time is None:
        text = "completionTime is required for Complete jobs"
        errors.append(field.required(path.child("completionTime"), text))
    return errors


def validate_cron_job(cron_job: CronJob) -> list[FieldError]:
    errors = meta.object_meta(cron_job.metadata, True)
    _cron_spec(cron_job.spec, errors)
    if len(cron_job.metadata.name) > 52:
        errors.append(field.invalid("metadata.name", cron_job.metadata.name, "must be no more than 52 characters"))
    return errors


def _cron_spec(spec: CronJobSpec, errors: list[FieldError]) -> None:
    at = SPEC.child("schedule")
    if not spec.schedule:
        errors.append(field.required(at))
    else:
        if (text := schedule_error(spec.schedule)) is not None:
            errors.append(field.invalid(at, spec.schedule, text))
        if "TZ" in spec.schedule:
            text = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
            errors.append(field.invalid(at, spec.schedule, text))
    if spec.starting_deadline_seconds is not None:
        meta.non_negative(spec.starting_deadline_seconds, SPEC.child("startingDeadlineSeconds"), errors)
    if spec.time_zone is not None and (text := zone_error(spec.time_zone)) is not None:
        errors.append(field.invalid(SPEC.child("timeZone"), spec.time_zone, text))
    if spec.concurrency_policy not in ("Allow", "Forbid", "Replace"):
        where = SPEC.child("concurrencyPolicy")
        supported = ("Allow", "Forbid", "Replace")
        wrong = field.not_supported(where, spec.concurrency_policy, supported)
        errors.append(wrong if spec.concurrency_policy else field.required(where))
    template = spec.job_template.spec
    if template is not None:
        _job_spec(template, SPEC.child("jobTemplate", "spec"), False, errors)
    meta.non_negative(spec.successful_jobs_history_limit, SPEC.child("successfulJobsHistoryLimit"), errors)
    meta.non_negative(spec.failed_jobs_history_limit, SPEC.child("failedJobsHistoryLimit"), errors)


_MACROS = frozenset({"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"})
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS = ((0, 59, ()), (0, 23, ()), (1, 31, ()), (1, 12, _MONTHS), (0, 6, _DAYS))


@lru_cache(1024)
def schedule_error(schedule: str) -> str | None:
    """What is wrong with a cron schedule of five fields (or `@daily`, `@every 1h`), None when nothing is."""
    if schedule.startswith(("TZ=", "CRON_TZ=")):
        schedule = schedule.partition(" ")[2].strip()
    if schedule.startswith("@"):
        if schedule in _MACROS or schedule.startswith("@every "):
            return None
        return f"unrecognized descriptor: {schedule}"
    parts = schedule.split()
    if len(parts) != 5:
        return f"expected exactly 5 fields, found {len(parts)}: [{' '.join(parts)}]"
    for part, (low, high, words) in zip(parts, _FIELDS, strict=True):
        for piece in part.split(","):
            if (text := _range_error(piece, low, high, words)) is not None:
                return text
    return None


def _range_error(piece: str, low: int, high: int, words: tuple[str, ...]) -> str | None:
    span, slash, step = piece.partition("/")
    if slash and not step.isdigit():
        return f'failed to parse int from {step}: strconv.Atoi: parsing "{step}": invalid syntax'
    if slash and int(step) == 0:
        return f"step of range should be a positive number: {piece}"
    if span in ("*", "?"):
        return None
    numbers = []
    for end in span.split("-"):
        if end.lower() in words:
            numbers.append(words.index(end.lower()) + low)
        elif end.isdigit():
            numbers.append(int(end))
        else:
            return f'failed to parse int from {end}: strconv.Atoi: parsing "{end}": invalid syntax'
    if len(numbers) > 2:
        return f"too many hyphens: {piece}"
    if numbers[0] < low:
        return f"beginning of range ({numbers[0]}) below minimum ({low}): {piece}"
    if numbers[-1] > high:
        return f"end of range ({numbers[-1]}) above maximum ({high}): {piece}"
    if numbers[0] > numbers[-1]:
        return f"beginning of range ({numbers[0]}) beyond end of range ({numbers[-1]}): {piece}"
    return None


@lru_cache(256)
def zone_error(zone: str) -> str | None:
    """What is wrong with a time zone's name."""
    import zoneinfo

    if not zone:
        return "timeZone must be nil or non-empty string"
    if zone.lower() == "local":
        return "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
    try:
        zoneinfo.ZoneInfo(zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return f"unknown time zone {zone}"
    return None


def validate_cron_job_update(new: CronJob, old: CronJob) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata)
    if new.spec != old.spec:
        _cron_spec(new.spec, errors)
    return errors
