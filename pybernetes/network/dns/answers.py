"""What the cluster's zone answers to a question, by the Kubernetes DNS specification 1.1.0. Pure.

The data are the Services, EndpointSlices and Namespaces themselves, looked up when a question comes: no second copy of
them as records has to be built and kept true on every change, for a name that most likely nobody asks for. What is
asked for often is in the server's packet cache anyway.

Corners that are CoreDNS's and clients rely on: a headless Service without ready endpoints does not exist (NXDOMAIN); a
name that exists without data of the asked type is NOERROR with the SOA; a Pod's address record only needs its
Namespace (`pods insecure`). One is ours: the reverse of an address in the cluster's ranges is never asked upstream.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from pybernetes.api.core_v1 import Service
from pybernetes.api.discovery_v1 import Endpoint, EndpointSlice
from pybernetes.network.dns import wire
from pybernetes.network.dns.wire import Name, Record

#: The version of the specification, in the TXT record `dns-version.<zone>`.
SCHEMA_VERSION = "1.1.0"


class Lookup(Protocol):
    """The objects of the cluster, by what a question knows of them. Names are lower case."""

    def namespace(self, name: str) -> bool:
        """Whether the Namespace exists."""

    def service(self, namespace: str, name: str) -> Service | None: ...

    def slices(self, namespace: str, service: str) -> Iterable[EndpointSlice]:
        """The EndpointSlices of a Service."""

    def services_by_address(self, address: str) -> Iterable[Service]:
        """The Services with this cluster IP."""

    def slices_by_address(self, address: str) -> Iterable[EndpointSlice]:
        """The EndpointSlices with this address."""


@dataclass(frozen=True)
class Zone:
    """The fixed part of the cluster's zone."""

    domain: Name = ("cluster", "local")
    #: Seconds that resolvers may keep an answer; kubeadm's 30.
    ttl: int = 30
    #: Addresses of the DNS itself, as Pods know it.
    nameservers: tuple[str, ...] = ()
    #: Ranges (CIDR) whose reverse names nobody outside can know.
    ranges: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()


class Answer(NamedTuple):
    """A response's content; `target`: the name a CNAME leads to outside of the zone, to be resolved by the caller."""

    rcode: int
    answer: Sequence[Record] = ()
    authority: Sequence[Record] = ()
    additional: Sequence[Record] = ()
    target: Name | None = None


class _Point(NamedTuple):
    """An endpoint or cluster IP that a question matches, with one of its ports (0: it has none)."""

    owner: Name
    address: str
    port: int


def answer(zone: Zone, lookup: Lookup, name: Name, type_: int, serial: int = 1) -> Answer | None:
    """The answer to a question of class IN; None when the name is not the cluster's to answer.

    serial: of the SOA record, grows with changes.
    """
    size = len(zone.domain)
    if name[-size:] == zone.domain:
        return _forward_zone(zone, lookup, name, name[:-size], type_, serial)
    if name[-1:] == ("arpa",):
        return _reverse(zone, lookup, name, type_, serial)
    return None


def soa(zone: Zone, serial: int) -> Record:
    """The zone's start of authority, also the proof of absence."""
    data = wire.SOAData(("ns", "dns", *zone.domain), ("hostmaster", *zone.domain), serial, 7200, 1800, 86400, zone.ttl)
    return Record(zone.domain, wire.SOA, zone.ttl, data)


def _none(zone: Zone, serial: int, rcode: int = wire.NOERROR) -> Answer:
    return Answer(rcode, authority=(soa(zone, serial),))


