"""`kubectl plugin`: which plugins there are."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pybernetes.cli import plugins
from pybernetes.cli.command import Command
from pybernetes.cli.errors import CLIError

if TYPE_CHECKING:
    from pybernetes.cli.flags import Flags
    from pybernetes.cli.session import Session


def _list(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    found = list(plugins.all_files())
    if not found:
        raise CLIError("unable to find any kubectl plugins in your PATH")
    session.say("The following compatible plugins are available:\n")
    seen: dict[str, str] = {}
    count = 0
    for path in found:
        session.say(os.path.basename(path) if flags.on("name-only") else path)
        for warning in plugins.warnings(path, seen):
            session.warn(f"  - warning: {warning}")
            count += 1
    if count:
        raise CLIError(f"{'one plugin warning was' if count == 1 else f'{count} plugin warnings were'} found")
    return None


COMMAND = Command(
    "Provides utilities for interacting with plugins.",
    usage="kubectl plugin",
    subcommands={
        "list": Command(
            "List all available plugin files on a user's PATH.",
            usage="kubectl plugin list",
            flags="name-only?",
            run=_list,
        )
    },
)
