"""Cordon, uncordon and drain: what may be evicted is decided first, and refused as a whole; evictions obey budgets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pybernetes.cli import finder
from pybernetes.cli.errors import APIError, CLIError
from pybernetes.cli.finder import Found, Target
from pybernetes.cli.session import STRATEGIC_PATCH, pause, seconds
from pybernetes.cli.watching import Deadline
from pybernetes.cli.writing import Writer

if TYPE_CHECKING:
    from pybernetes.cli.command import Run
    from pybernetes.cli.flags import Flags
    from pybernetes.cli.session import Session

_RETRY = 5.0  # seconds until an eviction that a budget refused is tried again


def _nodes(session: Session, flags: Flags, arguments: list[str], verb: str) -> list[Found]:
    if not arguments and not flags.text("selector"):
        raise CLIError(f"USAGE: {verb} NODE [flags]\nSee 'kubectl {verb} -h' for help and examples")
    if arguments and flags.text("selector"):
        raise CLIError("error: cannot specify both a node name and a --selector option")
    words = [a.removeprefix("node/").removeprefix("nodes/") for a in arguments]
    targets = finder.targets(session, flags, ["nodes", *words], files=False)
    return finder.fetch(session, flags, targets)


def cordoning(wanted: bool) -> Run:
    """The `run` of cordon (True) or uncordon (False)."""
    verb = "cordon" if wanted else "uncordon"

    def run(session: Session, flags: Flags, arguments: list[str]) -> int | None:
        writer = Writer(session, flags, f"kubectl-{verb}")
        for f in _nodes(session, flags, arguments, verb):
            _cordon(writer, f, wanted)
        return None

    return run


def _cordon(writer: Writer, f: Found, wanted: bool) -> None:
    verb = "cordon" if wanted else "uncordon"
    if bool(f.object["spec"].get("unschedulable")) == wanted:
        writer.session.say(f"node/{f.name} already {verb}ed{writer.suffix}")
        return
    if writer.dry_run != "client":
        writer.patch(f.path(), {"spec": {"unschedulable": True if wanted else None}}, STRATEGIC_PATCH)
    writer.session.say(f"node/{f.name} {verb}ed{writer.suffix}")


def drain(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    """`kubectl drain`."""
    writer = Writer(session, flags, "kubectl-drain")
    deadline = Deadline(seconds(flags.text("timeout")))
    for f in _nodes(session, flags, arguments, "drain"):
        _cordon(writer, f, True)
        pods = session.list(
            session.resources.find("pods"), "", selector=flags.text("pod-selector"), fields=f"spec.nodeName={f.name}"
        )
        chosen, warnings, errors = _choose(session, flags, pods)
        if errors:
            session.out.flush()
            text = ", ".join(errors)
            session.warn(
                f'error: unable to drain node "{f.name}" due to error: {text if len(errors) == 1 else f"[{text}]"}, '
                f"continuing command...\nThere are pending nodes to be drained:\n {f.name}\n" + "\n".join(errors)
            )
            return 1
        if warnings:
            session.warn("Warning: " + "; ".join(warnings))
        for pod in chosen:
            metadata = pod["metadata"]
            session.say(f"evicting pod {metadata['namespace']}/{metadata['name']}{writer.suffix}")
        if writer.dry_run == "none":
            _evict_all(session, flags, chosen, deadline)
        session.say(f"node/{f.name} drained{writer.suffix}")
    return None


def _choose(
    session: Session, flags: Flags, pods: list[dict[str, Any]]
) -> tuple[list[dict[str, Any]], list[str], list[str]]:
    """The Pods to evict, warnings about those that stay, and reasons not to begin."""
    chosen = []
    daemons: list[str] = []
    local: list[str] = []
    bare: list[str] = []
    for pod in pods:
        metadata = pod["metadata"]
        name = f"{metadata['namespace']}/{metadata['name']}"
        if "kubernetes.io/config.mirror" in (metadata.get("annotations") or {}):
            continue
        finished = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
        owner = next((o for o in metadata.get("ownerReferences") or () if o.get("controller")), None)
        if owner and owner["kind"] == "DaemonSet" and not finished:
            daemons.append(name)
            continue
        scratch = any("emptyDir" in v for v in pod["spec"].get("volumes") or ())
        if not finished and scratch and not flags.on("delete-emptydir-data"):
            local.append(name)
            continue
        if not finished and owner is None and not flags.on("force"):
            bare.append(name)
            continue
        chosen.append(pod)
    errors, warnings = [], []
    if daemons:
        if flags.on("ignore-daemonsets"):
            warnings.append(f"ignoring DaemonSet-managed Pods: {', '.join(daemons)}")
        else:
            errors.append(
                f"cannot delete DaemonSet-managed Pods (use --ignore-daemonsets to ignore): {', '.join(daemons)}"
            )
    if local:
        errors.append(
            "cannot delete Pods with local storage (use --delete-emptydir-data to override): " + ", ".join(local)
        )
    if bare:
        errors.append("cannot delete Pods that declare no controller (use --force to override): " + ", ".join(bare))
    return chosen, warnings, errors


def _evict_all(session: Session, flags: Flags, pods: list[dict[str, Any]], deadline: Deadline) -> None:
    from pybernetes.cli.deletion import wait_gone

    resource = session.resources.find("pods")
    waiting = list(pods)
    gone: list[tuple[Target, str]] = []
    grace = flags.number("grace-period")
    while waiting:
        again = []
        for pod in waiting:
            metadata = pod["metadata"]
            target = Target(resource, metadata["namespace"], metadata["name"])
            options: dict[str, Any] = {"gracePeriodSeconds": grace} if grace >= 0 else {}
            try:
                if flags.on("disable-eviction"):
                    session.call("DELETE", target.path(), {"kind": "DeleteOptions", "apiVersion": "v1", **options})
                else:
                    body = {
                        "apiVersion": "policy/v1",
                        "kind": "Eviction",
                        "metadata": {"name": target.name, "namespace": target.namespace},
                        "deleteOptions": options,
                    }
                    session.call("POST", target.path("eviction"), body)
            except APIError as error:
                if error.code == 429:
                    session.warn(
                        f'error when evicting pods/"{target.name}" -n "{target.namespace}" '
                        f"(will retry after 5s): {error}"
                    )
                    again.append(pod)
                    continue
                if error.reason != "NotFound":
                    raise
            gone.append((target, metadata.get("uid", "")))
        waiting = again
        if waiting:
            if deadline.passed:
                raise CLIError("drain did not complete within the timeout")
            pause(_RETRY)
    for target, uid in gone:
        if not wait_gone(session, target, uid, deadline.left or 0):
            raise CLIError("drain did not complete within the timeout")
        session.say(f"pod/{target.name} evicted")
