"""Cordon, uncordon and drain: what may be evicted is decided first, and refused as a whole; evictions obey budgets."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pybernetes.aio import clock
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
    """`kubectl drain`: all nodes are closed first, then emptied one after the other."""
    writer = Writer(session, flags, "kubectl-drain")
    deadline = Deadline(seconds(flags.text("timeout")))
    nodes = _nodes(session, flags, arguments, "drain")
    for f in nodes:
        _cordon(writer, f, True)
    failed: dict[str, list[str]] = {}
    for f in nodes:
        errors = _empty(session, flags, writer, f, deadline)
        if errors:
            text = errors[0] if len(errors) == 1 else f"[{', '.join(errors)}]"
            session.out.flush()
            session.warn(f'error: unable to drain node "{f.name}" due to error: {text}, continuing command...')
            failed[f.name] = errors
        else:
            session.say(f"node/{f.name} drained{writer.suffix}")
    if not failed:
        return None
    session.out.flush()
    session.warn("There are pending nodes to be drained:\n" + "".join(f" {name}\n" for name in failed).rstrip("\n"))
    session.warn("\n".join(line for errors in failed.values() for line in errors))
    return 1


def _pods(session: Session, flags: Flags, node: str) -> tuple[list[dict[str, Any]], list[str], list[str]]:
    fields = f"spec.nodeName={node}"
    found = session.list(session.resources.find("pods"), "", selector=flags.text("pod-selector"), fields=fields)
    return _choose(session, flags, found)


def _empty(session: Session, flags: Flags, writer: Writer, f: Found, deadline: Deadline) -> list[str]:
    """Take the Pods off one node; why that did not succeed."""
    chosen, warnings, errors = _pods(session, flags, f.name)
    if errors:
        return errors
    if warnings:
        session.out.flush()
        session.warn("Warning: " + "; ".join(warnings))
    if writer.dry_run != "none":
        for pod in chosen:
            session.say(f"evicting pod {pod['metadata']['namespace']}/{pod['metadata']['name']}{writer.suffix}")
        return []
    errors = _evict_all(session, flags, chosen, deadline)
    if errors and (left := _pods(session, flags, f.name)[0]):
        session.out.flush()
        text = errors[0] if len(errors) == 1 else f"[{', '.join(errors)}]"
        session.warn(f'There are pending pods in node "{f.name}" when an error occurred: {text}')
        session.warn("\n".join(f"pod/{pod['metadata']['name']}" for pod in left))
    return errors


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
        if not finished and scratch:
            local.append(name)
            if not flags.on("delete-emptydir-data"):
                continue
        if not finished and owner is None:
            bare.append(name)
            if not flags.on("force"):
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
    if local and not flags.on("delete-emptydir-data"):
        errors.append(
            "cannot delete Pods with local storage (use --delete-emptydir-data to override): " + ", ".join(local)
        )
    if bare and flags.on("force"):
        warnings.append(f"deleting Pods that declare no controller: {', '.join(bare)}")
    elif bare:
        errors.append("cannot delete Pods that declare no controller (use --force to override): " + ", ".join(bare))
    return chosen, warnings, errors


@dataclass
class _Eviction:
    """A Pod on its way out. due: when it is asked for (again); infinity: it was accepted."""

    target: Target
    uid: str
    due: float = 0.0

    @property
    def name(self) -> str:
        return f'pods/"{self.target.name}" -n "{self.target.namespace}"'


def _evict_all(session: Session, flags: Flags, pods: list[dict[str, Any]], deadline: Deadline) -> list[str]:
    """All Pods at a time: one that a budget holds up holds up no other. What went wrong."""
    resource, errors = session.resources.find("pods"), list[str]()
    waiting = [_Eviction(Target(resource, m["namespace"], m["name"]), m["uid"]) for m in (p["metadata"] for p in pods)]
    verb = "deleted" if flags.on("disable-eviction") else "evicted"
    over = f"global timeout reached: {flags.text('timeout')}"
    while waiting:
        for one in tuple(waiting):
            where = f"{one.target.namespace}/{one.target.name}"
            if one.due < math.inf and clock.monotonic() >= one.due:
                if verb == "evicted":
                    session.say(f"evicting pod {where}")
                problem = f"error when evicting {one.name}: {over}" if deadline.passed else _evict(session, flags, one)
                if problem:
                    errors.append(problem)
                    waiting.remove(one)
            elif one.due == math.inf and _is_gone(session, one):
                session.say(f"pod/{one.target.name} {verb}")
                waiting.remove(one)
            elif one.due == math.inf and deadline.passed:
                place = f'"{one.target.name}" in namespace "{one.target.namespace}"'
                errors.append(f"error when waiting for pod {place} to terminate: {over}")
                waiting.remove(one)
        if waiting:
            pause(0.2)
    return errors


def _evict(session: Session, flags: Flags, one: _Eviction) -> str:
    """Ask once; why it can never be, "" if it is on its way or is to be asked again."""
    grace, target = flags.number("grace-period"), one.target
    options: dict[str, Any] = {"gracePeriodSeconds": grace} if grace >= 0 else {}
    metadata = {"name": target.name, "namespace": target.namespace}
    try:
        if flags.on("disable-eviction"):
            session.call("DELETE", target.path(), {"kind": "DeleteOptions", "apiVersion": "v1", **options})
        else:
            body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata, "deleteOptions": options}
            session.call("POST", target.path("eviction"), body)
    except APIError as error:
        if error.code == 429:
            session.out.flush()
            session.warn(f"error when evicting {one.name} (will retry after 5s): {error}")
            one.due = clock.monotonic() + _RETRY
            return ""
        if error.reason != "NotFound":
            return f"error when evicting {one.name}: {error}"
    one.due = math.inf
    return ""


def _is_gone(session: Session, one: _Eviction) -> bool:
    try:
        found = session.get(one.target.resource, one.target.namespace, one.target.name)
    except APIError as error:
        if error.reason != "NotFound":
            raise
        return True
    return bool(found["metadata"]["uid"] != one.uid)
