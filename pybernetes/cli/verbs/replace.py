"""`kubectl replace`: put a whole object in place of the live one; with `--force` by deleting and creating."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pybernetes.cli import files, finder
from pybernetes.cli.command import FILES, PRINT, Command
from pybernetes.cli.errors import APIError, CLIError, ExitCode, lines
from pybernetes.cli.writing import LAST_APPLIED, Writer, with_last_applied

if TYPE_CHECKING:
    from pybernetes.cli.flags import Flags
    from pybernetes.cli.session import Session


def run(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    """See the module."""
    if arguments:
        raise CLIError(f"unexpected args: {arguments}")
    if not flags.many("filename") and not flags.text("kustomize"):
        raise CLIError("must specify one of -f and -k")
    if flags.text("raw"):
        body = files.raw_body(flags).encode()
        session.out.write(session.open("PUT", flags.text("raw"), body).read().decode())
        return None
    writer = Writer(session, flags, "kubectl-replace")
    errors = []
    for target in finder.of_files(session, flags):
        assert target.manifest is not None
        value = target.manifest
        if flags.on("save-config") or LAST_APPLIED in ((value.get("metadata") or {}).get("annotations") or {}):
            value = with_last_applied(value)
        try:
            if flags.on("force"):
                from pybernetes.cli.deletion import delete_and_wait

                grace = flags.number("grace-period")
                if delete_and_wait(session, target, grace=0 if grace < 0 else grace) and not writer.output:
                    where = f" from {target.namespace} namespace" if target.namespace else ""
                    session.say(f'{target.resource.shown} "{target.name}" deleted{where}')
                made = writer.create(target.resource, target.namespace, value)
            elif writer.dry_run == "client":
                made = value
            else:
                version = (value.get("metadata") or {}).get("resourceVersion")
                if not version:
                    live = session.get(target.resource, target.namespace, target.name)
                    value["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"]
                made = session.call("PUT", target.path(flags.text("subresource")), value, query=writer.query)
        except APIError as error:
            errors.append(lines(error.within(f'error when replacing "{target.source}"')))
            continue
        writer.report(made, target.shown, "replaced")
    for line in errors:
        session.warn(line)
    if errors:
        raise ExitCode(1)
    return None


COMMAND = Command(
    "Replace a resource by file name or stdin.",
    usage="kubectl replace -f FILENAME",
    flags=f"{FILES} {PRINT} cascade~background:background dry-run~unchanged:none field-manager= force? grace-period#-1 "
    "raw= save-config? subresource= timeout=0s validate~strict:strict wait?",
    run=run,
)
