"""Connections that the kernel remembers and that a change of rules makes wrong.

Translation is decided with a flow's first packet. TCP ends by itself when an endpoint goes; a UDP flow that is kept
busy would go to the vanished endpoint for ever, and one that began before its Service had endpoints would never be
translated. Both are deleted, by one listing of the table per change, and only for UDP Services that lost an endpoint
or got their first.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pybernetes.network.proxy.netlink import CONNTRACK, Netlink, NetlinkError, attributes, nest
from pybernetes.network.proxy.rules import PortRules, ServiceRules, Target, family_of

_GET, _DELETE = 1, 2
_ORIGIN, _REPLY = 1, 2
_UDP = 17


@dataclass(frozen=True)
class Stale:
    """A flow to `place` (address and port as the client sees it) is wrong unless it goes to one of `targets`."""

    place: Target
    targets: frozenset[Target]


def stale(
    old: Mapping[str, ServiceRules], new: Mapping[str, ServiceRules], node_addresses: Iterable[str]
) -> list[Stale]:
    """Which places to look at after a change from `old` to `new` of some Services. Pure."""
    nodes = [*node_addresses]
    found: list[Stale] = []
    for key, rules in old.items():
        now = {port.key: port for port in (new[key].ports if key in new else ())}
        for port in rules.ports:
            if port.protocol != "UDP":
                continue
            current = now.pop(port.key, None)
            before = {*port.inside, *port.outside, *port.cluster}
            after = {*current.inside, *current.outside, *current.cluster} if current else set()
            if before - after or (after and not before):
                found += [Stale(place, frozenset(after)) for place in _places(port, nodes)]
                if current is not None and _places(current, nodes) != _places(port, nodes):
                    found += [Stale(place, frozenset(after)) for place in _places(current, nodes)]
        found += _fresh(now, nodes)
    for key, rules in new.items():
        if key not in old:
            found += _fresh({port.key: port for port in rules.ports}, nodes)
    return found


def _fresh(ports: Mapping[str, PortRules], nodes: list[str]) -> list[Stale]:
    """Ports that are new: flows may have begun before they were."""
    found = []
    for port in ports.values():
        targets = frozenset({*port.inside, *port.outside, *port.cluster})
        if port.protocol == "UDP" and targets:
            found += [Stale(place, targets) for place in _places(port, nodes)]
    return found


def _places(port: PortRules, nodes: list[str]) -> list[Target]:
    found = [(port.cluster_ip, port.port), *((address, port.port) for address in port.external_ips)]
    if port.node_port:  # in the other family it leads to endpoints that are not known here
        family = family_of(port.cluster_ip)
        found += [(address, port.node_port) for address in nodes if family_of(address) == family]
    return found


def clean(wrong: Iterable[Stale], netns: Path | None = None) -> int:
    """Delete the UDP flows that are wrong; returns how many. Blocking, a few milliseconds."""
    by_place: dict[tuple[bytes, int], set[tuple[bytes, int]]] = {}
    families: set[int] = set()
    for item in wrong:
        families.add(socket.AF_INET6 if ":" in item.place[0] else socket.AF_INET)
        by_place[_packed(item.place)] = {_packed(target) for target in item.targets}
    return sum(_clean(int(family), by_place, netns) for family in families)


def _clean(family: int, by_place: Mapping[tuple[bytes, int], set[tuple[bytes, int]]], netns: Path | None) -> int:
    link = Netlink(netns)
    try:
        doomed = []
        for data in link.dump(_GET, family, subsystem=CONNTRACK):
            tuples = {kind: value for kind, value in attributes(data) if kind in (_ORIGIN, _REPLY)}
            if len(tuples) < 2:
                continue
            _, place, protocol = _ends(tuples[_ORIGIN])
            if protocol == _UDP and place in by_place:
                source, _, _ = _ends(tuples[_REPLY])
                if source not in by_place[place]:
                    doomed.append(tuples[_ORIGIN])
        for origin in doomed:
            with contextlib.suppress(NetlinkError):  # it has ended meanwhile
                link.request(_DELETE, 0, family, nest(_ORIGIN, origin), CONNTRACK)
        return len(doomed)
    finally:
        link.close()


def _packed(target: Target) -> tuple[bytes, int]:
    family = socket.AF_INET6 if ":" in target[0] else socket.AF_INET
    return socket.inet_pton(family, target[0]), target[1]


def _ends(data: bytes) -> tuple[tuple[bytes, int], tuple[bytes, int], int]:
    """Source, destination and protocol of a conntrack tuple."""
    addresses: dict[int, bytes] = {}
    ports: dict[int, int] = {}
    protocol = 0
    for kind, value in attributes(data):
        if kind == 1:
            addresses = dict(attributes(value))
        elif kind == 2:
            for inner, number in attributes(value):
                if inner == 1:
                    protocol = number[0]
                elif inner in (2, 3):
                    ports[inner] = int.from_bytes(number[:2], "big")
    source = addresses.get(1) or addresses.get(3) or b""
    destination = addresses.get(2) or addresses.get(4) or b""
    return (source, ports.get(2, 0)), (destination, ports.get(3, 0)), protocol
