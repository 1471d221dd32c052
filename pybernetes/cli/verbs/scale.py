"""`kubectl scale`: another number of replicas, through the scale subresource."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pybernetes.cli import finder
from pybernetes.cli.command import FILES, PRINT, Command
from pybernetes.cli.errors import CLIError
from pybernetes.cli.session import MERGE_PATCH, pause, seconds
from pybernetes.cli.watching import Deadline
from pybernetes.cli.writing import Writer

if TYPE_CHECKING:
    from pybernetes.cli.flags import Flags
    from pybernetes.cli.session import Session


def run(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    """See the module."""
    if not flags.given("replicas"):
        raise CLIError('required flag(s) "replicas" not set')
    if flags.number("replicas") < 0:
        raise CLIError("The --replicas=COUNT flag is required, and COUNT must be greater than or equal to 0")
    replicas = flags.number("replicas")
    writer = Writer(session, flags, "kubectl")
    found = finder.fetch(session, flags, finder.targets(session, flags, arguments))
    if not found:
        raise CLIError("no objects passed to scale")
    current = flags.number("current-replicas")
    if flags.text("resource-version") and len(found) > 1:
        raise CLIError("cannot use --resource-version with multiple resources")
    for f in found:
        if "scale" not in f.resource.subresources:
            raise CLIError(
                f"cannot scale {f.resource.full_name} {f.name}: the server could not find the requested resource"
            )
        live = f.object["spec"].get("replicas", 1)
        if current >= 0 and live != current:
            raise CLIError(f"Expected replicas to be {current}, was {live}")
        if (version := flags.text("resource-version")) and version != f.object["metadata"]["resourceVersion"]:
            have = f.object["metadata"]["resourceVersion"]
            raise CLIError(f"Expected resource version to be {version}, was {have}")
        if writer.dry_run != "client":
            writer.patch(f.path("scale"), {"spec": {"replicas": replicas}}, MERGE_PATCH)
            if limit := seconds(flags.text("timeout")):
                _settled(session, f, replicas, limit)
        if writer.output:
            f.object["spec"]["replicas"] = replicas
        value = session.get(f.resource, f.namespace, f.name) if writer.output not in ("", "name") else f.object
        writer.report(value, f.shown, "scaled")
    return None


def _settled(session: Session, f: finder.Found, replicas: int, limit: float) -> None:
    deadline = Deadline(limit)
    while not deadline.passed:
        live = session.get(f.resource, f.namespace, f.name)
        status = live.get("status") or {}
        seen = status.get("observedGeneration", 0) >= live["metadata"].get("generation", 0)
        if seen and status.get("replicas", 0) == replicas:
            return
        pause(0.2)
    raise CLIError("timed out waiting for the condition")


COMMAND = Command(
    "Set a new size for a deployment, replica set, replication controller, or stateful set.",
    usage="kubectl scale [--resource-version=version] [--current-replicas=count] --replicas=COUNT (-f FILENAME | "
    "TYPE NAME)",
    flags=f"{FILES} {PRINT} all? current-replicas#-1 dry-run~unchanged:none replicas#-1 resource-version= l:selector= "
    "timeout=0s",
    run=run,
    examples="kubectl scale --replicas=3 rs/foo\nkubectl scale --replicas=5 deployment web",
)
