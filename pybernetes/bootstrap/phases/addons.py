"""DNS and proxy. Both are parts of every node's agent, not Pods: there is nothing to deploy, and this phase says so."""

from __future__ import annotations

from pybernetes.bootstrap.phases.run import Run


def run(run: Run) -> None:
    """Tell where they are."""
    run.say("addons", f"cluster DNS at {run.cluster.state.dns_address} and the Service proxy are parts of every node")
