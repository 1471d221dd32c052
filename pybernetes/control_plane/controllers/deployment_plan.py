"""What a Deployment should do next: pure functions over the Deployment and its ReplicaSets.

All of them read; sizes are returned as a plan `{ReplicaSet name: replicas}` that `deployment` executes. The rules are
the documented ones: at most `replicas + maxSurge` Pods, at least `replicas - maxUnavailable` available, and a rollout
interrupted by scaling spreads the change over its ReplicaSets in proportion to their sizes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pybernetes.api.apps_v1 import Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet
from pybernetes.api.core_v1 import PodTemplateSpec
from pybernetes.control_plane.controllers.numbers import FOREVER, resolve

REVISION = "deployment.kubernetes.io/revision"
HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MAX = "deployment.kubernetes.io/max-replicas"
HASH = "pod-template-hash"
_NOT_COPIED = {
    REVISION,
    HISTORY,
    DESIRED,
    MAX,
    "kubectl.kubernetes.io/last-applied-configuration",
    "deprecated.deployment.rollback.to",
}
_HISTORY_CHARACTERS = 2000

Plan = dict[str, int]


def replicas(rs: ReplicaSet) -> int:
    """The size a ReplicaSet is asked to have."""
    return 1 if rs.spec.replicas is None else rs.spec.replicas


def desired(deployment: Deployment) -> int:
    """The size the Deployment is asked to have."""
    return 1 if deployment.spec.replicas is None else deployment.spec.replicas


def is_rolling(deployment: Deployment) -> bool:
    """Whether its strategy is RollingUpdate (the default)."""
    strategy = deployment.spec.strategy
    return strategy is None or strategy.type in (None, "RollingUpdate")


def fenceposts(deployment: Deployment) -> tuple[int, int]:
    """(maxSurge, maxUnavailable) as numbers: surge rounded up, unavailable down, never both zero."""
    if not is_rolling(deployment):
        return 0, 0
    strategy = deployment.spec.strategy
    rolling = strategy.rolling_update if strategy else None
    total = desired(deployment)
    surge = resolve(rolling.max_surge if rolling else "25%", total, round_up=True)
    unavailable = resolve(rolling.max_unavailable if rolling else "25%", total, round_up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return surge, min(unavailable, total)


def has_deadline(deployment: Deployment) -> bool:
    """Whether progress is watched."""
    return deployment.spec.progress_deadline_seconds not in (None, FOREVER)


def same_template(a: PodTemplateSpec | None, b: PodTemplateSpec | None) -> bool:
    """Equal but for the hash label."""
    if a is None or b is None or a.spec != b.spec:
        return a is b
    x, y = a.metadata, b.metadata
    if x is None or y is None:
        return not (x and _labels(x.labels)) and not (y and _labels(y.labels))
    return (
        _labels(x.labels) == _labels(y.labels)
        and (x.annotations or {}) == (y.annotations or {})
        and (x.finalizers or []) == (y.finalizers or [])
    )


def _labels(labels: dict[str, str] | None) -> dict[str, str]:
    return {k: v for k, v in (labels or {}).items() if k != HASH}


def oldest_first(sets: Iterable[ReplicaSet]) -> list[ReplicaSet]:
    """By creation, then name."""
    return sorted(sets, key=lambda rs: (rs.metadata.creation_timestamp or "", rs.metadata.name))


def find_new(deployment: Deployment, sets: Iterable[ReplicaSet]) -> ReplicaSet | None:
    """The ReplicaSet of the current template: the oldest, should there be several."""
    for rs in oldest_first(sets):
        if same_template(rs.spec.template, deployment.spec.template):
            return rs
    return None


def revision(rs: ReplicaSet) -> int:
    """The revision it bears; 0 if none."""
    try:
        return int((rs.metadata.annotations or {}).get(REVISION, "0"))
    except ValueError:
        return 0


def new_annotations(
    deployment: Deployment, present: dict[str, str] | None, new_revision: int, *, exists: bool
) -> dict[str, str]:
    """The annotations of the new ReplicaSet: the Deployment's, its revision, and earlier revisions it had."""
    annotations = dict(present or {})
    annotations.update({k: v for k, v in (deployment.metadata.annotations or {}).items() if k not in _NOT_COPIED})
    before = annotations.get(REVISION, "")
    if not before.isdigit() or int(before) < new_revision:
        annotations[REVISION] = str(new_revision)
        if before:
            history = [h for h in annotations.get(HISTORY, "").split(",") if h]
            if not history or history[-1] != before:
                history.append(before)
            while len(",".join(history)) > _HISTORY_CHARACTERS:
                history.pop(0)
            annotations[HISTORY] = ",".join(history)
    if not exists:
        annotations.update(size_annotations(deployment))
    return annotations


