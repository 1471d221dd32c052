"""Pods of several nodes reach each other: the kernel's entries for other nodes, kept equal to the Node objects.

Flannel's two ways, chosen for the whole cluster (`cni.Config.mode`):
- `routes`: a route to each node's Pod range by that node's address. Nothing is put around packets, so it is as fast as
  the link; but the nodes must be neighbours on one link.
- `vxlan`: the packet travels in UDP between the nodes' addresses, over whatever lies between. Each node has a VXLAN
  interface that learns nothing: for each other node it has a route, a neighbour entry and a forwarding entry.

Everything derives from `spec.podCIDR` and the InternalIP of the Nodes: the interface's address is the range's own
first (`10.244.3.0`), its MAC address comes from that, and its network identifier from the cluster's name. So there is
nothing that nodes would have to tell each other in annotations, and a node that was replaced needs no entry renewed.

What is wanted is pure (`wanted`), what the kernel has is read before each change, and only the difference is
written: entries that somebody else removed come back within a minute, those of nodes that left are forgotten.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ipaddress
import logging
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, replace
from typing import Any

from pybernetes.aio.backoff import Backoff
from pybernetes.aio.tasks import Nursery, Ready
from pybernetes.api.core_v1 import Node
from pybernetes.client.client import Client
from pybernetes.client.factory import InformerFactory
from pybernetes.client.informer import Informer

from .cni import VXLAN_OVERHEAD, Config, Link, PodNetwork
from .links import Namespace, NetworkError

log = logging.getLogger(__name__)

#: UDP port of VXLAN as Flannel and the kernel have it (the registered one is 4789).
VXLAN_PORT = 8472
#: Seconds between looks whether the entries are still there: routes go when a link goes down, and do not come back.
CHECK_INTERVAL = 60.0


@dataclass(frozen=True, order=True)
class Peer:
    """Another node: its Pod range, and the address by which it is reached; both in IPv6, if it has them."""

    cidr: str
    address: str
    cidr6: str = ""
    address6: str = ""


@dataclass(frozen=True)
class Entries:
    """What the kernel knows of other nodes."""

    routes: frozenset[tuple[str, str]] = frozenset()  #: Pod range, gateway
    neighbours: frozenset[tuple[str, str]] = frozenset()  #: interface address, MAC address
    forwarding: frozenset[tuple[str, str]] = frozenset()  #: MAC address, node address


# --- pure -----------------------------------------------------------------------------------------------------------


def peers(nodes: Iterable[Node], own: str, *, dual: bool = False) -> list[Peer]:
    """The other nodes that have both a Pod range and an address. dual: what they have of IPv6 counts."""
    found = []
    for node in nodes:
        cidr, address = pod_cidr(node), internal_address(node)
        if node.metadata.name != own and cidr and address:
            six = (pod_cidr(node, "IPv6"), internal_address(node, "IPv6")) if dual else ()
            found.append(Peer(cidr, address, *six))
    return sorted(found)


def pod_cidr(node: Node, family: str = "IPv4") -> str:
    """The node's Pod range; "" if it has none of that family yet."""
    ranges = node.spec.pod_cidrs or [node.spec.pod_cidr or ""]
    return next((cidr for cidr in ranges if cidr and (":" in cidr) == (family == "IPv6")), "")


def internal_address(node: Node, family: str = "IPv4") -> str:
    """The node's InternalIP; "" if it tells none of that family."""
    for address in node.status.addresses or ():
        if address.type == "InternalIP" and address.address and (":" in address.address) == (family == "IPv6"):
            return address.address
    return ""


def interface_address(cidr: str) -> str:
    """The address of a node's VXLAN interface: the first of its Pod range, which no Pod gets."""
    return str(ipaddress.ip_network(cidr).network_address)


def mac(cidr: str) -> str:
    """The MAC address of that interface: locally administered, from the address, as CNI does it."""
    return ":".join(f"{byte:02x}" for byte in b"\x0a\x58" + ipaddress.IPv4Network(cidr).network_address.packed)


def identifier(cluster: str) -> int:
    """The VXLAN network identifier, 24 bits and never 0: clusters that share machines must differ."""
    return int.from_bytes(hashlib.sha256(cluster.encode()).digest()[:3], "big") or 1


def wanted(mode: str, others: Iterable[Peer]) -> Entries:
    """The entries for these nodes."""
    others = list(others)
    if mode == "routes":
        six = [(peer.cidr6, peer.address6) for peer in others if peer.cidr6 and peer.address6]
        return Entries(routes=frozenset([*((peer.cidr, peer.address) for peer in others), *six]))
    # Both families' packets travel between the nodes' IPv4 addresses, to one interface.
    ranges = [(cidr, mac(peer.cidr)) for peer in others for cidr in (peer.cidr, peer.cidr6) if cidr]
    return Entries(
        routes=frozenset((cidr, interface_address(cidr)) for cidr, _ in ranges),
        neighbours=frozenset((interface_address(cidr), lladdr) for cidr, lladdr in ranges),
        forwarding=frozenset((mac(peer.cidr), peer.address) for peer in others),
    )


