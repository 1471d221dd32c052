"""`kubectl label`: set and remove labels."""

from __future__ import annotations

from pybernetes.cli.command import FILES, PRINT, Command
from pybernetes.cli.marking import runner

COMMAND = Command(
    "Update the labels on a resource.",
    usage="kubectl label [--overwrite] (-f FILENAME | TYPE NAME) KEY_1=VAL_1 ... KEY_N=VAL_N "
    "[--resource-version=version]",
    flags=f"{FILES} {PRINT} A:all-namespaces? all? dry-run~unchanged:none field-manager= field-selector= list? local? "
    "overwrite? resource-version= l:selector=",
    run=runner("labels"),
    examples="kubectl label pods foo unhealthy=true\nkubectl label --overwrite pods foo status=unhealthy\n"
    "kubectl label pods foo bar-",
)
