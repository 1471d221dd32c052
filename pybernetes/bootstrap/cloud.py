"""Which cloud a cluster belongs to: the local one on this machine, or what a manager of its own is told.

On our own control plane the cloud's controllers run beside the others; alone they are one of several copies, so they
elect a leader unless told not to.
"""

from __future__ import annotations

import argparse
import os
import socket
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pybernetes.bootstrap import ingress
from pybernetes.bootstrap.cluster import ClusterError, ClusterState
from pybernetes.bootstrap.standalone import OverHTTP, connection_of, parser_of
from pybernetes.client import leader

if TYPE_CHECKING:
    from pybernetes.control_plane.cloud import local, manager
    from pybernetes.control_plane.cloud.provider import Provider

#: What the servers of a node listen on.
NODE_PORTS: dict[local.Port, str] = {
    ("TCP", 10250): "the kubelet",
    ("TCP", 10256): "the health port of the proxy",
    ("TCP", 53): "the cluster DNS",
    ("UDP", 53): "the cluster DNS",
}
#: More of them on a machine that is a node itself: whoever takes these locks its owner out.
MACHINE_PORTS: dict[local.Port, str] = {
    ("TCP", 22): "SSH of the machine",
    ("TCP", 2379): "etcd",
    ("TCP", 2380): "etcd",
}


def of_machine(state: ClusterState) -> manager.Config | None:
    """The cloud of a cluster on this machine: its nodes' own addresses. None when it was not wanted."""
    if not state.load_balancer:
        return None
    from pybernetes.control_plane.cloud import local, manager

    config = local_config(state.api_port, machines=state.member is not None)
    if state.ingress:
        config = replace(config, ingress_ports=state.ingress_ports, ingress_controller=ingress.CONTROLLER)
    shared = state.member is not None and state.store.startswith("etcd")  # there may be more control planes
    return manager.Config(
        lambda informers: local.LocalLoadBalancers(config, informers),
        leader_election=_election() if shared else None,
    )


def _election() -> leader.Config:
    return leader.Config("cloud-controller-manager", "kube-system", f"{socket.gethostname()}_{os.getpid()}")


def local_config(api_port: int, *, machines: bool) -> local.Config:
    """What no Service gets. machines: the nodes' addresses are those of whole machines."""
    from pybernetes.control_plane.cloud import local

    more = MACHINE_PORTS if machines else {}
    return local.Config(reserved={**NODE_PORTS, **more, ("TCP", api_port): "the API server"})


def _public(name: str, file: str | None) -> Provider:
    """A public cloud, as its file describes it. Raises ClusterError."""
    from pybernetes.control_plane.cloud import libcloud
    from pybernetes.control_plane.cloud.provider import CloudError
    from pybernetes.machinery import yaml

    try:
        found = yaml.load(Path(file).read_text()) if file else {}
        if not isinstance(found, dict) or found.keys() - _KEYS:
            raise ValueError(f"only these keys are known: {', '.join(sorted(_KEYS))}")
        config = libcloud.Config(
            provider=name,
            credentials=tuple(map(str, found.get("credentials") or ())),
            region=str(found.get("region") or ""),
            options=tuple((key, str(value)) for key, value in (found.get("options") or {}).items()),
            endpoint=str(found.get("endpoint") or ""),
            subnets=tuple(map(str, found.get("subnets") or ())),
            route_table=str(found.get("routeTable") or ""),
        )
        return libcloud.LibcloudProvider(config)
    except CloudError as error:
        raise ClusterError(f"--cloud-provider {name}: {error}") from error
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ClusterError(f"--cloud-config {file}: {error}") from error


_KEYS = {"credentials", "region", "options", "endpoint", "subnets", "routeTable"}


def parse(arguments: list[str]) -> tuple[OverHTTP, argparse.Namespace]:
    """`pybernetes cloud-controller-manager`."""
    parser = parser_of("cloud-controller-manager", "Nodes, load balancers and routes of a cloud, as a process.")
    parser.add_argument(
        "--cloud-provider", default="local", help="local (default), ec2, gce, azure, digitalocean or ibm: docs/cloud.md"
    )
    parser.add_argument("--cloud-config", metavar="FILE", help="YAML: how to reach a public cloud")
    parser.add_argument("--controllers", default="*", help="names, '*' for all, '-name' for not this one; by comma")
    parser.add_argument("--cluster-cidr", action="append", metavar="CIDR", help="range of all Pods; may be repeated")
    parser.add_argument("--api-port", type=int, default=6443, help="no load balancer gets it (default: %(default)s)")
    parser.add_argument(
        "--leader-elect",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="only one of several works at a time (default)",
    )
    options = parser.parse_args(arguments)
    from pybernetes.control_plane.cloud import local, manager, routes

    settings = local_config(options.api_port, machines=True)
    public = _public(options.cloud_provider, options.cloud_config) if options.cloud_provider != "local" else None
    config = manager.Config(
        provider=lambda informers: public or local.LocalLoadBalancers(settings, informers),
        controllers=tuple(options.controllers.split(",")),
        leader_election=_election() if options.leader_elect else None,
        routes=routes.Config(tuple(options.cluster_cidr or ())),
    )
    return OverHTTP(connection_of(options), lambda client: manager.CloudControllerManager(config, client)), options
