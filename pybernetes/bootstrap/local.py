"""`up`, `down`, `status`, `list`, `image`: clusters on this machine.

`up` decides (or reads what an earlier `up` decided), makes certificates, starts the control plane and the node agents
at the same time and waits for both to announce themselves. It is idempotent: what runs already is left alone, so `up`
is also the way back after a crash or a reboot. `down` ends the processes first and then takes apart what they made.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pybernetes.aio import clock
from pybernetes.bootstrap import (
    apiserver_flags,
    command_line,
    dual_stack,
    ingress,
    kubeconfigs,
    machine_link,
    nodes,
    pki,
    processes,
)
from pybernetes.bootstrap import cluster as clusters
from pybernetes.bootstrap.cluster import DEFAULT_NAME, Cluster, ClusterError
from pybernetes.bootstrap.flags import seconds

#: For `--network`; `network.cni` is slow to import.
NETWORKS = ("routes", "vxlan", "none")


def main(arguments: list[str]) -> int:
    """One of the commands of this module; the exit code."""
    command, *rest = arguments
    actions: dict[str, Callable[[list[str]], int]] = {
        "up": _up,
        "down": _down,
        "status": _status,
        "list": _list,
        "image": _image,
    }
    try:
        return actions[command](rest)
    except (ClusterError, processes.StartError, pki.PKIError, kubeconfigs.KubeconfigError) as error:
        print(f"pybernetes {command}: {error}", file=sys.stderr)
        return 1


# -- up --------------------------------------------------------------------------------------------------------------


def _up(arguments: list[str]) -> int:
    parser = command_line.parser("up", "Bring up a cluster on this machine; returns when it is Ready.")
    parser.add_argument("--nodes", type=int, default=None, metavar="N", help="real nodes (default: 1 as root, else 0)")
    parser.add_argument("--network", choices=NETWORKS, help="how Pods of several nodes reach each other: docs/nodes.md")
    parser.add_argument("--pod-network-cidr", metavar="CIDR[,CIDR]", help="IPv4, or IPv4,IPv6 (default: a free one)")
    parser.add_argument("--service-cidr", metavar="CIDR[,CIDR]", help="the same for Services; both or neither")
    parser.add_argument(
        "--node-monitor-grace-period",
        type=seconds,
        metavar="TIME",
        help="silence after which a node is not ready, such as 50s (default) or 1m",
    )
    parser.add_argument("--fake-nodes", type=int, default=0, metavar="N", help="nodes that pretend to run Pods")
    parser.add_argument("--store", default="sqlite", help="sqlite, memory or etcd://HOST:PORT (default: %(default)s)")
    parser.add_argument("--api-port", type=int, metavar="PORT", help="default: 6443, or the next free one")
    parser.add_argument("--bind-address", default="127.0.0.1", metavar="ADDR", help="address of the API server")
    parser.add_argument(
        "--proxy-mode", choices=("nftables", "iptables"), help="the packet filter of Services (default: nftables)"
    )
    parser.add_argument("--no-dns", action="store_true", help="leave the cluster DNS to Pods of yours: docs/dns.md")
    apiserver_flags.add(parser)
    parser.add_argument("--wait", type=float, default=60.0, metavar="SECONDS", help="how long to wait for Ready")
    parser.add_argument("--no-load-balancer", action="store_true", help="leave Services of type LoadBalancer to others")
    parser.add_argument("--no-ingress", action="store_true", help="no Ingress controller (default: where haproxy is)")
    parser.add_argument("--ingress-ports", type=_two_ports, metavar="HTTP,HTTPS", help="default: 80,443")
    parser.add_argument("--no-merge", action="store_true", help="leave the user's kubeconfig alone")
    options = parser.parse_args(arguments)
    begin = clock.monotonic()
    flags = apiserver_flags.given(options)
    cluster = clusters.find(options.name, options.data_dir)
    if cluster is None:
        cluster = _create(options, flags)
    else:
        _grow(cluster, options.nodes)
    if options.network not in (None, cluster.state.network):
        raise ClusterError(f"the cluster was made with --network {cluster.state.network}; 'down' it first")
    if _ranges(options) not in (None, (",".join(cluster.state.pod_cidrs), ",".join(cluster.state.service_cidrs))):
        raise ClusterError("the cluster was made with other ranges of addresses; 'down' it first")
    if options.node_monitor_grace_period not in (None, cluster.state.node_grace):
        given = f"--node-monitor-grace-period {cluster.state.node_grace:g}s"
        raise ClusterError(f"the cluster was made with {given}; 'down' it first")
    if options.proxy_mode not in (None, cluster.state.proxy_mode):
        raise ClusterError(f"the cluster was made with --proxy-mode {cluster.state.proxy_mode}; 'down' it first")
    if options.no_dns and cluster.state.dns:
        raise ClusterError("the cluster was made with its own DNS; 'down' it first")
    if flags and flags != cluster.state.apiserver_flags:
        raise ClusterError("the cluster was made with other flags of the API server; 'down' it first")
    if (options.no_ingress and cluster.state.ingress) or (options.no_load_balancer and cluster.state.load_balancer):
        raise ClusterError("the cluster was made with its load balancers and Ingress controller; 'down' it first")
    if options.ingress_ports not in (None, cluster.state.ingress_ports):
        raise ClusterError("the cluster was made with --ingress-ports {},{}".format(*cluster.state.ingress_ports))
    step = _Steps(f'cluster "{cluster.state.name}" in {cluster.directory}')
    if cluster.state.member is not None:
        return _up_member(cluster, step, options.wait)
    with step("certificates"):
        credentials = ensure_credentials(cluster)
    deadline = clock.monotonic() + options.wait
    started: list[processes.Started] = []
    if cluster.state.nodes:
        machine_link.add(cluster)
    with step("control plane"):
        if processes.running(cluster.control_plane_pid) is None:
            started.append(
                processes.start(
                    "the control plane",
                    ["control-plane", "--data-dir", str(cluster.directory)],
                    pid_file=cluster.control_plane_pid,
                    log=cluster.log("control-plane"),
                )
            )
        agents = [nodes.start(cluster, node.name) for node in cluster.state.nodes]
        for process in started:
            process.wait_ready(max(1.0, deadline - clock.monotonic()))
    for process in filter(None, agents):
        with step(f"{process.name} Ready"):
            process.wait_ready(max(1.0, deadline - clock.monotonic()))
    merge = not options.no_merge and kubeconfigs.user_path() != cluster.kubeconfig
    if merge:
        kubeconfigs.merge(
            kubeconfigs.user_path(),
            f"pybernetes-{cluster.state.name}",
            credentials,
            owner=str(cluster.directory),
        )
    print(f"Ready after {clock.monotonic() - begin:.1f} s: {cluster.state.server}")
    print(f"  kubectl --kubeconfig {cluster.kubeconfig} get nodes")
    if merge:
        print(f"  kubectl --context pybernetes-{cluster.state.name} get pods -A")
    return 0


def _up_member(cluster: Cluster, step: _Steps, patience: float) -> int:
    """Start again what runs here of a cluster of several machines."""
    from pybernetes.bootstrap import member_processes

    member = cluster.state.member
    if member is not None and member.etcd is not None:
        with step("etcd"):
            member_processes.start_etcd(cluster, patience)
    if member is not None and member.control_plane:
        with step("control plane"):
            member_processes.start_control_plane(cluster, patience)
    for node in cluster.state.nodes:
        with step(f"node {node.name} Ready"):
            member_processes.start_agent(cluster, node.name, patience)
    return 0


def _create(options: argparse.Namespace, flags: dict[str, Any]) -> Cluster:
    count = options.nodes
    if count is None:
        count = 1 if os.geteuid() == 0 else 0
    if count:
        _check_host()
    if options.store not in ("sqlite", "memory") and "://" not in options.store:
        raise ClusterError(f"--store {options.store!r} is none of sqlite, memory, etcd://HOST:PORT")
    cluster = clusters.create(
        options.name,
        data_dir=options.data_dir,
        api_host=options.bind_address,
        api_port=options.api_port,
        store=options.store,
        nodes=count,
        fake_nodes=options.fake_nodes,
        proxy_mode=options.proxy_mode or "nftables",
        dns=not options.no_dns,
        load_balancer=not options.no_load_balancer,
        ingress=bool(count) and not options.no_ingress and ingress.binary() is not None,
        ingress_ports=options.ingress_ports or (80, 443),
        network=options.network or "routes",
        node_grace=options.node_monitor_grace_period or 50.0,
        ranges=_ranges(options),
    )
    if flags:
        cluster.state.apiserver_flags = flags
        cluster.save()
    return cluster


def _ranges(options: argparse.Namespace) -> tuple[str, str] | None:
    """The ranges given, of Pods and of Services, as a cluster has them written. Raises ClusterError."""
    pods, services = options.pod_network_cidr, options.service_cidr
    if (pods is None) != (services is None):
        raise ClusterError("--pod-network-cidr and --service-cidr go together")
    if pods is None:
        return None
    try:
        of_pods, of_services = (",".join(filter(None, dual_stack.pair(text))) for text in (pods, services))
    except ValueError as error:
        raise ClusterError(f"--pod-network-cidr, --service-cidr: {error}") from error
    return of_pods, of_services


def _grow(cluster: Cluster, count: int | None) -> None:
    """Add nodes to a cluster that has fewer. Raises ClusterError when it cannot have so many, or has more."""
    present = len(cluster.state.nodes)
    if count is None or count == present:
        return
    if count < present:
        raise ClusterError(f"the cluster has {present} nodes; 'pybernetes node delete NODE' removes one")
    if not present:
        raise ClusterError("the cluster was made without real nodes, and the API listens for none; 'down' it first")
    _check_host()
    clusters.add_nodes(cluster.state, count)
    cluster.save()


def _two_ports(text: str) -> tuple[int, int]:
    http, _, https = text.partition(",")
    ports = int(http), int(https)
    if ports[0] == ports[1] or not all(0 < port < 65536 for port in ports):
        raise ValueError(text)
    return ports


def _check_host() -> None:
    """What a real node needs. Raises ClusterError that names all that is missing at once."""
    if os.geteuid() != 0:
        raise ClusterError("real nodes need root; run it with sudo, or use --fake-nodes N without")
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/local/sbin"
    packages = {
        "containerd": "containerd",
        "runc": "runc",
        "nft": "nftables",
        "ip": "iproute2",
        "iptables": "iptables",
    }
    missing = [package for command, package in packages.items() if shutil.which(command, path=path) is None]
    if not any(Path(directory, "bridge").exists() for directory in ("/opt/cni/bin", "/usr/lib/cni")):
        missing.append("containernetworking-plugins")
    if missing:
        raise ClusterError(f"missing on this machine: {', '.join(missing)}; apt-get install {' '.join(missing)}")


def ensure_credentials(cluster: Cluster) -> kubeconfigs.Credentials:
    """Certificates, component kubeconfigs and the admin's; the admin's credentials."""
    renew(cluster, pki.Config.renew_before)
    return _admin(cluster)


def renew(cluster: Cluster, renew_before: float) -> list[str]:
    """Make what is missing or ends within `renew_before` seconds; the names of the files written."""
    state = cluster.state
    names = tuple(dict.fromkeys(("localhost", "127.0.0.1", state.api_host, *state.machine_addresses)))
    node = state.nodes[0].name if state.nodes else clusters.node_name()
    config = pki.Config(
        node_name=node,
        service_ip=_first_address(state.service_cidr),
        cluster_domain=state.domain,
        names=names,
        renew_before=renew_before,
    )
    written = pki.ensure(cluster.pki, config)
    authority = pki.KeyPair((cluster.pki / "ca.crt").read_bytes(), (cluster.pki / "ca.key").read_bytes())

    def write(directory: Path, server: str, specs: list[kubeconfigs.Spec]) -> None:
        written.extend(
            kubeconfigs.ensure(directory, server, authority, specs, cluster=state.name, renew_before=renew_before)
        )

    write(cluster.directory, state.server, kubeconfigs.specs(node))
    for known in state.nodes:
        if known.index:
            wanted = [*kubeconfigs.node_specs(known.name), *((kubeconfigs.INGRESS,) if state.ingress else ())]
            write(cluster.node_directory(known.name), state.node_server, wanted)
        certificate_file = cluster.node_directory(known.name) / "kubelet.crt"
        if pki.due(certificate_file, renew_before):
            address = state.node_address(known.name)
            pair = pki.server(authority, f"system:node:{known.name}", (known.name, address))
            pki.write(certificate_file, pair.certificate, 0o644)
            pki.write(certificate_file.with_suffix(".key"), pair.key, 0o600)
            written.append(f"{known.name}/kubelet.crt")
    ingress.ensure_certificate(cluster, authority)
    admin = cluster.directory / "admin-client.pem"
    if pki.due(admin, renew_before) or not cluster.kubeconfig.exists():
        pair = pki.client(authority, "kubernetes-admin", "kubeadm:cluster-admins")
        pki.write(admin, pair.certificate + pair.key, 0o600)
        written.append(admin.name)
        kubeconfigs.replace(kubeconfigs.user_path(), f"pybernetes-{state.name}", _admin(cluster))
    return written


def _admin(cluster: Cluster) -> kubeconfigs.Credentials:
    """The admin's credentials; `kubeconfig` is made what they say."""
    state = cluster.state
    certificate, _, key = (cluster.directory / "admin-client.pem").read_bytes().partition(_END)
    credentials = kubeconfigs.Credentials(
        state.server, (cluster.pki / "ca.crt").read_bytes(), pki.KeyPair(certificate + _END, key)
    )
    context = f"pybernetes-{state.name}"
    text = kubeconfigs.render(context, context, credentials, context=context)
    if not cluster.kubeconfig.exists() or cluster.kubeconfig.read_text() != text:
        pki.write(cluster.kubeconfig, text.encode(), 0o600)
    return credentials


