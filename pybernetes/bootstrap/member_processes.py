"""The processes of a member: kept by systemd where it is, else started as `up` starts them.

Either way the caller gets them ready or an error with the end of their log.
"""

from __future__ import annotations

import http.client
import ssl
import time

from pybernetes.aio import clock
from pybernetes.bootstrap import machine_link, processes, units
from pybernetes.bootstrap.cluster import Cluster, ClusterError


def start_control_plane(cluster: Cluster, patience: float) -> None:
    """API server, controllers and scheduler; returns when the API is ready."""
    if cluster.state.member is not None:
        machine_link.add(cluster)  # the API server listens on nothing of it, but Pods ask the DNS there
    arguments = ["control-plane", "--data-dir", str(cluster.directory)]
    if _by_systemd(cluster):
        units.start(cluster, "control-plane", arguments)
        _wait_for_api(cluster, patience)
        return
    if processes.running(cluster.control_plane_pid) is None:
        started = processes.start(
            "the control plane", arguments, pid_file=cluster.control_plane_pid, log=cluster.log("control-plane")
        )
        started.wait_ready(patience)


def start_etcd(cluster: Cluster, patience: float) -> None:
    """This machine's member of etcd. With systemd it may not answer yet when this returns."""
    arguments = ["etcd-member", "--data-dir", str(cluster.directory)]
    if _by_systemd(cluster):
        units.start(cluster, "etcd", arguments)
    elif processes.running(cluster.etcd_pid) is None:
        processes.start("etcd", arguments, pid_file=cluster.etcd_pid, log=cluster.log("etcd")).wait_ready(patience)


def stop_etcd(cluster: Cluster) -> None:
    """End it for good."""
    if _by_systemd(cluster):
        units.stop(cluster, "etcd")
    processes.stop(cluster.etcd_pid)


def start_agent(cluster: Cluster, node: str, patience: float) -> None:
    """The node's agent. With systemd it may not be ready yet when this returns."""
    machine_link.add(cluster)
    arguments = ["agent", "--data-dir", str(cluster.directory), "--node", node]
    if _by_systemd(cluster):
        units.start(cluster, "agent", arguments)
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


def _wait_for_api(cluster: Cluster, patience: float) -> None:
    tls = ssl.create_default_context(cafile=str(cluster.pki / "ca.crt"))
    end = clock.monotonic() + patience
    while clock.monotonic() < end:
        connection = http.client.HTTPSConnection("127.0.0.1", cluster.state.api_port, timeout=5, context=tls)
        try:
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.1)  # another process, kept by systemd: there is no pipe to wait on
    raise ClusterError(f"the control plane is not ready after {patience:.0f} s; see 'journalctl -u pybernetes-*'")
