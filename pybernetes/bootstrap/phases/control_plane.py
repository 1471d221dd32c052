"""The control plane's process."""

from __future__ import annotations

from pybernetes.aio import clock
from pybernetes.bootstrap import member_processes
from pybernetes.bootstrap.phases.run import Run


def run(run: Run) -> None:
    """Start it and wait until the API answers; nothing to do on a worker."""
    if not run.member.control_plane:
        return
    begin = clock.monotonic()
    member_processes.start_control_plane(run.cluster, 120.0)
    run.say("control-plane", f"API server, controllers and scheduler are ready after {clock.monotonic() - begin:.1f} s")
