"""`node list|start|stop|delete`: the real nodes of a cluster on this machine, to play with failure.

To stop a node is to cut its power: its containers, containerd and agent end at once and its network goes away, but its
disk stays, and the cluster must notice by itself. What it ran is found as ended when it starts again. To delete one
takes the Node and everything of it away. The first node is the machine itself: it can be stopped, but not deleted, for
the others' way to the API server and the world leads over it.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys

from pybernetes.bootstrap import cluster as clusters
from pybernetes.bootstrap import machine_link, processes
from pybernetes.bootstrap.cluster import DEFAULT_NAME, Cluster, ClusterError


def main(arguments: list[str]) -> int:
    """`pybernetes node ...`; the exit code."""
    parser = argparse.ArgumentParser(prog="pybernetes node", description="The real nodes of a cluster on this machine.")
    _add_cluster(parser, DEFAULT_NAME)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    _add_cluster(actions.add_parser("list", help="the nodes, and which of them run"), argparse.SUPPRESS)
    for action, text in (
        ("start", "start nodes that were stopped; returns when they are Ready"),
        ("stop", "cut the power of nodes: containers end at once, files stay"),
        ("delete", "remove nodes and all they made"),
    ):
        found = actions.add_parser(action, help=text)
        _add_cluster(found, argparse.SUPPRESS)
        found.add_argument("nodes", nargs="+", metavar="NODE")
        if action == "start":
            found.add_argument("--wait", type=float, default=60.0, metavar="SECONDS", help="how long to wait for Ready")
    options = parser.parse_args(arguments[1:])
    try:
        cluster = clusters.find(options.name, options.data_dir)
        if cluster is None:
            raise ClusterError(f"no cluster \"{options.name}\"; 'pybernetes up' makes one")
        if options.action == "list":
            return show(cluster)
        for name in options.nodes:
            cluster.state.node(name)  # all names are good before anything is done
        for name in options.nodes:
            if options.action == "start":
                machine_link.add(cluster)
                started = start(cluster, name)
                if started is not None:
                    started.wait_ready(options.wait)
                print(f'node "{name}" is Ready' if started else f'node "{name}" runs already')
            elif options.action == "stop":
                stop(cluster, name)
                print(f'node "{name}" is stopped')
            else:
                delete(cluster, name)
                print(f'node "{name}" is deleted')
    except (ClusterError, processes.StartError) as error:
        print(f"pybernetes node {options.action}: {error}", file=sys.stderr)
        return 1
    return 0


def _add_cluster(parser: argparse.ArgumentParser, name: str) -> None:
    """Options that may stand before the action or after it."""
    parser.add_argument("--name", default=name, help=f"name of the cluster (default: {DEFAULT_NAME})")
    parser.add_argument(
        "--data-dir",
        metavar="DIR",
        default=None if name != argparse.SUPPRESS else name,
        help="where everything of the cluster is kept",
    )


def show(cluster: Cluster) -> int:
    """A line for each node; 1 if one does not run."""
    state, healthy = cluster.state, True
    print(f"{'NAME':24} {'STATUS':8} {'ADDRESS':16} {'POD RANGE':18} NETWORK NAMESPACE")
    for node in state.nodes:
        running = processes.running(cluster.agent_pid(node.name)) is not None
        healthy &= running
        netns = cluster.node_netns(node.name)
        row = f"{node.name:24} {'Running' if running else 'Stopped':8} {state.node_address(node.name):16}"
        print(f"{row} {state.node_pod_cidr(node.name):18} {netns.name if netns else '(the machine)'}")
    return 0 if healthy else 1


def start(cluster: Cluster, node: str) -> processes.Started | None:
    """Start a node's agent, in its namespace; None when it runs already. The bridge must be there."""
    if processes.running(cluster.agent_pid(node)) is not None:
        return None
    if machine_link.add_node(cluster, node) and (cluster.node_directory(node) / "containerd").exists():
        from pybernetes.bootstrap import node_host

        node_host.end_containers(cluster, node)  # what may still run is in a network that is gone
    return processes.start(
        f"node {node}",
        ["agent", "--data-dir", str(cluster.directory), "--node", node],
        pid_file=cluster.agent_pid(node),
        log=cluster.log(f"agent-{node}"),
        prefix=machine_link.enter(cluster, node),
    )


def stop(cluster: Cluster, node: str) -> None:
    """Cut a node's power. Safe to repeat."""
    from pybernetes.bootstrap import node_host  # gRPC is slow to import, and `up` does without

    processes.stop(cluster.agent_pid(node))
    node_host.power_off(cluster, node)


def delete(cluster: Cluster, node: str) -> None:
    """Remove a node: its Node object, its containers, its files. Raises ClusterError."""
    from pybernetes.bootstrap import node_host

    if cluster.state.node(node).index == 0:
        raise ClusterError(f"{node} is the machine itself, the others' way to the API; 'pybernetes down' removes all")
    if processes.running(cluster.control_plane_pid) is None:
        raise ClusterError("the control plane does not run, so the Node cannot be deleted; 'pybernetes up' starts it")
    processes.stop(cluster.agent_pid(node))
    asyncio.run(_delete_object(cluster, node))
    node_host.teardown(cluster, node)
    shutil.rmtree(cluster.node_directory(node), ignore_errors=True)
    cluster.log(f"agent-{node}").unlink(missing_ok=True)
    cluster.state.nodes = [known for known in cluster.state.nodes if known.name != node]
    cluster.save()


async def _delete_object(cluster: Cluster, node: str) -> None:
    from pybernetes.api.core_v1 import Node
    from pybernetes.client import kubeconfig
    from pybernetes.client.client import Client
    from pybernetes.client.errors import Unavailable
    from pybernetes.client.http import HTTPTransport
    from pybernetes.machinery.errors import StatusError

    async with HTTPTransport(kubeconfig.load([cluster.kubeconfig], explicit=True).connection()) as transport:
        try:
            await Client(transport).resource(Node).delete(node)
        except (StatusError, Unavailable) as error:
            if not isinstance(error, StatusError) or error.code != 404:
                raise ClusterError(f"the Node cannot be deleted: {error}") from error