def commands(config: Config, before: Entries, after: Entries) -> tuple[list[str], list[str], list[str]]:
    """`ip` commands that may fail (removals), `bridge` commands, `ip` commands. In the order to run them.

    What has another value is replaced in place, so that it is never missing.
    """
    device = config.vxlan_link
    kept_routes, kept_neighbours = dict(after.routes), dict(after.neighbours)
    removals = [f"route del {cidr}" for cidr, _ in sorted(before.routes) if cidr not in kept_routes]
    removals += [f"neigh del {a} dev {device}" for a, _ in sorted(before.neighbours) if a not in kept_neighbours]
    forwarding = [f"fdb del {m} dev {device} dst {a} self" for m, a in sorted(before.forwarding - after.forwarding)]
    forwarding += [f"fdb append {m} dev {device} dst {a} self" for m, a in sorted(after.forwarding - before.forwarding)]
    changes = [
        f"neigh replace {address} lladdr {lladdr} dev {device} nud permanent"
        for address, lladdr in sorted(after.neighbours - before.neighbours)
    ]
    through = f" dev {device} onlink" if config.mode == "vxlan" else ""
    changes += [f"route replace {cidr} via {via}{through}" for cidr, via in sorted(after.routes - before.routes)]
    return removals, forwarding, changes


def allowed(config: Config, uplinks: tuple[str, ...], link: Link, others: Iterable[Peer]) -> str:
    """The nftables transaction for the Pod ranges that may leave by an uplink: routed ones, if it is their way."""
    table, lines = f"inet {config.table}", []
    leave = list(others) if config.mode == "routes" and link.name in uplinks else []
    for family in config.families:
        found = sorted(filter(None, (peer.cidr6 if family.number == "6" else peer.cidr for peer in leave)))
        lines.append(f"flush set {table} {family.peers}")
        if found:
            lines.append(f"add element {table} {family.peers} {{ {', '.join(found)} }}")
    return "\n".join(lines) + "\n"


def vxlan_commands(config: Config, link: Link) -> list[str]:
    """`ip` commands for this node's VXLAN interface, which is not there yet."""
    device, address = config.vxlan_link, interface_address(config.pod_cidr)
    return [
        f"link add {device} type vxlan id {identifier(config.cluster)} dstport {VXLAN_PORT}"
        f" local {config.node_address} dev {link.name} nolearning",
        f"link set {device} address {mac(config.pod_cidr)} mtu {link.mtu - VXLAN_OVERHEAD} up",
        f"addr add {address}/32 dev {device}",
        *([f"addr add {interface_address(config.six.pod_cidr)}/128 dev {device} nodad"] if config.six else []),
    ]


# --- the kernel -----------------------------------------------------------------------------------------------------


class Overlay:
    """One node's entries for the others. `connect` may be called at any time after `setup`, again and again."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._network = PodNetwork(config)
        self._in = Namespace(config.netns)

    async def setup(self) -> None:
        """The node's own network, and its end of the overlay. Raises NetworkError."""
        await self._network.setup()
        if self.config.mode == "vxlan":
            await self._vxlan(await self._network.link())

    async def teardown(self) -> None:
        """Take away all of it, the node's own network too."""
        await self._network.teardown()

    async def connect(self, others: list[Peer]) -> None:
        """Let these be the other nodes, and no more. Raises NetworkError."""
        link = await self._network.link()
        if self.config.mode == "vxlan":
            await self._vxlan(link)  # its underlying link may have been replaced, and it with that
        removals, forwarding, changes = commands(self.config, await self._found(), wanted(self.config.mode, others))
        await self._in.nft(allowed(self.config, await self._network.uplinks(), link, others))
        await self._in.ip(removals, check=False)
        await self._in.bridge(forwarding)
        await self._in.ip(changes)

    async def _vxlan(self, link: Link) -> None:
        device = self.config.vxlan_link
        addresses = {interface_address(family.pod_cidr) for family in self.config.families}
        for found in await self._in.ip_json("-details", "addr", "show", "dev", device):
            data = found.get("linkinfo", {}).get("info_data", {})
            known = data.get("id"), data.get("local"), found.get("address")
            wanted = identifier(self.config.cluster), self.config.node_address, mac(self.config.pod_cidr)
            if known == wanted and addresses <= {entry.get("local") for entry in found.get("addr_info", ())}:
                return
            await self._in.ip([f"link del {device}"])
        await self._in.ip(vxlan_commands(self.config, link))

    async def _found(self) -> Entries:
        routes = frozenset((await self._network.peer_routes()).items())
        if self.config.mode != "vxlan":
            return Entries(routes)
        device = self.config.vxlan_link
        neighbours = [
            entry
            for family in self.config.families
            for entry in await self._in.ip_json(f"-{family.number}", "neigh", "show", "dev", device, "nud", "permanent")
        ]
        forwarding = await self._in.bridge_json("fdb", "show", "dev", device)
        return Entries(
            routes,
            frozenset((entry["dst"], entry["lladdr"]) for entry in neighbours if "lladdr" in entry),
            frozenset((entry["mac"], entry["dst"]) for entry in forwarding if "dst" in entry),
        )