def size_annotations(deployment: Deployment) -> dict[str, str]:
    """How large the Deployment was when the ReplicaSet was last sized."""
    return {DESIRED: str(desired(deployment)), MAX: str(desired(deployment) + fenceposts(deployment)[0])}


def is_scaling(deployment: Deployment, sets: Iterable[ReplicaSet]) -> bool:
    """Whether the Deployment's size changed since its ReplicaSets were sized."""
    for rs in sets:
        size = (rs.metadata.annotations or {}).get(DESIRED, "")
        if replicas(rs) > 0 and size.isdigit() and int(size) != desired(deployment):
            return True
    return False


def initial_size(deployment: Deployment, new: ReplicaSet | None, sets: Sequence[ReplicaSet]) -> int:
    """How large the new ReplicaSet may be now."""
    total, present = desired(deployment), replicas(new) if new else 0
    if not is_rolling(deployment):
        return total
    room = total + fenceposts(deployment)[0] - sum(map(replicas, sets))
    return present if room <= 0 else present + max(0, min(room, total - present))


def grow_new(deployment: Deployment, new: ReplicaSet, sets: Sequence[ReplicaSet]) -> Plan:
    """A step of the rollout: the new ReplicaSet's size, if it is to change."""
    total = desired(deployment)
    size = total if replicas(new) > total else initial_size(deployment, new, sets)
    return {} if size == replicas(new) else {new.metadata.name: size}


def shrink_old(deployment: Deployment, new: ReplicaSet, old: Sequence[ReplicaSet]) -> Plan:
    """A step of the rollout: what old ReplicaSets can give up; unhealthy Pods first."""
    if sum(map(replicas, old)) == 0:
        return {}
    _, max_unavailable = fenceposts(deployment)
    min_available = desired(deployment) - max_unavailable
    new_unavailable = replicas(new) - (new.status.available_replicas or 0)
    allowed = sum(map(replicas, old)) + replicas(new) - min_available - new_unavailable
    if allowed <= 0:
        return {}
    sizes = {rs.metadata.name: replicas(rs) for rs in old}
    for rs in oldest_first(old):
        unhealthy = max(0, replicas(rs) - (rs.status.available_replicas or 0))
        take = min(unhealthy, allowed)
        sizes[rs.metadata.name] -= take
        allowed -= take
    available = (new.status.available_replicas or 0) + sum(rs.status.available_replicas or 0 for rs in old)
    spare = available - min_available
    for rs in oldest_first(old):
        if spare <= 0:
            break
        take = min(sizes[rs.metadata.name], spare)
        sizes[rs.metadata.name] -= take
        spare -= take
    return {rs.metadata.name: sizes[rs.metadata.name] for rs in old if sizes[rs.metadata.name] != replicas(rs)}


def scale(deployment: Deployment, new: ReplicaSet | None, old: Sequence[ReplicaSet]) -> Plan:
    """Sizes after the Deployment was scaled (or while it is paused), without moving the rollout on."""
    total = desired(deployment)
    everything = [*old, *([new] if new else [])]
    active = [rs for rs in everything if replicas(rs) > 0]
    only = None
    if len(active) == 1:
        only = active[0]
    elif not active and everything:
        only = new or oldest_first(old)[-1]
    if only is not None:
        return {} if replicas(only) == total else {only.metadata.name: total}
    if new is not None and _is_saturated(deployment, new):
        return {rs.metadata.name: 0 for rs in old if replicas(rs)}
    if not is_rolling(deployment):
        return {}
    surge = fenceposts(deployment)[0]
    to_add = (total + surge if total > 0 else 0) - sum(map(replicas, active))
    if to_add > 0:  # larger first, newer among equals
        newest_first = oldest_first(active)[::-1]
        ordered = sorted(newest_first, key=lambda rs: -replicas(rs))
    else:  # larger first, older among equals
        ordered = sorted(oldest_first(active), key=lambda rs: -replicas(rs))
    sizes: Plan = {}
    added = 0
    for rs in ordered:
        share = _proportion(deployment, rs, to_add, added, total + surge)
        sizes[rs.metadata.name] = replicas(rs) + share
        added += share
    if ordered and to_add:
        first = ordered[0].metadata.name
        sizes[first] = max(0, sizes[first] + to_add - added)
    return {rs.metadata.name: sizes[rs.metadata.name] for rs in ordered}


def _is_saturated(deployment: Deployment, new: ReplicaSet) -> bool:
    total = desired(deployment)
    size = (new.metadata.annotations or {}).get(DESIRED)
    return size == str(total) and replicas(new) == total and (new.status.available_replicas or 0) == total


