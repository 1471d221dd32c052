"""Node IPAM: each node gets its own range of Pod addresses out of the cluster's, one of each family.

Whoever sets up a node's network on the machine of the control plane knows its range before the node is registered
(`Config.assigned`): the controller then writes that one. `Config.reserved` keeps it from giving such ranges to others.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass

from pybernetes.api.core_v1 import Node
from pybernetes.client.client import Client
from pybernetes.client.controller import Controller
from pybernetes.client.events import EventRecorder
from pybernetes.client.factory import InformerFactory
from pybernetes.machinery.errors import StatusError


@dataclass(frozen=True)
class Config:
    """Where ranges come from."""

    cluster_cidrs: tuple[str, ...] = ("10.244.0.0/16",)  #: at most one of each family
    mask_size_ipv4: int = 24  #: prefix length of a node's range
    mask_size_ipv6: int = 64
    assigned: Callable[[str], tuple[str, ...]] = lambda node: ()  #: node -> its ranges, whatever is free
    reserved: tuple[str, ...] = ()  #: ranges that no node gets
    skip: Callable[[Node], bool] = lambda node: False  #: nodes that need no range


class CidrSet:
    """The ranges of one length within a network: who has which, and the first that is free."""

    def __init__(self, network: str, prefix: int) -> None:
        self.network = ipaddress.ip_network(network)
        if prefix < self.network.prefixlen:
            raise ValueError(f"node ranges of /{prefix} do not fit into {network}")
        self._count = 2 ** min(prefix - self.network.prefixlen, 32)
        self._size = 2 ** (self.network.max_prefixlen - prefix)
        self._prefix = prefix
        self._taken: dict[int, str] = {}
        self._hint = 0

    def _index(self, cidr: str) -> int | None:
        found = ipaddress.ip_network(cidr)
        if found.version != self.network.version:
            return None
        offset = int(found.network_address) - int(self.network.network_address)
        return offset // self._size if 0 <= offset < self._count * self._size else None

    def occupy(self, cidr: str, owner: str) -> None:
        """Note that `owner` has the range; one outside of the network does not matter."""
        if (index := self._index(cidr)) is not None:
            self._taken.setdefault(index, owner)

    def take(self, owner: str) -> str | None:
        """A free range for `owner`; None when there is none."""
        for step in range(self._count):
            index = (self._hint + step) % self._count
            if index not in self._taken:
                self._taken[index] = owner
                self._hint = index + 1
                address = self.network.network_address + index * self._size
                return f"{address}/{self._prefix}"
            if step > len(self._taken):
                break
        return None

    def release(self, owner: str) -> None:
        """Free what `owner` has."""
        for index in [i for i, name in self._taken.items() if name == owner]:
            del self._taken[index]
            self._hint = min(self._hint, index)


class NodeIPAMController(Controller):
    """Keys are node names."""

    name = "node-ipam-controller"
    component = "cidrAllocator"
    workers = 1  # ranges are handed out one after the other

    def __init__(self, config: Config, client: Client, informers: InformerFactory, events: EventRecorder) -> None:
        super().__init__(client, informers, events)
        self._sets = [
            CidrSet(cidr, config.mask_size_ipv6 if ":" in cidr else config.mask_size_ipv4)
            for cidr in config.cluster_cidrs
        ]
        self._config = config
        for cidr in config.reserved:
            self._occupy(cidr, "")

    def setup(self) -> None:
        """Nodes."""
        self.nodes = self.informers.informer(Node)
        self.nodes.on(self._added, deleted=self._deleted)

    def _added(self, node: Node) -> None:
        for cidr in node.spec.pod_cidrs or ():
            self._occupy(cidr, node.metadata.name)
        if not node.spec.pod_cidrs and not self._config.skip(node):
            self.queue.add(node.metadata.name)

    def _deleted(self, node: Node) -> None:
        self._release(node.metadata.name)

    def _occupy(self, cidr: str, owner: str) -> None:
        for one in self._sets:
            one.occupy(cidr, owner)

    def _release(self, name: str) -> None:
        for one in self._sets:
            one.release(name)

    async def reconcile(self, key: str) -> None:
        """Give the node its ranges, once and for all."""
        node = self.nodes.get("", key)
        if node is None or node.spec.pod_cidrs:
            return
        found = list(self._config.assigned(key))
        found = found or [cidr for one in self._sets if (cidr := one.take(key)) is not None]
        if len(found) < len(self._sets):
            self._release(key)
            message = f"Node {key} status is now: CIDRNotAvailable"
            self.events.event(node, "Normal", "CIDRNotAvailable", message)
            raise RuntimeError("no range of Pod addresses is left")
        try:
            patch = {"metadata": {"uid": node.metadata.uid}, "spec": {"podCIDR": found[0], "podCIDRs": found}}
            await self.nodes.caught_up(await self.client.resource(Node).patch(key, "", patch, type="strategic"))
        except StatusError:
            self._release(key)
            raise
