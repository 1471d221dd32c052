"""How the rule set lies in iptables: upstream's chains, with a tag in their names. Pure.

    PREROUTING, OUTPUT ── KUBE-SERVICES ───────────── cluster IP ──▶ KUBE-SVC-, or KUBE-SVL- with policy Local
                      │                └─ external ─▶ KUBE-FW- (source ranges) ─▶ KUBE-EXT- ─▶ KUBE-SVC-, KUBE-SVL-
                      └─ KUBE-NODEPORTS (the node's addresses) ──▶ KUBE-EXT-
    KUBE-SVC-  all endpoints, KUBE-SVL- those of this node: one of them by chance, or by memory ──▶ KUBE-SEP- or DNAT
    filter     KUBE-SERVICES and KUBE-EXTERNAL-SERVICES refuse what nobody serves, KUBE-PROXY-FIREWALL drops what no
               source range allows: only packets whose destination was not translated still match there

The tag (five letters, from the table's name) keeps clusters on one machine apart, and from a kube-proxy that was there
before: chain names have 28 characters. A Service's own chains are found by a hash of its name, as upstream's are.
Unlike upstream, TCP that nobody serves gets a reset, as with nftables, and node ports are served on the node's own
addresses only, never on 127.0.0.1.

An endpoint has a chain (KUBE-SEP-) if it is on this node, where it may call itself, or if clients are remembered;
upstream gives one to each. The kernel walks through all chains whenever a rule is added, and most endpoints are on
other nodes. Where nothing comes back, `-g` leads to a chain instead of `-j`: `iptables-restore` looks for a program to
load by the name of each chain that `-j` names.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator

from pybernetes.network.proxy.layout import MASQUERADE
from pybernetes.network.proxy.rules import PortRules, ServiceRules, Target

#: A chain: (table, name). A rule is what follows `-A CHAIN`.
Chain = tuple[str, str]

_NEW = "-m conntrack --ctstate NEW"
_LOCAL = "-m addrtype --src-type LOCAL"


class Fragment:
    """What one Service puts into the tables: chains of its own, and rules in the chains of all."""

    __slots__ = ("chains", "dispatch")

    def __init__(self) -> None:
        self.chains: dict[Chain, tuple[str, ...]] = {}
        self.dispatch: dict[tuple[Chain, str], None] = {}


class Chains:
    """The chains of one address family. pod_cidrs: whose packets keep their source on the way to a cluster IP."""

    def __init__(self, table: str, family: str, pod_cidrs: Iterable[str], node_addresses: Iterable[str]) -> None:
        six = family == "IPv6"
        self.tag = _digest(table)[:5]
        self._bits = 128 if six else 32
        self._cidrs = [cidr for cidr in pod_cidrs if (":" in cidr) == six]
        self._nodes = [address for address in node_addresses if (":" in address) == six]
        self._mark = self._shared("KUBE-MARK-MASQ")
        self._mark_outside = self._shared("KUBE-MARK-OUTSIDE")
        self.services: Chain = "nat", self._shared("KUBE-SERVICES")
        self.node_ports: Chain = "nat", self._shared("KUBE-NODEPORTS")
        self.refused: Chain = "filter", self._shared("KUBE-SERVICES")
        self.refused_outside: Chain = "filter", self._shared("KUBE-EXTERNAL-SERVICES")
        self.firewall: Chain = "filter", self._shared("KUBE-PROXY-FIREWALL")

    @property
    def dispatching(self) -> tuple[Chain, ...]:
        """The chains whose rules come from Services."""
        return self.services, self.node_ports, self.refused, self.refused_outside, self.firewall

    def mine(self, name: str) -> bool:
        """Whether a chain carries our tag."""
        kind, _, rest = name.rpartition("-")
        return name.startswith("KUBE-") and (rest == self.tag or (kind in _OWN and rest.startswith(self.tag)))

    def fixed(self) -> dict[Chain, tuple[str, ...]]:
        """The chains that are always the same."""
        return {
            ("nat", self._mark): (f"-j MARK --or-mark {MASQUERADE:#x}",),
            ("nat", self._mark_outside): (
                *(f"-s {cidr} -j RETURN" for cidr in self._cidrs),
                *((f"-j {self._mark}",) if self._cidrs else ()),
            ),
            ("nat", self._shared("KUBE-POSTROUTING")): (
                f"-m mark ! --mark {MASQUERADE:#x}/{MASQUERADE:#x} -j RETURN",
                f"-j MARK --xor-mark {MASQUERADE:#x}",
                "-j MASQUERADE --random-fully",
            ),
            # A Pod's late answer that conntrack cannot place would go out untranslated, and its peer would reset a
            # good connection (kubernetes/kubernetes#74839).
            ("filter", self._shared("KUBE-FORWARD")): tuple(
                f"-s {cidr} -m conntrack --ctstate INVALID -j DROP" for cidr in self._cidrs[:1]
            ),
        }

    def jumps(self) -> list[tuple[Chain, str]]:
        """Rules of the kernel's chains that lead to ours, in order."""
        found: list[tuple[Chain, str]] = []
        for base in ("PREROUTING", "OUTPUT"):
            found.append((("nat", base), f"-j {self.services[1]}"))
            found += ((("nat", base), f"-d {a}/{self._bits} -j {self.node_ports[1]}") for a in self._nodes)
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
        mark = f"{to_cluster_ip} -j {self._mark_outside}"
        inside_local = port.inside != port.cluster
        if port.inside:
            chain = here if inside_local else everywhere
            made.dispatch[self.services, f"{self._says(port, 'cluster IP')} {to_cluster_ip} -g {chain}"] = None
        else:
            self._refuse(made, self.refused, port, "cluster IP", to_cluster_ip)
        places = self._external(made, port, external)
        if not port.inside and not places:
            return
        if port.cluster:
            made.chains["nat", everywhere] = (
                *(() if inside_local else (mark,)),
                *self._pick(port, port.cluster, local),
            )
        near = port.inside if inside_local else port.outside if port.outside_local else ()
        if near:
            made.chains["nat", here] = (*((mark,) if inside_local else ()), *self._pick(port, near, local))
        for target in dict.fromkeys((*port.cluster, *near)):
            if self._has_chain(port, target, local):
                made.chains["nat", self._own("SEP", port, target)] = tuple(self._endpoint(port, target))
        if places:
            made.chains["nat", external] = tuple(self._from_outside(port, everywhere, here))

    def _external(self, made: Fragment, port: PortRules, chain: str) -> bool:
        """Rules for external addresses and node ports; whether any of them leads to `chain`."""
        places = [
            (self.services, self._to(port, address, port.port), "external IP", address in port.guarded_ips)
            for address in port.external_ips
        ]
        if port.node_port:
            places += (
                (self.node_ports, self._to(port, address, port.node_port), "node port", False)
                for address in self._nodes
            )
        served = bool(port.outside or (port.outside_local and port.cluster))
        for where, match, what, guarded in places:
            if not port.outside:
                self._refuse(made, self.refused_outside, port, what, match)
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
            yield f"-j {self._mark}"
            yield f"-g {everywhere}"
            return
        if port.cluster:  # Pods and this node may go to all endpoints
            for cidr in self._cidrs:
                yield f"-s {cidr} -g {everywhere}"
            yield f"{_LOCAL} -j {self._mark}"
            yield f"{_LOCAL} -g {everywhere}"
        if port.outside:
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
        yield f"-s {target[0]}/{self._bits} -j {self._mark}"  # a Pod that reaches itself must not see its own address
        remember = f"-m recent --name {self._own('SEP', port, target)} --set " if port.affinity_seconds else ""
        yield f"-p {port.protocol.lower()} {remember}{_translated(target)}"

    # -- pieces -------------------------------------------------------------------------------------------------------

    def _shared(self, kind: str) -> str:
        return f"{kind}-{self.tag}"

    def _own(self, kind: str, port: PortRules, target: Target | None = None) -> str:
        text = f"{port.key} {target[0]}:{target[1]}" if target else port.key
        return f"KUBE-{kind}-{self.tag}{_digest(text)[:11]}"

    def _to(self, port: PortRules, address: str, number: int) -> str:
        protocol = port.protocol.lower()
        return f"-d {address}/{self._bits} -p {protocol} -m {protocol} --dport {number}"

    def _says(self, port: PortRules, what: str) -> str:
        name = f"{port.namespace}/{port.service}" + (f":{port.port_name}" if port.port_name else "")
        return f'-m comment --comment "{name} {what}"'


_OWN = frozenset({"KUBE-SVC", "KUBE-SVL", "KUBE-EXT", "KUBE-FW", "KUBE-SEP"})


def _translated(target: Target) -> str:
    address, number = target
    return f"-j DNAT --to-destination {f'[{address}]' if ':' in address else address}:{number}"


def _digest(text: str) -> str:
    return base64.b32encode(hashlib.sha256(text.encode()).digest()).decode()
