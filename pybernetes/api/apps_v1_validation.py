"""Validation of Deployments, ReplicaSets, DaemonSets, StatefulSets and ControllerRevisions."""

from __future__ import annotations

import msgspec

from pybernetes.api import meta_validation as meta
from pybernetes.api.apps_v1 import (
    ControllerRevision,
    DaemonSet,
    DaemonSetSpec,
    Deployment,
    DeploymentSpec,
    DeploymentStrategy,
    ReplicaSet,
    ReplicaSetSpec,
    StatefulSet,
    StatefulSetSpec,
)
from pybernetes.api.core_v1.pod_validation import pod_template_spec
from pybernetes.api.core_v1.template import PodTemplateSpec
from pybernetes.machinery import field, labels, names
from pybernetes.machinery.field import FieldError, Path
from pybernetes.machinery.meta import LabelSelector

SPEC = Path("spec")
MISMATCH = "`selector` does not match template `labels`"


def selector_and_template(
    selector: LabelSelector | None,
    template: PodTemplateSpec | None,
    empty_text: str,
    errors: list[FieldError],
    kind: str = "ReplicaSet",
) -> None:
    """Selector not empty and matching the template; the template good, its Pods restarted always."""
    at = SPEC.child("selector")
    if selector is None:
        errors.append(field.required(at))
    else:
        meta.label_selector(selector, at, errors)
        if meta.empty_selector(selector):
            errors.append(field.invalid(at, selector, empty_text))
    where = SPEC.child("template")
    if template is None:
        errors.append(field.required(where))
        return
    own = template.metadata.labels or {}
    try:
        matches = meta.empty_selector(selector) or labels.from_struct(selector).matches(own)
    except ValueError as error:
        errors.append(field.invalid(at, selector, str(error)))
        matches = True
    if not matches:
        errors.append(field.invalid(where.child("metadata", "labels"), own, MISMATCH))
    if kind == "StatefulSet":
        # Its containers mount claims that no volume of the template stands for: the spec is judged with the Pods.
        _template_metadata(template, where, errors)
    else:
        pod_template_spec(template, where, errors)
    if template.spec is not None:
        if template.spec.restart_policy != "Always":
            shown = template.spec.restart_policy or ""
            errors.append(field.not_supported(where.child("spec", "restartPolicy"), shown, ("Always",)))
        if template.spec.active_deadline_seconds is not None:
            text = f"activeDeadlineSeconds in {kind} is not Supported"
            errors.append(field.forbidden(where.child("spec", "activeDeadlineSeconds"), text))


def _template_metadata(template: PodTemplateSpec, path: Path, errors: list[FieldError]) -> None:
    if template.metadata is not None:
        meta.labels(template.metadata.labels or {}, path.child("labels"), errors)
        meta.annotation_map(template.metadata.annotations or {}, path.child("annotations"), errors)


def amount_or_percent(value: int | str | None, path: Path, errors: list[FieldError]) -> None:
    """A number that is not negative, or a percentage."""
    if isinstance(value, str):
        for text in names.percent(value):
            errors.append(field.invalid(path, value, text))
    elif value is not None and value < 0:
        errors.append(field.invalid(path, value, meta.NOT_NEGATIVE))


def percent_at_most_100(value: int | str | None, path: Path, errors: list[FieldError]) -> None:
    if isinstance(value, str) and not names.percent(value) and int(value[:-1]) > 100:
        errors.append(field.invalid(path, value, "must not be greater than 100%"))


def is_zero(value: int | str | None) -> bool:
    """0, `0%`, or not set."""
    if isinstance(value, str):
        return not names.percent(value) and int(value[:-1]) == 0
    return not value


def validate_deployment(deployment: Deployment) -> list[FieldError]:
    errors = meta.object_meta(deployment.metadata, True)
    _deployment(deployment.spec, errors)
    return errors


def _deployment(spec: DeploymentSpec, errors: list[FieldError]) -> None:
    meta.non_negative(spec.replicas, SPEC.child("replicas"), errors)
    selector_and_template(spec.selector, spec.template, "empty selector is invalid for deployment", errors)
    _strategy(spec.strategy or DeploymentStrategy(), errors)
    meta.non_negative(spec.min_ready_seconds, SPEC.child("minReadySeconds"), errors)
    meta.non_negative(spec.revision_history_limit, SPEC.child("revisionHistoryLimit"), errors)
    deadline = spec.progress_deadline_seconds
    if deadline is not None:
        at = SPEC.child("progressDeadlineSeconds")
        meta.non_negative(deadline, at, errors)
        if deadline <= (spec.min_ready_seconds or 0):
            errors.append(field.invalid(at, deadline, "must be greater than minReadySeconds"))


