"""`kubectl version`: what the client and the server are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pybernetes import KUBERNETES_VERSION, __version__
from pybernetes.cli.command import Command
from pybernetes.cli.errors import CLIError

if TYPE_CHECKING:
    from pybernetes.cli.flags import Flags
    from pybernetes.cli.session import Session


def run(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    """See the module."""
    if arguments:
        raise CLIError(f"extra arguments: {arguments}")
    output = flags.text("output")
    if output not in ("", "json", "yaml"):
        raise CLIError("--output must be 'yaml' or 'json'")
    client = _client()
    server: dict[str, Any] | None = None
    if not flags.on("client"):
        server = session.call("GET", "/version")
    if output:
        from pybernetes.cli.printers import objects

        found: dict[str, Any] = {"clientVersion": client, "kustomizeVersion": "none"}
        if server:
            found["serverVersion"] = server
        session.out.write(objects.to_json(found) + "\n" if output == "json" else objects.Yaml()(found))
        return None
    session.say(f"Client Version: {client['gitVersion']}")
    session.say("Kustomize Version: none")
    if server:
        session.say(f"Server Version: {server['gitVersion']}")
    return None


def _client() -> dict[str, Any]:
    import platform

    major, minor, _ = KUBERNETES_VERSION[1:].split(".", 2)
    return {
        "major": major,
        "minor": minor,
        "gitVersion": KUBERNETES_VERSION,
        "gitTreeState": "clean",
        "compiler": platform.python_implementation().lower(),
        "goVersion": f"python{platform.python_version()} (pybernetes {__version__})",
        "platform": f"linux/{ {'x86_64': 'amd64', 'aarch64': 'arm64'}.get(platform.machine(), platform.machine()) }",
    }


COMMAND = Command(
    "Print the client and server version information for the current context.",
    usage="kubectl version",
    flags="client? o:output=",
    run=run,
)
