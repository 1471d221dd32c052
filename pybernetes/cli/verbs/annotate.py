"""`kubectl annotate`: set and remove annotations."""

from __future__ import annotations

from pybernetes.cli.command import FILES, PRINT, Command
from pybernetes.cli.marking import runner

COMMAND = Command(
    "Update the annotations on a resource.",
    usage="kubectl annotate [--overwrite] (-f FILENAME | TYPE NAME) KEY_1=VAL_1 ... KEY_N=VAL_N "
    "[--resource-version=version]",
    flags=f"{FILES} {PRINT} A:all-namespaces? all? dry-run~unchanged:none field-manager= field-selector= list? local? "
    "overwrite? resource-version= l:selector=",
    run=runner("annotations"),
    examples="kubectl annotate pods foo description='my frontend'\nkubectl annotate pods foo description-",
)
