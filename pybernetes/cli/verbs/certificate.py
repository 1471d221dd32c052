"""`kubectl certificate`: approve and deny certificate signing requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pybernetes.cli import finder
from pybernetes.cli.command import FILES, PRINT, Command, Run
from pybernetes.cli.errors import CLIError
from pybernetes.cli.writing import Writer

if TYPE_CHECKING:
    from pybernetes.cli.flags import Flags
    from pybernetes.cli.session import Session


def _decide(verb: str, kind: str, reason: str, done: str) -> Run:
    def run(session: Session, flags: Flags, arguments: list[str]) -> int | None:
        from pybernetes.aio import clock

        names = arguments if any("/" in a for a in arguments) else ["certificatesigningrequests", *arguments]
        if not arguments and not flags.many("filename"):
            raise CLIError("one or more CSRs must be specified as <name> or -f <filename>")
        writer = Writer(session, flags, "kubectl")
        targets = finder.targets(session, flags, [] if flags.many("filename") else names)
        for f in finder.fetch(session, flags, targets):
            status = f.object.setdefault("status", {})
            conditions = status.get("conditions") or []
            against = {"Approved": "Denied", "Denied": "Approved"}[kind]
            if any(c["type"] == against for c in conditions):
                raise CLIError(f'certificate signing request "{f.name}" is already {against}')
            if any(c["type"] == kind for c in conditions) and not flags.on("force"):
                writer.report(f.object, f.shown, done)
                continue
            now = clock.rfc3339()
            message = f"This CSR was {done} by kubectl certificate {verb}."
            conditions.append(
                {"type": kind, "status": "True", "reason": reason, "message": message, "lastUpdateTime": now}
            )
            status["conditions"] = conditions
            value = session.call("PUT", f.path("approval"), f.object)
            writer.report(value, f.shown, done)
        return None

    return run


COMMAND = Command(
    "Modify certificate resources.",
    usage="kubectl certificate SUBCOMMAND",
    subcommands={
        "approve": Command(
            "Approve a certificate signing request.",
            usage="kubectl certificate approve (-f FILENAME | NAME)",
            flags=f"{FILES} {PRINT} force?",
            run=_decide("approve", "Approved", "KubectlApprove", "approved"),
        ),
        "deny": Command(
            "Deny a certificate signing request.",
            usage="kubectl certificate deny (-f FILENAME | NAME)",
            flags=f"{FILES} {PRINT} force?",
            run=_decide("deny", "Denied", "KubectlDeny", "denied"),
        ),
    },
)
