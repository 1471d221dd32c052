"""Certificates of a control plane, in kubeadm's layout below DIR/pki. A worker has the cluster's CA certificate."""

from __future__ import annotations

import ipaddress

from pybernetes.bootstrap import pki
from pybernetes.bootstrap.cluster import Cluster
from pybernetes.bootstrap.phases.run import Run


def make(run: Run) -> None:
    """What is missing; what `download-certs` brought stays."""
    cluster = run.cluster
    if run.authority:
        pki.write(cluster.pki / "ca.crt", run.authority, 0o644)
    if not run.member.control_plane:
        return
    written = pki.ensure(cluster.pki, config_of(cluster))
    made = sum(1 for name in written if name.endswith(".crt"))
    run.say("certs", f"{made} certificates in {cluster.pki}; the API server's is good for {', '.join(names(cluster))}")


def config_of(cluster: Cluster, renew_before: float = pki.Config.renew_before) -> pki.Config:
    """What the certificates of this member say."""
    state, member = cluster.state, cluster.state.member
    stacked = member is not None and member.etcd is not None
    return pki.Config(
        node_name=state.nodes[0].name,
        service_ip=str(ipaddress.ip_network(state.service_cidr)[1]),
        cluster_domain=state.domain,
        names=names(cluster),
        renew_before=renew_before,
        etcd=stacked,
        etcd_names=(member.address,) if stacked and member is not None else (),
    )


def names(cluster: Cluster) -> tuple[str, ...]:
    """Under which the API server is reached from outside of the cluster."""
    member = cluster.state.member
    assert member is not None
    return tuple(dict.fromkeys(("localhost", "127.0.0.1", member.address, *member.names)))
