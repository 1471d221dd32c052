"""Whether and when an exited container starts again: restart policies, restart rules, back-off. Pure.

The first restart comes at once; after that the pause is 10 s, doubling to 300 s, counted from the exit. A container
that ran for ten minutes without trouble has its pause forgotten, and so has one with another image.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from pybernetes.api.core_v1 import Container, EphemeralContainer, Pod
from pybernetes.node.kubelet.state import EXITED, BackOff, PodState, Run

INITIAL_BACK_OFF = 10.0
MAX_BACK_OFF = 300.0
RESTART_ALL = "RestartAllContainers"

AnyContainer = Container | EphemeralContainer


def init_containers(pod: Pod) -> Sequence[Container]:
    return pod.spec.init_containers or ()


def ephemeral_containers(pod: Pod) -> Sequence[EphemeralContainer]:
    return pod.spec.ephemeral_containers or ()


def is_sidecar(container: AnyContainer) -> bool:
    """For an init container: it keeps running beside the others."""
    return container.restart_policy == "Always"


def sidecars(pod: Pod) -> list[Container]:
    return [c for c in init_containers(pod) if is_sidecar(c)]


def find_container(pod: Pod, name: str) -> AnyContainer | None:
    """The container of any class with this name."""
    for group in (pod.spec.containers, init_containers(pod), ephemeral_containers(pod)):
        for container in group:
            if container.name == name:
                return container
    return None


def spec_hash(container: AnyContainer) -> str:
    """Of what makes a container another one: only the image of a running pod can change (resources are resized)."""
    return hashlib.sha256(f"{container.name}\0{container.image or ''}".encode()).hexdigest()[:8]


def changed(container: AnyContainer, run: Run) -> bool:
    """Whether a run is of what the container was before its definition changed."""
    return bool(run.spec_hash) and run.spec_hash != spec_hash(container)


def restarts(pod: Pod, container: Container, run: Run, *, init: bool = False) -> bool:
    """Whether this exited run is to be followed by another one."""
    if run.superseded or (run.kill is not None and (run.kill.restart or changed(container, run))):
        return True
    if _action(container, run.exit_code):  # both actions restart at least this container
        return True
    policy = container.restart_policy or pod.spec.restart_policy or "Always"
    if init and not container.restart_policy and policy == "Always":
        policy = "OnFailure"  # an init container that succeeded is done
    return policy == "Always" or (policy == "OnFailure" and run.exit_code != 0)


def asks_for_all(container: Container, run: Run) -> bool:
    """Whether the exit of this run asks for a restart of all containers of the pod."""
    return run.state == EXITED and not run.superseded and _action(container, run.exit_code) == RESTART_ALL


def may_restart_all(pod: Pod) -> bool:
    """Whether any exit of a container can have that effect."""
    containers = (*init_containers(pod), *pod.spec.containers)
    return any(rule.action == RESTART_ALL for c in containers for rule in c.restart_policy_rules or ())


def _action(container: Container, exit_code: int) -> str:
    """Of the first rule that fits an exit code; "" when none does."""
    for rule in container.restart_policy_rules or ():
        codes = rule.exit_codes
        if codes is not None and (exit_code in (codes.values or ())) == (codes.operator == "In"):
            return rule.action or ""
    return ""


def back_off_until(state: PodState, container: AnyContainer, now: float) -> float:
    """When the container may start again; 0 when that is now."""
    run = state.latest(container.name)
    if run is None or run.state != EXITED or (entry := back_off(state, container, run)) is None:
        return 0.0
    if run.finished_at - entry.updated > 2 * MAX_BACK_OFF:
        return 0.0
    until = run.finished_at + entry.delay
    return until if until > now else 0.0


def back_off(state: PodState, container: AnyContainer, run: Run) -> BackOff | None:
    """The entry that counts after this run: what another definition did is not held against a new one."""
    return None if changed(container, run) else state.back_off.get(container.name)


def next_back_off(entry: BackOff | None, finished_at: float, now: float) -> BackOff:
    """The entry after a restart."""
    if entry is None or finished_at - entry.updated > 2 * MAX_BACK_OFF:
        return BackOff(INITIAL_BACK_OFF, now)
    return BackOff(min(entry.delay * 2, MAX_BACK_OFF), now)
