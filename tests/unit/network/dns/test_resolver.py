"""Requests to responses as bytes, judged by dnspython."""

from __future__ import annotations

import asyncio

import dns.edns
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdataclass
import pytest

from pybernetes.network.dns import wire
from pybernetes.network.dns.forward import Config, Forwarder
from pybernetes.network.dns.resolver import FOREVER, Resolver, Response
from tests.unit.network.dns.objects import ZONE, Lists, piece, service, shop
from tests.unit.network.dns.upstream import answers, upstream


def resolver(*upstreams: str, lookup: Lists | None = None) -> Resolver:
    return Resolver(ZONE, lookup or shop(), Forwarder(Config(upstreams=upstreams, resolv_conf=(), timeout=0.2)))


def request(name: str = "web.shop.svc.cluster.local.", type_: str = "A", **options: object) -> bytes:
    return dns.message.make_query(name, type_, **options).to_wire()  # type: ignore[arg-type]


def answered(found: object) -> tuple[dns.message.Message, Response]:
    assert isinstance(found, Response)
    return dns.message.from_wire(found.packets[0]), found


def rcode(found: object) -> str:
    return dns.rcode.to_text(answered(found)[0].rcode())


def test_the_clusters_names_at_once_and_for_good() -> None:
    message, response = answered(resolver().now(request("Web.shop.svc.cluster.local.")))
    assert message.flags & dns.flags.AA
    assert str(message.question[0].name) == "Web.shop.svc.cluster.local."
    assert message.answer[0].to_text() == "Web.shop.svc.cluster.local. 30 IN A 10.96.0.7"
    assert response.expires == FOREVER


def test_a_query_with_a_cookie_is_like_no_other() -> None:
    cookie = dns.edns.GenericOption(dns.edns.OptionType.COOKIE, b"12345678")
    message, response = answered(resolver().now(request(use_edns=0, options=[cookie])))
    assert message.answer
    assert response.expires == 0


def test_many_addresses_come_in_turn() -> None:
    lookup = Lists({"shop"}, [service("db")], [piece("db", *((f"10.244.1.{n}", None, True) for n in range(20)))])
    _, response = answered(resolver(lookup=lookup).now(request("db.shop.svc.cluster.local.", use_edns=0)))
    orders = [[item.address for item in dns.message.from_wire(packet).answer[0]] for packet in response.packets]
    assert len({order[0] for order in orders}) == len(orders) == 8
    assert all(len(set(order)) == 20 for order in orders)


def test_an_alias_stays_first() -> None:
    lookup = shop()
    lookup.services[6].spec.external_name = "db.shop.svc.cluster.local"
    _, response = answered(resolver(lookup=lookup).now(request("inside.shop.svc.cluster.local.")))
    assert len(response.packets) > 1
    for packet in response.packets:
        first, *others = (raw.type for raw in wire.records(packet))
        assert first == wire.CNAME
        assert set(others) == {wire.A}
        assert len(others) == 3


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (request()[:-2], "FORMERR"),
        (request(use_edns=1), "BADVERS"),
        (request(type_="AXFR"), "REFUSED"),
        (request(rdclass=dns.rdataclass.CH), "REFUSED"),
        (dns.message.make_query("a.", "A").to_wire()[:2] + b"\x28\0" + request()[4:], "NOTIMP"),
    ],
)
def test_odd_requests_are_refused_by_code(data: bytes, wanted: str) -> None:
    found = resolver().now(data)
    assert rcode(found) == wanted
    assert isinstance(found, Response)
    assert found.expires == 0


def test_what_deserves_no_response() -> None:
    assert resolver().now(b"short") is None
    assert resolver().now(dns.message.make_response(dns.message.from_wire(request())).to_wire()) is None


def test_udp_is_cut_where_tcp_is_whole() -> None:
    lookup = Lists({"shop"}, [service("db")], [piece("db", *((f"10.244.1.{n}", None, True) for n in range(200)))])
    data = request("db.shop.svc.cluster.local.")
    cut, _ = answered(resolver(lookup=lookup).now(data))
    whole, _ = answered(resolver(lookup=lookup).now(data, tcp=True))
    assert cut.flags & dns.flags.TC
    assert not whole.flags & dns.flags.TC
    assert len(cut.answer[0]) < len(whole.answer[0]) == 200


async def test_before_the_cluster_is_known_its_names_wait() -> None:
    found = resolver().now(request(), ready=False)
    assert isinstance(found, wire.Query)

    async def later() -> None: ...

    assert rcode(await resolver().later(found, synced=later)) == "NOERROR"

    async def never() -> None:
        raise TimeoutError

    assert rcode(await resolver().later(found, synced=never)) == "SERVFAIL"


@pytest.mark.real_time
async def test_other_names_go_upstream_and_are_kept_for_a_second() -> None:
    async with upstream(answers("www.example.org. 60 IN A 192.0.2.1")) as server:
        found = resolver(server.address)
        query = found.now(request("www.example.org."))
        assert isinstance(query, wire.Query)
        message, response = answered(await found.later(query))
        assert message.answer[0].to_text() == "www.example.org. 60 IN A 192.0.2.1"
        assert not message.flags & dns.flags.AA
        assert 0 < response.expires - asyncio.get_running_loop().time() <= 1
        assert answered(found.now(request("www.example.org.")))[0].answer == message.answer
    assert len(server.questions) == 1


@pytest.mark.real_time
async def test_what_an_alias_leads_to_is_asked_upstream() -> None:
    lines = ("www.example.org. 300 IN CNAME cdn.example.net.", "cdn.example.net. 20 IN A 192.0.2.7")
    async with upstream(answers(*lines)) as server:
        found = resolver(server.address)
        query = found.now(request("outside.shop.svc.cluster.local."))
        assert isinstance(query, wire.Query)
        message, _ = answered(await found.later(query))
    assert [rrset.to_text() for rrset in message.answer] == [
        "outside.shop.svc.cluster.local. 30 IN CNAME www.example.org.",
        "www.example.org. 30 IN CNAME cdn.example.net.",
        "cdn.example.net. 20 IN A 192.0.2.7",
    ]
    assert message.edns == -1
    assert server.questions == [("www.example.org. IN A", False)]


@pytest.mark.real_time
async def test_an_alias_that_leads_nowhere() -> None:
    soa = "example.org. 60 IN SOA ns. root. 1 2 3 4 20"
    async with upstream(answers(authority=soa, rcode=3)) as server:
        query = wire.read_query(request("outside.shop.svc.cluster.local."))
        message, _ = answered(await resolver(server.address).later(query))
    assert message.rcode() == dns.rcode.NXDOMAIN
    assert [rrset.rdtype for rrset in (*message.answer, *message.authority)] == [wire.CNAME, wire.SOA]
    assert rcode(await resolver(server.address).later(query)) == "SERVFAIL"


@pytest.mark.real_time
async def test_reverse_names_of_the_cluster_stay_inside() -> None:
    async with upstream(answers("x. 60 IN PTR y.")) as server:
        found = resolver(server.address)
        assert rcode(found.now(request("99.0.244.10.in-addr.arpa.", "PTR"))) == "NXDOMAIN"
        assert isinstance(found.now(request("1.2.0.192.in-addr.arpa.", "PTR")), wire.Query)
    assert not server.questions
