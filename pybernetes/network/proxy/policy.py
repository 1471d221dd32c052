"""NetworkPolicy: the table that judges forwarded packets, and the component that keeps it.

A packet passes two lookups: by its source, the Pod's way out, and by its destination, the Pod's way in; Pods for which
the same holds share a chain. Answers pass unseen, and so does what a Pod sends to itself through a Service. All other
packets are judged, not only the first of a connection, so that a policy that comes also ends what was open before it.
The table is made anew, in one transaction, when what it says changes; while there are no policies there is no table,
and Pods are not watched.

Only forwarded packets are judged: the node reaches its Pods (probes), and Pods reach their node, where the cluster's
DNS is, whatever the policies say. That is the API's own exception.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pybernetes.aio import clock
from pybernetes.aio.backoff import Backoff
from pybernetes.aio.tasks import Ready
from pybernetes.api.core_v1 import Namespace, Pod
from pybernetes.api.networking_v1 import NetworkPolicy
from pybernetes.client.client import Client
from pybernetes.client.factory import InformerFactory
from pybernetes.client.informer import Informer
from pybernetes.network.proxy import expressions as x
from pybernetes.network.proxy.layout import NEWSETELEM, PROTOCOLS, Layout, Message, Value
from pybernetes.network.proxy.netlink import Netlink
from pybernetes.network.proxy.policy_rules import Allow, PodPolicy, Ports, Verdicts, plan

log = logging.getLogger(__name__)

_LESS_OR_EQUAL, _GREATER_OR_EQUAL = 3, 5
_ADDRESS, _PROTO, _PORT, _MAP_VERDICT = 7, 12, 13, 0xFFFFFF00


@dataclass(frozen=True)
class Config:
    """One node's policies."""

    #: Names of cluster and node; the table's name derives from them.
    cluster: str
    node: str
    #: The node's network namespace; None: this process's.
    netns: Path | None = None
    #: Seconds between two transactions at least.
    interval: float = 0.05
    family: str = "IPv4"

    @property
    def table(self) -> str:
        digest = hashlib.sha256(f"{self.cluster}/{self.node}".encode()).hexdigest()[:10]
        return f"pybernetes-policy-{digest}"


class PolicyLayout(Layout):
    """The table's messages."""

    def build(self, pods: Mapping[str, PodPolicy]) -> Iterator[Message]:
        """The whole table, in the place of whatever was there."""
        yield from self.begin()
        address = (_ADDRESS if self.words == 1 else 8, 4 * self.words)
        for name in ("egress-pods", "ingress-pods"):
            yield self._set(name, (address,), _MAP_VERDICT, 0)
        chains: dict[tuple[str, Verdicts], str] = {}
        jumps: dict[str, list[tuple[bytes, Value]]] = {"egress-pods": [], "ingress-pods": []}
        for pod, policy in pods.items():
            for direction, verdicts in (("ingress", policy.ingress), ("egress", policy.egress)):
                if verdicts is None:
                    continue
                chain = chains.get((direction, verdicts))
                if chain is None:
                    chain = chains[direction, verdicts] = f"{direction}-{len(chains)}"
                    yield from self._judge(chain, direction, verdicts)
                jumps[f"{direction}-pods"].append((self.address(pod), (x.JUMP, chain)))
        yield self._set("itself", (address, address))
        yield self._chain("forward", "filter", 2, 10)
        related = [x.conntrack(0, 0), x.bitwise(0, 0, x.host32(x.STATE_RELATED), bytes(4))]
        yield self.rule("forward", *related, x.compare(0, bytes(4), x.UNEQUAL), x.verdict(x.ACCEPT))
        yield self.rule("forward", x.conntrack(1, 0), x.compare(0, b"\x01"), x.verdict(x.ACCEPT))
        yield self.rule("forward", self._saddr(0), self._daddr(self.words), x.lookup("itself", 0), x.verdict(x.ACCEPT))
        yield self.rule("forward", self._saddr(0), x.verdict_map("egress-pods", 0))
        yield self.rule("forward", self._daddr(0), x.verdict_map("ingress-pods", 0))
        jumps["itself"] = [(2 * self.address(pod), None) for pod in pods]
        for name, entries in jumps.items():
            yield from self.elements(NEWSETELEM, name, entries)

    def _judge(self, chain: str, direction: str, verdicts: tuple[Allow, ...]) -> Iterator[Message]:
        """A chain that returns for what is allowed, and drops the rest."""
        yield self._chain(chain)
        for i, allow in enumerate(verdicts):
            for peer in self._peers(f"{chain}-{i}", direction, allow):
                if isinstance(peer, tuple):
                    yield peer
                    continue
                for ports in self._ports(allow.ports):
                    yield self.rule(chain, *peer, *ports, x.verdict(x.RETURN))
            if allow.places:
                address = (_ADDRESS if self.words == 1 else 8, 4 * self.words)
                name = f"{chain}-{i}-named"
                yield self._set(name, (address, (_PROTO, 4), (_PORT, 4)))
                entries: list[tuple[bytes, Value]] = [(self.key(*place), None) for place in sorted(allow.places)]
                yield from self.elements(NEWSETELEM, name, entries)
                yield self.rule(chain, *self._key(), x.lookup(name, 0), x.verdict(x.RETURN))
        yield self.rule(chain, x.verdict(x.DROP))

    def _peers(self, name: str, direction: str, allow: Allow) -> Iterator[list[bytes] | Message]:
        """The ways to match the peer; a set that one of them needs comes as a message before it."""
        load = self._saddr(0) if direction == "ingress" else self._daddr(0)
        if allow.addresses is None:
            yield []
            return
        if allow.addresses:
            yield self._set(name, ((_ADDRESS if self.words == 1 else 8, 4 * self.words),))
            entries: list[tuple[bytes, Value]] = [(self.address(item), None) for item in sorted(allow.addresses)]
            yield from self.elements(NEWSETELEM, name, entries)
            yield [load, x.lookup(name, 0)]
        for cidr, excepted in allow.blocks:
            parts = [load, *self._within(ipaddress.ip_network(cidr, strict=False), x.EQUAL)]
            for other in excepted:
                parts += [load, *self._within(ipaddress.ip_network(other, strict=False), x.UNEQUAL)]
            yield parts

    def _ports(self, ports: tuple[Ports, ...] | None) -> Iterator[list[bytes]]:
        if ports is None:
            yield []
            return
        for item in ports:
            parts = [x.meta(x.L4PROTO, 0), x.compare(0, bytes((PROTOCOLS[item.protocol],)))]
            if (item.first, item.last) != (0, 65535):
                parts.append(x.payload(x.TRANSPORT, 2, 2, 0))
                parts.append(x.compare(0, item.first.to_bytes(2, "big"), _GREATER_OR_EQUAL))
                parts.append(x.compare(0, item.last.to_bytes(2, "big"), _LESS_OR_EQUAL))
            yield parts