def _strategy(strategy: DeploymentStrategy, errors: list[FieldError]) -> None:
    at = SPEC.child("strategy")
    rolling = strategy.rolling_update
    if strategy.type == "Recreate":
        if rolling is not None:
            text = "may not be specified when strategy `type` is 'Recreate'"
            errors.append(field.forbidden(at.child("rollingUpdate"), text))
    elif strategy.type == "RollingUpdate":
        where = at.child("rollingUpdate")
        if rolling is None:
            errors.append(field.required(where, "this should be defaulted and never be nil"))
            return
        amount_or_percent(rolling.max_unavailable, where.child("maxUnavailable"), errors)
        amount_or_percent(rolling.max_surge, where.child("maxSurge"), errors)
        if is_zero(rolling.max_unavailable) and is_zero(rolling.max_surge):
            text = "may not be 0 when `maxSurge` is 0"
            errors.append(field.invalid(where.child("maxUnavailable"), rolling.max_unavailable, text))
        percent_at_most_100(rolling.max_unavailable, where.child("maxUnavailable"), errors)
    else:
        supported = ("Recreate", "RollingUpdate")
        errors.append(field.not_supported(at.child("type"), strategy.type or "", supported))


def validate_deployment_update(new: Deployment, old: Deployment) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata)
    if new.spec != old.spec:
        _deployment(new.spec, errors)
    meta.immutable(new.spec.selector, old.spec.selector, SPEC.child("selector"), errors)
    return errors


def _counts(status: object, listed: dict[str, str], errors: list[FieldError]) -> None:
    for attribute, wire in listed.items():
        meta.non_negative(getattr(status, attribute), Path("status", wire), errors)


def _not_above(status: object, pairs: list[tuple[str, str, str, str]], errors: list[FieldError]) -> None:
    for attribute, wire, bound, text in pairs:
        value = getattr(status, attribute) or 0
        if value > (getattr(status, bound) or 0):
            errors.append(field.invalid(Path("status", wire), value, f"cannot be greater than {text}"))


_DEPLOYMENT_COUNTS = {
    "observed_generation": "observedGeneration",
    "replicas": "replicas",
    "updated_replicas": "updatedReplicas",
    "ready_replicas": "readyReplicas",
    "available_replicas": "availableReplicas",
    "unavailable_replicas": "unavailableReplicas",
    "collision_count": "collisionCount",
}


def validate_deployment_status_update(new: Deployment, old: Deployment) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata)
    _counts(new.status, _DEPLOYMENT_COUNTS, errors)
    pairs = [
        ("updated_replicas", "updatedReplicas", "replicas", "status.replicas"),
        ("ready_replicas", "readyReplicas", "replicas", "status.replicas"),
        ("available_replicas", "availableReplicas", "replicas", "status.replicas"),
        ("available_replicas", "availableReplicas", "ready_replicas", "readyReplicas"),
    ]
    _not_above(new.status, pairs, errors)
    if (new.status.collision_count or 0) < (old.status.collision_count or 0):
        text = "cannot be decremented"
        errors.append(field.invalid("status.collisionCount", new.status.collision_count, text))
    return errors


def validate_replica_set(replica_set: ReplicaSet) -> list[FieldError]:
    errors = meta.object_meta(replica_set.metadata, True)
    _replica_set(replica_set.spec, errors)
    return errors


def _replica_set(spec: ReplicaSetSpec, errors: list[FieldError]) -> None:
    meta.non_negative(spec.replicas, SPEC.child("replicas"), errors)
    meta.non_negative(spec.min_ready_seconds, SPEC.child("minReadySeconds"), errors)
    selector_and_template(spec.selector, spec.template, "empty selector is invalid for deployment", errors)


def validate_replica_set_update(new: ReplicaSet, old: ReplicaSet) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata)
    if new.spec != old.spec:
        _replica_set(new.spec, errors)
    meta.immutable(new.spec.selector, old.spec.selector, SPEC.child("selector"), errors)
    return errors


