"""The zone's answers, by the Kubernetes DNS specification and CoreDNS's corners."""

from __future__ import annotations

import ipaddress

import pytest

from pybernetes.network.dns import wire
from pybernetes.network.dns.answers import Answer, answer, reverse_address
from pybernetes.network.dns.wire import Record, SOAData, SRVData
from tests.unit.network.dns.objects import ZONE, shop

TYPES = {name: getattr(wire, name) for name in ("A", "AAAA", "SRV", "PTR", "CNAME", "TXT", "SOA", "NS", "ANY", "HINFO")}
NAMES = {number: name for name, number in TYPES.items()}
SVC = ".svc.cluster.local"


def ask(name: str, type_: str) -> Answer | None:
    return answer(ZONE, shop(), wire.name(name), TYPES[type_], serial=7)


def show(record: Record) -> str:
    """`TYPE value`, as zone files have it."""
    data = record.data
    if record.type in (wire.A, wire.AAAA):
        assert isinstance(data, bytes)
        value = str(ipaddress.ip_address(data))
    elif isinstance(data, SRVData):
        value = f"{data.priority} {data.weight} {data.port} {wire.text(data.target)}"
    elif isinstance(data, SOAData):
        value = wire.text(data.primary)
    elif isinstance(data, bytes):
        value = data[1:].decode()
    else:
        value = wire.text(data)
    return f"{NAMES[record.type]} {value}"


def answered(name: str, type_: str) -> list[str]:
    """What is answered; NXDOMAIN and NODATA are told apart, and must carry the SOA."""
    found = ask(name, type_)
    assert found is not None, "not the cluster's name"
    if not found.answer:
        (soa,) = found.authority
        assert soa.type == wire.SOA
        assert soa.name == ZONE.domain
        return [{wire.NXDOMAIN: "NXDOMAIN", wire.NOERROR: "NODATA"}[found.rcode]]
    assert found.rcode == wire.NOERROR
    assert not found.authority
    assert all(record.ttl == 30 for record in found.answer)
    return [show(record) for record in found.answer]


