"""`kubectl drain`: cordon a node and evict its Pods."""

from __future__ import annotations

from pybernetes.cli.command import Command
from pybernetes.cli.draining import drain

COMMAND = Command(
    "Drain node in preparation for maintenance.",
    usage="kubectl drain NODE",
    flags="chunk-size#500 delete-emptydir-data? disable-eviction? dry-run~unchanged:none force? grace-period#-1 "
    "ignore-daemonsets? pod-selector= l:selector= skip-wait-for-delete-timeout#0 timeout=0s",
    run=drain,
    examples="kubectl drain foo --force\nkubectl drain foo --grace-period=900",
)
