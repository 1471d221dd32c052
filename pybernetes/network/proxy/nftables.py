"""The nftables backend: keeps a table equal to the rules, by difference, one atomic transaction per change.

Each Service owns the elements that its rules make; a change of a Service deletes what it no longer has and adds what
is new. A place (address and port) that two Services claim belongs to the first until it goes; what they share
(addresses of endpoints) is counted. When the kernel refuses a transaction, because somebody else changed the table,
everything is programmed anew.

A transaction is atomic for a lookup, not for a packet: the kernel reads the generation of the rules when a packet
comes, and that of the elements at each lookup. A packet under way would find an endpoint that is gone, or be sent to a
chain that has no rules yet, and go on untranslated, to a node port that nobody listens at (one in 300 changes met such
a packet, at 20,000 connections a second). So chains are made one transaction before something leads to them, and what
only such a packet can ask for outlives the change, until `settle()` or the next one.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, cast

from pybernetes.network.proxy import expressions as x
from pybernetes.network.proxy.layout import (
    ANY,
    DEFAULT_MEMORY,
    DELSETELEM,
    INSIDE,
    NEWSETELEM,
    OUTSIDE,
    Layout,
    Message,
    Pick,
    Stick,
    Value,
)
from pybernetes.network.proxy.netlink import Netlink, NetlinkError, attributes, text
from pybernetes.network.proxy.rules import PortRules, ServiceRules, Target

log = logging.getLogger(__name__)

_GETTABLE, _GETSETELEM = 1, 13
#: Element: (set, key).
Element = tuple[str, bytes]
#: A remembered client: key, endpoint, for how long, and how much of that is left, in milliseconds.
_Client = tuple[bytes, bytes, int, int]
_REJECT: Value = (x.GOTO, "reject")
_DROP: Value = (x.DROP, "")


class Fragment:
    """What one Service puts into the table."""

    __slots__ = ("chains", "places", "shared")

    def __init__(self) -> None:
        #: Address, protocol and port -> what stands there.
        self.places: dict[bytes, dict[Element, Value]] = {}
        self.shared: set[Element] = set()
        self.chains: set[Pick | Stick] = set()


_EMPTY = Fragment()
_ABSENT: Final = object()


def fragment(layout: Layout, rules: ServiceRules, node_addresses: Iterable[str]) -> Fragment:
    """The elements of one Service."""
    made = Fragment()
    nodes = [*node_addresses]
    for port in rules.ports:
        made.shared.add(("cluster-ips", layout.address(port.cluster_ip)))
        _serve(layout, made, port, ANY, (port.cluster_ip, port.port), port.inside)
        external = [(address, port.port) for address in port.external_ips]
        if port.node_port:
            external += [(address, port.node_port) for address in nodes]
        for place in external:
            if port.outside_local:
                _serve(layout, made, port, INSIDE, place, port.cluster, "host")
                _serve(layout, made, port, OUTSIDE, place, port.outside)
            else:
                _serve(layout, made, port, ANY, place, port.outside, "always")
        for address in port.guarded_ips:
            key = layout.key(address, port.protocol, port.port)
            elements = made.places.setdefault(key, {})
            elements["guarded", key] = None
            for block in port.source_ranges:
                network = ipaddress.ip_network(block, strict=False)
                ends = network.network_address.packed, network.broadcast_address.packed
                elements["allowed", key + ends[0] + key + ends[1]] = None
    for address in rules.local:
        packed = layout.address(address)
        made.shared.add(("local", packed + packed))
    return made


def _serve(
    layout: Layout,
    made: Fragment,
    port: PortRules,
    side: str,
    place: Target,
    targets: tuple[Target, ...],
    masquerade: str = "",
) -> None:
    key = layout.key(place[0], port.protocol, place[1])
    elements = made.places.setdefault(key, {})
    if not targets:
        # Refused, unless there are endpoints on other nodes: then the client may be luckier elsewhere.
        if side != INSIDE:
            elements[f"{side}refused", key] = _DROP if port.elsewhere else _REJECT
        return
    pick = Pick(side, len(targets), masquerade, port.affinity_seconds)
    made.chains.add(pick)
    elements[f"{side}services", key] = (x.GOTO, pick.name)
    for i, target in enumerate(targets):
        if port.affinity_seconds:
            stick = Stick(side, target, port.affinity_seconds)
            made.chains.add(stick)
            elements[f"{side}sticky", key + x.host32(i)] = (x.GOTO, stick.name)
        else:
            elements[f"{side}endpoints", key + x.host32(i)] = layout.target(target)


class Nftables:
    """One family's table. Blocking calls; the caller decides on which thread. `close()` keeps the table."""

    #: A change of a few Services takes well under a millisecond.
    instant = True

    def __init__(
        self,
        table: str,
        family: str,
        pod_cidrs: tuple[str, ...],
        node_addresses: tuple[str, ...],
        netns: Path | None = None,
    ) -> None:
        self.layout = Layout(table, family, pod_cidrs)
        #: A table is made anew beside the old one, which goes when it is complete: no packet finds none.
        self._names = table, f"{table}-b"
        self._nodes = [a for a in node_addresses if (":" in a) == (family == "IPv6")]
        self._netns = netns
        self._netlink: Netlink | None = None
        self._fragments: dict[str, Fragment] = {}
        self._rules: dict[str, ServiceRules] = {}
        #: What is in the table; whose it is; who would like to have it too; how many share it.
        self._programmed: dict[Element, Value] = {}
        self._owners: dict[bytes, str] = {}
        self._contested: dict[bytes, set[str]] = {}
        self._counts: Counter[Element] = Counter()
        self._chains: Counter[Pick | Stick] = Counter()
        #: In the table for packets under way, and nowhere else.
        self._late: dict[Element, None] = {}
        self._idle: dict[Pick | Stick, None] = {}

    @property
    def netlink(self) -> Netlink:
        if self._netlink is None:
            self._netlink = Netlink(self._netns)
        return self._netlink

    def replace(self, rules: Mapping[str, ServiceRules]) -> None:
        """Make the table anew, with these Services and nothing else. Clients that are remembered stay so."""
        rules = {**rules}
        there = [name for name in self._names if self._exists(name)]
        for name in there[1:]:  # what came before it has ended in between
            self.netlink.transact(self.layout.end(name))
        self.layout.table = there[0] if there else self._names[1]
        clients = [*self._remembered()]
        self.layout.table = next(name for name in self._names if name != self.layout.table)
        self._rules, self._fragments, self._chains = {}, {}, Counter()
        self._late, self._idle = {}, {}
        self._programmed, self._owners, self._contested, self._counts = {}, {}, {}, Counter()
        chains, elements = self._difference(rules)
        kept = self._known(self._targets(rules), clients)
        self.netlink.transact([*self.layout.begin(), *self.layout.fixed(), *chains, *elements, *kept])
        for name in there[:1]:
            self.netlink.transact(self.layout.end(name))

    def update(self, changed: Mapping[str, ServiceRules]) -> None:
        """Program changed Services (`NOTHING`: gone), by their namespace/name."""
        self._commit(self._difference(changed), changed)

    def settle(self) -> None:
        """What packets under way might still have needed goes."""
        self._commit(self._messages(Counter(), {}), {})

    def _commit(self, transactions: tuple[list[Message], list[Message]], changed: Mapping[str, ServiceRules]) -> None:
        if not any(transactions):
            return
        try:
            for messages in transactions:
                self.netlink.transact(messages)
            if any(port.affinity_seconds for rules in changed.values() for port in rules.ports):
                self._forget_clients(changed)
        except NetlinkError as error:
            log.warning("nftables: %s; programming everything anew", error)
            self.replace(self._rules)

    def intact(self) -> bool:
        """Whether the table is still there."""
        return self._exists(self.layout.table)

    def _exists(self, table: str) -> bool:
        try:
            self.netlink.request(_GETTABLE, 0, self.layout.family, text(1, table))
        except NetlinkError:
            return False
        return True

    def remove(self) -> None:
        """Remove the table and all in it."""
        for name in self._names:
            self.netlink.transact(self.layout.end(name))
        self.close()

    def close(self) -> None:
        if self._netlink is not None:
            self._netlink.close()
            self._netlink = None

    def _difference(self, changed: Mapping[str, ServiceRules]) -> tuple[list[Message], list[Message]]:
        """Take over the changes into the books; returns the transactions that bring the table to the same state."""
        programmed, before = self._programmed, dict[Element, object]()
        claimants = dict.fromkeys(changed)
        used: Counter[Pick | Stick] = Counter()
        for key, rules in changed.items():
            old = self._fragments.pop(key, _EMPTY)
            new = fragment(self.layout, rules, self._nodes)
            self._rules.pop(key, None)
            if rules.ports:
                self._fragments[key], self._rules[key] = new, rules
            for place, elements in old.places.items():
                fresh = new.places.get(place)
                if self._owners.get(place) != key:
                    if fresh is None:
                        self._contested.get(place, set()).discard(key)
                    continue
                for element, value in elements.items():
                    if fresh is None or fresh.get(element, _ABSENT) != value:
                        before.setdefault(element, value)
                        del programmed[element]
                if fresh is None:
                    del self._owners[place]
                    claimants.update(dict.fromkeys(sorted(self._contested.pop(place, ()))))
            used.update(new.chains)
            used.subtract(old.chains)
            for element in old.shared - new.shared:
                self._counts[element] -= 1
                if not self._counts[element]:
                    before.setdefault(element, None)
                    del self._counts[element], programmed[element]
            for element in new.shared - old.shared:
                self._counts[element] += 1
                if element not in programmed:
                    before.setdefault(element, _ABSENT)
                    programmed[element] = None
        for key in claimants:
            claimed = self._fragments.get(key, _EMPTY)
            for place, elements in claimed.places.items():
                owner = self._owners.setdefault(place, key)
                if owner != key:
                    rivals = self._contested.setdefault(place, set())
                    if key not in rivals:
                        rivals.add(key)
                        log.warning("service %s has an address and port of service %s", key, owner)
                    continue
                for element, value in elements.items():
                    if element not in programmed:
                        before.setdefault(element, _ABSENT)
                        programmed[element] = value
        return self._messages(used, before)

    def _messages(
        self, used: Counter[Pick | Stick], before: dict[Element, object]
    ) -> tuple[list[Message], list[Message]]:
        deleted: dict[str, list[tuple[bytes, Value]]] = {}
        added: dict[str, list[tuple[bytes, Value]]] = {}
        for name, key in self._late:
            deleted.setdefault(name, []).append((key, None))
        self._late = {}
        for element, was in before.items():
            name, key = element
            now = self._programmed.get(element, _ABSENT)
            if now == was:
                continue
            if was is not _ABSENT and now is _ABSENT and self._asked_for_late(element):
                self._late[element] = None
            elif was is not _ABSENT:
                deleted.setdefault(name, []).append((key, None))
            if now is not _ABSENT:
                added.setdefault(name, []).append((key, cast(Value, now)))
        chains: list[Message] = []
        found: list[Message] = []
        idle, self._idle = self._idle, {}
        for chain, difference in used.items():
            had = self._chains[chain]
            self._chains[chain] = had + difference
            if not had and difference and idle.pop(chain, _ABSENT) is _ABSENT:
                chains += self.layout.chain(chain)
            elif had and not had + difference:
                self._idle[chain] = None
            if not had + difference:
                del self._chains[chain]
        for name, entries in deleted.items():
            found += self.layout.elements(DELSETELEM, name, entries)
        for name, entries in added.items():
            found += self.layout.elements(NEWSETELEM, name, entries)
        found += map(self.layout.without, idle)
        return chains, found

    def _asked_for_late(self, element: Element) -> bool:
        """Whether a packet that has looked something else up may still ask for an element, and no other packet."""
        name, key = element
        if name in (f"{INSIDE}services", f"{OUTSIDE}services"):
            return (f"{ANY}services", key) in self._programmed
        return name.endswith(("endpoints", "sticky"))

    def _forget_clients(self, changed: Mapping[str, ServiceRules]) -> None:
        """Remembered endpoints that are none any more: their clients must be free to go elsewhere."""
        valid = self._targets(changed)
        for name in {f"{side}affinity" for side, _ in valid}:
            for key, target, *_ in [*self._listed(name)]:  # one conversation at a time
                targets = valid.get((name.removesuffix("affinity"), key[: self.layout.key_length]))
                if targets is not None and target not in targets:
                    with contextlib.suppress(NetlinkError):  # its time was up meanwhile
                        self.netlink.transact(self.layout.elements(DELSETELEM, name, [(key, None)]))

    def _targets(self, keys: Iterable[str]) -> dict[tuple[str, bytes], set[bytes]]:
        """What clients of some Services may be sent to by memory: by side and place."""
        found: dict[tuple[str, bytes], set[bytes]] = {}
        for key in keys:
            now = self._fragments.get(key, _EMPTY)
            sticks = {c.name: self.layout.target(c.target) for c in now.chains if isinstance(c, Stick)}
            for place, elements in now.places.items():
                if self._owners[place] != key:
                    continue
                for (name, _), value in elements.items():
                    if name.endswith("services"):
                        found.setdefault((name.removesuffix("services"), place), set())
                    elif name.endswith("sticky"):
                        assert isinstance(value, tuple)
                        found.setdefault((name.removesuffix("sticky"), place), set()).add(sticks[value[1]])
        return found

    def _remembered(self) -> Iterator[tuple[str, _Client]]:
        """Who is remembered in the table that is there: the map's name, and the entry."""
        for side in (ANY, INSIDE, OUTSIDE):
            with contextlib.suppress(NetlinkError):  # there is no table
                yield from ((f"{side}affinity", client) for client in self._listed(f"{side}affinity"))

    def _known(
        self, valid: Mapping[tuple[str, bytes], set[bytes]], clients: Iterable[tuple[str, _Client]]
    ) -> Iterator[Message]:
        """Messages that remember those clients again whose endpoints are still there."""
        for name, client in clients:
            if client[1] in valid.get((name.removesuffix("affinity"), client[0][: self.layout.key_length]), ()):
                yield from self.layout.remembered(name, [client])

    def _listed(self, name: str) -> Iterator[_Client]:
        """The entries of a map of remembered clients."""
        where = text(1, self.layout.table) + text(2, name)
        for data in self.netlink.dump(_GETSETELEM, self.layout.family, where):
            for kind, listed in attributes(data):
                if kind == 3:
                    for _, element in attributes(listed):
                        parts = dict(attributes(element))
                        if 1 in parts and 2 in parts:
                            timeout = int.from_bytes(parts[4], "big") if 4 in parts else DEFAULT_MEMORY
                            left = int.from_bytes(parts[5], "big") if 5 in parts else timeout
                            key, target = (dict(attributes(parts[i]))[1] for i in (1, 2))
                            yield key, target, timeout, left