def _proportion(deployment: Deployment, rs: ReplicaSet, to_add: int, added: int, limit: int) -> int:
    if replicas(rs) == 0 or to_add == 0 or to_add == added:
        return 0
    if desired(deployment) == 0:
        fraction = -replicas(rs)
    else:
        noted = (rs.metadata.annotations or {}).get(MAX, "")
        before = int(noted) if noted.isdigit() and int(noted) else deployment.status.replicas or 0
        if before == 0:
            return 0
        fraction = int(replicas(rs) * limit / before + 0.5) - replicas(rs)
    allowed = to_add - added
    return min(fraction, allowed) if to_add > 0 else max(fraction, allowed)


def to_clean_up(deployment: Deployment, old: Sequence[ReplicaSet]) -> list[ReplicaSet]:
    """Old ReplicaSets beyond the history limit that nothing uses, lowest revision first."""
    limit = deployment.spec.revision_history_limit
    if limit is None or limit == FOREVER:
        return []
    alive = [rs for rs in old if rs.metadata.deletion_timestamp is None]
    ordered = sorted(alive, key=lambda rs: (revision(rs), rs.metadata.creation_timestamp or "", rs.metadata.name))
    return [
        rs
        for rs in ordered[: max(0, len(alive) - limit)]
        if not rs.status.replicas
        and not replicas(rs)
        and (rs.metadata.generation or 0) <= (rs.status.observed_generation or 0)
    ]


# Status


def count(deployment: Deployment, new: ReplicaSet | None, sets: Sequence[ReplicaSet], now: str) -> DeploymentStatus:
    """The status that the ReplicaSets' statuses add up to; conditions other than Available as they are."""
    available = sum(rs.status.available_replicas or 0 for rs in sets)
    status = DeploymentStatus(
        observed_generation=deployment.metadata.generation,
        replicas=sum(rs.status.replicas for rs in sets),
        updated_replicas=new.status.replicas if new else 0,
        ready_replicas=sum(rs.status.ready_replicas or 0 for rs in sets),
        available_replicas=available,
        unavailable_replicas=max(0, sum(map(replicas, sets)) - available),
        terminating_replicas=sum(rs.status.terminating_replicas or 0 for rs in sets),
        collision_count=deployment.status.collision_count,
        conditions=list(deployment.status.conditions or ()),
    )
    if available >= desired(deployment) - fenceposts(deployment)[1]:
        reason, message = "MinimumReplicasAvailable", "Deployment has minimum availability."
        set_condition(status, "Available", "True", reason, message, now)
    else:
        reason, message = "MinimumReplicasUnavailable", "Deployment does not have minimum availability."
        set_condition(status, "Available", "False", reason, message, now)
    return status


def get_condition(status: DeploymentStatus, type_: str) -> DeploymentCondition | None:
    """The condition of that type."""
    return next((c for c in status.conditions or () if c.type == type_), None)


def set_condition(status: DeploymentStatus, type_: str, value: str, reason: str, message: str, now: str) -> None:
    """Set a condition; nothing happens when status and reason are what they were."""
    current = get_condition(status, type_)
    if current is not None and current.status == value and current.reason == reason:
        return
    since = current.last_transition_time if current is not None and current.status == value else now
    replace_condition(
        status,
        DeploymentCondition(
            type=type_,
            status=value,
            reason=reason,
            message=message,
            last_update_time=now,
            last_transition_time=since,
        ),
    )


def replace_condition(status: DeploymentStatus, condition: DeploymentCondition) -> None:
    """Put a condition in, at the end, in place of the one of its type."""
    status.conditions = [*(c for c in status.conditions or () if c.type != condition.type), condition]


def drop_condition(status: DeploymentStatus, type_: str) -> None:
    """Remove a condition."""
    status.conditions = [c for c in status.conditions or () if c.type != type_]


def is_complete(deployment: Deployment, status: DeploymentStatus) -> bool:
    """All replicas are new and available, and no old one runs."""
    total = desired(deployment)
    return (
        (status.updated_replicas or 0) == total
        and (status.replicas or 0) == total
        and (status.available_replicas or 0) == total
        and (status.observed_generation or 0) >= (deployment.metadata.generation or 0)
    )


def is_progressing(deployment: Deployment, status: DeploymentStatus) -> bool:
    """Whether `status` is further than the one before."""
    before = deployment.status
    old_before = (before.replicas or 0) - (before.updated_replicas or 0)
    return (
        (status.updated_replicas or 0) > (before.updated_replicas or 0)
        or (status.replicas or 0) - (status.updated_replicas or 0) < old_before
        or (status.ready_replicas or 0) > (before.ready_replicas or 0)
        or (status.available_replicas or 0) > (before.available_replicas or 0)
    )