def validate_replica_set_status_update(new: ReplicaSet, old: ReplicaSet) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata)
    counts = {
        "replicas": "replicas",
        "fully_labeled_replicas": "fullyLabeledReplicas",
        "ready_replicas": "readyReplicas",
        "available_replicas": "availableReplicas",
        "observed_generation": "observedGeneration",
    }
    _counts(new.status, counts, errors)
    pairs = [
        ("fully_labeled_replicas", "fullyLabeledReplicas", "replicas", "status.replicas"),
        ("ready_replicas", "readyReplicas", "replicas", "status.replicas"),
        ("available_replicas", "availableReplicas", "replicas", "status.replicas"),
        ("available_replicas", "availableReplicas", "ready_replicas", "readyReplicas"),
    ]
    _not_above(new.status, pairs, errors)
    return errors


def validate_daemon_set(daemon_set: DaemonSet) -> list[FieldError]:
    errors = meta.object_meta(daemon_set.metadata, True)
    _daemon_set(daemon_set.spec, errors)
    return errors


def _daemon_set(spec: DaemonSetSpec, errors: list[FieldError]) -> None:
    text = "empty selector is invalid for daemonset"
    selector_and_template(spec.selector, spec.template, text, errors, "DaemonSet")
    meta.non_negative(spec.min_ready_seconds, SPEC.child("minReadySeconds"), errors)
    meta.non_negative(spec.revision_history_limit, SPEC.child("revisionHistoryLimit"), errors)
    strategy = spec.update_strategy
    at = SPEC.child("updateStrategy")
    if strategy is None or strategy.type not in ("OnDelete", "RollingUpdate"):
        shown = strategy.type if strategy else ""
        errors.append(field.not_supported(at.child("type"), shown or "", ("OnDelete", "RollingUpdate")))
    elif strategy.type == "RollingUpdate":
        rolling = strategy.rolling_update
        where = at.child("rollingUpdate")
        if rolling is None:
            errors.append(field.required(where))
            return
        for value, name in ((rolling.max_unavailable, "maxUnavailable"), (rolling.max_surge, "maxSurge")):
            amount_or_percent(value, where.child(name), errors)
            percent_at_most_100(value, where.child(name), errors)
        down, surge = not is_zero(rolling.max_unavailable), not is_zero(rolling.max_surge)
        if down and surge:
            text = "may not be set when maxUnavailable is non-zero"
            errors.append(field.invalid(where.child("maxSurge"), rolling.max_surge, text))
        elif not down and not surge:
            errors.append(field.required(where.child("maxUnavailable"), "cannot be 0 when maxSurge is 0"))


def validate_daemon_set_update(new: DaemonSet, old: DaemonSet) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata)
    if new.spec != old.spec:
        _daemon_set(new.spec, errors)
    meta.immutable(new.spec.selector, old.spec.selector, SPEC.child("selector"), errors)
    return errors


def validate_daemon_set_status_update(new: DaemonSet, old: DaemonSet) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata)
    counts = {
        "current_number_scheduled": "currentNumberScheduled",
        "number_misscheduled": "numberMisscheduled",
        "desired_number_scheduled": "desiredNumberScheduled",
        "number_ready": "numberReady",
        "observed_generation": "observedGeneration",
        "updated_number_scheduled": "updatedNumberScheduled",
        "number_available": "numberAvailable",
        "number_unavailable": "numberUnavailable",
    }
    _counts(new.status, counts, errors)
    return errors


def validate_stateful_set(stateful_set: StatefulSet) -> list[FieldError]:
    errors = meta.object_meta(stateful_set.metadata, True, names.dns1123_label)
    _stateful_set(stateful_set.spec, errors)
    return errors


