"""How long `join` takes, from the command to a Ready node: hosts of our own (namespaces), over real TLS.

Of several joins the median is told, and what of it the preflight, the discovery and the interpreter's start take is in
it: it is what a person waits for.
"""

from __future__ import annotations

import statistics
import time

from benchmarks.__main__ import row
from tests.suites.hosts import hosts, join_line

MACHINES = 5


def main() -> None:
    """The row."""
    with hosts("cp1", *(f"w{number}" for number in range(1, MACHINES + 1))) as (first, *others):
        began = time.perf_counter()
        line = join_line(first.pybernetes("init").stdout)
        initialised = time.perf_counter() - began
        seconds = []
        for host in others:
            began = time.perf_counter()
            host.pybernetes(*line)
            seconds.append(time.perf_counter() - began)
    row("join to node Ready, median", "5 s", f"{statistics.median(seconds):.1f} s (init {initialised:.1f} s)")


if __name__ == "__main__":
    main()
