"""Messages as bytes, judged by dnspython."""

from __future__ import annotations

import contextlib
import random
import struct
from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pybernetes.network.dns import wire
from pybernetes.network.dns.wire import FormatError, Record, SOAData, SRVData

WEB = ("web", "shop", "svc", "cluster", "local")
RECORDS = [
    Record(WEB, wire.A, 30, b"\x0a\x60\x00\x07"),
    Record(WEB, wire.AAAA, 5, bytes(15) + b"\x01"),
    Record(WEB, wire.CNAME, 1, ("www", "example", "org")),
    Record(WEB, wire.SRV, 30, SRVData(0, 50, 80, ("a", *WEB))),
    Record(("cluster", "local"), wire.SOA, 30, SOAData(("ns",), ("root",), 1, 2, 3, 4, 5)),
    Record(("x",), wire.TXT, 30, b"\x02hi"),
    Record((), wire.NS, 30, ("ns", "cluster", "local")),
]


def query(name: str = "web.shop.svc.cluster.local.", type_: str = "A", **options: object) -> bytes:
    return dns.message.make_query(name, type_, **options).to_wire()  # type: ignore[arg-type]


def test_a_query_is_read() -> None:
    found = wire.read_query(query("Web.Shop.svc.cluster.local.", id=77))
    assert (found.id, found.name, found.type, found.class_) == (77, WEB, wire.A, wire.IN)
    assert found.question.startswith(b"\x03Web\x04Shop")
    assert (found.edns, found.dnssec, found.options, found.opcode) == (None, False, False, 0)


def test_edns_is_read() -> None:
    found = wire.read_query(query(use_edns=0, payload=4096, want_dnssec=True))
    assert (found.edns, found.dnssec, found.version, found.options) == (4096, True, 0, False)
    cookie = dns.edns.GenericOption(dns.edns.OptionType.COOKIE, b"12345678")
    assert wire.read_query(query(use_edns=0, options=[cookie])).options
    assert wire.read_query(query(use_edns=1)).version == 1
    assert wire.read_query(query(use_edns=0, payload=100)).edns == wire.PLAIN_LIMIT


def test_a_response_is_read_by_others() -> None:
    data = wire.respond(
        wire.read_query(query(id=5)), wire.NOERROR, RECORDS, [RECORDS[4]], RECORDS[:2], authoritative=True
    )
    message = dns.message.from_wire(data)
    assert (message.id, message.rcode()) == (5, dns.rcode.NOERROR)
    assert message.flags == dns.flags.QR | dns.flags.AA | dns.flags.RD | dns.flags.RA
    lines = sorted(line for rrset in message.answer for line in rrset.to_text().splitlines())
    assert lines == sorted(
        [
            "web.shop.svc.cluster.local. 30 IN A 10.96.0.7",
            "web.shop.svc.cluster.local. 5 IN AAAA ::1",
            "web.shop.svc.cluster.local. 1 IN CNAME www.example.org.",
            "web.shop.svc.cluster.local. 30 IN SRV 0 50 80 a.web.shop.svc.cluster.local.",
            "cluster.local. 30 IN SOA ns. root. 1 2 3 4 5",
            'x. 30 IN TXT "hi"',
            ". 30 IN NS ns.cluster.local.",
        ]
    )
    assert (len(message.authority), len(message.additional)) == (1, 2)
    assert data.count(b"\x07cluster") == 2  # the question's, and the SRV target, which is not compressed


def test_what_was_written_is_read_again() -> None:
    data = wire.respond(wire.read_query(query()), wire.NOERROR, RECORDS, RECORDS[4:5])
    found = [(raw.section, wire.decode(data, raw)) for raw in wire.records(data)]
    assert found == [*((0, record) for record in RECORDS), (1, RECORDS[4])]


def test_mail_exchangers_survive_a_move() -> None:
    rrset = dns.rrset.from_text("example.org.", 60, "IN", "MX", "10 mail.example.org.")
    message = dns.message.make_response(dns.message.make_query("example.org.", "MX"))
    message.answer.append(rrset)
    data = message.to_wire()
    (raw,) = wire.records(data)
    moved = wire.respond(wire.read_query(query()), wire.NOERROR, [wire.decode(data, raw)])
    assert dns.message.from_wire(moved).answer == [rrset]


