"""Everything that runs on one real node, in one process: kubelet, proxy and DNS beside the node's own containerd.

Start order, and why: containerd and the Pod network at the same time, for neither needs the other until the first
Pod; the sandbox image as soon as containerd answers, for no Pod starts without it; the kubelet last, because its
first report says whether runtime and network are there.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from pybernetes.aio.tasks import Ready
from pybernetes.bootstrap import node_host
from pybernetes.bootstrap.cluster import Cluster
from pybernetes.client import kubeconfig
from pybernetes.client.client import Client
from pybernetes.client.http import HTTPTransport
from pybernetes.network import cni
from pybernetes.node.containerd.content import import_archive
from pybernetes.node.containerd.process import Containerd
from pybernetes.node.cri.client import CRIClient
from pybernetes.node.kubelet.config import Config as KubeletConfig
from pybernetes.node.kubelet.kubelet import Kubelet


@dataclass(frozen=True)
class Config:
    """Which node of which cluster."""

    cluster: Cluster
    node: str
    #: Port of the kubelet's API.
    kubelet_port: int = 10250


class Agent:
    """`run()` until cancelled; `ready` carries the node's name once it is Ready."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.ready: Ready[str] = Ready()

    async def run(self) -> None:
        """See the class."""
        cluster, node = self.config.cluster, self.config.node
        containerd = Containerd(node_host.containerd_config(cluster, node))
        runtime = CRIClient(containerd.config.socket)
        connection = kubeconfig.load([cluster.directory / "kubelet.conf"], explicit=True).connection()
        transport = HTTPTransport(connection)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(containerd.run(), name="containerd")
                network = group.create_task(
                    cni.PodNetwork(node_host.network_config(cluster, node)).setup(), name="pod-network"
                )
                archives = await asyncio.to_thread(node_host.sandbox_archives, cluster)
                await containerd.ready.wait()
                for archive in archives:
                    await import_archive(runtime, archive)
                await network
                kubelet = Kubelet(self._kubelet(), Client(transport), runtime)
                group.create_task(kubelet.run(), name="kubelet")
                await kubelet.ready.wait()
                self.ready.set(node)
        finally:
            await transport.close()
            await runtime.close()

    def _kubelet(self) -> KubeletConfig:
        cluster, node = self.config.cluster, self.config.node
        directory = cluster.node_directory(node)
        return KubeletConfig(
            node_name=node,
            node_ips=(cluster.state.machine_address,),
            data_dir=directory / "kubelet",
            log_dir=directory / "logs",
            manifest_dir=directory / "manifests",
            cluster_dns=(cluster.state.dns_address,),
            cluster_domain=cluster.state.domain,
            address=cluster.state.machine_address,
            port=self.config.kubelet_port,
            tls_cert=directory / "kubelet.crt",
            tls_key=directory / "kubelet.key",
            client_ca=cluster.pki / "ca.crt",
            cgroup_root=node_host.cgroup_root(cluster, node),
        )
