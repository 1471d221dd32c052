"""`init`, `join`, `reset`: clusters over several machines, the way kubeadm's users know it.

The commands only hold the phases together (`bootstrap.phases`): progress, what to copy at the end, and taking back all
of it when something goes wrong on the way.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from pybernetes.bootstrap import cluster as clusters
from pybernetes.bootstrap import command_line, join_tokens, kubeconfigs, local, member_processes, phases, pki, processes
from pybernetes.bootstrap.cluster import Cluster, ClusterError
from pybernetes.bootstrap.join_tokens import TokenError
from pybernetes.bootstrap.phases import etcd
from pybernetes.bootstrap.phases.run import Run

ERRORS = (ClusterError, TokenError, processes.StartError, pki.PKIError, kubeconfigs.KubeconfigError)


def main(arguments: list[str]) -> int:
    """One of the commands of this module; the exit code."""
    command, *rest = arguments
    actions: dict[str, Callable[[list[str]], None]] = {"init": _init, "join": _join, "reset": _reset}
    try:
        actions[command](rest)
    except ERRORS as error:
        print(f"pybernetes {command}: {error}", file=sys.stderr)
        return 1
    return 0


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--node-name", default=clusters.node_name(), metavar="NAME", help="default: the host's name")
    parser.add_argument(
        "--apiserver-advertise-address",
        default="",
        metavar="ADDR",
        help="this machine's address for the others (default: that of the default route)",
    )
    parser.add_argument("--apiserver-bind-port", type=int, default=6443, metavar="PORT", help="default: %(default)s")
    parser.add_argument(
        "--ignore-preflight-errors", default="", metavar="CHECKS", help="checks by comma, or all: warn only"
    )
    parser.add_argument(
        "--certificate-key", default="", metavar="HEX", help="key of the uploaded control plane secrets"
    )


def _init(arguments: list[str]) -> None:
    parser = command_line.parser("init", "Make this machine the first control plane of a cluster.")
    _common(parser)
    parser.add_argument(
        "--control-plane-endpoint", default="", metavar="HOST[:PORT]", help="shared by all control planes"
    )
    parser.add_argument("--apiserver-cert-extra-sans", default="", metavar="NAMES", help="further names, by comma")
    parser.add_argument("--pod-network-cidr", default="10.244.0.0/16", metavar="CIDR[,CIDR]", help="IPv4, or IPv4,IPv6")
    parser.add_argument(
        "--network",
        default="vxlan",
        choices=("vxlan", "routes", "none"),
        help="between the Pods of several nodes: in UDP, by routes between neighbours, or somebody else's CNI plugin",
    )
    parser.add_argument("--no-load-balancer", action="store_true", help="leave Services of type LoadBalancer to others")
    parser.add_argument("--no-ingress", action="store_true", help="no Ingress controller (default: where haproxy is)")
    parser.add_argument("--service-cidr", default="10.96.0.0/12", metavar="CIDR[,CIDR]", help="the same")
    parser.add_argument("--service-dns-domain", default="cluster.local", metavar="DOMAIN", help="default: %(default)s")
    parser.add_argument(
        "--store",
        default="sqlite",
        metavar="URL",
        help="sqlite; etcd: a member of etcd on each control plane; or etcd://HOST:PORT,... of yours",
    )
    parser.add_argument("--token", default="", help="the join token (default: a new one)")
    parser.add_argument("--token-ttl", default="24h0m0s", metavar="DURATION", help="0: for ever (default: %(default)s)")
    parser.add_argument("--skip-token-print", action="store_true", help="do not print the join line")
    parser.add_argument("--upload-certs", action="store_true", help="let further control planes get the secrets")
    options = parser.parse_args(arguments)
    if options.token:
        join_tokens.split(options.token)
    join_tokens.duration(options.token_ttl)
    run = Run(options, joins=False)
    _carry_out(run, phases.INIT)
    cluster = run.cluster
    config = usual_place(cluster) / "admin.conf"
    print(f"""
The control plane of cluster "{cluster.state.name}" runs, and its node is Ready.

To use it as a regular user:

  mkdir -p $HOME/.kube
  sudo cp -i {config} $HOME/.kube/config
  sudo chown $(id -u):$(id -g) $HOME/.kube/config

Or, as root:

  export KUBECONFIG={config}

The Pod network is there already: nothing has to be applied for it.""")
    if options.skip_token_print:
        return
    line = join_line(cluster, run.token)
    if run.certificate_key:
        print(f"""
Further control planes join with this line, as root:

