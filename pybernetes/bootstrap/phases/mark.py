"""Label and taint of a control plane's node: what is not told to run there stays away."""

from __future__ import annotations

from pybernetes.api.core_v1 import Node
from pybernetes.bootstrap.phases.run import Run
from pybernetes.client.client import Client

ROLE = "node-role.kubernetes.io/control-plane"
LABELS = {ROLE: "", "node.kubernetes.io/exclude-from-external-load-balancers": ""}
TAINT = {"key": ROLE, "effect": "NoSchedule"}


def run(run: Run) -> None:
    """Nothing to do on a worker."""
    if not run.member.control_plane:
        return

    async def mark(client: Client) -> None:
        patch = {"metadata": {"labels": LABELS}, "spec": {"taints": [TAINT]}}
        await client.resource(Node).patch(run.node, "", patch, type="strategic")

    run.admin(mark)
    run.say("mark-control-plane", f"node {run.node} has label {ROLE} and taint {ROLE}:NoSchedule")