_END = b"-----END CERTIFICATE-----\n"


def _first_address(network: str) -> str:
    import ipaddress

    return str(ipaddress.ip_network(network)[1])


class _Steps:
    """Progress on the terminal: a line a step, with its time."""

    def __init__(self, title: str) -> None:
        print(title, flush=True)

    @contextlib.contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        begin = clock.monotonic()
        print(f"  {name} ... ", end="", flush=True)
        try:
            yield
        except BaseException:
            print("failed", flush=True)
            raise
        print(f"{clock.monotonic() - begin:.2f} s", flush=True)


# -- down, status, list ------------------------------------------------------------------------------------------------


def _down(arguments: list[str]) -> int:
    parser = command_line.parser("down", "Remove a cluster: processes, containers, mounts, network, files.")
    parser.add_argument("--all", action="store_true", help="every cluster on this machine")
    options = parser.parse_args(arguments)
    found = clusters.all_clusters() if options.all else [clusters.find(options.name, options.data_dir)]
    for cluster in found:
        if cluster is None:
            print(f'no cluster "{options.name}"; nothing to remove')
            continue
        if cluster.state.member is not None:
            raise ClusterError(f"this machine is a member of \"{cluster.state.name}\": 'pybernetes reset' takes it out")
        remove(cluster)
        print(f'cluster "{cluster.state.name}" is removed')
    return 0