def test_the_response_speaks_edns_as_the_query_did() -> None:
    data = wire.respond(wire.read_query(query(use_edns=0, want_dnssec=True)), wire.NOERROR)
    message = dns.message.from_wire(data)
    assert (message.edns, message.payload) == (0, 1232)
    assert message.ednsflags & dns.flags.DO
    assert dns.message.from_wire(wire.respond(wire.read_query(query()), wire.NOERROR)).edns == -1
    bad = dns.message.from_wire(wire.respond(wire.read_query(query(use_edns=1)), wire.BADVERS))
    assert bad.rcode() == dns.rcode.BADVERS


def test_too_many_answers_are_cut_with_a_mark() -> None:
    many = [Record(WEB, wire.A, 30, bytes([10, 0, 0, index])) for index in range(100)]
    cases: list[tuple[dict[str, Any], int]] = [({}, 512), ({"use_edns": 0}, 1232)]
    for options, limit in cases:
        data = wire.respond(wire.read_query(query(**options)), wire.NOERROR, many, limit=limit)
        message = dns.message.from_wire(data)
        assert limit - 16 - 11 < len(data) <= limit
        assert message.flags & dns.flags.TC
        assert message.edns == (0 if options else -1)
        assert 20 < len(message.answer[0]) < 100


def test_too_much_beside_the_answers_is_left_out_without_a_mark() -> None:
    many = [Record(WEB, wire.A, 30, bytes([10, 0, 0, index])) for index in range(100)]
    data = wire.respond(wire.read_query(query()), wire.NOERROR, many[:1], (), many, limit=512)
    message = dns.message.from_wire(data)
    assert len(data) <= 512
    assert not message.flags & dns.flags.TC
    assert len(message.answer[0]) == 1


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(12),
        query()[:-1],
        query()[:20],
        query()[:4] + b"\0\2" + query()[6:],
        query()[:12] + b"\xc0\x0c\0\1\0\1",
        query(use_edns=0)[:-3],
        query()[:12] + b"\x3f" + b"a" * 63 + b"\x3f" + b"a" * 63 + b"\x3f" + b"a" * 63 + b"\x3f" + b"a" * 63 + bytes(5),
    ],
)
def test_what_is_no_query(data: bytes) -> None:
    with pytest.raises(FormatError):
        wire.read_query(data)


@given(st.binary(max_size=100))
@example(bytes(4) + b"\0\1" + bytes(6) + b"\xc0\x0c\0\1\0\1")
def test_no_bytes_break_the_readers(data: bytes) -> None:
    with contextlib.suppress(FormatError):
        wire.read_query(data)
    with contextlib.suppress(FormatError):
        for raw in wire.records(data):
            wire.decode(data, raw)


def test_damaged_messages_do_not_break_the_readers() -> None:
    chance = random.Random(1)
    whole = wire.respond(wire.read_query(query(use_edns=0)), wire.NOERROR, RECORDS, RECORDS, RECORDS)
    for _ in range(3000):
        data = bytearray(whole[: chance.randrange(len(whole))])
        for _ in range(chance.randrange(4)):
            if data:
                data[chance.randrange(len(data))] = chance.randrange(256)
        with contextlib.suppress(FormatError):
            for raw in wire.records(bytes(data)):
                wire.decode(bytes(data), raw)


def test_a_name_that_points_at_itself_ends() -> None:
    with pytest.raises(FormatError, match="loop"):
        wire.read_name(bytes(12) + b"\xc0\x0c", 12)


@pytest.mark.parametrize("name", ["a..b", "x" * 64, "a." * 130, ".a"])
def test_text_that_is_no_name(name: str) -> None:
    with pytest.raises(ValueError, match="no domain name"):
        wire.name(name)


def test_a_refusal_needs_only_the_header() -> None:
    data = wire.refuse(b"\x12\x34\x29\x00" + bytes(8), wire.NOTIMP)
    assert struct.unpack(">HH", data[:4]) == (0x1234, 0x8000 | 0x2900 | wire.NOTIMP)
    assert len(data) == 12
