"""How the rule set lies in nf_tables: the fixed part, and the chains that pick an endpoint. Pure.

All Services share a handful of rules; what differs between them is in maps, so the cost of a packet does not depend on
how many there are, and a change is a few map elements. (A chain for each Service, with its endpoints in an anonymous
map, took the kernel 19 s to load for 10,000 Services.)

    services    (address, protocol, port) -> goto the chain that picks one of N endpoints
    endpoints   (address, protocol, port, 0..N-1) -> (address, port)
    affinity    (address, protocol, port, client) -> (address, port), with a timeout
    sticky      (address, protocol, port, 0..N-1) -> goto the chain that remembers the endpoint and goes there
    refused     (address, protocol, port) -> goto reject, or drop: no endpoints
    cluster-ips every cluster IP: ports of theirs that nobody serves are refused
    local       (address, address) of endpoints on this node: a Pod that reaches itself must not see its own address
    guarded, allowed: addresses of load balancers with source ranges

Node ports are keys with the node's own address. Where external traffic policy is Local, external keys are not in these
maps but in their twins: `inside-` for packets from Pods and this node (they may go to all endpoints), `outside-` for
the rest (this node's endpoints only, with the client's address kept).

Only what `nft list ruleset` can print is used: nft 1.0.6 aborts where the result of a lookup is part of a key, or is
put into a map. That is why each remembered endpoint has a chain, with the address as a constant.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pybernetes.network.proxy import expressions as x
from pybernetes.network.proxy.netlink import nest, text, u32, u64

#: Prefixes of the maps.
ANY, INSIDE, OUTSIDE = "", "inside-", "outside-"
#: Bit of the packet mark that asks for masquerading; the same as upstream's.
MASQUERADE = 0x4000
#: Milliseconds that a client is remembered where nothing else is said.
DEFAULT_MEMORY = 10_800_000
PROTOCOLS = {"TCP": 6, "UDP": 17, "SCTP": 132}
FAMILIES = {"IPv4": 2, "IPv6": 10}

NEWTABLE, DELTABLE, NEWCHAIN, DELCHAIN, NEWRULE, NEWSET = 0, 2, 3, 5, 6, 9
NEWSETELEM, DELSETELEM = 12, 14
CREATE, APPEND = 0x400, 0x800

_IPV4, _IPV6, _PROTO, _PORT, _MARK = 7, 8, 12, 13, 19
_VERDICT = 0xFFFFFF00
_INTERVAL, _MAP, _TIMEOUT, _EVAL, _CONCAT = 4, 8, 0x10, 0x20, 0x80

#: Type, flags, family and body of a netlink message.
Message = tuple[int, int, int, bytes]
#: Values of a map: bytes, a verdict (code, chain), or None in a set.
Value = bytes | tuple[int, str] | None


@dataclass(frozen=True)
class Pick:
    """A chain that picks one of `count` endpoints. masquerade: "", "always", or "host" for this node's own packets."""

    side: str
    count: int
    masquerade: str = ""
    affinity_seconds: int = 0

    @property
    def name(self) -> str:
        mask = f"-masq-{self.masquerade}" if self.masquerade else ""
        sticky = f"-sticky-{self.affinity_seconds}" if self.affinity_seconds else ""
        return f"{self.side}pick-{self.count}{mask}{sticky}"


@dataclass(frozen=True)
class Stick:
    """A chain that sends a client to `target`, and remembers that for so many seconds."""

    side: str
    target: tuple[str, int]
    affinity_seconds: int

    @property
    def name(self) -> str:
        return f"{self.side}stick-{self.target[0].replace(':', '_')}-{self.target[1]}-{self.affinity_seconds}"


