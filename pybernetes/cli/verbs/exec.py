"""`kubectl exec`: run a command in a container, with a real terminal for `-it`; the exit code is the command's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pybernetes.cli import podpick
from pybernetes.cli.command import Command
from pybernetes.cli.errors import CLIError
from pybernetes.cli.session import seconds

if TYPE_CHECKING:
    from pybernetes.cli.flags import Flags
    from pybernetes.cli.session import Session


def run(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    """See the module."""
    from pybernetes.cli import streaming

    files = flags.many("filename")
    if files:
        from pybernetes.cli import finder

        target = finder.of_files(session, flags)[0]
        word, command = f"{target.resource.full_name}/{target.name}", arguments
    else:
        if not arguments:
            raise CLIError("pod, type/name or --filename must be specified")
        word, command = arguments[0], arguments[1:]
        if command and flags.dash < 0:
            raise CLIError(
                "exec [POD] [COMMAND] is not supported anymore. Use exec [POD] -- [COMMAND] instead\n"
                "See 'kubectl exec -h' for help and examples"
            )
    if not command:
        raise CLIError("you must specify at least one command for the container")
    pod = podpick.one(session, word, seconds(flags.text("pod-running-timeout")))
    phase = (pod.get("status") or {}).get("phase")
    if phase in ("Succeeded", "Failed"):
        raise CLIError(f"cannot exec into a container in a completed pod; current phase is {phase}")
    container = podpick.container(session, pod, flags.text("container"), quiet=flags.on("quiet"))
    return streaming.run(
        session,
        pod["metadata"]["namespace"],
        pod["metadata"]["name"],
        "exec",
        container,
        command=command,
        stdin=flags.on("stdin"),
        tty=flags.on("tty"),
    )


COMMAND = Command(
    "Execute a command in a container.",
    usage="kubectl exec (POD | TYPE/NAME) [-c CONTAINER] [flags] -- COMMAND [args...]",
    flags="c:container= f:filename* pod-running-timeout=1m0s q:quiet? i:stdin? t:tty?",
    run=run,
    examples="kubectl exec mypod -- date\nkubectl exec mypod -c ruby-container -i -t -- bash -il\n"
    "kubectl exec deploy/mydeployment -- date",
)
