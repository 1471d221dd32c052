"""One real node's place on this machine: its containerd, its images, its network; and how all of it is taken apart.

The agent and the commands (`image`, `down`) must agree on every path and name, so they are derived here and nowhere
else.

The cluster has an address of its own on this machine, on an empty bridge (`machine_address`): the node's InternalIP, and the
second address of the API server. Pods reach both there, and nothing outside the machine does: binding to the loopback
address alone would shut Pods out, and the machine's own address would let the world in.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ipaddress
import subprocess
from pathlib import Path

from pybernetes.bootstrap import images
from pybernetes.bootstrap.cluster import Cluster
from pybernetes.network import cni
from pybernetes.node.containerd import settings
from pybernetes.node.containerd.content import import_archive
from pybernetes.node.containerd.removal import teardown as remove_containerd
from pybernetes.node.cri.client import CRIClient


def containerd_config(cluster: Cluster, node: str) -> settings.Config:
    """The settings of the node's containerd."""
    directory = cluster.node_directory(node)
    return settings.Config(
        data_dir=directory / "containerd",
        cni_conf_dir=directory / "cni",
        sandbox_image=images.PAUSE,
    )


def network_config(cluster: Cluster, node: str) -> cni.Config:
    """The settings of the node's Pod network; nodes get /24 ranges in the order of the cluster's list."""
    directory = cluster.node_directory(node)
    return cni.Config(
        cluster=cluster.state.name,
        node=node,
        pod_cidr=node_pod_cidr(cluster, node),
        cluster_cidr=cluster.state.pod_cidr,
        service_cidr=cluster.state.service_cidr,
        conf_dir=directory / "cni",
        data_dir=directory / "network",
    )


def node_pod_cidr(cluster: Cluster, node: str) -> str:
    """The Pod range of a node of this machine, a /24."""
    index = [known.name for known in cluster.state.nodes].index(node)
    return str(list(ipaddress.ip_network(cluster.state.pod_cidr).subnets(new_prefix=24))[index])


def machine_address(cluster: Cluster) -> str:
    """The cluster's address on this machine: the first of the last /24 of the Pod range, which no node gets."""
    *_, last = ipaddress.ip_network(cluster.state.pod_cidr).subnets(new_prefix=24)
    return str(last[1])


def _machine_link(cluster: Cluster) -> str:
    return f"pbm{hashlib.sha256(str(cluster.directory).encode()).hexdigest()[:10]}"


def add_machine_address(cluster: Cluster) -> None:
    """Make the link that carries the cluster's address, before anything binds to it. Safe to repeat."""
    link, address = _machine_link(cluster), machine_address(cluster)
    if subprocess.run(["ip", "link", "show", link], capture_output=True, check=False).returncode == 0:
        return
    commands = f"link add {link} type bridge\naddr add {address}/32 dev {link}\nlink set {link} up\n"
    subprocess.run(["ip", "-batch", "-"], input=commands, text=True, check=True, capture_output=True)


def remove_machine_address(cluster: Cluster) -> None:
    """Take the link away again."""
    with contextlib.suppress(FileNotFoundError):
        subprocess.run(["ip", "link", "del", _machine_link(cluster)], capture_output=True, check=False)


def teardown(cluster: Cluster, node: str) -> None:
    """Remove the node's containers, network, mounts and cgroups. The agent must have ended. Safe to repeat."""

    async def run() -> None:
        await remove_containerd(containerd_config(cluster, node))
        await cni.PodNetwork(network_config(cluster, node)).teardown()

    asyncio.run(run())


def import_images(cluster: Cluster, files: list[Path]) -> dict[str, list[str]]:
    """Bring archives into every node of the cluster: node -> image names."""

    async def run() -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for node in cluster.state.nodes:
            client = CRIClient(containerd_config(cluster, node.name).socket)
            try:
                found[node.name] = [name for file in files for name in await import_archive(client, file)]
            finally:
                await client.close()
        return found

    return asyncio.run(run())


def list_images(cluster: Cluster) -> dict[str, list[tuple[str, int]]]:
    """The images of every node: node -> (name, bytes)."""

    async def run() -> dict[str, list[tuple[str, int]]]:
        found: dict[str, list[tuple[str, int]]] = {}
        for node in cluster.state.nodes:
            client = CRIClient(containerd_config(cluster, node.name).socket)
            try:
                found[node.name] = sorted(
                    (name, image.size) for image in await client.list_images() for name in image.repo_tags
                )
            finally:
                await client.close()
        return found

    return asyncio.run(run())


def sandbox_archives(cluster: Cluster) -> list[Path]:
    """The archives a node must have before its first Pod, assembled on this machine."""
    return images.assemble(cluster.directory / "images", ("pause",))


def cgroup_root(cluster: Cluster, node: str) -> str:
    """The cgroup below which all Pods of the node live."""
    return f"pybernetes/{cluster.state.name}-{node}"
