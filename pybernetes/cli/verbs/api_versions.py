"""`kubectl api-versions`: every group and version the server has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pybernetes.cli.command import Command

if TYPE_CHECKING:
    from pybernetes.cli.flags import Flags
    from pybernetes.cli.session import Session


def run(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    """See the module."""
    session.resources.refresh()
    for name in sorted({r.api_version for r in session.resources.all()}):
        session.say(name)
    return None


COMMAND = Command(
    'Print the supported API versions on the server, in the form of "group/version".',
    usage="kubectl api-versions",
    run=run,
)