# --- the component --------------------------------------------------------------------------------------------------


class NodeNetwork:
    """Sets up a node's Pod network and follows the other nodes. `run()` until cancelled; the network stays after it.

    `ready` carries the node's Pod range (two by comma) once Pods may start: at once where it is known, else when the
    Node has one. Entries for other nodes come as soon as those are known. A Node that was deleted and registered anew
    may have another range: the network follows, then `moved` is called with that, for Pods keep their old addresses.
    The caller runs the `informers`.
    """

    def __init__(
        self,
        config: Config,
        client: Client,
        informers: InformerFactory,
        moved: Callable[[str], Coroutine[Any, Any, None]] | None = None,
    ) -> None:
        self.config = config
        self.ready: Ready[str] = Ready()
        # Nodes that only play running Pods have no addresses, but there may be thousands.
        self._nodes: Informer[Node] = informers.informer(Node, label_selector="type!=fake")
        self._wake = asyncio.Event()
        self._moved = moved

    async def run(self) -> None:
        """See the class."""
        self._nodes.on(self._changed, self._updated, self._changed)
        config = await self._complete()
        overlay = await self._set_up(config)
        self.ready.set(config.pod_cidrs)
        if config.mode == "none" or not config.node_address:
            await asyncio.get_running_loop().create_future()
        await self._nodes.synced()
        async with Nursery("pod-network") as aside:  # a runtime that does not answer must not cost the way to others
            while True:
                config = await self._follow(overlay)
                log.warning("the node's Pod range is %s now, and was %s", config.pod_cidrs, overlay.config.pod_cidrs)
                await aside.close()  # what followed from a range before this one
                overlay = await self._set_up(config)
                if self._moved is not None:
                    aside.start(self._moved(config.pod_cidrs), "moved")

    async def _set_up(self, config: Config) -> Overlay:
        overlay, backoff = Overlay(config), Backoff(0.1, 10.0)
        while True:
            try:
                await overlay.setup()
                return overlay
            except NetworkError as error:  # after a start of the machine its address may be late
                log.error("the Pod network could not be set up: %s", error)
                await backoff.wait()

    async def _follow(self, overlay: Overlay) -> Config:
        """Keep the entries for the other nodes until this one has another range; the configuration with that."""
        config, backoff = overlay.config, Backoff(0.1, 10.0)
        while True:
            self._wake.clear()
            node = self._nodes.get("", config.node)
            if node is not None:
                try:
                    if (told := _completed(config, node)) not in (None, config):
                        assert told is not None
                        return told
                except ValueError as error:
                    log.error("the node's Pod range stays %s: %s", config.pod_cidr, error)
            others = peers(self._nodes.list(), config.node, dual=config.six is not None)
            try:
                await overlay.connect(others)
            except NetworkError as error:
                log.error("the way to other nodes could not be set: %s", error)
                await backoff.wait()
                continue
            backoff.reset()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CHECK_INTERVAL if others else None):
                    await self._wake.wait()

    async def _complete(self) -> Config:
        """The configuration with the node's Pod range, which its Node object may have to tell."""
        if self.config.mode == "none" or all(family.pod_cidr for family in self.config.families):
            return self.config
        while True:
            self._wake.clear()
            node = self._nodes.get("", self.config.node)
            if node is not None and (config := _completed(self.config, node)) is not None:
                return config
            await self._wake.wait()

    def _changed(self, node: Node) -> None:
        self._wake.set()

    def _updated(self, old: Node, new: Node) -> None:
        if any(
            (pod_cidr(old, family), internal_address(old, family))
            != (pod_cidr(new, family), internal_address(new, family))
            for family in ("IPv4", "IPv6")
        ):
            self._wake.set()


def _completed(config: Config, node: Node) -> Config | None:
    """The configuration with the node's Pod ranges; None while it has none. Raises ValueError for ones outside."""
    cidr, cidr6 = pod_cidr(node), pod_cidr(node, "IPv6")
    if not cidr or (config.six is not None and not cidr6):
        return None
    return replace(config, pod_cidr=cidr, six=config.six and replace(config.six, pod_cidr=cidr6))


__all__ = ["Entries", "NodeNetwork", "Overlay", "Peer", "allowed", "commands", "peers", "wanted"]