def _forward_zone(zone: Zone, lookup: Lookup, name: Name, labels: Name, type_: int, serial: int) -> Answer:
    found: list[Record] | None
    match labels:
        case ():
            found = []
            if type_ in (wire.SOA, wire.ANY):
                found.append(soa(zone, serial))
            if type_ in (wire.NS, wire.ANY):
                found.append(Record(name, wire.NS, zone.ttl, ("ns", "dns", *zone.domain)))
        case ("dns-version",):
            data = bytes([len(SCHEMA_VERSION)]) + SCHEMA_VERSION.encode()
            found = [Record(name, wire.TXT, zone.ttl, data)] if type_ in (wire.TXT, wire.ANY) else []
        case ("ns", "dns"):
            found = _addresses(zone, name, zone.nameservers, type_)
        case ("dns",) | ("svc",) | ("pod",):
            found = []
        case (*_, namespace, "svc" | "pod") if not lookup.namespace(namespace):
            found = None
        case (_, "svc" | "pod"):
            found = []
        case (pod, _, "pod"):
            found = _pod(zone, name, pod, type_)
        case (*rest, service, namespace, "svc") if len(rest) <= 2:
            return _service(zone, lookup, name, rest, namespace, service, type_, serial)
        case _:
            found = None
    if found is None:
        return _none(zone, serial, wire.NXDOMAIN)
    return Answer(wire.NOERROR, found) if found else _none(zone, serial)


def _pod(zone: Zone, name: Name, label: str, type_: int) -> list[Record] | None:
    dotted = label.count("-") == 3 and "--" not in label
    try:
        address = ipaddress.ip_address(label.replace("-", "." if dotted else ":"))
    except ValueError:
        return None
    return _addresses(zone, name, (str(address),), type_)


def _service(
    zone: Zone, lookup: Lookup, name: Name, rest: list[str], namespace: str, label: str, type_: int, serial: int
) -> Answer:
    service = lookup.service(namespace, label)
    if service is None:
        return _none(zone, serial, wire.NXDOMAIN)
    host = rest[0] if len(rest) == 1 else ""
    port, protocol = (rest[0].removeprefix("_"), rest[1].removeprefix("_")) if len(rest) == 2 else ("", "")
    if service.spec.type == "ExternalName":
        return _external(zone, lookup, name, service, bool(rest), type_, serial)
    base = (label, namespace, "svc", *zone.domain)
    if host or service.spec.cluster_ip == "None":
        points = [*_endpoints(lookup.slices(namespace, label), base, host, port, protocol)]
    else:
        points = [*_cluster_addresses(service, base, port, protocol)]
    if not points:
        return _none(zone, serial, wire.NXDOMAIN)
    if type_ == wire.SRV:
        return _srv(zone, name, points, serial)
    found = _addresses(zone, name, dict.fromkeys(point.address for point in points), type_)
    return Answer(wire.NOERROR, found) if found else _none(zone, serial)


def _external(
    zone: Zone, lookup: Lookup, name: Name, service: Service, deeper: bool, type_: int, serial: int
) -> Answer:
    """An alias: the record itself, and what is behind it when that is a name of ours as well."""
    host = service.spec.external_name or ""
    try:
        target = wire.name(host)
    except ValueError:
        target = ()
    if deeper or not target or _is_address(host):
        return _none(zone, serial, wire.NXDOMAIN)
    alias = Record(name, wire.CNAME, zone.ttl, target)
    if type_ in (wire.CNAME, wire.ANY):
        return Answer(wire.NOERROR, (alias,))
    records = [alias]
    for _ in range(8):  # aliases may lead in a circle
        if target[-len(zone.domain) :] != zone.domain:
            return Answer(wire.NOERROR, records, target=target)
        found = answer(zone, lookup, target, wire.CNAME, serial)
        assert found is not None
        if not found.answer:
            break
        records += found.answer
        target = found.answer[0].data  # type: ignore[assignment]
    else:
        return Answer(wire.SERVFAIL)
    found = answer(zone, lookup, target, type_, serial)
    assert found is not None
    return Answer(found.rcode, [*records, *found.answer], found.authority, found.additional)


def _cluster_addresses(service: Service, base: Name, port: str, protocol: str) -> Iterator[_Point]:
    spec = service.spec
    addresses = spec.cluster_ips or ([spec.cluster_ip] if spec.cluster_ip else [])
    for entry in spec.ports or ():
        if _matches(port, entry.name) and _matches(protocol, entry.protocol or "TCP"):
            for address in addresses:
                yield _Point(base, address, entry.port)


