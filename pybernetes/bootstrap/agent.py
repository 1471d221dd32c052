"""Everything that runs on one real node, in one process: kubelet, proxy and DNS beside the node's own containerd.

Start order, and why: containerd and the Pod network at the same time, for neither needs the other until the first
Pod; the sandbox image as soon as containerd answers, for no Pod starts without it; the kubelet last, because its
first report says whether runtime and network are there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pybernetes.aio.tasks import Ready
from pybernetes.bootstrap import machine_link, node_host
from pybernetes.bootstrap.cluster import Cluster
from pybernetes.bootstrap.node_identity import NodeIdentity, until_ready
from pybernetes.client import kubeconfig
from pybernetes.client.client import Client
from pybernetes.client.factory import InformerFactory
from pybernetes.client.http import HTTPTransport
from pybernetes.network import ingress, overlay, proxy
from pybernetes.network.dns import forward
from pybernetes.network.dns import server as dns
from pybernetes.node.containerd.content import import_archive
from pybernetes.node.containerd.process import Containerd
from pybernetes.node.cri.client import CRIClient
from pybernetes.node.kubelet import sandboxes
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
        if cluster.state.member is not None:  # after a reboot nobody but the agent is there to make it
            await asyncio.to_thread(machine_link.add, cluster)
        containerd = Containerd(node_host.containerd_config(cluster, node))
        runtime = CRIClient(containerd.config.socket)
        identity = NodeIdentity(cluster, node) if cluster.state.member is not None else None
        if identity is not None:
            await identity.bootstrap()
        transport = self._transport("kubelet.conf")
        kubelet = Kubelet(self._kubelet(), Client(transport), runtime)
        if identity is not None and not identity.proxy_file.exists():
            await until_ready(identity.client_certificates(kubelet.client)[1])
        network_transport = self._transport("kube-proxy.conf")
        informers = InformerFactory(Client(network_transport))  # proxy and DNS read the same objects
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(containerd.run(), name="containerd")
                names = dns.DNS(self._dns(), informers.client, informers) if cluster.state.dns else None
                if names is not None:
                    group.create_task(names.run(), name="dns")
                services = proxy.Proxy(node_host.proxy_config(cluster, node), informers.client, informers)
                group.create_task(services.run(), name="proxy")
                for wanted in node_host.policy_configs(cluster, node):
                    policies = proxy.policy.Policies(wanted, informers.client, informers)
                    group.create_task(policies.run(), name=f"network-policy-{wanted.family}")
                if identity is not None:
                    identity.follow_servers(informers)
                group.create_task(informers.run(), name="network-informers")
                network = overlay.NodeNetwork(
                    node_host.network_config(cluster, node), informers.client, informers, self._moved(runtime)
                )
                group.create_task(network.run(), name="pod-network")
                archives = await asyncio.to_thread(node_host.sandbox_archives, cluster)
                await containerd.ready.wait()
                for archive in archives:
                    await import_archive(runtime, archive)
                if identity is None:
                    await network.ready.wait()
                web = node_host.ingress_config(cluster, node)
                if web is not None:
                    group.create_task(self._ingress(web), name="ingress")
                group.create_task(kubelet.run(), name="kubelet")
                await kubelet.ready.wait()
                await network.ready.wait()
                if identity is not None:
                    await self._join(identity, kubelet, network, group)
                if names is not None:
                    await names.ready.wait()
                await services.ready.wait()
                self.ready.set(node)
        finally:
            await transport.close()
            await network_transport.close()
            await runtime.close()

    def _moved(self, runtime: CRIClient) -> Callable[[str], Coroutine[Any, Any, None]]:
        """What follows when the node has got another Pod range."""

        async def moved(cidrs: str) -> None:
            self.config.cluster.remember_range(self.config.node, cidrs)
            await sandboxes.renew_outside(runtime, cidrs)

        return moved

    async def _ingress(self, config: ingress.Config) -> None:
        transport = self._transport("ingress.conf")
        try:
            await ingress.IngressController(config, Client(transport)).run()
        finally:
            await transport.close()

    async def _join(
        self, identity: NodeIdentity, kubelet: Kubelet, network: overlay.NodeNetwork, group: asyncio.TaskGroup
    ) -> None:
        """What a member has to remember, and the certificates that it keeps."""
        self.config.cluster.remember_range(self.config.node, await network.ready.wait())
        for own in identity.client_certificates(kubelet.client):
            group.create_task(own.run(), name=f"certificate-{own.config.common_name}")
        serving = identity.serving_certificate(kubelet.client, kubelet)
        group.create_task(serving.run(), name="certificate-serving")
        await serving.ready.wait()

    def _transport(self, file: str) -> HTTPTransport:
        path = self.config.cluster.node_kubeconfigs(self.config.node) / file
        return HTTPTransport(kubeconfig.load([path], explicit=True).connection())

    def _dns(self) -> dns.Config:
        cluster, node = self.config.cluster, self.config.node
        state = cluster.state
        address = state.dns_listens(node)
        # A resolv.conf in the cluster's directory goes before the machine's.
        files = (cluster.directory / "resolv.conf", Path("/etc/resolv.conf"))
        loopback = "" if cluster.node_netns(node) is None else state.machine_address
        return dns.Config(
            address=address,
            domain=state.domain,
            service_addresses=(state.dns_address,),
            ranges=(*state.pod_cidrs, *state.service_cidrs),
            forward=forward.Config(resolv_conf=files, own=(address, state.dns_address), loopback=loopback),
        )

    def _kubelet(self) -> KubeletConfig:
        cluster, node = self.config.cluster, self.config.node
        directory, address = cluster.node_directory(node), cluster.state.node_address(node)
        certificate, key = directory / "kubelet.crt", directory / "kubelet.key"
        if cluster.state.member is not None:
            certificate = key = NodeIdentity(cluster, node).serving_file
        return KubeletConfig(
            node_name=node,
            node_ips=cluster.state.node_addresses(node),
            data_dir=directory / "kubelet",
            log_dir=directory / "logs",
            manifest_dir=directory / "manifests",
            volume_dir=cluster.node_volumes(node),
            cluster_dns=(cluster.state.dns_address,),
            cluster_domain=cluster.state.domain,
            address=address,
            port=self.config.kubelet_port,
            tls_cert=certificate,
            tls_key=key,
            client_ca=cluster.pki / "ca.crt",
            cgroup_root=node_host.cgroup_root(cluster, node),
        )
