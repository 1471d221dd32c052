"""`kubectl delete`: by name, label, field, file, or all of a kind; and by default until it is really gone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pybernetes.cli import finder
from pybernetes.cli.command import FILES, Command
from pybernetes.cli.deletion import options, uid_of, wait_gone
from pybernetes.cli.errors import APIError, CLIError, ExitCode, lines
from pybernetes.cli.finder import Found, Target
from pybernetes.cli.session import seconds
from pybernetes.cli.writing import Writer

if TYPE_CHECKING:
    from pybernetes.cli.flags import Flags
    from pybernetes.cli.session import Session


def run(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    """See the module."""
    if flags.text("raw"):
        session.out.write(session.open("DELETE", flags.text("raw")).read().decode())
        return None
    writer = Writer(session, flags, "kubectl")
    grace = flags.number("grace-period")
    if flags.on("now"):
        if grace != -1:
            raise CLIError("--now and --grace-period cannot be specified together")
        grace = 1
    force = flags.on("force")
    if grace == 0 and not force:
        grace = 1  # upstream: gentle enough, and the wait is kept
    elif force and grace < 0:
        grace = 0
    if force:
        session.warn(
            "Warning: Immediate deletion does not wait for confirmation that the running resource has been terminated. "
            "The resource may continue to run on the cluster indefinitely."
        )
    wait = flags.on("wait") and not (force and not flags.given("wait"))
    cascade = flags.text("cascade")
    if flags.text("output") not in ("", "name"):
        raise CLIError(f"unexpected -o output mode: {flags.text('output')}. We only support '-o name'")
    found, missing = _found(session, flags, arguments)
    if flags.on("interactive"):
        found = _confirmed(session, found)
    if not found and not missing and not flags.on("ignore-not-found"):
        session.say("No resources found")
        return None
    deleted: list[tuple[Found | Target, str]] = []
    errors = list(missing)
    for target in found:
        try:
            if flags.text("dry-run") == "client":
                answer: dict[str, Any] = {}
            else:
                body = options(cascade, grace, writer.dry_run == "server")
                answer = session.call("DELETE", target.path(), body)
        except APIError as error:
            if error.reason == "NotFound" and (
                flags.on("ignore-not-found") or flags.on("all") or flags.text("selector")
            ):
                continue
            errors.append(lines(error.within(f'error when deleting "{target.source}"') if target.source else error))
            continue
        _report(session, flags, target, force or grace == 0, writer)
        deleted.append((target, uid_of(answer)))
    session.out.flush()
    for line in errors:
        session.warn(line)
    if wait and writer.dry_run == "none":
        limit = seconds(flags.text("timeout"))
        for target, uid in deleted:
            if not wait_gone(session, target, uid, limit):
                raise CLIError(f"timed out waiting for the condition on {target.resource.plural}/{target.name}")
    if errors:
        raise ExitCode(1)
    return None


def _report(session: Session, flags: Flags, target: Found | Target, forced: bool, writer: Writer) -> None:
    if flags.text("output") == "name":
        session.say(target.shown)
        return
    kind = target.resource.kind.lower()
    if target.resource.group:
        kind = f"{kind}.{target.resource.group}"
    what = "force deleted" if forced else "deleted"
    where = f" from {target.namespace} namespace" if target.namespace else ""
    session.say(f'{kind} "{target.name}" {what}{where}{writer.suffix}')


def _found(session: Session, flags: Flags, arguments: list[str]) -> tuple[list[Found | Target], list[str]]:
    """What to delete, and the error lines for named objects that do not exist."""
    targets = finder.targets(session, flags, arguments)
    if not targets:
        raise CLIError(finder.NOTHING)
    out: list[Found | Target] = []
    for target in targets:
        if target.name:
            out.append(target)
            continue
        if target.source:
            raise CLIError(f'resource name may not be empty: from "{target.source}"')
        if not flags.text("selector") and not flags.text("field-selector") and not flags.on("all"):
            raise CLIError("resource(s) were provided, but no name was specified")
        if flags.on("all") and flags.text("selector"):
            raise CLIError("setting 'all' parameter but found a non empty selector. ")
        out += finder.fetch(session, flags, [target])
    return out, []


def _confirmed(session: Session, found: list[Found | Target]) -> list[Found | Target]:
    import sys

    if not found:
        return found
    session.say("You are about to delete the following " + str(len(found)) + " resource(s):")
    for target in found:
        session.say(target.shown)
    session.out.write("Do you want to continue? (y/N): ")
    session.out.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        session.say("deletion is cancelled")
        raise ExitCode(0)
    return found


COMMAND = Command(
    "Delete resources by file names, stdin, resources and names, or by resources and label selector.",
    usage="kubectl delete ([-f FILENAME] | TYPE [(NAME | -l label | --all)])",
    flags=f"{FILES} A:all-namespaces? all? cascade~background:background dry-run~unchanged:none field-selector= force? "
    "grace-period#-1 ignore-not-found? i:interactive? now? o:output= raw= l:selector= timeout=0s wait?true",
    run=run,
    examples="kubectl delete -f pod.json\nkubectl delete pod,service baz foo\nkubectl delete pods,services -l "
    "name=myLabel\n"
    "kubectl delete pod foo --now\nkubectl delete pods --all",
)
