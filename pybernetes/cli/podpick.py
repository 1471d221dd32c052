"""Which Pod (and container) is meant by `x`, `pod/x`, `deploy/x`, `svc/x`, for logs, exec, attach and port-forward."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pybernetes.cli.errors import CLIError
from pybernetes.cli.session import pause

if TYPE_CHECKING:
    from pybernetes.cli.finder import Target
    from pybernetes.cli.session import Session

_DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"


def find(session: Session, word: str) -> tuple[Target, dict[str, Any]]:
    """The object a word names (pods without a kind) and its content. Raises CLIError, APIError."""
    from pybernetes.cli import finder

    target = finder._slashed(session, [word if "/" in word else f"pods/{word}"], session.namespace)[0]
    return target, session.get(target.resource, target.namespace, target.name)


def selector_of(value: dict[str, Any]) -> str:
    """The label selector of an object that selects Pods. Raises CLIError for a kind that does not."""
    from pybernetes.cli.verbs.rollout import selector_text

    kind, spec = value["kind"], value.get("spec") or {}
    if kind in ("Service", "ReplicationController"):
        selector = spec.get("selector")
        if not selector:
            raise CLIError(f"invalid service '{value['metadata']['name']}': Service is defined without a selector")
        return selector_text({"matchLabels": selector})
    if kind in ("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job"):
        return selector_text(spec.get("selector") or {})
    if kind == "CronJob":
        raise CLIError("cannot get the logs from *v1.CronJob: selector for *v1.CronJob not implemented")
    raise CLIError(f"selector for {kind} not implemented")


def pods_of(session: Session, value: dict[str, Any]) -> list[dict[str, Any]]:
    """The Pods of an object, the best one first; a Pod is its own."""
    if value["kind"] == "Pod":
        return [value]
    pods = session.list(session.resources.find("pods"), value["metadata"]["namespace"], selector=selector_of(value))
    return sorted(pods, key=_rank)


def one(session: Session, word: str, timeout: float = 60.0) -> dict[str, Any]:
    """One Pod; waits up to `timeout` seconds for a controller to make one. Raises CLIError."""
    from pybernetes.cli.watching import Deadline

    _, value = find(session, word)
    deadline = Deadline(timeout)
    while True:
        if pods := pods_of(session, value):
            return pods[0]
        if deadline.passed:
            raise CLIError("timed out waiting for the condition")
        pause(0.2)


def _rank(pod: dict[str, Any]) -> tuple[Any, ...]:
    """Upstream's ActivePods, best first: bound, running, ready, longest so."""
    status = pod.get("status") or {}
    ready: dict[str, Any] = next((c for c in status.get("conditions") or () if c["type"] == "Ready"), {})
    phase = {"Pending": 1, "Unknown": 1, "Running": 0}.get(status.get("phase", ""), 2)
    restarts = max((c.get("restartCount", 0) for c in status.get("containerStatuses") or ()), default=0)
    return (
        not (pod.get("spec") or {}).get("nodeName"),
        phase,
        ready.get("status") != "True",
        ready.get("lastTransitionTime") or "~",
        restarts,
        pod["metadata"].get("creationTimestamp") or "~",
    )


def containers(pod: dict[str, Any]) -> list[str]:
    """Names of all containers: init, ordinary, ephemeral."""
    spec = pod["spec"]
    return [c["name"] for part in ("initContainers", "containers", "ephemeralContainers") for c in spec.get(part) or ()]


def container(session: Session, pod: dict[str, Any], given: str, *, quiet: bool = False) -> str:
    """The container to use. Raises CLIError when there is no such one."""
    name = pod["metadata"]["name"]
    names = containers(pod)
    if given:
        if given not in names:
            raise CLIError(f"container {given} is not valid for pod {name} out of: {every(pod)}")
        return given
    preferred = (pod["metadata"].get("annotations") or {}).get(_DEFAULT_CONTAINER)
    if preferred:
        if preferred in names:
            return str(preferred)
        session.warn(f'Default container name "{preferred}" not found in pod {name}')
    ordinary = [c["name"] for c in pod["spec"].get("containers") or ()]
    if len(names) > 1 and not quiet:
        session.warn(f'Defaulted container "{ordinary[0]}" out of: {every(pod)}')
    return str(ordinary[0])


def every(pod: dict[str, Any]) -> str:
    """The names of all containers, as messages list them."""
    spec = pod["spec"]
    parts = [c["name"] for c in spec.get("containers") or ()]
    parts += [f"{c['name']} (ephem)" for c in spec.get("ephemeralContainers") or ()]
    parts += [f"{c['name']} (init)" for c in spec.get("initContainers") or ()]
    return ", ".join(parts)
