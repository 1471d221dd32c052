"""The shape of a command: every verb module exports one of these as `COMMAND`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pybernetes.cli.flags import Flags
    from pybernetes.cli.session import Session

#: Does the work; the exit code, None for 0. Raises CLIError and APIError.
Run = Callable[["Session", "Flags", list[str]], "int | None"]


@dataclass(frozen=True)
class Command:
    """One word of the command line, and what may follow."""

    summary: str
    usage: str = ""
    #: In the notation of `flags`.
    flags: str = ""
    run: Run | None = None
    examples: str = ""
    subcommands: dict[str, Command] = field(default_factory=dict)
    #: False where everything after the first argument belongs to somebody else.
    interspersed: bool = True

    @property
    def listed(self) -> dict[str, Command]:
        """The subcommands under their first names; other names of the same are left out."""
        found: dict[int, tuple[str, Command]] = {}
        for name, command in self.subcommands.items():
            found.setdefault(id(command), (name, command))
        return dict(found.values())


#: Of commands that print objects.
PRINT = "o:output= template= allow-missing-template-keys?true show-managed-fields?"
#: Of commands that read files.
FILES = "f:filename* k:kustomize= R:recursive?"
#: Of commands that pick objects.
SELECT = "l:selector= field-selector= all? local?"
#: Of commands that write.
DRY_RUN = "dry-run~unchanged:none"