class Layout:
    """The table of one address family. pod_cidrs: whose packets keep their source on the way to a cluster IP."""

    def __init__(self, table: str, family: str, pod_cidrs: tuple[str, ...]) -> None:
        self.table = table
        self.family = FAMILIES[family]
        self.pod_cidrs = [
            n for n in map(ipaddress.ip_network, pod_cidrs) if n.version == (4 if family == "IPv4" else 6)
        ]
        self.words = 1 if family == "IPv4" else 4
        self._source, self._target = (12, 16) if family == "IPv4" else (8, 24)
        self._after = self.words + 2
        self._data = self._after + self.words
        self.key_length = 4 * self._after
        self._sets = 0

    # -- keys ---------------------------------------------------------------------------------------------------------

    def address(self, address: str) -> bytes:
        return socket.inet_pton(self.family, address)

    def key(self, address: str, protocol: str, port: int) -> bytes:
        return self.address(address) + bytes((PROTOCOLS[protocol], 0, 0, 0)) + port.to_bytes(2, "big") + b"\0\0"

    def target(self, target: tuple[str, int]) -> bytes:
        return self.address(target[0]) + target[1].to_bytes(2, "big") + b"\0\0"

    # -- messages -----------------------------------------------------------------------------------------------------

    def message(self, kind: int, flags: int, *parts: bytes) -> Message:
        return kind, flags, self.family, b"".join(parts)

    def begin(self) -> Iterator[Message]:
        """An empty table in the place of whatever was there."""
        name = text(1, self.table)
        yield self.message(NEWTABLE, CREATE, name)
        yield self.message(DELTABLE, 0, name)
        yield self.message(NEWTABLE, CREATE, name)

    def end(self, table: str) -> Iterator[Message]:
        """No table of that name."""
        name = text(1, table)
        yield self.message(NEWTABLE, CREATE, name)
        yield self.message(DELTABLE, 0, name)

    def fixed(self) -> Iterator[Message]:
        """Sets, base chains and their rules."""
        address = (_IPV4 if self.words == 1 else _IPV6, 4 * self.words)
        mark, proto, port = (_MARK, 4), (_PROTO, 4), (_PORT, 4)
        key = (address, proto, port)
        target = _joined((address, port))
        for side in (ANY, INSIDE, OUTSIDE):
            yield self._set(f"{side}services", key, _VERDICT, 0)
            yield self._set(f"{side}endpoints", (*key, mark), *target)
            yield self._set(f"{side}sticky", (*key, mark), _VERDICT, 0)
            yield self._set(
                f"{side}affinity",
                (*key, address),
                *target,
                flags=_TIMEOUT | _EVAL,
                size=1 << 20,
                timeout=DEFAULT_MEMORY,
            )
        for side in (ANY, OUTSIDE):
            yield self._set(f"{side}refused", key, _VERDICT, 0)
        yield self._set("cluster-ips", (address,))
        yield self._set("local", (address, address))
        yield self._set("guarded", key)
        yield self._set("allowed", (*key, address), flags=_INTERVAL | _CONCAT)
        for name in ("services-of", "external-inside", "external-outside", "reject", "refused-of"):
            yield self._chain(name)
        yield self._chain("prerouting", "nat", 0, -100)
        yield self._chain("output", "nat", 3, -100)
        yield self._chain("postrouting", "nat", 4, 100)
        yield self._chain("firewall", "filter", 0, -110)
        yield self._chain("firewall-output", "filter", 3, -110)
        for name, hook in (("filter-input", 1), ("filter-forward", 2), ("filter-output", 3)):
            yield self._chain(name, "filter", hook, 0)
        yield from self._dispatch()
        yield from self._refusals()
        yield from self._source_addresses()

    def _dispatch(self) -> Iterator[Message]:
        for name in ("prerouting", "output"):
            yield self.rule(name, x.verdict(x.JUMP, "services-of"))
        if self.pod_cidrs:
            outside = [self._daddr(0), x.lookup("cluster-ips", 0)]
            for network in self.pod_cidrs:
                outside += self._source_in(network, x.UNEQUAL)
            yield self.rule("services-of", *outside, *self._mark())
        yield self.rule("services-of", *self._key(), x.verdict_map("services", 0))
        for network in self.pod_cidrs:
            yield self.rule("services-of", *self._source_in(network), x.verdict(x.GOTO, "external-inside"))
        yield self.rule("services-of", *self._from_here(), x.verdict(x.GOTO, "external-inside"))
        yield self.rule("services-of", x.verdict(x.GOTO, "external-outside"))
        for name, side in (("external-inside", INSIDE), ("external-outside", OUTSIDE)):
            yield self.rule(name, *self._key(), x.verdict_map(f"{side}services", 0))

    def _refusals(self) -> Iterator[Message]:
        new = [x.conntrack(0, 0), x.bitwise(0, 0, x.host32(x.STATE_NEW), bytes(4)), x.compare(0, bytes(4), x.UNEQUAL)]
        invalid = [x.conntrack(0, 0), x.bitwise(0, 0, x.host32(1), bytes(4)), x.compare(0, bytes(4), x.UNEQUAL)]
        guarded = [*self._key(), x.lookup("guarded", 0), self._saddr(self._after)]
        for name in ("firewall", "firewall-output"):
            yield self.rule(name, *new, *guarded, x.lookup("allowed", 0, invert=True), x.verdict(x.DROP))
        # A Pod's late answer that conntrack cannot place would go out untranslated, and its peer would reset a good
        # connection (kubernetes/kubernetes#74839).
        for source in self._from_pods():
            yield self.rule("filter-forward", *invalid, *source, x.verdict(x.DROP))
        for name in ("filter-input", "filter-forward", "filter-output"):
            yield self.rule(name, *new, x.verdict(x.JUMP, "refused-of"))
        yield self.rule("refused-of", *self._key(), x.verdict_map("refused", 0))
        yield self.rule("refused-of", self._daddr(0), x.lookup("cluster-ips", 0), x.verdict(x.GOTO, "reject"))
        yield self.rule("refused-of", *self._key(), x.verdict_map(f"{OUTSIDE}refused", 0))
        # TCP gets a reset, for the kernel limits the rate of ICMP errors to one a second.
        yield self.rule("reject", x.meta(x.L4PROTO, 0), x.compare(0, b"\x06"), x.reset())
        yield self.rule("reject", x.reject() if self.words == 1 else x.reject6())

    def _source_addresses(self) -> Iterator[Message]:
        bit = x.host32(MASQUERADE)
        yield self.rule(
            "postrouting",
            x.meta(x.MARK, 0), x.bitwise(0, 1, bit, bytes(4)), x.compare(1, bit),
            x.bitwise(0, 0, x.host32(0xFFFFFFFF & ~MASQUERADE), bytes(4)), x.set_mark(0), x.masquerade(),
        )  # fmt: skip
        yield self.rule(
            "postrouting",
            x.conntrack(2, 0), x.bitwise(0, 0, x.host32(x.STATUS_DNAT), bytes(4)), x.compare(0, bytes(4), x.UNEQUAL),
            self._saddr(0), self._daddr(self.words), x.lookup("local", 0), x.masquerade(),
        )  # fmt: skip

    def chain(self, chain: Pick | Stick) -> Iterator[Message]:
        """A chain that `services` or `sticky` goes to."""
        yield self._chain(chain.name)
        side, after, data = chain.side, self._after, self._data
        key, client = self._key(), self._saddr(after)
        translate = x.dnat(self.family, data, data + self.words)
        affinity = f"{side}affinity"
        keep = x.remember(affinity, 0, data, chain.affinity_seconds * 1000)
        if isinstance(chain, Stick):
            target = self._constant(self.target(chain.target))
            yield self.rule(chain.name, *key, client, *target, keep)
            yield self.rule(chain.name, *target, translate)
            return
        if chain.masquerade == "always":
            yield self.rule(chain.name, *self._mark())
        elif chain.masquerade == "host":
            yield self.rule(chain.name, *self._from_here(), *self._mark())
        # The mask changes nothing but lets `nft` know how wide the number is.
        number = [x.random(chain.count, after), x.bitwise(after, after, x.host32(0xFFFF), bytes(4))]
        if not chain.affinity_seconds:
            yield self.rule(chain.name, *key, *number, x.lookup(f"{side}endpoints", 0, data), translate)
            return
        remembered = [*key, client, x.lookup(affinity, 0, data)]
        # Of an entry that is there only the time is renewed, so the value does not matter.
        yield self.rule(chain.name, *remembered, *self._constant(bytes(4 * self.words + 4)), keep)
        yield self.rule(chain.name, *remembered, translate)
        yield self.rule(chain.name, *key, *number, x.verdict_map(f"{side}sticky", 0))

    def without(self, chain: Pick | Stick) -> Message:
        """Remove a chain that nothing refers to."""
        return self.message(DELCHAIN, 0, text(1, self.table), text(3, chain.name))

    def elements(self, kind: int, name: str, entries: list[tuple[bytes, Value]]) -> Iterator[Message]:
        """Messages that add (NEWSETELEM) or delete (DELSETELEM) entries; of `allowed` the key is start and end."""
        where = text(1, self.table) + text(2, name)
        chunk: list[bytes] = []
        size = 0
        for key, item in entries:
            if name == "allowed":
                half = len(key) // 2
                parts = x.value(1, key[:half]) + x.value(10, key[half:])
            else:
                parts = x.value(1, key)
            if isinstance(item, bytes):
                parts += x.value(2, item)
            elif item is not None:
                parts += x.verdict_data(2, *item)
            encoded = nest(1, parts)
            if size + len(encoded) > 60_000:  # a list's length is a 16-bit number
                yield self.message(kind, CREATE if kind == NEWSETELEM else 0, where, nest(3, *chunk))
                chunk, size = [], 0
            chunk.append(encoded)
            size += len(encoded)
        if chunk:
            yield self.message(kind, CREATE if kind == NEWSETELEM else 0, where, nest(3, *chunk))

    def remembered(self, name: str, entries: Iterable[tuple[bytes, bytes, int, int]]) -> Iterator[Message]:
        """Messages that add entries to `affinity`: key, endpoint, timeout and what is left of it in milliseconds."""
        where = text(1, self.table) + text(2, name)
        for key, target, timeout, left in entries:
            entry = nest(1, x.value(1, key), x.value(2, target), u64(4, timeout), u64(5, left))
            yield self.message(NEWSETELEM, CREATE, where, nest(3, entry))

    def rule(self, chain: str, *parts: bytes) -> Message:
        return self.message(NEWRULE, CREATE | APPEND, text(1, self.table), text(2, chain), nest(4, *parts))

    def _chain(self, name: str, type_: str = "", hook: int = 0, priority: int = 0) -> Message:
        parts = text(1, self.table) + text(3, name)
        if type_:
            parts += nest(4, u32(1, hook), u32(2, priority & 0xFFFFFFFF)) + u32(5, 1) + text(7, type_)
        return self.message(NEWCHAIN, CREATE, parts)

    def _set(
        self,
        name: str,
        key: tuple[tuple[int, int], ...],
        data_type: int | None = None,
        data_length: int = 0,
        *,
        flags: int = 0,
        size: int = 0,
        timeout: int = 0,
    ) -> Message:
        self._sets += 1
        type_, length = _joined(key)
        parts = [text(1, self.table), text(2, name)]
        if data_type is not None:
            flags |= _MAP
        parts += [u32(3, flags), u32(4, type_), u32(5, length), u32(10, self._sets)]
        if data_type is not None:
            parts += [u32(6, data_type), u32(7, data_length)]
        describe = b""
        if size:
            describe += u32(1, size)
        if flags & _CONCAT:
            describe += nest(2, *(nest(1, u32(1, width)) for _, width in key))
        if describe:
            parts.append(nest(9, describe))
        if timeout:
            parts.append(u64(11, timeout))
        return self.message(NEWSET, CREATE, *parts)

    # -- pieces of rules ----------------------------------------------------------------------------------------------

    def _constant(self, target: bytes) -> list[bytes]:
        """Load an endpoint."""
        split = 4 * self.words
        return [x.load(self._data, target[:split]), x.load(self._data + self.words, target[split : split + 2])]

    def _daddr(self, register: int) -> bytes:
        return x.payload(x.NETWORK, self._target, 4 * self.words, register)

    def _saddr(self, register: int) -> bytes:
        return x.payload(x.NETWORK, self._source, 4 * self.words, register)

    def _key(self) -> list[bytes]:
        """Address, protocol and port that the packet is for."""
        after = self.words
        return [self._daddr(0), x.meta(x.L4PROTO, after), x.payload(x.TRANSPORT, 2, 2, after + 1)]

    def _mark(self) -> list[bytes]:
        keep, bit = x.host32(0xFFFFFFFF & ~MASQUERADE), x.host32(MASQUERADE)
        return [x.meta(x.MARK, 0), x.bitwise(0, 0, keep, bit), x.set_mark(0)]

    def _from_here(self) -> list[bytes]:
        return [x.address_type(0, source=True), x.compare(0, x.host32(x.LOCAL))]

    def _source_in(
        self, network: ipaddress.IPv4Network | ipaddress.IPv6Network, operation: int = x.EQUAL
    ) -> list[bytes]:
        return [self._saddr(0), *self._within(network, operation)]

    def _within(self, network: ipaddress.IPv4Network | ipaddress.IPv6Network, operation: int) -> list[bytes]:
        mask = x.bitwise(0, 0, network.netmask.packed, bytes(4 * self.words))
        return [mask, x.compare(0, network.network_address.packed, operation)]

    def _from_pods(self) -> list[list[bytes]]:
        """The ways to match packets from Pods, so that other traffic through this machine is left alone."""
        return [self._source_in(network) for network in self.pod_cidrs] or [[]]


def _joined(fields: tuple[tuple[int, int], ...]) -> tuple[int, int]:
    """Type and length of fields side by side, as `nft` shows them."""
    type_ = length = 0
    for kind, width in fields:
        type_ = type_ << 6 | kind
        length += width
    return type_, length