def remove(cluster: Cluster) -> None:
    """End a cluster's processes and take apart what they made. Safe to repeat."""
    from pybernetes.bootstrap import node_host  # gRPC is slow to import, and `up` does without

    for node in cluster.state.nodes:
        processes.stop(cluster.agent_pid(node.name))
    for node in cluster.state.nodes:
        node_host.teardown(cluster, node.name)
    processes.stop(cluster.control_plane_pid)
    processes.stop(cluster.etcd_pid)
    if cluster.state.nodes:
        machine_link.remove(cluster)
    # What says that there is a cluster goes last: a `down` that fails half-way can be repeated.
    for entry in cluster.directory.iterdir():
        if entry.name != "cluster.json":
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    shutil.rmtree(cluster.directory)
    with contextlib.suppress(kubeconfigs.KubeconfigError):  # the user's file may be in any state
        kubeconfigs.remove(kubeconfigs.user_path(), f"pybernetes-{cluster.state.name}")
    link = clusters.home() / cluster.state.name
    if link.is_symlink():
        link.unlink()


def _status(arguments: list[str]) -> int:
    options = command_line.parser("status", "What runs, and where.").parse_args(arguments)
    cluster = clusters.find(options.name, options.data_dir)
    if cluster is None:
        raise ClusterError(f"no cluster \"{options.name}\"; 'pybernetes up' makes one")
    state = cluster.state
    print(f"name:           {state.name}\nserver:         {state.server}\ndata directory: {cluster.directory}")
    print(f"store:          {state.store}\nkubeconfig:     {cluster.kubeconfig}")
    healthy = True
    for title, pid_file in _parts(cluster):
        record = processes.running(pid_file)
        healthy &= record is not None
        print(f"{title + ':':15} {'running, pid ' + str(record.pid) if record else 'not running; pybernetes up'}")
    return 0 if healthy else 1


