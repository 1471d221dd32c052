"""StatefulSets: names, identities and volumes of their Pods, and the order in which things may happen. Pure
functions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pybernetes.api.apps_v1 import StatefulSet
from pybernetes.api.core_v1 import (
    PersistentVolumeClaim,
    PersistentVolumeClaimVolumeSource,
    Pod,
    PodTemplateSpec,
    Volume,
)
from pybernetes.client.controller import controller_reference
from pybernetes.control_plane.controllers import pods as pod_state
from pybernetes.control_plane.controllers.numbers import resolve
from pybernetes.control_plane.controllers.pod_control import pod_from_template
from pybernetes.control_plane.controllers.revisions import POD_HASH
from pybernetes.machinery import codec
from pybernetes.machinery.meta import ObjectMeta, OwnerReference

POD_NAME = "statefulset.kubernetes.io/pod-name"
POD_INDEX = "apps.kubernetes.io/pod-index"
_NAME = re.compile(r"(.*)-(\d+)")


def replicas(owner: StatefulSet) -> int:
    """How many Pods it is asked to have."""
    return 1 if owner.spec.replicas is None else owner.spec.replicas


def start(owner: StatefulSet) -> int:
    """The first ordinal."""
    return (owner.spec.ordinals.start if owner.spec.ordinals else None) or 0


def ordinal(owner: StatefulSet, pod: Pod) -> int | None:
    """The Pod's number; None when its name is not one of this set."""
    match = _NAME.fullmatch(pod.metadata.name)
    return int(match[2]) if match and match[1] == owner.metadata.name else None


def is_parallel(owner: StatefulSet) -> bool:
    """Whether Pods start and stop without waiting for each other."""
    return owner.spec.pod_management_policy == "Parallel"


def is_rolling(owner: StatefulSet) -> bool:
    """Whether a new template replaces Pods by itself."""
    strategy = owner.spec.update_strategy
    return strategy is None or strategy.type in (None, "RollingUpdate")


def partition(owner: StatefulSet) -> int:
    """The ordinal (counted from `start`) below which Pods keep the current revision."""
    strategy = owner.spec.update_strategy
    return (strategy.rolling_update.partition if strategy and strategy.rolling_update else None) or 0


def max_unavailable(owner: StatefulSet) -> int:
    """How many Pods an update may make unavailable at once; at least one."""
    strategy = owner.spec.update_strategy
    value = strategy.rolling_update.max_unavailable if strategy and strategy.rolling_update else None
    return 1 if value is None else max(1, resolve(value, replicas(owner), round_up=False))


def revision_of(pod: Pod) -> str:
    """The name of the revision the Pod was made from."""
    return (pod.metadata.labels or {}).get(POD_HASH, "")


def claims(owner: StatefulSet, name: str, pod_uid: str = "") -> list[PersistentVolumeClaim]:
    """The PersistentVolumeClaims of the Pod `name`."""
    result = []
    for template in owner.spec.volume_claim_templates or ():
        claim: PersistentVolumeClaim = codec.copy(template)
        claim.metadata = ObjectMeta(
            name=f"{template.metadata.name}-{name}",
            namespace=owner.metadata.namespace,
            labels={**(template.metadata.labels or {}), **(owner.spec.selector.match_labels or {})},
            annotations=template.metadata.annotations,
        )
        claim.status = type(claim.status)()
        result.append(claim)
    return result


def claim_owners(
    owner: StatefulSet, present: Sequence[OwnerReference], pod: Pod | None, *, condemned: bool
) -> list[OwnerReference]:
    """The owners a claim should have by the retention policy: the set, or the Pod that is being scaled away."""
    policy = owner.spec.persistent_volume_claim_retention_policy
    on_delete = policy is not None and policy.when_deleted == "Delete"
    on_scale = policy is not None and policy.when_scaled == "Delete"
    others = [
        r
        for r in present
        if r.uid != owner.metadata.uid and not (r.kind == "Pod" and pod is not None and r.name == pod.metadata.name)
    ]
    if condemned and on_scale and pod is not None:
        reference = controller_reference(pod)
    elif on_delete:
        reference = controller_reference(owner)
    else:
        return others
    reference.controller = reference.block_owner_deletion = None
    return [*others, reference]


