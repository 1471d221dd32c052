"""Kubeconfigs of the control plane and of the node, in kubeadm's names, below DIR.

Those of the control plane hold their certificates, for they are renewed on the machine that has the authority. The
node's name certificate files that the node renews through the API.
"""

from __future__ import annotations

from pybernetes.bootstrap import ingress, kubeconfigs, pki
from pybernetes.bootstrap.cluster import Cluster
from pybernetes.bootstrap.node_identity import NodeIdentity
from pybernetes.bootstrap.phases.run import Run


def run(run: Run) -> None:
    """Write what this member needs."""
    cluster = run.cluster
    identity = NodeIdentity(cluster, run.node)
    authority = pki.KeyPair((cluster.pki / "ca.crt").read_bytes(), b"")
    identity.write_kubeconfigs(authority.certificate)
    if run.member.control_plane:
        authority = authority._replace(key=(cluster.pki / "ca.key").read_bytes())
        written = control_plane(cluster, authority)
        identity.issue(authority)
        run.say("kubeconfig", f"{', '.join([*written, 'kubelet.conf'])} in {cluster.directory}")
        return
    credentials = kubeconfigs.Credentials(cluster.state.server, authority.certificate, token=run.options.token)
    text = kubeconfigs.render(cluster.state.name, "tls-bootstrap-token-user", credentials)
    pki.write(identity.bootstrap_conf, text.encode(), 0o600)


def control_plane(cluster: Cluster, authority: pki.KeyPair, renew_before: float = pki.Config.renew_before) -> list[str]:
    """The control plane's, made or renewed; the names of those written. `kubeconfig` is the administrator's as well,
    under the name that `up` gives it."""
    specs = [*kubeconfigs.CONTROL_PLANE, kubeconfigs.CONTROL_PLANE[0]._replace(file=cluster.kubeconfig.name)]
    state = cluster.state
    if state.ingress:
        specs.append(kubeconfigs.INGRESS)
        ingress.ensure_certificate(cluster, authority)
    written = kubeconfigs.ensure(
        cluster.directory, state.server, authority, specs, cluster=state.name, renew_before=renew_before
    )
    return [name for name in written if name != cluster.kubeconfig.name]
