"""Validation of changes to Pods: the few fields that may change, the status, resize and ephemeral containers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from pybernetes.api import meta_validation as meta
from pybernetes.api.core_v1.container import Container, ResourceRequirements
from pybernetes.api.core_v1.container_context import Context
from pybernetes.api.core_v1.container_validation import ephemeral_containers
from pybernetes.api.core_v1.pod import Pod, PodSpec
from pybernetes.api.core_v1.pod_status import ContainerStatus
from pybernetes.api.core_v1.pod_validation import MAX_INT32, pod_spec, tolerations
from pybernetes.api.core_v1.volume_validation import SOURCES
from pybernetes.machinery import field, names, quantity
from pybernetes.machinery.field import FieldError, Path
from pybernetes.machinery.text import quote, show

__all__ = [
    "validate_pod_ephemeral_containers_update",
    "validate_pod_resize",
    "validate_pod_status_update",
    "validate_pod_update",
]

SPEC = Path("spec")
_MUTABLE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def validate_pod_update(new: Pod, old: Pod) -> list[FieldError]:
    """What is wrong with an update of a Pod (not of its status or a subresource)."""
    errors = meta.object_meta_update(new.metadata, old.metadata)
    if new.spec == old.spec:
        return errors
    pod_spec(new.spec, SPEC, errors)
    spec, before = new.spec, old.spec
    for name, after, earlier in (
        ("containers", spec.containers, before.containers),
        ("initContainers", spec.init_containers, before.init_containers),
    ):
        if len(after or ()) != len(earlier or ()):
            errors.append(field.forbidden(SPEC.child(name), "pod updates may not add or remove containers"))
            return errors
        for i, container in enumerate(after or ()):
            if not container.image:
                errors.append(field.required(SPEC.child(name).index(i).child("image")))
    _deadline(spec, before, errors)
    if not _only_more_tolerations(spec, before):
        text = "existing toleration can not be modified except its tolerationSeconds"
        errors.append(field.forbidden(SPEC.child("tolerations"), text))
    gates = {gate.name for gate in before.scheduling_gates or ()}
    for i, gate in enumerate(spec.scheduling_gates or ()):
        if gate.name not in gates:
            text = f"only deletion is allowed, but found new scheduling gate '{gate.name}'"
            errors.append(field.forbidden(SPEC.child("schedulingGates").index(i).child("name"), text))
    wanted = _like_before(spec, before, errors)
    if wanted != before:
        errors.append(field.forbidden(SPEC, f"{_MUTABLE}\n{_diff(before, wanted)}"))
    return errors


def _like_before(spec: PodSpec, before: PodSpec, errors: list[FieldError]) -> PodSpec:
    """`spec` with all that may change put back: what is left differing from `before` is forbidden."""
    copy = msgspec.structs.replace
    wanted = copy(
        spec,
        containers=_images(spec.containers, before.containers),
        init_containers=_images(spec.init_containers, before.init_containers),
        active_deadline_seconds=before.active_deadline_seconds,
        tolerations=before.tolerations,
        scheduling_gates=before.scheduling_gates,
        ephemeral_containers=spec.ephemeral_containers,
    )
    grace = before.termination_grace_period_seconds
    if grace is not None and grace < 0 and spec.termination_grace_period_seconds == 1:
        wanted.termination_grace_period_seconds = grace
    if before.scheduling_gates:
        # A gated Pod's node constraints may still be narrowed.
        if spec.node_selector != before.node_selector:
            if not (before.node_selector or {}).items() <= (spec.node_selector or {}).items():
                text = "only additions are allowed (no mutations or deletions)"
                errors.append(field.invalid(SPEC.child("nodeSelector"), spec.node_selector, text))
            wanted.node_selector = before.node_selector
        if spec.affinity is not None and spec.affinity != before.affinity:
            earlier = before.affinity.node_affinity if before.affinity else None
            if _narrowed(spec, earlier, errors):
                if before.affinity is None:
                    others = spec.affinity.pod_affinity is None and spec.affinity.pod_anti_affinity is None
                    wanted.affinity = None if others else spec.affinity
                else:
                    wanted.affinity = copy(spec.affinity, node_affinity=earlier)
    return wanted


def _narrowed(spec: PodSpec, earlier: Any, errors: list[FieldError]) -> bool:
    now = spec.affinity.node_affinity if spec.affinity else None
    if earlier is None:
        return True
    required = earlier.required_during_scheduling_ignored_during_execution
    if required is None:
        return True
    asked = now.required_during_scheduling_ignored_during_execution if now else None
    at = SPEC.child("affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms")
    old_terms = required.node_selector_terms
    new_terms = asked.node_selector_terms if asked else []
    if len(old_terms) != len(new_terms):
        text = "no additions/deletions to non-empty NodeSelectorTerms list are allowed"
        errors.append(field.invalid(at, new_terms, text))
        return True
    for i, (old, new) in enumerate(zip(old_terms, new_terms, strict=True)):
        was = [*(old.match_expressions or ()), *(old.match_fields or ())]
        has = [*(new.match_expressions or ()), *(new.match_fields or ())]
        if any(term not in has for term in was):
            text = "only additions are allowed (no mutations or deletions)"
            errors.append(field.invalid(at.index(i), new, text))
    return True


def _images(after: Sequence[Container] | None, before: Sequence[Container] | None) -> list[Container] | None:
    if after is None or before is None:
        return list(after) if after is not None else None
    return [msgspec.structs.replace(a, image=b.image) for a, b in zip(after, before, strict=True)]


def _deadline(spec: PodSpec, before: PodSpec, errors: list[FieldError]) -> None:
    at = SPEC.child("activeDeadlineSeconds")
    value, earlier = spec.active_deadline_seconds, before.active_deadline_seconds
    if value is not None:
        if not 0 <= value <= MAX_INT32:
            errors.append(field.invalid(at, value, names.range_text(0, MAX_INT32)))
        elif earlier is not None and earlier < value:
            errors.append(field.invalid(at, value, "must be less than or equal to previous value"))
    elif earlier is not None:
        errors.append(field.invalid(at, None, "must not update from a positive integer to nil value"))


def _only_more_tolerations(spec: PodSpec, before: PodSpec) -> bool:
    new = spec.tolerations or []
    for old in before.tolerations or ():
        bare = msgspec.structs.replace(old, toleration_seconds=None)
        if not any(msgspec.structs.replace(t, toleration_seconds=None) == bare for t in new):
            return False
    errors: list[FieldError] = []
    tolerations(new, SPEC, errors)
    return not errors


def _diff(old: Any, new: Any, prefix: str = "", depth: int = 0) -> str:
    """The fields that differ, one line before and one after each."""
    lines: list[str] = []
    _walk(msgspec.to_builtins(old), msgspec.to_builtins(new), "", lines)
    return "\n".join(lines) + "\n"


def _walk(old: Any, new: Any, path: str, lines: list[str]) -> None:
    if old == new:
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys([*old, *new]):
            _walk(old.get(key), new.get(key), f"{path}.{key}" if path else key, lines)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for i, (a, b) in enumerate(zip(old, new, strict=True)):
            _walk(a, b, f"{path}[{i}]", lines)
    else:
        if old is not None:
            lines.append(f"- \t{path}: {show(old)},")
        if new is not None:
            lines.append(f"+ \t{path}: {show(new)},")


# Subresources ------------------------------------------------------------------------------------------------------


def validate_pod_ephemeral_containers_update(new: Pod, old: Pod) -> list[FieldError]:
    """What is wrong with an update of pods/ephemeralcontainers: containers may only be added."""
    errors = meta.object_meta_update(new.metadata, old.metadata)
    path = SPEC.child("ephemeralContainers")
    listed = new.spec.ephemeral_containers or []
    regular = {c.name for c in new.spec.containers}
    others = regular | {c.name for c in new.spec.init_containers or ()}
    sources = {
        volume.name: next((w for a, w in SOURCES.items() if getattr(volume, a) is not None), "")
        for volume in new.spec.volumes or ()
    }
    context = Context(volumes=sources, host_network=bool(new.spec.host_network))
    ephemeral_containers(listed, others, others, context, path, errors)
    if new.spec.os is not None and new.spec.os.name == "windows":
        errors.append(field.forbidden(path, "ephemeral containers not supported for this pod"))
    by_name = {c.name: c for c in listed}
    for container in old.spec.ephemeral_containers or ():
        now = by_name.get(container.name)
        if now is None:
            text = f"existing ephemeral containers {quote(container.name)} may not be removed\n"
            errors.append(field.forbidden(path, text))
        elif now != container:
            text = f"existing ephemeral containers {quote(container.name)} may not be changed\n"
            errors.append(field.forbidden(path, text))
    return errors


def validate_pod_resize(new: Pod, old: Pod) -> list[FieldError]:
    """What is wrong with an update of pods/resize: only cpu and memory of containers (and resize policies) change."""
    errors = meta.object_meta_update(new.metadata, old.metadata)
    pod_spec(new.spec, SPEC, errors)
    spec, before = new.spec, old.spec
    if (spec.os and spec.os.name == "windows") or (
        old.metadata.annotations and ("kubernetes.io/config.mirror" in old.metadata.annotations)
    ):
        kind = "windows pods" if spec.os and spec.os.name == "windows" else "static pods"
        errors.append(field.forbidden(Path(""), f"{kind} cannot be resized"))
        return errors
    for name, after, earlier in (
        ("containers", spec.containers, before.containers),
        ("initContainers", spec.init_containers or [], before.init_containers or []),
    ):
        if len(after) != len(earlier):
            errors.append(field.forbidden(SPEC.child(name), "resize may not add or remove containers"))
            return errors
        moved = [i for i, (now, was) in enumerate(zip(after, earlier, strict=True)) if now.name != was.name]
        for i in moved:
            at = SPEC.child(name).index(i).child("name")
            errors.append(field.forbidden(at, "containers may not be renamed or reordered on resize"))
        if moved:
            return errors
        for i, (now, was) in enumerate(zip(after, earlier, strict=True)):
            at = SPEC.child(name).index(i).child("resources")
            sidecar = was.restart_policy == "Always"
            if name == "initContainers" and not sidecar and now.resources != was.resources:
                errors.append(field.forbidden(at, "resize of non-sidecar init containers is not allowed"))
            _resized(now.resources, was.resources, at, errors)
    plain = msgspec.structs.replace(
        spec,
        containers=_sizes(spec.containers, before.containers),
        init_containers=_sizes(spec.init_containers, before.init_containers),
        resources=before.resources,
    )
    if plain != before:
        errors.append(field.forbidden(SPEC, "only cpu and memory resources are mutable"))
    if qos_class(new) != qos_class(old):
        shown = qos_class(new)
        errors.append(field.invalid(SPEC, shown, "Pod QOS Class may not change as a result of resizing"))
    return errors


def _sizes(after: Sequence[Container] | None, before: Sequence[Container] | None) -> list[Container] | None:
    if after is None or before is None:
        return list(after) if after is not None else None
    replace = msgspec.structs.replace
    return [
        replace(a, resources=b.resources, resize_policy=b.resize_policy) for a, b in zip(after, before, strict=True)
    ]


def _resized(
    now: ResourceRequirements | None, was: ResourceRequirements | None, path: Path, errors: list[FieldError]
) -> None:
    for what in ("limits", "requests"):
        after = (getattr(now, what) if now else None) or {}
        before = (getattr(was, what) if was else None) or {}
        for name in {**after, **before}:
            if name not in ("cpu", "memory"):
                if after.get(name) != before.get(name):
                    errors.append(field.forbidden(path, "only cpu and memory resources are mutable"))
            elif name in before and name not in after:
                text = f"resource {what} cannot be removed"
                errors.append(field.forbidden(path.child(what), text))


def qos_class(pod: Pod) -> str:
    """Guaranteed, Burstable or BestEffort, by the CPU and memory that the containers (or the Pod) ask for."""
    listed: list[ResourceRequirements | None]
    level = pod.spec.resources
    if level is not None and (level.limits or level.requests):
        listed = [level]
    else:
        listed = [c.resources for c in (*pod.spec.containers, *(pod.spec.init_containers or ()))]
    guaranteed = bool(listed)
    some = False
    for resources in listed:
        limits = (resources.limits if resources else None) or {}
        requests = (resources.requests if resources else None) or {}
        for name in ("cpu", "memory"):
            limit = quantity.parse(limits.get(name, "0")).nano
            request = quantity.parse(requests[name]).nano if name in requests else limit
            some = some or request > 0 or limit > 0
            if limit <= 0 or request != limit:
                guaranteed = False
    return "Guaranteed" if guaranteed and some else "Burstable" if some else "BestEffort"


def validate_pod_status_update(new: Pod, old: Pod) -> list[FieldError]:
    """What is wrong with an update of pods/status."""
    errors = meta.object_meta_update(new.metadata, old.metadata)
    status, before = new.status, old.status
    path = Path("status")
    if status.nominated_node_name:
        for text in names.dns1123_subdomain(status.nominated_node_name):
            errors.append(field.invalid(path.child("nominatedNodeName"), status.nominated_node_name, text))
    if new.spec.node_name != old.spec.node_name:
        errors.append(field.forbidden(SPEC.child("nodeName"), "may not be changed directly"))
    sidecars = {c.name for c in old.spec.init_containers or () if c.restart_policy == "Always"}
    for name, after, earlier, kept in (
        ("containerStatuses", status.container_statuses, before.container_statuses, frozenset[str]()),
        ("initContainerStatuses", status.init_container_statuses, before.init_container_statuses, sidecars),
    ):
        _transitions(new.spec, after, earlier, kept, path.child(name), errors)
    seen: set[str] = set()
    for i, address in enumerate(status.pod_ips or ()):
        for text in names.ip(address.ip):
            errors.append(field.invalid(path.child("podIPs").index(i), address.ip, text))
        if address.ip in seen:
            errors.append(field.duplicate(path.child("podIPs").index(i), address.ip))
        seen.add(address.ip)
    types: set[str] = set()
    for i, condition in enumerate(status.conditions or ()):
        if condition.type in types:
            errors.append(field.duplicate(path.child("conditions").index(i).child("type"), condition.type))
        types.add(condition.type)
    if before.qos_class and status.qos_class != before.qos_class:
        errors.append(field.invalid(path.child("qosClass"), status.qos_class, meta.IMMUTABLE))
    return errors


def _transitions(
    spec: PodSpec,
    after: Sequence[ContainerStatus] | None,
    earlier: Sequence[ContainerStatus] | None,
    restarted: frozenset[str] | set[str],
    path: Path,
    errors: list[FieldError],
) -> None:
    """A container that has ended for good does not start again."""
    containers = (*spec.containers, *(spec.init_containers or ()))
    if spec.restart_policy == "Always" or any(
        rule.action == "RestartAllContainers" for c in containers for rule in c.restart_policy_rules or ()
    ):
        return
    rules = {c.name for c in containers if c.restart_policy}
    now = {c.name: c for c in after or ()}
    for i, was in enumerate(earlier or ()):
        ended = was.state.terminated if was.state else None
        if ended is None or was.name in restarted or was.name in rules:
            continue
        if ended.exit_code != 0 and spec.restart_policy == "OnFailure":
            continue
        container = now.get(was.name)
        if container is not None and (container.state is None or container.state.terminated is None):
            at = path.index(i).child("state")
            errors.append(field.forbidden(at, "may not be transitioned to non-terminated state"))
