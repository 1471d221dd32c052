"""The parts of a control plane and of a node as processes of their own, each over its own connection to the API.

`pybernetes up` needs none of this: there the control plane is one process and the node another. On several machines,
or to try a changed part beside an unchanged rest, each part runs alone, and a kubeconfig tells it where the API is.
"""

from __future__ import annotations

import argparse
import ipaddress
import os
import socket
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from pybernetes.aio.tasks import Ready
from pybernetes.bootstrap import apiserver_flags
from pybernetes.bootstrap.cluster import ClusterError, find
from pybernetes.bootstrap.flags import seconds
from pybernetes.client import kubeconfig
from pybernetes.client.client import Client
from pybernetes.client.errors import ConfigError


class _Part(Protocol):
    @property
    def ready(self) -> Ready[Any]: ...

    def run(self) -> Awaitable[None]: ...


class OverHTTP:
    """A part with a connection of its own: `run()` until cancelled, then the connection is closed."""

    def __init__(self, connection: kubeconfig.Connection, make: Callable[[Client], _Part]) -> None:
        from pybernetes.client.http import HTTPTransport

        self._transport = HTTPTransport(connection)
        self._part = make(Client(self._transport))

    @property
    def ready(self) -> Ready[Any]:
        """What the part announces."""
        return self._part.ready

    async def run(self) -> None:
        """See the class."""
        try:
            await self._part.run()
        finally:
            await self._transport.close()


def parser_of(command: str, description: str, *, connects: bool = True) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"pybernetes {command}", description=description)
    if connects:
        parser.add_argument("--kubeconfig", metavar="FILE", required=True, help="how to reach the API server")
    parser.add_argument("--ready-fd", type=int, help="file descriptor to write a line to when ready")
    parser.add_argument("-v", "--verbose", action="store_true", help="log more")
    return parser


def connection_of(options: argparse.Namespace) -> kubeconfig.Connection:
    try:
        return kubeconfig.load([Path(options.kubeconfig)], explicit=True).connection()
    except (OSError, ConfigError) as error:
        raise ClusterError(str(error)) from error


def apiserver(arguments: list[str]) -> tuple[_Part, argparse.Namespace]:
    """`pybernetes apiserver`."""
    parser = parser_of("apiserver", "The API server alone.", connects=False)
    parser.add_argument("--data-dir", metavar="DIR", help="a cluster's directory: keys, store and addresses from there")
    parser.add_argument("--pki", metavar="DIR", help="keys and certificates in kubeadm's layout; none: plain HTTP")
    parser.add_argument("--store", metavar="URL", help="memory:, sqlite:///PATH or etcd://HOST:PORT (default: memory:)")
    parser.add_argument("--bind-address", metavar="ADDR", help="default: 127.0.0.1")
    parser.add_argument("--port", type=int, help="default: 6443")
    parser.add_argument("--advertise-address", metavar="ADDR", help="address for Pods and other machines")
    parser.add_argument("--service-cluster-ip-range", metavar="CIDR[,CIDR]", help="default: 10.96.0.0/12")
    apiserver_flags.add(parser)
    options = parser.parse_args(arguments)
    from pybernetes.bootstrap import control_plane
    from pybernetes.control_plane.apiserver.server import APIServer, Config

    config = Config(port=6443)
    if options.data_dir:
        cluster = find("", options.data_dir)
        if cluster is None:
            raise ClusterError(f"{options.data_dir} holds no cluster; 'pybernetes up' makes one")
        config = control_plane.configure(cluster).apiserver
    given = {
        "store": options.store,
        "host": options.bind_address,
        "port": options.port,
        "advertise_address": options.advertise_address,
        "pki": Path(options.pki) if options.pki else None,
        "service_cidrs": _ranges(options.service_cluster_ip_range) if options.service_cluster_ip_range else None,
    }
    config = replace(config, **{name: value for name, value in given.items() if value is not None})
    config = apiserver_flags.apply(config, apiserver_flags.given(options))
    if config.pki is None and config.host not in ("127.0.0.1", "::1", "localhost"):
        raise ClusterError("without --pki the API server speaks plain HTTP, and then only on the loopback address")
    return APIServer(config), options


