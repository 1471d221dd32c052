"""The node: the agent's process, which gets the node's certificates, registers it and runs its Pods."""

from __future__ import annotations

import time

from pybernetes.aio import clock
from pybernetes.api.core_v1 import Node
from pybernetes.bootstrap import member_processes
from pybernetes.bootstrap.cluster import ClusterError
from pybernetes.bootstrap.node_identity import NodeIdentity
from pybernetes.bootstrap.phases.run import Run, with_client
from pybernetes.client.client import Client
from pybernetes.machinery.errors import StatusError

#: Seconds for the node to be Ready.
PATIENCE = 120.0


_LOGS = "see the log of its agent ('journalctl -u pybernetes-*' where systemd is)"


def run(run: Run) -> None:
    """Start the agent and wait until the cluster calls the node Ready."""
    begin = clock.monotonic()
    member_processes.start_agent(run.cluster, run.node, PATIENCE)

    identity = NodeIdentity(run.cluster, run.node)
    _wait_for_certificate(identity, begin)

    async def ready(client: Client) -> None:
        nodes = client.resource(Node)
        while True:
            try:
                conditions = (await nodes.get(run.node)).status.conditions or []
                state = "registered but not Ready"
            except StatusError as error:
                if error.code not in (403, 404):  # until there is one, the node may not see others of its name either
                    raise
                conditions, state = [], "not registered"
            if any(c.type == "Ready" and c.status == "True" for c in conditions):
                return
            if clock.monotonic() - begin > PATIENCE:
                told = [c.message for c in conditions if c.type == "Ready"]
                raise ClusterError(": ".join([f"node {run.node} is {state}", "; ".join(filter(None, told)) or _LOGS]))
            await clock.sleep(0.1)

    with_client(identity.connection(), ready)
    run.say("node", f"{run.node} is Ready after {clock.monotonic() - begin:.1f} s")


def _wait_for_certificate(identity: NodeIdentity, begin: float) -> None:
    """An agent that systemd starts gets it in its own time."""
    while not identity.client_file.exists():
        if clock.monotonic() - begin > PATIENCE:
            raise ClusterError(f"node {identity.node} got no certificate: {_LOGS}")
        time.sleep(0.1)  # another process, kept by systemd: there is no pipe to wait on
