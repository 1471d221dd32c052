"""In-place resize, the pure part: which resources a running container should have, and whether it has them.

CPU and memory can change while a container runs. What was last given to the runtime is in `Run.resources`; the
difference to the pod's spec is what is left to do. Whether the node has room for more is the kubelet's decision
(`admission.resize_refusal`); a refused resize is in `PodState.resize` and leaves the container as it is.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from pybernetes.api.core_v1 import Container, Pod, PodSpec, PodStatus
from pybernetes.machinery import quantity
from pybernetes.node.kubelet.restarts import AnyContainer
from pybernetes.node.kubelet.state import RUNNING, PodState, Run

RESIZABLE = ("cpu", "memory")
PENDING, IN_PROGRESS = "PodResizePending", "PodResizeInProgress"

Resources = dict[str, dict[str, str]]


def resources_of(owner: AnyContainer | PodSpec | PodStatus) -> Resources:
    """`{"limits": {...}, "requests": {...}}` of a container, or of a pod as a whole, as in its spec."""
    resources = owner.resources
    found: Resources = {}
    if resources and resources.limits:
        found["limits"] = {k: str(v) for k, v in resources.limits.items()}
    if resources and resources.requests:
        found["requests"] = {k: str(v) for k, v in resources.requests.items()}
    return found


def differs(old: Resources | None, new: Resources) -> set[str]:
    """Resource names whose request or limit is not the same."""
    changed = set()
    for part in ("limits", "requests"):
        before, after = (old or {}).get(part, {}), new.get(part, {})
        for name in RESIZABLE:
            a, b = before.get(name), after.get(name)
            if (a is None) != (b is None) or (a is not None and b is not None and quantity.cmp(a, b)):
                changed.add(name)
    return changed


def wants_resize(pod: Pod, container: AnyContainer, run: Run) -> bool:
    """Whether a running container has other resources than its spec says."""
    return run.resources is not None and bool(differs(run.resources, resources_of(container)))


def wants_pod_resize(pod: Pod, state: PodState) -> bool:
    """Whether the pod as a whole has other resources than its spec says."""
    return state.resources is not None and bool(differs(state.resources, resources_of(pod.spec)))


def needs_restart(container: Container, changed: set[str]) -> bool:
    """Whether the container's resize policy asks for a restart for one of these resources."""
    return any(
        p.resource_name in changed and p.restart_policy == "RestartContainer" for p in container.resize_policy or ()
    )


class Progress(NamedTuple):
    """How far a resize is: its condition ("" when there is none to do), with reason and message."""

    condition: str = ""
    reason: str = ""
    message: str = ""


NOTHING = Progress()


def progress(pod: Pod, state: PodState) -> Progress:
    """The resize that is refused, or under way, or failing."""
    if PENDING in state.resize:
        return Progress(PENDING, *state.resize[PENDING])
    found = NOTHING
    if wants_pod_resize(pod, state):
        if trouble := state.trouble.get("resize"):
            return Progress(IN_PROGRESS, "Error", trouble.message)
        found = Progress(IN_PROGRESS)
    for container in (*pod.spec.containers, *(pod.spec.init_containers or ())):
        run = state.latest(container.name)
        if run is None or not wants_resize(pod, container, run):
            continue
        if trouble := state.trouble.get(f"resize/{container.name}"):
            return Progress(IN_PROGRESS, "Error", trouble.message)
        if run.state == RUNNING or (run.kill is not None and run.kill.restart):
            found = Progress(IN_PROGRESS)
    return found


def event(pod: Pod, before: Progress, after: Progress) -> tuple[str, str, str] | None:
    """The event (type, reason, message) of a step from one progress to the next."""
    if before == after:
        return None
    if after.condition == PENDING:
        return "Warning", f"Resize{after.reason}", _summary(pod, f"Pod resize {after.reason}", after.message)
    if after.condition == IN_PROGRESS and after.reason:
        return "Warning", "ResizeError", _summary(pod, "Pod resize error", after.message)
    if after.condition == IN_PROGRESS:
        return ("Normal", "ResizeStarted", _summary(pod, "Pod resize started")) if not before.reason else None
    if before.condition == IN_PROGRESS:
        return "Normal", "ResizeCompleted", _summary(pod, "Pod resize completed")
    return None


def _summary(pod: Pod, text: str, error: str = "") -> str:
    """The text, and what all containers ask for now."""
    groups = {"initContainers": pod.spec.init_containers or [], "containers": pod.spec.containers}
    shown: dict[str, Any] = {
        name: [{"name": c.name, "resources": c.resources or {}} for c in group]
        for name, group in groups.items()
        if group
    }
    if pod.spec.resources:
        shown["resources"] = pod.spec.resources
    shown["generation"] = pod.metadata.generation
    if error:
        shown["error"] = error
    return f"{text}: {msgspec.json.encode(shown).decode()}"
