"""In-place resize, the pure part: which resources a running container should have, and whether it has them.

CPU and memory can change while a container runs. What was last given to the runtime is in `Run.resources`; the
difference to the pod's spec is what is left to do. Whether the node has room for more is the kubelet's decision
(`admission.resize_refusal`); a refused resize is in `PodState.resize` and leaves the container as it is.
"""

from __future__ import annotations

from pybernetes.api.core_v1 import Container, Pod
from pybernetes.machinery import quantity
from pybernetes.node.kubelet.restarts import AnyContainer
from pybernetes.node.kubelet.state import PodState, Run

RESIZABLE = ("cpu", "memory")
PENDING, IN_PROGRESS = "PodResizePending", "PodResizeInProgress"

Resources = dict[str, dict[str, str]]


def resources_of(container: AnyContainer) -> Resources:
    """`{"limits": {...}, "requests": {...}}` of a container, as in its spec."""
    resources = container.resources
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


def wants_resize(pod: Pod, container: Container, run: Run) -> bool:
    """Whether a running container has other resources than its spec says."""
    return run.resources is not None and bool(differs(run.resources, resources_of(container)))


def needs_restart(container: Container, changed: set[str]) -> bool:
    """Whether the container's resize policy asks for a restart for one of these resources."""
    return any(
        p.resource_name in changed and p.restart_policy == "RestartContainer" for p in container.resize_policy or ()
    )


def in_progress(pod: Pod, state: PodState) -> bool:
    """Some running container's resources are not yet those of its spec."""
    return any(
        (run := state.latest(c.name)) is not None and run.state == "running" and wants_resize(pod, c, run)
        for c in (*pod.spec.containers, *(pod.spec.init_containers or ()))
    )