@pytest.mark.parametrize(
    ("name", "type_", "wanted"),
    [
        # Services with a cluster IP
        ("web.shop.svc.cluster.local", "A", ["A 10.96.0.7"]),
        ("WEB.Shop.svc.CLUSTER.local", "A", ["A 10.96.0.7"]),
        ("web.shop.svc.cluster.local", "AAAA", ["NODATA"]),
        ("web.shop.svc.cluster.local", "HINFO", ["NODATA"]),
        ("dual.shop.svc.cluster.local", "A", ["A 10.96.0.8"]),
        ("dual.shop.svc.cluster.local", "AAAA", ["AAAA fd00::8"]),
        ("dual.shop.svc.cluster.local", "ANY", ["A 10.96.0.8", "AAAA fd00::8"]),
        ("_http._tcp.web.shop.svc.cluster.local", "SRV", [f"SRV 0 100 80 web.shop{SVC}."]),
        ("_http._tcp.web.shop.svc.cluster.local", "A", ["A 10.96.0.7"]),
        ("_http._udp.web.shop.svc.cluster.local", "SRV", ["NXDOMAIN"]),
        ("_https._tcp.web.shop.svc.cluster.local", "SRV", ["NXDOMAIN"]),
        (
            "web.shop.svc.cluster.local",
            "SRV",
            [f"SRV 0 33 {port} web.shop{SVC}." for port in (80, 9090, 53)],
        ),
        # An endpoint of such a Service
        ("10-244-0-5.web.shop.svc.cluster.local", "A", ["A 10.244.0.5"]),
        ("10-244-0-6.web.shop.svc.cluster.local", "A", ["NXDOMAIN"]),
        # Headless
        ("db.shop.svc.cluster.local", "A", ["A 10.244.0.21", "A 10.244.0.22", "A 10.244.0.24"]),
        ("db.shop.svc.cluster.local", "AAAA", ["AAAA fd00::21"]),
        ("db-0.db.shop.svc.cluster.local", "A", ["A 10.244.0.21"]),
        ("db-0.db.shop.svc.cluster.local", "AAAA", ["AAAA fd00::21"]),
        ("db-1.db.shop.svc.cluster.local", "AAAA", ["NODATA"]),
        ("db-2.db.shop.svc.cluster.local", "A", ["NXDOMAIN"]),
        ("10-244-0-24.db.shop.svc.cluster.local", "A", ["A 10.244.0.24"]),
        ("10-244-0-21.db.shop.svc.cluster.local", "A", ["NXDOMAIN"]),
        (
            "_metrics._tcp.db.shop.svc.cluster.local",
            "SRV",
            [f"SRV 0 33 9187 {host}.db.shop{SVC}." for host in ("db-0", "db-1", "10-244-0-24")],
        ),
        ("idle.shop.svc.cluster.local", "A", ["NXDOMAIN"]),
        ("portless.shop.svc.cluster.local", "A", ["A 10.244.0.40"]),
        ("only.portless.shop.svc.cluster.local", "A", ["A 10.244.0.40"]),
        ("portless.shop.svc.cluster.local", "SRV", ["NODATA"]),
        # Aliases
        ("outside.shop.svc.cluster.local", "CNAME", ["CNAME www.example.org."]),
        ("outside.shop.svc.cluster.local", "A", ["CNAME www.example.org."]),
        ("inside.shop.svc.cluster.local", "A", [f"CNAME web.shop{SVC}.", "A 10.96.0.7"]),
        ("address.shop.svc.cluster.local", "A", ["NXDOMAIN"]),
        ("broken.shop.svc.cluster.local", "A", ["NXDOMAIN"]),
        ("x.outside.shop.svc.cluster.local", "A", ["NXDOMAIN"]),
        # What there is not
        ("nothing.shop.svc.cluster.local", "A", ["NXDOMAIN"]),
        ("web.nowhere.svc.cluster.local", "A", ["NXDOMAIN"]),
        ("a.b.c.web.shop.svc.cluster.local", "A", ["NXDOMAIN"]),
        ("web.shop.xyz.cluster.local", "A", ["NXDOMAIN"]),
        ("example.com.cluster.local", "A", ["NXDOMAIN"]),
        ("example.com.shop.svc.cluster.local", "A", ["NXDOMAIN"]),
        # Names above names
        ("shop.svc.cluster.local", "A", ["NODATA"]),
        ("nowhere.svc.cluster.local", "A", ["NXDOMAIN"]),
        ("svc.cluster.local", "A", ["NODATA"]),
        ("pod.cluster.local", "A", ["NODATA"]),
        ("shop.pod.cluster.local", "A", ["NODATA"]),
        ("cluster.local", "A", ["NODATA"]),
        ("dns.cluster.local", "A", ["NODATA"]),
        # The zone itself
        ("cluster.local", "SOA", ["SOA ns.dns.cluster.local."]),
        ("cluster.local", "NS", ["NS ns.dns.cluster.local."]),
        ("ns.dns.cluster.local", "A", ["A 10.96.0.10"]),
        ("dns-version.cluster.local", "TXT", ["TXT 1.1.0"]),
        ("dns-version.cluster.local", "A", ["NODATA"]),
        # Pods
        ("10-244-0-5.empty.pod.cluster.local", "A", ["A 10.244.0.5"]),
        ("1-2-3-4.empty.pod.cluster.local", "AAAA", ["NODATA"]),
        ("fd00--21.empty.pod.cluster.local", "AAAA", ["AAAA fd00::21"]),
        ("1-2-3-400.empty.pod.cluster.local", "A", ["NXDOMAIN"]),
        ("web.empty.pod.cluster.local", "A", ["NXDOMAIN"]),
        ("1-2-3-4.nowhere.pod.cluster.local", "A", ["NXDOMAIN"]),
        ("x.1-2-3-4.empty.pod.cluster.local", "A", ["NXDOMAIN"]),
        # Reverse
        ("7.0.96.10.in-addr.arpa", "PTR", [f"PTR web.shop{SVC}."]),
        ("7.0.96.10.in-addr.arpa", "A", ["NODATA"]),
        ("21.0.244.10.in-addr.arpa", "PTR", [f"PTR db-0.db.shop{SVC}."]),
        ("24.0.244.10.in-addr.arpa", "PTR", [f"PTR 10-244-0-24.db.shop{SVC}."]),
        ("23.0.244.10.in-addr.arpa", "PTR", ["NXDOMAIN"]),
        ("99.0.244.10.in-addr.arpa", "PTR", ["NXDOMAIN"]),
        (".".join("8000000000000000000000000000" + "00df") + ".ip6.arpa", "PTR", [f"PTR dual.shop{SVC}."]),
    ],
)
def test_answers(name: str, type_: str, wanted: list[str]) -> None:
    assert answered(name, type_) == wanted


@pytest.mark.parametrize(
    "name",
    ["example.org", "local", "xcluster.local", "", "1.2.0.192.in-addr.arpa", "0.96.10.in-addr.arpa", "x.in-addr.arpa"],
)
def test_other_names_are_others_to_answer(name: str) -> None:
    assert ask(name, "A") is None


def test_srv_brings_the_addresses_along() -> None:
    found = ask("_sql._tcp.db.shop.svc.cluster.local", "SRV")
    assert found is not None
    assert [show(record) for record in found.additional] == [
        "A 10.244.0.21",
        "A 10.244.0.22",
        "A 10.244.0.24",
        "AAAA fd00::21",
    ]
    targets = {record.data.target for record in found.answer if isinstance(record.data, SRVData)}
    assert targets == {record.name for record in found.additional}


def test_alias_out_of_the_zone_names_what_is_to_be_asked() -> None:
    found = ask("outside.shop.svc.cluster.local", "AAAA")
    assert found is not None
    assert found.target == ("www", "example", "org")


def test_alias_to_itself_fails() -> None:
    found = ask("circle.shop.svc.cluster.local", "A")
    assert found == Answer(wire.SERVFAIL)


def test_serial_is_in_the_proof_of_absence() -> None:
    found = ask("nothing.shop.svc.cluster.local", "A")
    assert found is not None
    data = found.authority[0].data
    assert isinstance(data, SOAData)
    assert (data.serial, data.minimum) == (7, 30)


def test_reverse_address() -> None:
    assert str(reverse_address(wire.name("4.3.2.1.in-addr.arpa"))) == "1.2.3.4"
    assert reverse_address(wire.name("256.3.2.1.in-addr.arpa")) is None
    assert reverse_address(wire.name("g" + ".0" * 31 + ".ip6.arpa")) is None