def _endpoints(slices: Iterable[EndpointSlice], base: Name, host: str, port: str, protocol: str) -> Iterator[_Point]:
    for piece in slices:
        if piece.address_type not in ("IPv4", "IPv6"):
            continue
        # Without ports there is an address, but nothing for SRV.
        ports = [
            entry.port or 0
            for entry in piece.ports or ()
            if _matches(port, entry.name) and _matches(protocol, entry.protocol or "TCP")
        ]
        if not piece.ports and not port and not protocol:
            ports = [0]
        if not ports:
            continue
        for endpoint in piece.endpoints or ():
            if endpoint.conditions is not None and endpoint.conditions.ready is False:
                continue
            for address in endpoint.addresses:
                label = hostname(endpoint, address)
                if not host or host == label:
                    for number in ports:
                        yield _Point((label, *base), address, number)


def hostname(endpoint: Endpoint, address: str) -> str:
    """The label of an endpoint: its own, or made from its address."""
    return (endpoint.hostname or address.replace(".", "-").replace(":", "-")).lower()


def _srv(zone: Zone, name: Name, points: list[_Point], serial: int) -> Answer:
    targets = dict.fromkeys((point.port, point.owner) for point in points if point.port > 0)
    if not targets:
        return _none(zone, serial)
    weight = max(1, 100 // len(targets))
    records = [Record(name, wire.SRV, zone.ttl, wire.SRVData(0, weight, port, owner)) for port, owner in targets]
    additional = [
        record
        for owner, address in dict.fromkeys((point.owner, point.address) for point in points)
        for record in _addresses(zone, owner, (address,), wire.ANY)
    ]
    return Answer(wire.NOERROR, records, additional=additional)


def _reverse(zone: Zone, lookup: Lookup, name: Name, type_: int, serial: int) -> Answer | None:
    address = reverse_address(name)
    if address is None:
        return None
    text = str(address)
    owners: list[Name] = [
        (service.metadata.name, service.metadata.namespace, "svc", *zone.domain)
        for service in lookup.services_by_address(text)
    ][:1]
    if not owners:
        owners = [*dict.fromkeys(_owners(zone, lookup.slices_by_address(text), text))]
    if owners:
        if type_ not in (wire.PTR, wire.ANY):
            return _none(zone, serial)
        return Answer(wire.NOERROR, [Record(name, wire.PTR, zone.ttl, owner) for owner in owners])
    if any(address in network for network in zone.ranges):
        return _none(zone, serial, wire.NXDOMAIN)
    return None


def _owners(zone: Zone, slices: Iterable[EndpointSlice], address: str) -> Iterator[Name]:
    for piece in slices:
        service = (piece.metadata.labels or {}).get("kubernetes.io/service-name")
        for endpoint in piece.endpoints or () if service else ():
            ready = endpoint.conditions is None or endpoint.conditions.ready is not False
            if ready and address in endpoint.addresses:
                yield hostname(endpoint, address), str(service), piece.metadata.namespace, "svc", *zone.domain


def reverse_address(name: Name) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address a reverse name stands for; None when it is not a complete one."""
    try:
        if name[-2:] == ("in-addr", "arpa") and len(name) == 6:
            return ipaddress.IPv4Address(".".join(name[3::-1]))
        if name[-2:] == ("ip6", "arpa") and len(name) == 34 and all(len(label) == 1 for label in name[:32]):
            return ipaddress.IPv6Address(int("".join(name[31::-1]), 16))
    except ValueError:
        pass
    return None


def _addresses(zone: Zone, name: Name, addresses: Iterable[str], type_: int) -> list[Record]:
    found = []
    for text in addresses:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            continue
        kind = wire.A if address.version == 4 else wire.AAAA
        if type_ in (kind, wire.ANY):
            found.append(Record(name, kind, zone.ttl, address.packed))
    return found


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _matches(wanted: str, value: str | None) -> bool:
    return not wanted or wanted == (value or "").lower()
