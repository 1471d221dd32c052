"""`kubectl attach`: join the main process of a container."""

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

    if not arguments:
        raise CLIError("at least 1 argument is required for attach")
    if len(arguments) > 1:
        raise (
            CLIError(f"expected POD, TYPE/NAME, or TYPE NAME, (at most 2 arguments) saw {len(arguments)}: {arguments}")
            if len(arguments) > 2
            else CLIError("expected POD or TYPE/NAME")
        )
    pod = podpick.one(session, arguments[0], seconds(flags.text("pod-running-timeout")))
    return attach(session, pod, flags.text("container"), flags.on("stdin"), flags.on("tty"), flags.on("quiet"))


def attach(session: Session, pod: dict[str, object], container: str, stdin: bool, tty: bool, quiet: bool) -> int:
    """Join a running Pod; the exit code of its process when the connection tells it."""
    from typing import Any, cast

    from pybernetes.cli import streaming

    value = cast("dict[str, Any]", pod)
    if value.get("status", {}).get("phase") in ("Succeeded", "Failed"):
        phase = value["status"]["phase"]
        raise CLIError(f"cannot attach a container in a completed pod; current phase is {phase}")
    name = podpick.container(session, value, container, quiet=quiet)
    found = next(
        c
        for part in ("containers", "initContainers", "ephemeralContainers")
        for c in value["spec"].get(part) or ()
        if c["name"] == name
    )
    if tty and not found.get("tty"):
        if not quiet:
            session.warn(f"error: Unable to use a TTY - container {name} did not allocate one")
        tty = False
    if not quiet and stdin and tty:
        session.warn("If you don't see a command prompt, try pressing enter.")
    return streaming.run(
        session, value["metadata"]["namespace"], value["metadata"]["name"], "attach", name, stdin=stdin, tty=tty
    )


COMMAND = Command(
    "Attach to a process that is already running inside an existing container.",
    usage="kubectl attach (POD | TYPE/NAME) -c CONTAINER",
    flags="c:container= pod-running-timeout=1m0s q:quiet? i:stdin? t:tty?",
    run=run,
)
