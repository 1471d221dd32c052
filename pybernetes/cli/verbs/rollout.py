"""`kubectl rollout`: status, history, undo, pause, resume and restart of what a controller rolls out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pybernetes.cli import finder
from pybernetes.cli.command import FILES, PRINT, Command
from pybernetes.cli.errors import CLIError, ExitCode
from pybernetes.cli.finder import Found
from pybernetes.cli.session import STRATEGIC_PATCH, seconds
from pybernetes.cli.watching import Deadline, watch_one
from pybernetes.cli.writing import LAST_APPLIED, Writer

if TYPE_CHECKING:
    from pybernetes.cli.flags import Flags
    from pybernetes.cli.session import Session

_REVISION = "deployment.kubernetes.io/revision"
_CAUSE = "kubernetes.io/change-cause"


def _found(session: Session, flags: Flags, arguments: list[str], command: str) -> list[Found]:
    targets = finder.targets(session, flags, arguments)
    if not targets:
        raise CLIError("required resource not specified")
    found = finder.fetch(session, flags, targets)
    if not found and not flags.text("selector"):
        raise CLIError("no resources found")
    return found


# status


def _status(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    limit = seconds(flags.text("timeout"))
    deadline = Deadline(limit)
    found = _found(session, flags, arguments, "status")
    if not found:
        session.warn(f"No resources found in {session.namespace} namespace.")
    for f in found:
        view = _STATUS.get(f.resource.kind)
        if view is None:
            raise CLIError(f"no status viewer has been implemented for {f.resource.kind}")
        revision = int(flags.number("revision"))
        _follow(session, flags, f, view, revision, deadline)
    return None


def _follow(
    session: Session,
    flags: Flags,
    f: Found,
    view: Callable[[dict[str, Any], int], tuple[str, bool]],
    revision: int,
    deadline: Deadline,
) -> None:
    value = f.object
    while True:
        text, done = view(value, revision)
        session.out.write(text)
        session.out.flush()
        if done or not flags.on("watch"):
            return
        for kind, changed in watch_one(session, f, value["metadata"]["resourceVersion"], deadline):
            value = changed
            if kind == "DELETED":
                raise CLIError("object has been deleted")
            text, done = view(value, revision)
            session.out.write(text)
            session.out.flush()
            if done:
                return
        if deadline.passed:
            raise CLIError("timed out waiting for the condition")
        value = session.get(f.resource, f.namespace, f.name)


def _deployment_status(d: dict[str, Any], revision: int) -> tuple[str, bool]:
    if revision > 0:
        have = int((d["metadata"].get("annotations") or {}).get(_REVISION) or 0)
        if have != revision:
            raise CLIError(f"desired revision ({revision}) is different from the running revision ({have})")
    spec, status, name = d["spec"], d.get("status") or {}, d["metadata"]["name"]
    if d["metadata"].get("generation", 0) > status.get("observedGeneration", 0):
        return "Waiting for deployment spec update to be observed...\n", False
    for condition in status.get("conditions") or ():
        if condition["type"] == "Progressing" and condition.get("reason") == "ProgressDeadlineExceeded":
            raise CLIError(f'deployment "{name}" exceeded its progress deadline')
    replicas, updated = spec.get("replicas", 1), status.get("updatedReplicas", 0)
    total, available = status.get("replicas", 0), status.get("availableReplicas", 0)
    if updated < replicas:
        return (
            f'Waiting for deployment "{name}" rollout to finish: {updated} out of {replicas} new replicas have been '
            "updated...\n"
        ), False
    if total > updated:
        return (
            f'Waiting for deployment "{name}" rollout to finish: {total - updated} old replicas are pending '
            "termination...\n"
        ), False
    if available < updated:
        return (
            f'Waiting for deployment "{name}" rollout to finish: {available} of {updated} updated replicas are '
            "available...\n"
        ), False
    return f'deployment "{name}" successfully rolled out\n', True


def _daemonset_status(d: dict[str, Any], revision: int) -> tuple[str, bool]:
    if ((d["spec"].get("updateStrategy") or {}).get("type") or "RollingUpdate") != "RollingUpdate":
        raise CLIError("rollout status is only available for RollingUpdate strategy type")
    status, name = d.get("status") or {}, d["metadata"]["name"]
    if d["metadata"].get("generation", 0) > status.get("observedGeneration", 0):
        return "Waiting for daemon set spec update to be observed...\n", False
    desired = status.get("desiredNumberScheduled", 0)
    updated, available = status.get("updatedNumberScheduled", 0), status.get("numberAvailable", 0)
    if updated < desired:
        return (
            f'Waiting for daemon set "{name}" rollout to finish: {updated} out of {desired} new pods have been '
            "updated...\n"
        ), False
    if available < desired:
        return (
            f'Waiting for daemon set "{name}" rollout to finish: {available} of {desired} updated pods are '
            "available...\n"
        ), False
    return f'daemon set "{name}" successfully rolled out\n', True


def _statefulset_status(s: dict[str, Any], revision: int) -> tuple[str, bool]:
    spec, status = s["spec"], s.get("status") or {}
    strategy = spec.get("updateStrategy") or {}
    if (strategy.get("type") or "RollingUpdate") != "RollingUpdate":
        raise CLIError("rollout status is only available for RollingUpdate strategy type")
    if not status.get("observedGeneration") or s["metadata"].get("generation", 0) > status["observedGeneration"]:
        return "Waiting for statefulset spec update to be observed...\n", False
    replicas = spec.get("replicas", 1)
    ready = status.get("readyReplicas", 0)
    if ready < replicas:
        return f"Waiting for {replicas - ready} pods to be ready...\n", False
    partition = (strategy.get("rollingUpdate") or {}).get("partition")
    updated = status.get("updatedReplicas", 0)
    if partition is not None:
        if updated < replicas - partition:
            return (
                f"Waiting for partitioned roll out to finish: {updated} out of {replicas - partition} new pods "
                f"have been "
                "updated...\n"
            ), False
        return f"partitioned roll out complete: {updated} new pods have been updated...\n", True
    if status.get("updateRevision") != status.get("currentRevision"):
        return (
            f"waiting for statefulset rolling update to complete {updated} pods at revision "
            f"{status.get('updateRevision', '')}...\n"
        ), False
    current = status.get("currentReplicas", 0)
    return (
        f"statefulset rolling update complete {current} pods at revision {status.get('currentRevision', '')}...\n"
    ), True


_STATUS: dict[str, Callable[[dict[str, Any], int], tuple[str, bool]]] = {
    "Deployment": _deployment_status,
    "DaemonSet": _daemonset_status,
    "StatefulSet": _statefulset_status,
}

# pause, resume, restart


def _patching(
    command: str, done: str, change: Callable[[Found], dict[str, Any] | str]
) -> Callable[[Session, Flags, list[str]], int | None]:
    """A subcommand that patches each object; `change` gives the patch, or says what is wrong."""

    def run(session: Session, flags: Flags, arguments: list[str]) -> int | None:
        writer = Writer(session, flags, "kubectl-rollout")
        errors = []
        for f in _found(session, flags, arguments, command):
            patch = change(f)
            if isinstance(patch, str):
                errors.append(f"error: {patch}")
                continue
            value = f.object if writer.dry_run == "client" else writer.patch(f.path(), patch, STRATEGIC_PATCH)
            writer.report(value, f.shown, done)
        for line in errors:
            session.warn(line)
        if errors:
            raise ExitCode(1)
        return None

    return run


def _pause(f: Found) -> dict[str, Any] | str:
    if f.resource.kind != "Deployment":
        return f"{f.resource.full_name} {_quoted(f.name)} pausing is not supported"
    if f.object["spec"].get("paused"):
        return f"{f.resource.full_name} {_quoted(f.name)} is already paused"
    return {"spec": {"paused": True}}


def _resume(f: Found) -> dict[str, Any] | str:
    if f.resource.kind != "Deployment":
        return f"{f.resource.full_name} {_quoted(f.name)} resuming is not supported"
    if not f.object["spec"].get("paused"):
        return f"{f.resource.full_name} {_quoted(f.name)} is not paused"
    return {"spec": {"paused": None}}


def _restart(f: Found) -> dict[str, Any] | str:
    from pybernetes.aio import clock

    if f.resource.kind not in ("Deployment", "DaemonSet", "StatefulSet"):
        return f"{f.resource.full_name} {_quoted(f.name)} restarting is not supported"
    if f.object["spec"].get("paused"):
        return "can't restart paused deployment (run rollout resume first)"
    stamp = {"kubectl.kubernetes.io/restartedAt": clock.rfc3339()}
    return {"spec": {"template": {"metadata": {"annotations": stamp}}}}


def _quoted(text: str) -> str:
    return f'"{text}"'


# history, undo


def _revisions(session: Session, f: Found, what: str) -> dict[int, dict[str, Any]]:
    """revision -> the ReplicaSet or ControllerRevision that keeps it. what: who asks, for kinds that have none."""
    selector = f.object["spec"].get("selector") or {}
    text = selector_text(selector)
    if f.resource.kind == "Deployment":
        keepers = session.list(session.resources.find("replicasets.apps"), f.namespace, selector=text)
    elif f.resource.kind in ("DaemonSet", "StatefulSet"):
        keepers = session.list(session.resources.find("controllerrevisions.apps"), f.namespace, selector=text)
    else:
        raise CLIError(f'no {what} has been implemented for "{f.resource.kind}"')
    uid = f.object["metadata"]["uid"]
    found = {}
    for keeper in keepers:
        if not any(
            o.get("uid") == uid and o.get("controller") for o in keeper["metadata"].get("ownerReferences") or ()
        ):
            continue
        if f.resource.kind == "Deployment":
            revision = int((keeper["metadata"].get("annotations") or {}).get(_REVISION) or 0)
        else:
            revision = int(keeper.get("revision") or 0)
        if revision:
            found[revision] = keeper
    return found


def selector_text(selector: dict[str, Any]) -> str:
    """A LabelSelector as query text."""
    parts = [f"{k}={v}" for k, v in sorted((selector.get("matchLabels") or {}).items())]
    for e in selector.get("matchExpressions") or ():
        values = ",".join(e.get("values") or ())
        parts.append(
            {
                "In": f"{e['key']} in ({values})",
                "NotIn": f"{e['key']} notin ({values})",
                "Exists": e["key"],
                "DoesNotExist": f"!{e['key']}",
            }[e["operator"]]
        )
    return ",".join(parts)


def _template(f: Found, keeper: dict[str, Any]) -> dict[str, Any]:
    if f.resource.kind == "Deployment":
        template = dict(keeper["spec"]["template"])
        metadata = dict(template.get("metadata") or {})
        metadata["labels"] = {k: v for k, v in (metadata.get("labels") or {}).items() if k != "pod-template-hash"}
        template["metadata"] = metadata
        return template
    data = keeper.get("data") or {}
    found = dict((data.get("spec") or {}).get("template") or {})
    found.pop("$patch", None)
    return found


def _history(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    for f in _found(session, flags, arguments, "history"):
        revisions = _revisions(session, f, "history viewer")
        wanted = flags.number("revision")
        if wanted:
            if wanted not in revisions:
                raise CLIError("unable to find the specified revision")
            from pybernetes.cli.describe import pods as describe

            if flags.text("output"):
                from pybernetes.cli.printers import objects

                session.out.write(objects.printer(flags)(revisions[wanted]))
                continue
            kept = revisions[wanted]
            whole = kept["spec"]["template"] if f.resource.kind == "Deployment" else _template(f, kept)
            text = describe.pod_template(whole)
            session.say(f"{f.shown} with revision #{wanted}")
            session.out.write(text + "\n")
            continue
        session.say(f"{f.shown} ")
        from pybernetes.cli.printers.tabwriter import align

        rows = ["REVISION\tCHANGE-CAUSE"]
        for number in sorted(revisions):
            cause = (revisions[number]["metadata"].get("annotations") or {}).get(_CAUSE) or "<none>"
            rows.append(f"{number}\t{cause}")
        session.out.write(align("\n".join(rows), padding=2) + "\n\n")
    return None


def _undo(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    writer = Writer(session, flags, "kubectl-rollout")
    for f in _found(session, flags, arguments, "undo"):
        if LAST_APPLIED in (f.object["metadata"].get("annotations") or {}):
            session.warn(
                f"Warning: resource {f.resource.plural}/{f.name} was previously managed with 'kubectl apply'. "
                f"Rolling back will "
                f"not update the {LAST_APPLIED} annotation, which may cause unexpected behavior on future "
                f"'kubectl apply' "
                "operations. Consider using 'kubectl apply' with your previous configuration file instead."
            )
        revisions = _revisions(session, f, "rollbacker")
        wanted = flags.number("to-revision")
        if wanted:
            if wanted not in revisions:
                raise CLIError(f"unable to find specified revision {wanted} in history")
            keeper = revisions[wanted]
        else:
            if len(revisions) < 2:
                raise CLIError(f"no rollout history found for {f.resource.kind.lower()} {_quoted(f.name)}")
            keeper = revisions[sorted(revisions)[-2]]
        if f.object["spec"].get("paused"):
            raise CLIError(
                "you cannot rollback a paused deployment; resume it first with 'kubectl rollout resume' and try again"
            )
        template = _template(f, keeper)
        if template == {**f.object["spec"]["template"]}:
            writer.report(
                f.object,
                f.shown,
                f"skipped rollback (current template already matches revision {wanted or sorted(revisions)[-2]})",
            )
            continue
        patch = [{"op": "replace", "path": "/spec/template", "value": template}]
        from pybernetes.cli.session import JSON_PATCH

        if f.resource.kind == "Deployment":
            cause = (keeper["metadata"].get("annotations") or {}).get(_CAUSE)
            annotations = dict(f.object["metadata"].get("annotations") or {})
            annotations.pop(_CAUSE, None)
            if cause:
                annotations[_CAUSE] = cause
            patch.append({"op": "add", "path": "/metadata/annotations", "value": annotations})
        value = f.object if writer.dry_run == "client" else writer.patch(f.path(), patch, JSON_PATCH)
        writer.report(value, f.shown, "rolled back")
    return None


_BASE = f"{FILES} {PRINT} l:selector="

COMMAND = Command(
    "Manage the rollout of one or many resources.",
    usage="kubectl rollout SUBCOMMAND",
    subcommands={
        "history": Command(
            "View previous rollout revisions and configurations.",
            usage="kubectl rollout history (TYPE NAME | TYPE/NAME) [flags]",
            flags=f"{_BASE} revision#0",
            run=_history,
        ),
        "pause": Command(
            "Mark the provided resource as paused.",
            usage="kubectl rollout pause RESOURCE",
            flags=f"{_BASE} field-manager=",
            run=_patching("pause", "paused", _pause),
        ),
        "restart": Command(
            "Restart a resource.",
            usage="kubectl rollout restart RESOURCE",
            flags=f"{_BASE} field-manager=",
            run=_patching("restart", "restarted", _restart),
        ),
        "resume": Command(
            "Resume a paused resource.",
            usage="kubectl rollout resume RESOURCE",
            flags=f"{_BASE} field-manager=",
            run=_patching("resume", "resumed", _resume),
        ),
        "status": Command(
            "Show the status of the rollout.",
            usage="kubectl rollout status (TYPE NAME | TYPE/NAME) [flags]",
            flags=f"{FILES} l:selector= revision#0 timeout=0s w:watch?true",
            run=_status,
        ),
        "undo": Command(
            "Undo a previous rollout.",
            usage="kubectl rollout undo (TYPE NAME | TYPE/NAME) [flags]",
            flags=f"{_BASE} dry-run~unchanged:none to-revision#0",
            run=_undo,
        ),
    },
)