def _ranges(text: str) -> tuple[str, ...]:
    """The ranges of --service-cluster-ip-range. Raises ClusterError."""
    try:
        found = [ipaddress.ip_network(part.strip()) for part in text.split(",")]
    except ValueError as error:
        raise ClusterError(f"--service-cluster-ip-range: {error}") from error
    if len({network.version for network in found}) < len(found):
        raise ClusterError(f"--service-cluster-ip-range {text}: one range of each family at most")
    return tuple(map(str, found))


def controller_manager(arguments: list[str]) -> tuple[_Part, argparse.Namespace]:
    """`pybernetes controller-manager`."""
    parser = parser_of("controller-manager", "All controllers, as a process of their own.")
    parser.add_argument("--controllers", default="*", help="names, '*' for all, '-name' for not this one; by comma")
    parser.add_argument("--root-ca-file", metavar="FILE", help="published as kube-root-ca.crt in every namespace")
    parser.add_argument("--leader-elect", action="store_true", help="only one of several works at a time")
    from pybernetes.control_plane.controllers import legacy_tokens, node_lifecycle
    from pybernetes.control_plane.controllers import node_plan as plan

    silence, rates = node_lifecycle.Config(), plan.Rates()
    parser.add_argument(
        "--node-monitor-grace-period", type=seconds, default=silence.grace_period, metavar="TIME", help="default: 50s"
    )
    parser.add_argument(
        "--node-startup-grace-period", type=seconds, default=silence.startup_grace_period, metavar="TIME",
        help="the same for a node that never was ready (default: 1m)",
    )  # fmt: skip
    for flag, default, text in (
        ("--node-eviction-rate", rates.normal, "nodes a second whose Pods are evicted"),
        ("--secondary-node-eviction-rate", rates.partial, "the same where most nodes of a zone are silent"),
        ("--unhealthy-zone-threshold", rates.unhealthy_threshold, "share of silent nodes from which that holds"),
    ):
        parser.add_argument(flag, type=float, default=default, metavar="N", help=f"{text} (default: %(default)s)")
    parser.add_argument("--large-cluster-size-threshold", type=int, default=rates.large_cluster, metavar="N")
    parser.add_argument(
        "--legacy-service-account-token-clean-up-period", type=seconds, default=legacy_tokens.Config().clean_up_period,
        metavar="TIME", help="without a use, until a generated token Secret is refused, and as long again until it goes"
        " (default: 8760h)",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    from pybernetes.client import leader
    from pybernetes.control_plane.controllers.manager import Config, ControllerManager

    election = None
    if options.leader_elect:
        election = leader.Config("kube-controller-manager", "kube-system", f"{socket.gethostname()}_{os.getpid()}")
    config = Config(
        controllers=tuple(options.controllers.split(",")),
        root_ca=Path(options.root_ca_file).read_text() if options.root_ca_file else "",
        leader_election=election,
        legacy_tokens=legacy_tokens.Config(options.legacy_service_account_token_clean_up_period),
        node_lifecycle=node_lifecycle.Config(
            grace_period=options.node_monitor_grace_period,
            startup_grace_period=options.node_startup_grace_period,
            rates=plan.Rates(
                normal=options.node_eviction_rate,
                partial=options.secondary_node_eviction_rate,
                large_cluster=options.large_cluster_size_threshold,
                unhealthy_threshold=options.unhealthy_zone_threshold,
            ),
        ),
    )
    return OverHTTP(connection_of(options), lambda client: ControllerManager(config, client)), options


def scheduler(arguments: list[str]) -> tuple[_Part, argparse.Namespace]:
    """`pybernetes scheduler`."""
    parser = parser_of("scheduler", "The scheduler, as a process of its own.")
    parser.add_argument("--config", metavar="FILE", help="a KubeSchedulerConfiguration")
    options = parser.parse_args(arguments)
    from pybernetes.control_plane.scheduler import Config, Scheduler

    config = Config()
    if options.config:
        from pybernetes.control_plane.scheduler import configuration
        from pybernetes.machinery import yaml

        try:
            config = configuration.load(yaml.load(Path(options.config).read_text()))
        except (OSError, ValueError) as error:
            raise ClusterError(f"{options.config}: {error}") from error
    return OverHTTP(connection_of(options), lambda client: Scheduler(config, client)), options


def proxy(arguments: list[str]) -> tuple[_Part, argparse.Namespace]:
    """`pybernetes proxy`."""
    parser = parser_of("proxy", "kube-proxy alone: Services as rules of this machine's packet filter.")
    parser.add_argument("--node", default=socket.gethostname().lower(), help="name of the node (default: %(default)s)")
    parser.add_argument("--node-address", action="append", metavar="ADDR", help="for NodePorts; may be repeated")
    parser.add_argument("--cluster-cidr", action="append", metavar="CIDR", help="range of all Pods; may be repeated")
    parser.add_argument(
        "--proxy-mode", choices=("nftables", "iptables"), default="nftables", help="default: %(default)s"
    )
    parser.add_argument(
        "--iptables-localhost-nodeports",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="with iptables, node ports answer on 127.0.0.1 too (default: true)",
    )
    parser.add_argument(
        "--healthz-port", type=int, default=10256, help="port of /healthz; 0: none (default: %(default)s)"
    )
    parser.add_argument(
        "--metrics-port",
        type=int,
        default=10249,
        help="port of /metrics and /proxyMode on 127.0.0.1; 0: none (default: %(default)s)",
    )
    options = parser.parse_args(arguments)
    from pybernetes.network.proxy import Config, Proxy

    places = (*(options.node_address or ()), *(options.cluster_cidr or ()))
    config = Config(
        cluster="standalone",
        node=options.node,
        node_addresses=tuple(options.node_address or ()),
        pod_cidrs=tuple(options.cluster_cidr or ()),
        families=("IPv4", "IPv6") if any(":" in place for place in places) else ("IPv4",),
        backend=options.proxy_mode,
        localhost_node_ports=options.iptables_localhost_nodeports,
        healthz_port=options.healthz_port,
        status_port=options.metrics_port,
    )
    return OverHTTP(connection_of(options), lambda client: Proxy(config, client)), options


def kubelet(arguments: list[str]) -> tuple[_Part, argparse.Namespace]:
    """`pybernetes kubelet`."""
    parser = parser_of("kubelet", "The kubelet alone, over the CRI socket of a containerd that runs already.")
    parser.add_argument("--node", default=socket.gethostname().lower(), help="name of the node (default: %(default)s)")
    parser.add_argument("--node-ip", action="append", metavar="ADDR", help="may be repeated, the primary one first")
    parser.add_argument("--container-runtime-endpoint", required=True, metavar="SOCKET", help="path of the CRI socket")
    parser.add_argument("--root-dir", default="/var/lib/kubelet", metavar="DIR", help="default: %(default)s")
    parser.add_argument("--cluster-dns", action="append", metavar="ADDR", help="may be repeated")
    parser.add_argument("--cluster-domain", default="cluster.local", help="default: %(default)s")
    parser.add_argument("--address", default="127.0.0.1", help="address of the node's API (default: %(default)s)")
    parser.add_argument(
        "--port", type=int, default=10250, help="port of the node's API; 0: none (default: %(default)s)"
    )
    parser.add_argument("--tls-cert-file", metavar="FILE")
    parser.add_argument("--tls-private-key-file", metavar="FILE")
    parser.add_argument("--client-ca-file", metavar="FILE", help="authority of the callers' certificates")
    options = parser.parse_args(arguments)
    from pybernetes.node.cri.client import CRIClient
    from pybernetes.node.kubelet.config import Config
    from pybernetes.node.kubelet.kubelet import Kubelet

    if options.port and not (options.tls_cert_file and options.tls_private_key_file and options.client_ca_file):
        raise ClusterError(
            "the node's API needs --tls-cert-file, --tls-private-key-file and --client-ca-file; --port 0 leaves it out"
        )
    config = Config(
        node_name=options.node,
        node_ips=tuple(options.node_ip or ()),
        data_dir=Path(options.root_dir),
        log_dir=Path(options.root_dir) / "logs",
        cluster_dns=tuple(options.cluster_dns or ()),
        cluster_domain=options.cluster_domain,
        address=options.address,
        port=options.port,
        tls_cert=Path(options.tls_cert_file) if options.tls_cert_file else None,
        tls_key=Path(options.tls_private_key_file) if options.tls_private_key_file else None,
        client_ca=Path(options.client_ca_file) if options.client_ca_file else None,
    )
    runtime = CRIClient(Path(options.container_runtime_endpoint.removeprefix("unix://")))
    return OverHTTP(connection_of(options), lambda client: Kubelet(config, client, runtime)), options