def new_pod(owner: StatefulSet, template: PodTemplateSpec, revision: str, number: int) -> Pod:
    """The Pod with that ordinal: its name, host name, labels and volumes are its identity."""
    name = f"{owner.metadata.name}-{number}"
    pod = pod_from_template(codec.copy(template), owner, name=name)
    pod.metadata.labels = {
        **(pod.metadata.labels or {}),
        POD_NAME: name,
        POD_INDEX: str(number),
        POD_HASH: revision,
    }
    pod.spec.hostname = name
    pod.spec.subdomain = owner.spec.service_name or None
    templates = {t.metadata.name for t in owner.spec.volume_claim_templates or ()}
    volumes = [v for v in pod.spec.volumes or () if v.name not in templates]
    for template_name in (t.metadata.name for t in owner.spec.volume_claim_templates or ()):
        source = PersistentVolumeClaimVolumeSource(claim_name=f"{template_name}-{name}")
        volumes.append(Volume(name=template_name, persistent_volume_claim=source))
    pod.spec.volumes = volumes or None
    return pod


@dataclass
class Step:
    """What may be done now."""

    create: list[tuple[int, str]] = field(default_factory=list)  # (ordinal, revision name)
    delete: list[Pod] = field(default_factory=list)
    recreate: list[Pod] = field(default_factory=list)  # ended Pods whose place is wanted
    condemned: list[Pod] = field(default_factory=list)  # beyond the size


def step(owner: StatefulSet, pods: Sequence[Pod], current: str, update: str, now: float) -> Step:
    """The next step of a set with those Pods, whose revisions are named `current` and `update`."""
    first, size = start(owner), replicas(owner)
    wanted = range(first, first + size)
    by_ordinal: dict[int, Pod] = {}
    result = Step()
    for pod in pods:
        number = ordinal(owner, pod)
        if number is None:
            continue
        if number in wanted:
            by_ordinal[number] = pod
        else:
            result.condemned.append(pod)
    result.condemned.sort(key=lambda pod: -(ordinal(owner, pod) or 0))
    parallel = is_parallel(owner)
    min_ready = owner.spec.min_ready_seconds or 0
    for number in wanted:
        present = by_ordinal.get(number)
        if present is None:
            result.create.append((number, _revision_for(owner, number, current, update)))
            if not parallel:
                return result
            continue
        if pod_state.is_terminal(present):
            if not pod_state.is_terminating(present):
                result.recreate.append(present)
            if not parallel:
                return result
            continue
        if not parallel and (pod_state.is_terminating(present) or not pod_state.is_available(present, min_ready, now)):
            return result  # also its own replacement by a new revision waits: upstream documents it as such
    # Everyone wanted is there (and healthy, unless parallel): now those who are too many, from the top.
    ailing = [pod for pod in reversed(result.condemned) if not _is_healthy(pod, min_ready, now)]
    for pod in result.condemned:
        if pod_state.is_terminating(pod):
            if not parallel:
                return result
            continue
        if not parallel and pod in ailing[1:]:
            return result  # a lower one ails too: going on could take the last that others rely on
        result.delete.append(pod)
        if not parallel:
            return result
    if result.condemned and not parallel:
        return result
    if is_rolling(owner):
        _roll(owner, result, by_ordinal, wanted, update, now)
    return result


def _is_healthy(pod: Pod, min_ready: int, now: float) -> bool:
    return pod_state.is_available(pod, min_ready, now) and not pod_state.is_terminating(pod)


def _revision_for(owner: StatefulSet, number: int, current: str, update: str) -> str:
    if not is_rolling(owner):
        return update
    strategy = owner.spec.update_strategy
    first = start(owner)
    if strategy is None or strategy.rolling_update is None:
        keeps = number < first + (owner.status.current_replicas or 0)
    else:
        keeps = number < first + partition(owner)
    return current if keeps else update


def _roll(
    owner: StatefulSet, result: Step, by_ordinal: Mapping[int, Pod], wanted: range, update: str, now: float
) -> None:
    """Replace Pods of other revisions, from the highest ordinal down, as many as may be missing at once."""
    min_ready = owner.spec.min_ready_seconds or 0
    allowed = max_unavailable(owner)
    unavailable = sum(
        number not in by_ordinal or not pod_state.is_available(by_ordinal[number], min_ready, now) for number in wanted
    )
    for number in reversed(wanted):
        if number < start(owner) + partition(owner):
            return
        pod = by_ordinal.get(number)
        if pod is None:
            continue
        healthy = _is_healthy(pod, min_ready, now)
        if revision_of(pod) != update and not pod_state.is_terminating(pod):
            if not healthy:
                result.delete.append(pod)  # it is missing already
            elif unavailable < allowed:
                result.delete.append(pod)
                unavailable += 1
            else:
                return
        if not healthy and allowed == 1:
            return