def _stateful_set(spec: StatefulSetSpec, errors: list[FieldError]) -> None:
    at = SPEC.child("podManagementPolicy")
    if not spec.pod_management_policy:
        errors.append(field.required(at))
    elif spec.pod_management_policy not in ("OrderedReady", "Parallel"):
        text = "must be 'OrderedReady' or 'Parallel'"
        errors.append(field.invalid(at, spec.pod_management_policy, text))
    strategy = spec.update_strategy
    at = SPEC.child("updateStrategy")
    if strategy is None or not strategy.type:
        errors.append(field.required(at))
    elif strategy.type == "OnDelete":
        if strategy.rolling_update is not None:
            text = "only allowed for updateStrategy 'RollingUpdate'"
            errors.append(field.invalid(at.child("rollingUpdate"), strategy.rolling_update, text))
    elif strategy.type == "RollingUpdate":
        if (rolling := strategy.rolling_update) is not None:
            where = at.child("rollingUpdate")
            meta.non_negative(rolling.partition, where.child("partition"), errors)
            if rolling.max_unavailable is not None:
                amount_or_percent(rolling.max_unavailable, where.child("maxUnavailable"), errors)
                if is_zero(rolling.max_unavailable):
                    errors.append(field.invalid(where.child("maxUnavailable"), 0, "cannot be 0"))
                percent_at_most_100(rolling.max_unavailable, where.child("maxUnavailable"), errors)
    else:
        errors.append(field.invalid(at, strategy, "must be 'RollingUpdate' or 'OnDelete'"))
    if (policy := spec.persistent_volume_claim_retention_policy) is not None:
        where = SPEC.child("persistentVolumeClaimRetentionPolicy")
        for name, value in (("whenDeleted", policy.when_deleted), ("whenScaled", policy.when_scaled)):
            if value not in ("Retain", "Delete"):
                errors.append(field.not_supported(where.child(name), value or "", ("Retain", "Delete")))
    meta.non_negative(spec.replicas, SPEC.child("replicas"), errors)
    meta.non_negative(spec.min_ready_seconds, SPEC.child("minReadySeconds"), errors)
    meta.non_negative(spec.revision_history_limit, SPEC.child("revisionHistoryLimit"), errors)
    if spec.ordinals is not None:
        meta.non_negative(spec.ordinals.start, SPEC.child("ordinals.start"), errors)
    if spec.service_name:
        for text in names.dns1123_subdomain(spec.service_name):
            errors.append(field.invalid(SPEC.child("serviceName"), spec.service_name, text))
    text = "empty selector is invalid for statefulset"
    selector_and_template(spec.selector, spec.template, text, errors, "StatefulSet")


_STATEFUL_SET_FIELDS = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
    "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)


def validate_stateful_set_update(new: StatefulSet, old: StatefulSet) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata)
    if new.spec == old.spec:
        return errors
    _stateful_set(new.spec, errors)
    plain = msgspec.structs.replace(
        new.spec,
        replicas=old.spec.replicas,
        template=old.spec.template,
        update_strategy=old.spec.update_strategy,
        min_ready_seconds=old.spec.min_ready_seconds,
        ordinals=old.spec.ordinals,
        revision_history_limit=old.spec.revision_history_limit,
        persistent_volume_claim_retention_policy=old.spec.persistent_volume_claim_retention_policy,
    )
    if plain != old.spec:
        errors.append(field.forbidden(SPEC, _STATEFUL_SET_FIELDS))
    return errors


def validate_stateful_set_status_update(new: StatefulSet, old: StatefulSet) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata)
    counts = {
        "replicas": "replicas",
        "ready_replicas": "readyReplicas",
        "current_replicas": "currentReplicas",
        "updated_replicas": "updatedReplicas",
        "available_replicas": "availableReplicas",
        "observed_generation": "observedGeneration",
        "collision_count": "collisionCount",
    }
    _counts(new.status, counts, errors)
    pairs = [
        ("ready_replicas", "readyReplicas", "replicas", "status.replicas"),
        ("current_replicas", "currentReplicas", "replicas", "status.replicas"),
        ("updated_replicas", "updatedReplicas", "replicas", "status.replicas"),
        ("available_replicas", "availableReplicas", "replicas", "status.replicas"),
        ("available_replicas", "availableReplicas", "ready_replicas", "status.readyReplicas"),
    ]
    _not_above(new.status, pairs, errors)
    return errors


def validate_controller_revision(revision: ControllerRevision) -> list[FieldError]:
    errors = meta.object_meta(revision.metadata, True)
    meta.non_negative(revision.revision, Path("revision"), errors)
    if revision.data is None:
        errors.append(field.required("data", "data is mandatory"))
    return errors


def validate_controller_revision_update(new: ControllerRevision, old: ControllerRevision) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata)
    meta.non_negative(new.revision, Path("revision"), errors)
    meta.immutable(new.data, old.data, Path("data"), errors)
    return errors
