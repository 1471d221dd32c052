"""`kubectl attach`: join the main process of a container."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pybernetes.cli import detaching, podpick
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
    stdin, tty, quiet = flags.on("stdin"), flags.on("tty"), flags.on("quiet")
    return attach(session, pod, flags.text("container"), stdin, tty, quiet, flags.text("detach-keys"))


def attach(
    session: Session, pod: dict[str, object], container: str, stdin: bool, tty: bool, quiet: bool,
    detach: str = detaching.DEFAULT,
) -> int:  # fmt: skip
    """Join a running Pod; the exit code of its process when the connection tells it."""
    from typing import Any, cast

    from pybernetes.cli import streaming

    value = cast("dict[str, Any]", pod)
    if value.get("status", {}).get("phase") in ("Succeeded", "Failed"):
        phase = value["status"]["phase"]
        raise CLIError(f"cannot attach a container in a completed pod; current phase is {phase}")
    try:
        name = podpick.container(session, value, container, quiet=quiet)
    except CLIError as error:
        raise CLIError(f"cannot attach to the container: {error}") from None
    part, found = next(
        (part, c)
        for part in ("containers", "initContainers", "ephemeralContainers")
        for c in value["spec"].get(part) or ()
        if c["name"] == name
    )
    if tty and not found.get("tty"):
        if not quiet:
            session.warn(f"error: Unable to use a TTY - container {name} did not allocate one")
        tty = False
    tty = tty or bool(found.get("tty"))
    if not quiet:
        session.warn(
            "All commands and output from this session will be recorded in container logs, including "
            "credentials and sensitive information passed through the command prompt.\n"
            "If you don't see a command prompt, try pressing enter."
        )
    namespace, pod_name = value["metadata"]["namespace"], value["metadata"]["name"]
    is_terminal = tty and stdin and sys.stdin.isatty()
    keys = detaching.keys(detach) if is_terminal else b""
    code = streaming.run(session, namespace, pod_name, "attach", name, stdin=stdin, tty=tty, detach=keys)
    if is_terminal and not quiet:
        again = f"kubectl attach {pod_name} -c {name} -n {namespace} -i -t"
        session.say(
            "Session ended, the ephemeral container will not be restarted but may be reattached using "
            f"'{again}' if it is still running"
            if part == "ephemeralContainers"
            else f"Session ended, resume using '{again}' command"
        )
    return code


COMMAND = Command(
    "Attach to a process that is already running inside an existing container.",
    usage="kubectl attach (POD | TYPE/NAME) -c CONTAINER",
    flags=f"c:container= detach-keys={detaching.DEFAULT} pod-running-timeout=1m0s q:quiet? i:stdin? t:tty?",
    run=run,
)
