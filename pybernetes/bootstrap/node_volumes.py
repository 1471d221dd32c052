"""Where volumes of the StorageClass `standard` are made: on this machine's disk, or by the kubelet of another one.

A cluster of `up` has all its real nodes on one machine, stopped ones too, so their directories are simply there. Of
several machines each has a kubelet that makes and removes directories; the request goes through the API server's proxy
of nodes, which knows the node's address and has the credentials.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from pybernetes.bootstrap.cluster import Cluster, find
from pybernetes.client import kubeconfig
from pybernetes.client.errors import Unavailable
from pybernetes.client.http import HTTPTransport
from pybernetes.client.transport import Request
from pybernetes.control_plane.controllers import local_path
from pybernetes.machinery.errors import StatusError
from pybernetes.node.kubelet.volumes import provisioned

_FAKE = local_path.pretended("/nowhere")


def config(cluster: Cluster) -> local_path.Config:
    """The provisioner's hands."""
    return by_kubelets(cluster) if cluster.state.member is not None else on_this_machine(cluster)


def on_this_machine(cluster: Cluster) -> local_path.Config:
    """Volumes below the directories of this machine's nodes; those of fake nodes are nowhere."""

    async def make(node: str, name: str) -> str:
        if node.startswith("fake-"):
            return await _FAKE.make(node, name)
        return await asyncio.to_thread(provisioned.make, _here(cluster, node).node_volumes(node), name)

    async def remove(node: str, name: str, path: str) -> None:
        if node.startswith("fake-"):
            await _FAKE.remove(node, name, path)
        else:
            await asyncio.to_thread(provisioned.remove, _here(cluster, node).node_volumes(node), name, path)

    return local_path.Config(make, remove)


def _here(cluster: Cluster, node: str) -> Cluster:
    current = find("", str(cluster.directory))  # nodes come and go while we run
    if current is None or node not in {known.name for known in current.state.nodes}:
        raise LookupError(f"node {node} is not on the machine of the control plane")
    return current


def by_kubelets(cluster: Cluster) -> local_path.Config:
    """Volumes that each node's kubelet makes and removes."""
    file = cluster.directory / "controller-manager.conf"

    async def ask(method: str, node: str, name: str, query: dict[str, str]) -> Any:
        transport = HTTPTransport(kubeconfig.load([file], explicit=True).connection())
        path = f"/api/v1/nodes/{node}/proxy/{provisioned.PATH}/{name}"
        try:
            return (await transport.request(Request(method, path, query))).body
        except (StatusError, Unavailable) as error:
            raise OSError(f"node {node}: {error}") from error
        finally:
            await transport.close()

    async def make(node: str, name: str) -> str:
        return msgspec.json.decode(await ask("PUT", node, name, {}), type=provisioned.Made).path

    async def remove(node: str, name: str, path: str) -> None:
        await ask("DELETE", node, name, {"path": path})

    return local_path.Config(make, remove)
