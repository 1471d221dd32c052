"""The node: the agent's process, which gets the node's certificates, registers it and runs its Pods."""

from __future__ import annotations

from pybernetes.aio import clock
from pybernetes.api.core_v1 import Node
from pybernetes.bootstrap import member_processes
from pybernetes.bootstrap.cluster import ClusterError
from pybernetes.bootstrap.node_identity import NodeIdentity
from pybernetes.bootstrap.phases.run import Run, with_client
from pybernetes.client.client import Client

#: Seconds for the node to be Ready.
PATIENCE = 120.0


def run(run: Run) -> None:
    """Start the agent and wait until the cluster calls the node Ready."""
    begin = clock.monotonic()
    member_processes.start_agent(run.cluster, run.node, PATIENCE)

    async def ready(client: Client) -> None:
        nodes = client.resource(Node)
        while True:
            node = await nodes.get(run.node)
            if any(c.type == "Ready" and c.status == "True" for c in node.status.conditions or ()):
                return
            if clock.monotonic() - begin > PATIENCE:
                told = [c.message for c in node.status.conditions or () if c.type == "Ready"]
                raise ClusterError(f"node {run.node} is registered but not Ready: {'; '.join(filter(None, told))}")
            await clock.sleep(0.1)

    with_client(NodeIdentity(run.cluster, run.node).connection(), ready)
    run.say("node", f"{run.node} is Ready after {clock.monotonic() - begin:.1f} s")