class PolicyTable:
    """The table in the kernel. Blocking calls; they raise OSError."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def replace(self, pods: Mapping[str, PodPolicy]) -> None:
        """Let this hold and nothing else."""
        layout = PolicyLayout(self.config.table, self.config.family, ())
        link = Netlink(self.config.netns)
        try:
            link.transact(layout.build(pods) if pods else layout.end(layout.table))
        finally:
            link.close()


async def teardown(config: Config) -> None:
    """Remove what a component that runs no more has left. Safe to repeat."""
    if config.netns is None or config.netns.exists():
        await asyncio.to_thread(PolicyTable(config).replace, {})


class Policies:
    """`run()` until cancelled; `ready` once the policies there are hold. The caller runs the `informers`."""

    def __init__(self, config: Config, client: Client, informers: InformerFactory) -> None:
        self.config = config
        self.ready: Ready[str] = Ready()
        self._informers = informers
        self._policies: Informer[NetworkPolicy] = informers.informer(NetworkPolicy)
        self._pods: Informer[Pod] | None = None
        self._spaces: Informer[Namespace] | None = None
        self._wake = asyncio.Event()
        self._table = PolicyTable(config)

    async def run(self) -> None:
        """See the class."""
        self._policies.on(self._touch, lambda old, new: self._touch(new), self._touch)
        await self._policies.synced()
        current: dict[str, PodPolicy] | None = None
        backoff = Backoff(0.1, 10.0)
        while True:
            self._wake.clear()
            wanted = await self._plan()
            if wanted != current:
                try:
                    await asyncio.to_thread(self._table.replace, wanted)
                except OSError as error:
                    log.error("network policies could not be programmed: %s", error)
                    await backoff.wait()
                    continue
                backoff.reset()
                current = wanted
            self.ready.set(self.config.node)
            await clock.sleep(self.config.interval)
            await self._wake.wait()

    async def _plan(self) -> dict[str, PodPolicy]:
        if not self._policies.list():
            return {}
        if self._pods is None or self._spaces is None:
            self._pods, self._spaces = self._informers.informer(Pod), self._informers.informer(Namespace)
            self._pods.on(self._touch, self._pod_changed, self._touch)
            self._spaces.on(self._touch, self._space_changed, self._touch)
            await self._pods.synced()
            await self._spaces.synced()
        return plan(self._policies.list(), self._pods.list(), self._spaces.list(), self.config.node, self.config.family)

    def _touch(self, obj: object) -> None:
        self._wake.set()

    def _pod_changed(self, old: Pod, new: Pod) -> None:
        if (old.metadata.labels, old.status.pod_ips, old.status.phase, old.spec.node_name) != (
            new.metadata.labels, new.status.pod_ips, new.status.phase, new.spec.node_name,
        ):  # fmt: skip
            self._wake.set()

    def _space_changed(self, old: Namespace, new: Namespace) -> None:
        if old.metadata.labels != new.metadata.labels:
            self._wake.set()
