"""`kubectl uncordon`: new Pods on a node again."""

from __future__ import annotations

from pybernetes.cli.command import Command
from pybernetes.cli.draining import cordoning

COMMAND = Command(
    "Mark node as schedulable.",
    usage="kubectl uncordon NODE",
    flags="dry-run~unchanged:none l:selector=",
    run=cordoning(False),
)
