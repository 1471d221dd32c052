"""`kubectl cordon`: no new Pods on a node."""

from __future__ import annotations

from pybernetes.cli.command import Command
from pybernetes.cli.draining import cordoning

COMMAND = Command(
    "Mark node as unschedulable.",
    usage="kubectl cordon NODE",
    flags="dry-run~unchanged:none l:selector=",
    run=cordoning(True),
)
