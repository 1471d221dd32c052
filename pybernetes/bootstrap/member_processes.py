"""The processes of a member: kept by systemd where it is, else started as `up` starts them.

Either way the caller gets them ready or an error with the end of their log.
"""

from __future__ import annotations

from pybernetes.bootstrap import processes, units
from pybernetes.bootstrap.cluster import Cluster


def start_control_plane(cluster: Cluster, patience: float) -> None:
    """API server, controllers and scheduler; returns when the API is ready."""
    arguments = ["control-plane", "--data-dir", str(cluster.directory)]
    if _by_systemd(cluster):
        units.start(cluster, "control-plane", arguments, patience)
        return
    if processes.running(cluster.control_plane_pid) is None:
        started = processes.start(
            "the control plane", arguments, pid_file=cluster.control_plane_pid, log=cluster.log("control-plane")
        )
        started.wait_ready(patience)


def start_etcd(cluster: Cluster, patience: float) -> None:
    """This machine's member of etcd; returns when it answers."""
    arguments = ["etcd-member", "--data-dir", str(cluster.directory)]
    if _by_systemd(cluster):
        units.start(cluster, "etcd", arguments, patience)
    elif processes.running(cluster.etcd_pid) is None:
        processes.start("etcd", arguments, pid_file=cluster.etcd_pid, log=cluster.log("etcd")).wait_ready(patience)


def stop_etcd(cluster: Cluster) -> None:
    """End it for good."""
    if _by_systemd(cluster):
        units.stop(cluster, "etcd")
    processes.stop(cluster.etcd_pid)


def start_agent(cluster: Cluster, node: str, patience: float) -> None:
    """The node's agent; returns when the node is registered and its parts are ready."""
    arguments = ["agent", "--data-dir", str(cluster.directory), "--node", node]
    if _by_systemd(cluster):
        units.start(cluster, "agent", arguments, patience)
    elif processes.running(cluster.agent_pid(node)) is None:
        started = processes.start(
            f"node {node}", arguments, pid_file=cluster.agent_pid(node), log=cluster.log(f"agent-{node}")
        )
        started.wait_ready(patience)


def stop_control_plane(cluster: Cluster) -> bool:
    """End it, to be started again; whether it ran. Of clusters of `up` as well."""
    return units.pause(cluster, "control-plane") if _by_systemd(cluster) else processes.stop(cluster.control_plane_pid)


def stop_units(cluster: Cluster) -> None:
    """Let systemd forget the member's processes, so that they can be taken apart."""
    if _by_systemd(cluster):
        units.stop(cluster, "agent")
        units.stop(cluster, "control-plane")
        units.stop(cluster, "etcd")


def _by_systemd(cluster: Cluster) -> bool:
    member = cluster.state.member
    return member is not None and member.systemd and units.available()