{line} \\
\t--control-plane --certificate-key {run.certificate_key}

The certificate key opens the cluster's secrets: keep it to yourself. The secrets are taken back after two hours;
'pybernetes certs upload' brings them again.""")
    print(f"""
Worker nodes join with this line, as root:

{line}""")


def join_line(cluster: Cluster, token: str) -> str:
    """The command that a worker runs."""
    member = cluster.state.member
    assert member is not None
    pinned = pki.certificate_hash((cluster.pki / "ca.crt").read_bytes())
    return f"pybernetes join {member.endpoint} --token {token} \\\n\t--discovery-token-ca-cert-hash {pinned}"


def _join(arguments: list[str]) -> None:
    parser = command_line.parser("join", "Make this machine a node of a cluster, or one more control plane.")
    _common(parser)
    parser.add_argument("endpoint", metavar="HOST:PORT", help="where the cluster's API is")
    parser.add_argument("--token", default="", help="the join token")
    parser.add_argument("--discovery-token", default="", metavar="TOKEN", help="the same, as kubeadm also names it")
    parser.add_argument(
        "--discovery-token-ca-cert-hash", action="append", metavar="sha256:HEX", help="of the cluster's CA; repeatable"
    )
    parser.add_argument(
        "--discovery-token-unsafe-skip-ca-verification", action="store_true", help="trust whoever answers"
    )
    parser.add_argument("--control-plane", action="store_true", help="run a control plane here as well")
    options = parser.parse_args(arguments)
    options.token = options.token or options.discovery_token
    if not options.token:
        raise ClusterError("--token is missing; 'pybernetes token create --print-join-command' prints the whole line")
    join_tokens.split(options.token)
    if options.control_plane and not options.certificate_key:
        raise ClusterError(
            "--control-plane needs --certificate-key, as 'init --upload-certs' or 'certs upload' has printed it"
        )
    run = Run(options, joins=True)
    _carry_out(run, phases.JOIN)
    what = "node"
    if options.control_plane:
        what = f"control plane (see {usual_place(run.cluster) / 'admin.conf'}) and node"
    print(f"""
This machine is a {what} of cluster "{run.cluster.state.name}" under the name {run.node}.
See it with 'kubectl get nodes' on a control plane.""")


def _carry_out(run: Run, what: Sequence[phases.Phase]) -> None:
    """All phases in order; when one fails, nothing of this run stays."""
    try:
        for _, phase in what:
            phase(run)
    except BaseException:
        if run.has_cluster:
            run.say("reset", f"taking back what was made in {run.cluster.directory}")
            remove(run.cluster)
        raise


#: Where kubeadm's users, and what they wrote, look for admin.conf and pki.
USUAL_PLACE = Path("/etc/kubernetes")


def usual_place(cluster: Cluster) -> Path:
    """Let kubeadm's directory lead to ours if nothing is there; the directory to tell the user."""
    member = cluster.state.member
    assert member is not None
    if not os.path.lexists(USUAL_PLACE):
        USUAL_PLACE.symlink_to(cluster.directory)
        member.made.append(str(USUAL_PLACE))
        cluster.save()
        return USUAL_PLACE
    return USUAL_PLACE if USUAL_PLACE.resolve() == cluster.directory else cluster.directory


def remove(cluster: Cluster) -> None:
    """Everything of the cluster on this machine. Safe to repeat."""
    if told := etcd.leave(cluster):
        print(f"[reset] {told}", file=sys.stderr)
    member_processes.stop_units(cluster)
    for made in map(Path, cluster.state.member.made if cluster.state.member is not None else ()):
        if made.is_symlink() and made.resolve() == cluster.directory:
            made.unlink()
    local.remove(cluster)


def _reset(arguments: list[str]) -> None:
    parser = command_line.parser(
        "reset", "Take back what 'init' or 'join' made on this machine; the rest of the cluster goes on."
    )
    parser.add_argument("-f", "--force", action="store_true", help="do not ask")
    options = parser.parse_args(arguments)
    cluster = clusters.find(options.name, options.data_dir)
    if cluster is None:
        print(f'no cluster "{options.name}" on this machine; nothing to remove')
        return
    if not options.force and sys.stdin.isatty():
        print(f"This removes {cluster.directory} with all Pods, keys and data on this machine.")
        if input("Go on? [y/N] ").strip().lower() not in ("y", "yes"):
            raise ClusterError("aborted")
    remove(cluster)
    print(f"This machine is no member of cluster \"{cluster.state.name}\" any more; 'kubectl delete node' forgets it.")
