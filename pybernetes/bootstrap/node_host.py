"""One real node's place on this machine: its containerd, its images, its network; and how all of it is taken apart.

The agent and the commands (`image`, `down`) must agree on every path and name, so they are derived here and nowhere
else.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from pybernetes.bootstrap import images, machine_link
from pybernetes.bootstrap import ingress as ingress_place
from pybernetes.bootstrap.cluster import Cluster, ClusterError, find
from pybernetes.bootstrap.phases.mark import ROLE
from pybernetes.network import cni, ingress, proxy
from pybernetes.node.containerd import removal, settings
from pybernetes.node.containerd.content import import_archive
from pybernetes.node.containerd.process import running
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
    """The settings of the node's Pod network."""
    directory, state = cluster.node_directory(node), cluster.state
    six = None
    if state.six is not None:
        six = cni.Ranges(
            pod_cidr=state.node_pod_cidrs(node)[1],
            cluster_cidr=state.six.pod_cidr,
            service_cidr=state.six.service_cidr,
            node_address=state.node_addresses(node)[1],
            node_cidr=state.six.node_cidr if state.member is None else "",
        )
    return cni.Config(
        cluster=cluster.state.name,
        node=node,
        pod_cidr=cluster.state.node_pod_cidr(node),
        cluster_cidr=cluster.state.pod_cidr,
        service_cidr=cluster.state.service_cidr,
        conf_dir=directory / "cni",
        data_dir=directory / "network",
        mode=cluster.state.network,
        node_address=cluster.state.node_address(node),
        node_cidr=state.node_cidr if state.member is None else "",  # machines have addresses elsewhere
        six=six,
        netns=cluster.node_netns(node),
    )


def proxy_config(cluster: Cluster, node: str) -> proxy.Config:
    """The settings of the node's proxy."""
    state = cluster.state
    return proxy.Config(
        cluster=state.name,
        node=node,
        node_addresses=state.node_addresses(node),
        pod_cidrs=state.kept_sources,
        families=state.families,
        netns=cluster.node_netns(node),
        local={"kube-system/kube-dns": state.dns_listens(node)} if state.dns else {},
        backend=state.proxy_mode,
        healthz_port=10256,
        status_port=10249,
    )


def policy_configs(cluster: Cluster, node: str) -> list[proxy.policy.Config]:
    """The settings of the node's network policies, one for each address family."""
    netns = cluster.node_netns(node)
    return [
        proxy.policy.Config(cluster=cluster.state.name, node=node, netns=netns, family=family)
        for family in cluster.state.families
    ]


def ingress_config(cluster: Cluster, node: str) -> ingress.Config | None:
    """The settings of the node's Ingress controller; None when it has none."""
    state = cluster.state
    program = ingress_place.binary()
    if not state.ingress or program is None:
        return None

    def hosts(name: str, labels: Mapping[str, str]) -> bool:
        if state.member is not None:
            return ROLE in labels  # of several machines those that have a control plane: workers may not read Secrets
        now = find("", str(cluster.directory)) or cluster
        return any(known.name == name for known in now.state.nodes)

    http, https = state.ingress_ports
    return ingress.Config(
        node=node,
        hosts=hosts,
        addresses=state.node_addresses(node),
        directory=cluster.node_directory(node) / "ingress",
        default_certificate=cluster.directory / "ingress.pem",
        http_port=http,
        https_port=https,
        program=program,
    )


def power_off(cluster: Cluster, node: str) -> None:
    """End the node's containers and containerd at once, as when its machine loses power. What they wrote stays."""
    end_containers(cluster, node)
    machine_link.remove_node(cluster, node)


def end_containers(cluster: Cluster, node: str) -> None:
    """End the node's containers and containerd at once."""
    asyncio.run(removal.power_off(containerd_config(cluster, node)))


def teardown(cluster: Cluster, node: str) -> None:
    """Remove the node's containers, network, mounts and cgroups. The agent must have ended. Safe to repeat."""

    async def run() -> None:
        await removal.teardown(containerd_config(cluster, node))
        await proxy.teardown(proxy_config(cluster, node))
        for policies in policy_configs(cluster, node):
            await proxy.policy.teardown(policies)
        await cni.PodNetwork(network_config(cluster, node)).teardown()

    asyncio.run(run())
    removal.unmount_below([cluster.node_directory(node)])  # the kubelet's volumes in memory
    machine_link.remove_node(cluster, node)
    _remove_cgroups(cgroup_root(cluster, node))


def _remove_cgroups(root: str) -> None:
    """Remove an empty tree of cgroups in every hierarchy, and the directory above it if nothing else is there."""
    base = Path("/sys/fs/cgroup")
    for hierarchy in (base, *(path for path in base.iterdir() if path.is_dir() and not path.is_symlink())):
        top = hierarchy / root
        for directory, _, _ in os.walk(top, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(directory)
        with contextlib.suppress(OSError):
            os.rmdir(top.parent)


def import_images(cluster: Cluster, files: list[Path]) -> dict[str, list[str]]:
    """Bring archives into every node of the cluster: node -> image names. Raises ClusterError when one is stopped."""
    for node in cluster.state.nodes:
        if running(containerd_config(cluster, node.name)) is None:
            raise ClusterError(f"node {node.name} does not run; 'pybernetes node start {node.name}' starts it")

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
    """The images of every node that runs: node -> (name, bytes)."""

    async def run() -> dict[str, list[tuple[str, int]]]:
        found: dict[str, list[tuple[str, int]]] = {}
        for node in cluster.state.nodes:
            if running(containerd_config(cluster, node.name)) is None:
                continue
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