def _parts(cluster: Cluster) -> list[tuple[str, Path]]:
    """What of the cluster runs on this machine: title and pid file."""
    state = cluster.state
    rows = [("control plane", cluster.control_plane_pid)] if state.member is None or state.member.control_plane else []
    if state.member is not None and state.member.etcd is not None:
        rows.append(("etcd", cluster.etcd_pid))
    return [*rows, *((f"node {node.name}", cluster.agent_pid(node.name)) for node in state.nodes)]


def _list(arguments: list[str]) -> int:
    argparse.ArgumentParser(prog="pybernetes list", description="The clusters on this machine.").parse_args(arguments)
    found = clusters.all_clusters()
    if not found:
        print("No clusters. 'pybernetes up' makes one.")
        return 0
    print(f"{'NAME':20} {'STATUS':10} {'NODES':>5} {'SERVER':30} DATA DIRECTORY")
    for cluster in found:
        up = processes.running(_parts(cluster)[0][1]) is not None
        nodes = len(cluster.state.nodes) + cluster.state.fake_nodes
        row = f"{cluster.state.name:20} {'Running' if up else 'Stopped':10} {nodes:>5} {cluster.state.server:30}"
        print(f"{row} {cluster.directory}")
    return 0


# -- image -------------------------------------------------------------------------------------------------------------


def _image(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="pybernetes image", description="Images in the nodes, without a registry.")
    parser.add_argument("--name", default=DEFAULT_NAME)
    parser.add_argument("--data-dir", metavar="DIR")
    commands = parser.add_subparsers(dest="action", required=True)
    importing = commands.add_parser("import", help="bring OCI or Docker archives into every node")
    importing.add_argument("files", nargs="+", metavar="FILE")
    commands.add_parser("list", help="the images on every node")
    options = parser.parse_args(arguments)
    cluster = clusters.find(options.name, options.data_dir)
    if cluster is None:
        raise ClusterError(f"no cluster \"{options.name}\"; 'pybernetes up' makes one")
    if not cluster.state.nodes:
        raise ClusterError("this cluster has no real nodes; fake nodes need no images")
    from pybernetes.bootstrap import node_host

    if options.action == "import":
        for file in options.files:
            if not Path(file).is_file():
                raise ClusterError(f"{file}: no such file")
        for node, names in node_host.import_images(cluster, [Path(file) for file in options.files]).items():
            print(f"{node}: {', '.join(names)}")
        return 0
    for node, images in node_host.list_images(cluster).items():
        for name, size in images:
            print(f"{node:20} {size / 1e6:9.1f} MB  {name}")
    return 0
