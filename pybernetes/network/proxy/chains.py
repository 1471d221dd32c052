"""How the rule set lies in iptables: upstream's chains, with a tag in their names. Pure.

    PREROUTING, OUTPUT ── KUBE-SERVICES ── KUBE-ADDR ─ cluster IP ──▶ KUBE-SVC-, or KUBE-SVL- with policy Local
                      │                             └─ external ─▶ KUBE-FW- (source ranges) ─▶ KUBE-EXT- ─▶ KUBE-SVC-
                      └─ KUBE-NODEPORTS (the node's addresses) ──▶ KUBE-EXT-
    KUBE-SVC-  all endpoints, KUBE-SVL- those of this node: one of them by chance, or by memory ──▶ KUBE-SEP- or DNAT
    filter     KUBE-SERVICES and KUBE-EXTERNAL-SERVICES refuse what nobody serves, KUBE-PROXY-FIREWALL drops what no
               source range allows: only packets whose destination was not translated still match there

The tag (five letters, from the table's name) keeps clusters on one machine apart, and from a kube-proxy that was there
before: chain names have 28 characters. A Service's own chains are found by a hash of its name, as upstream's are.
Unlike upstream, TCP that nobody serves gets a reset, as with nftables, and node ports are served on the node's own
addresses and on loopback only.

Whenever a rule is added the kernel walks through everything that can be reached from PREROUTING, and again from OUTPUT:
what a Service has costs every change of any other. So
- an endpoint has a chain (KUBE-SEP-) if it is on this node, where it may call itself, or if clients are remembered;
  upstream gives one to each;
- what does not come from Pods is marked for masquerading once, in KUBE-SERVICES, and unmarked where no Service took it,
  instead of in each Service's chain.

With many Services KUBE-ADDR is a tree by the last bits of the address, so that a packet meets a few dozen rules however
many Services there are. Where nothing comes back, `-g` leads to a chain instead of `-j`: `iptables-restore` looks for a
program to load by the name of each chain that `-j` names, and only what came back is unmarked.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import itertools
from collections.abc import Iterable, Iterator

from pybernetes.network.proxy.layout import MASQUERADE
from pybernetes.network.proxy.rules import PortRules, ServiceRules, Target

#: A chain: (table, name). A rule is what follows `-A CHAIN`.
Chain = tuple[str, str]

#: A packet is marked for masquerading, or no longer.
_MARK, _UNMARK = f"-j MARK --or-mark {MASQUERADE:#x}", f"-j MARK --and-mark {~MASQUERADE & 0xFFFFFFFF:#x}"
#: Cluster IPs and external addresses that one chain may hold, by the levels of the tree.
_FLAT, _ONE_LEVEL = 64, 1024
LOOPBACK = "127.0.0.0/8"
_DIGITS = "0123456789ABCDEF"
_NEW = "-m conntrack --ctstate NEW"
_LOCAL = "-m addrtype --src-type LOCAL"


class Fragment:
    """What one Service puts into the tables: chains of its own, and rules in the chains of all."""

    __slots__ = ("chains", "dispatch")

    def __init__(self) -> None:
        self.chains: dict[Chain, tuple[str, ...]] = {}
        self.dispatch: dict[tuple[Chain, str], None] = {}


class Chains:
    """The chains of one address family.

    pod_cidrs: whose packets keep their source on the way to a cluster IP; loopback: whether node ports are served on
    127.0.0.0/8 too, which IPv6 cannot do.
    """

    def __init__(
        self,
        table: str,
        family: str,
        pod_cidrs: Iterable[str],
        node_addresses: Iterable[str],
        loopback: bool = False,
    ) -> None:
        six = family == "IPv6"
        self.tag = _digest(table)[:5]
        self._bits = 128 if six else 32
        self._cidrs = [cidr for cidr in pod_cidrs if (":" in cidr) == six]
        self._nodes = [address for address in node_addresses if (":" in address) == six]
        self._loopback = loopback and not six
        #: Levels of the tree below KUBE-ADDR.
        self.levels = 0
        self._services: Chain = "nat", self._shared("KUBE-SERVICES")
        self.node_ports: Chain = "nat", self._shared("KUBE-NODEPORTS")
        self.refused: Chain = "filter", self._shared("KUBE-SERVICES")
        self.refused_outside: Chain = "filter", self._shared("KUBE-EXTERNAL-SERVICES")
        self.firewall: Chain = "filter", self._shared("KUBE-PROXY-FIREWALL")

    @property
    def dispatching(self) -> tuple[Chain, ...]:
        """The chains whose rules come from Services."""
        return *self._tree(self.levels), self.node_ports, self.refused, self.refused_outside, self.firewall

    def leaf(self, address: str) -> Chain:
        """The chain with the rules for a cluster IP or an external address."""
        last = ipaddress.ip_address(address).packed[-1]
        return self._address_chain(f"{last % 16:X}{last // 16:X}"[: self.levels])

    @staticmethod
    def levels_for(rules: int) -> int:
        """How many levels the tree needs for so many cluster IPs and external addresses."""
        return 0 if rules <= _FLAT else 1 if rules <= _ONE_LEVEL else 2

    def mine(self, name: str) -> bool:
        """Whether a chain carries our tag."""
        kind, _, rest = name.rpartition("-")
        return name.startswith("KUBE-") and (rest == self.tag or (kind in _OWN and rest.startswith(self.tag)))

    def fixed(self) -> dict[Chain, tuple[str, ...]]:
        """The chains that are always the same."""
        return {
            ("nat", self._shared("KUBE-POSTROUTING")): (
                f"-m mark ! --mark {MASQUERADE:#x}/{MASQUERADE:#x} -j RETURN",
                f"-j MARK --xor-mark {MASQUERADE:#x}",
                "-j MASQUERADE --random-fully",
            ),
            # A Pod's late answer that conntrack cannot place would go out untranslated, and its peer would reset a
            # good connection (kubernetes/kubernetes#74839).
            ("filter", self._shared("KUBE-FORWARD")): tuple(
                f"-s {cidr} -m conntrack --ctstate INVALID -j DROP" for cidr in self._cidrs
            ),
            # With `route_localnet` a neighbour could send to the loopback address (CVE-2020-8558).
            ("filter", self._shared("KUBE-FIREWALL")): (
                f"! -s {LOOPBACK} -d {LOOPBACK} -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP",
            )
            * self._loopback,
        }

    def leading(self) -> dict[Chain, tuple[str, ...]]:
        """The chains between the kernel's and those whose rules come from Services."""
        outside = self._shared("KUBE-MARK-OUTSIDE")
        found: dict[Chain, tuple[str, ...]] = {
            ("nat", outside): (
                *(f"-s {cidr} -j RETURN" for cidr in self._cidrs),
                *((_MARK,) if self._cidrs else ()),
            ),
            self._services: (f"-j {outside}", f"-j {self._address_chain('')[1]}", _UNMARK),
        }
        for level in range(self.levels):
            for chain in self._tree(level):
                found[chain] = tuple(
                    f"-d {self._masked(digit << 4 * level)}/{self._masked(15 << 4 * level)} -g {chain[1]}{name}"
                    for digit, name in enumerate(_DIGITS)
                )
        return found

    def jumps(self) -> list[tuple[Chain, str]]:
        """Rules of the kernel's chains that lead to ours, in order."""
        found: list[tuple[Chain, str]] = []
        for base in ("PREROUTING", "OUTPUT"):
            found.append((("nat", base), f"-j {self._services[1]}"))
            found += ((("nat", base), f"-d {a}/{self._bits} -j {self.node_ports[1]}") for a in self._nodes)
        if self._loopback:
            found.append((("nat", "OUTPUT"), f"-d {LOOPBACK} -j {self.node_ports[1]}"))
            found.append((("filter", "INPUT"), f"-j {self._shared('KUBE-FIREWALL')}"))
        found.append((("nat", "POSTROUTING"), f"-j {self._shared('KUBE-POSTROUTING')}"))
        for base in ("INPUT", "FORWARD", "OUTPUT"):
            judges = (self.firewall, self.refused, self.refused_outside)
            found += ((("filter", base), f"{_NEW} -j {judge[1]}") for judge in judges)
        found.append((("filter", "FORWARD"), f"-j {self._shared('KUBE-FORWARD')}"))
        return found

    def fragment(self, rules: ServiceRules) -> Fragment:
        """All of one Service."""
        made = Fragment()
        for port in rules.ports:
            self._port(made, port, rules.local)
        return made

    # -- one port -----------------------------------------------------------------------------------------------------

    def _port(self, made: Fragment, port: PortRules, local: frozenset[str]) -> None:
        to_cluster_ip = self._to(port, port.cluster_ip, port.port)
        everywhere, here, external = (self._own(kind, port) for kind in ("SVC", "SVL", "EXT"))
        inside_local = port.inside != port.cluster
        if port.inside:
            chain = here if inside_local else everywhere
            rule = f"{self._says(port, 'cluster IP')} {to_cluster_ip} -g {chain}"
            made.dispatch[self.leaf(port.cluster_ip), rule] = None
        else:
            self._refuse(made, self.refused, port, "cluster IP", to_cluster_ip)
        places = self._external(made, port, external)
        if not port.inside and not places:
            return
        if port.cluster:
            made.chains["nat", everywhere] = tuple(self._pick(port, port.cluster, local))
        near = port.inside if inside_local else port.outside if port.outside_local else ()
        if near:
            made.chains["nat", here] = tuple(self._pick(port, near, local))
        for target in dict.fromkeys((*port.cluster, *near)):
            if self._has_chain(port, target, local):
                made.chains["nat", self._own("SEP", port, target)] = tuple(self._endpoint(port, target))
        if places:
            made.chains["nat", external] = tuple(self._from_outside(port, everywhere, here))

    def _external(self, made: Fragment, port: PortRules, chain: str) -> bool:
        """Rules for external addresses and node ports; whether any of them leads to `chain`."""
        places = [
            (self.leaf(address), self._to(port, address, port.port), "external IP", address in port.guarded_ips)
            for address in port.external_ips
        ]
        if port.node_port:  # whose address it is decides what leads there
            places.append((self.node_ports, self._to(port, "", port.node_port), "node port", False))
        if not port.outside:
            for address in port.external_ips:
                match = self._to(port, address, port.port)
                self._refuse(made, self.refused_outside, port, "external IP", match)
            for address in self._nodes if port.node_port else ():
                match = self._to(port, address, port.node_port)
                self._refuse(made, self.refused_outside, port, "node port", match)
        served = bool(port.outside or (port.outside_local and port.cluster))
        for where, match, what, guarded in places:
            if not served:
                continue
            target = self._own("FW", port) if guarded else chain
            made.dispatch[where, f"{self._says(port, what)} {match} -g {target}"] = None
            if guarded:
                made.chains["nat", target] = tuple(f"-s {block} -g {chain}" for block in port.source_ranges)
                made.dispatch[self.firewall, f"{self._says(port, what)} {match} -j DROP"] = None
        return served and bool(places)

    def _from_outside(self, port: PortRules, everywhere: str, here: str) -> Iterator[str]:
        if not port.outside_local:
            yield _MARK
            yield f"-g {everywhere}"
            return
        if port.cluster:  # Pods and this node may go to all endpoints
            for cidr in self._cidrs:
                yield f"-s {cidr} -g {everywhere}"
            yield f"{_LOCAL} {_MARK}"
            yield f"{_LOCAL} -g {everywhere}"
        if port.outside:
            yield _UNMARK  # the client's address is to be seen
            yield f"-g {here}"

    def _refuse(self, made: Fragment, where: Chain, port: PortRules, what: str, match: str) -> None:
        # Refused, unless there are endpoints on other nodes: then the client may be luckier elsewhere. TCP gets a
        # reset, for the kernel limits the rate of ICMP errors to one a second.
        verdict = "REJECT --reject-with tcp-reset" if port.protocol == "TCP" else "REJECT"
        made.dispatch[where, f"{self._says(port, what)} {match} -j {'DROP' if port.elsewhere else verdict}"] = None

    @staticmethod
    def _has_chain(port: PortRules, target: Target, local: frozenset[str]) -> bool:
        """Whether an endpoint needs more than its address: a source to look at, or a client to remember."""
        return target[0] in local or bool(port.affinity_seconds)

    def _pick(self, port: PortRules, targets: tuple[Target, ...], local: frozenset[str]) -> Iterator[str]:
        if port.affinity_seconds:
            for name in (self._own("SEP", port, target) for target in targets):
                yield f"-m recent --name {name} --rcheck --seconds {port.affinity_seconds} --reap -g {name}"
        for i, target in enumerate(targets):
            left = len(targets) - i
            chance = f"-m statistic --mode random --probability {1 / left:.10f} " if left > 1 else ""
            if self._has_chain(port, target, local):
                yield f"{chance}-g {self._own('SEP', port, target)}"
            else:
                yield f"-p {port.protocol.lower()} {chance}{_translated(target)}"

    def _endpoint(self, port: PortRules, target: Target) -> Iterator[str]:
        yield f"-s {target[0]}/{self._bits} {_MARK}"  # a Pod that reaches itself must not see its own address
        remember = f"-m recent --name {self._own('SEP', port, target)} --set " if port.affinity_seconds else ""
        yield f"-p {port.protocol.lower()} {remember}{_translated(target)}"

    # -- the tree ------------------------------------------------------------------------------------------------------

    def _address_chain(self, digits: str) -> Chain:
        return "nat", f"KUBE-ADDR-{self.tag}{digits}"

    def _tree(self, level: int) -> tuple[Chain, ...]:
        """All chains of a level, from the root at 0."""
        return tuple(self._address_chain("".join(digits)) for digits in itertools.product(_DIGITS, repeat=level))

    def _masked(self, bits: int) -> str:
        return str(ipaddress.IPv4Address(bits) if self._bits == 32 else ipaddress.IPv6Address(bits))

    # -- pieces -------------------------------------------------------------------------------------------------------

    def _shared(self, kind: str) -> str:
        return f"{kind}-{self.tag}"

    def _own(self, kind: str, port: PortRules, target: Target | None = None) -> str:
        text = f"{port.key} {target[0]}:{target[1]}" if target else port.key
        return f"KUBE-{kind}-{self.tag}{_digest(text)[:11]}"

    def _to(self, port: PortRules, address: str, number: int) -> str:
        protocol = port.protocol.lower()
        there = f"-d {address}/{self._bits} " if address else ""
        return f"{there}-p {protocol} -m {protocol} --dport {number}"

    def _says(self, port: PortRules, what: str) -> str:
        name = f"{port.namespace}/{port.service}" + (f":{port.port_name}" if port.port_name else "")
        return f'-m comment --comment "{name} {what}"'


_OWN = frozenset({"KUBE-SVC", "KUBE-SVL", "KUBE-EXT", "KUBE-FW", "KUBE-SEP", "KUBE-ADDR"})


def _translated(target: Target) -> str:
    address, number = target
    return f"-j DNAT --to-destination {f'[{address}]' if ':' in address else address}:{number}"


def _digest(text: str) -> str:
    return base64.b32encode(hashlib.sha256(text.encode()).digest()).decode()
