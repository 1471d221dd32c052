"""What kind of cluster, and which part of it this machine is: decided by `init`, adopted by `join`, written down.

`cluster.json` in the data directory is the record, as with `up`: a member is a cluster directory whose state says so.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import subprocess
from pathlib import Path
from typing import Any

from pybernetes.aio import clock
from pybernetes.bootstrap import cluster as clusters
from pybernetes.bootstrap import dual_stack, etcd_member, ingress, units
from pybernetes.bootstrap.cluster import ClusterError, ClusterState, Member, NodeState
from pybernetes.bootstrap.phases.run import Run

DEFAULT_PORT = 6443


def decide(run: Run) -> None:
    """`init`: from the flags."""
    options = run.options
    address, port = advertise_address(options), options.apiserver_bind_port
    endpoint = with_port(options.control_plane_endpoint or address, port)
    host = endpoint.rpartition(":")[0].strip("[]")
    pod_cidr = check_range("pod-network-cidr", options.pod_network_cidr)
    service_cidr = check_range("service-cidr", options.service_cidr)
    six = second(options.pod_network_cidr, options.service_cidr)
    store = options.store
    if store == "sqlite":
        store = f"sqlite://{directory_of(options) / 'store.db'}"
    elif store != "etcd" and not store.startswith(("etcd://", "etcds://")):
        raise ClusterError(f"--store {store!r} is none of sqlite, etcd, etcd://HOST:PORT[,HOST:PORT...]")
    state = ClusterState(
        name=options.name,
        api_host="127.0.0.1",
        api_port=port,
        store=store,
        pod_cidr=pod_cidr,
        service_cidr=service_cidr,
        six=six,
        domain=options.service_dns_domain,
        nodes=[NodeState(options.node_name)],
        created=clock.rfc3339(),
        network=options.network,
        load_balancer=not options.no_load_balancer,
        ingress=not options.no_ingress and ingress.binary() is not None,
        member=Member(
            address=address,
            endpoint=endpoint,
            names=[*dict.fromkeys((host, *options.apiserver_cert_extra_sans.split(",")))],
            systemd=units.available(),
            etcd=f"{options.node_name}={etcd_member.peer_url(address)}" if store == "etcd" else None,
            address6=address6(address) if six is not None else "",
        ),
    )
    state.member.names = [name for name in state.member.names if name]  # type: ignore[union-attr]
    run.cluster = clusters.establish(state, options.data_dir)
    _use_own_etcd(run)


def adopt(run: Run) -> None:
    """`join`: from the cluster's own configuration."""
    options, found = run.options, run.settings
    networking, endpoint = found.get("networking") or {}, found.get("controlPlaneEndpoint") or options.endpoint
    pods, services, address = networking["podSubnet"], networking["serviceSubnet"], advertise_address(options)
    six = second(pods, services)
    state = ClusterState(
        name=str(found.get("clusterName") or options.name),
        api_host="127.0.0.1",
        api_port=options.apiserver_bind_port if options.control_plane else int(endpoint.rpartition(":")[2]),
        store=str(found.get("store") or ""),
        pod_cidr=pods.partition(",")[0],
        service_cidr=services.partition(",")[0],
        six=six,
        domain=networking.get("dnsDomain") or "cluster.local",
        nodes=[NodeState(options.node_name)],
        created=clock.rfc3339(),
        network=str(found.get("network") or "vxlan"),
        load_balancer=found.get("load-balancer") != "none",
        ingress=options.control_plane and found.get("ingress") == "haproxy" and ingress.binary() is not None,
        member=Member(
            address=address,
            endpoint=endpoint,
            control_plane=options.control_plane,
            names=[endpoint.rpartition(":")[0].strip("[]")],
            systemd=units.available(),
            etcd="" if options.control_plane and found.get("store") == "etcd" else None,  # the phase says with whom
            address6=address6(address) if six is not None else "",
        ),
    )
    if options.control_plane and not state.store.startswith("etcd"):
        raise ClusterError(
            "this cluster keeps its objects in SQLite on its first machine, so it has room for one control plane; "
            "'pybernetes migrate --to etcd://HOST:PORT,...' there moves them to an etcd that several can share"
        )
    run.cluster = clusters.establish(state, options.data_dir)
    _use_own_etcd(run)


def _use_own_etcd(run: Run) -> None:
    if run.member.etcd is not None:
        run.cluster.state.store = etcd_member.store_url(run.cluster)
        run.cluster.save()


def directory_of(options: argparse.Namespace) -> Path:
    """Where the cluster's files will be."""
    return Path(options.data_dir).resolve() if options.data_dir else clusters.home() / options.name


def advertise_address(options: argparse.Namespace) -> str:
    """The address under which the other machines reach this one: the one given, else that of the default route."""
    if options.apiserver_advertise_address:
        try:
            given = ipaddress.ip_address(options.apiserver_advertise_address)
        except ValueError as error:
            raise ClusterError(f"--apiserver-advertise-address: {error}") from error
        if given.version != 4 or given.is_unspecified or given.is_loopback:
            raise ClusterError(f"--apiserver-advertise-address {given}: an IPv4 address other machines can reach")
        return str(given)
    try:
        text = subprocess.run(
            ["ip", "-json", "-4", "route", "get", "192.0.2.255"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout
        return str(json.loads(text)[0]["prefsrc"])
    except (OSError, subprocess.SubprocessError, ValueError, LookupError) as error:
        raise ClusterError(
            "this machine has no default route to take an address from; say which with --apiserver-advertise-address"
        ) from error


def with_port(endpoint: str, port: int) -> str:
    """`host:port`, with `port` where none is said."""
    host, colon, number = endpoint.rpartition(":")
    if colon and number.isdigit() and (":" not in host or host.endswith("]")):
        return endpoint
    return f"[{endpoint}]:{port}" if ":" in endpoint and not endpoint.endswith("]") else f"{endpoint}:{port}"


def address6(address: str) -> str:
    """This machine's IPv6 address beside its IPv4 one, on the same interface. Raises ClusterError."""
    if why := dual_stack.missing():
        raise ClusterError(f"the cluster has IPv6 ranges, and this machine cannot do that: {why}")
    for link in _addresses("-4", "to", address):
        for known in _addresses("-6", "scope", "global", "dev", link["ifname"]):
            for found in known.get("addr_info", ()):
                if not found.get("temporary") and not found.get("deprecated") and not found.get("tentative"):
                    return str(found["local"])
    raise ClusterError(
        f"the cluster has IPv6 ranges, so each node needs an IPv6 address; the interface with {address} has none"
    )


def _addresses(family: str, *which: str) -> list[dict[str, Any]]:
    command = ["ip", "-json", family, "addr", "show", *which]
    text = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10).stdout
    return [found for found in json.loads(text or "[]") if found]


def second(pods: str, services: str) -> dual_stack.Six | None:
    """The IPv6 part of both ranges. Raises ClusterError."""
    try:
        return dual_stack.second(pods, services, one_machine=False)
    except ValueError as error:
        raise ClusterError(f"--pod-network-cidr, --service-cidr: {error}") from error


def check_range(flag: str, cidrs: str) -> str:
    """The IPv4 range of a flag, which must be big enough. Raises ClusterError."""
    try:
        cidr, _ = dual_stack.pair(cidrs)
    except ValueError as error:
        raise ClusterError(f"--{flag}: {error}") from error
    network = ipaddress.ip_network(cidr)
    longest = 22 if flag == "pod-network-cidr" else 28
    if network.prefixlen > longest:
        raise ClusterError(f"--{flag} {cidr}: too small, a /{longest} at least")
    return cidr
