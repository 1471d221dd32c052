"""DNS messages as bytes (RFC 1035, EDNS of RFC 6891): read a query, write a response, walk over a response's records.

Our own, because the cluster's zone needs eight record types and every packet of every Pod passes here: reading a query
and writing its response costs 10 us, a tenth of a general library, and the node agent does not carry that library's
megabytes. Responses of upstreams are passed on as the bytes they are; only their TTLs and CNAMEs are looked at.

A name is a tuple of labels, lower case, without the root: `("kubernetes", "default", "svc", "cluster", "local")`.
Pure: no sockets, no clock.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias

A, NS, CNAME, SOA, PTR, HINFO, TXT, AAAA, SRV, OPT = 1, 2, 5, 6, 12, 13, 16, 28, 33, 41
IXFR, AXFR, ANY = 251, 252, 255
IN, ANY_CLASS = 1, 255

NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, BADVERS = 0, 1, 2, 3, 4, 5, 16

QR, AA, TC, RD, RA, AD, CD = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080, 0x0020, 0x0010
_OPCODE = 0x7800
_DO = 0x8000

#: What a UDP response may have without EDNS, and the most we send with it: fits every path without fragments.
PLAIN_LIMIT, EDNS_LIMIT = 512, 1232
TCP_LIMIT = 65535

Name: TypeAlias = tuple[str, ...]


class FormatError(Exception):
    """The bytes are no DNS message."""


class Query(NamedTuple):
    """A query with one question. `question` is its wire form with the sender's spelling; `edns`: the sender's limit."""

    id: int
    flags: int
    name: Name
    type: int
    class_: int
    question: bytes
    edns: int | None
    dnssec: bool
    version: int
    #: It carries EDNS options (cookies...), which make it unlike any other.
    options: bool

    @property
    def opcode(self) -> int:
        return (self.flags & _OPCODE) >> 11


class SRVData(NamedTuple):
    priority: int
    weight: int
    port: int
    target: Name


class SOAData(NamedTuple):
    primary: Name
    mailbox: Name
    serial: int
    refresh: int
    retry: int
    expire: int
    minimum: int


class Record(NamedTuple):
    """`data`: packed address, TXT or foreign rdata as bytes; a name for CNAME, PTR, NS; or one of the tuples above."""

    name: Name
    type: int
    ttl: int
    data: bytes | Name | SRVData | SOAData


_header = struct.Struct(">HHHHHH")
_two = struct.Struct(">HH")
_fixed = struct.Struct(">HHIH")


def name(text: str) -> Name:
    """A name from text; a dot at the end is dropped. Raises ValueError for empty or too long labels, and not ASCII."""
    labels = tuple(text.rstrip(".").lower().split(".")) if text.strip(".") else ()
    if (
        not text.isascii()
        or any(not 0 < len(label) < 64 for label in labels)
        or sum(map(len, labels)) + len(labels) > 254
    ):
        raise ValueError(f"{text!r} is no domain name")
    return labels


def text(labels: Name) -> str:
    """A name as text, with the dot at the end."""
    return ".".join(labels) + "."


def read_query(data: bytes) -> Query:
    """A request. Raises FormatError when it is none, or has other than one question."""
    try:
        id_, flags, questions, answers, authorities, additional = _header.unpack_from(data)
        if questions != 1 or answers or authorities:
            raise FormatError("not one question")
        labels = []
        offset = 12
        while length := data[offset]:
            if length > 63:
                raise FormatError("compressed question")
            labels.append(data[offset + 1 : offset + 1 + length].lower().decode("latin-1"))
            offset += length + 1
        if offset > 12 + 254:
            raise FormatError("name too long")
        type_, class_ = _two.unpack_from(data, offset + 1)
        offset += 5
        question = data[12:offset]
        edns, dnssec, version, options = None, False, 0, False
        for _ in range(additional):
            offset = _skip_name(data, offset)
            kind, size, extended, length = _fixed.unpack_from(data, offset)
            offset += 10 + length
            if kind == OPT:
                if edns is not None:
                    raise FormatError("two OPT records")
                edns, dnssec = max(size, PLAIN_LIMIT), bool(extended & _DO)
                version, options = (extended >> 16) & 0xFF, length > 0
            else:
                options = True
        if offset > len(data):
            raise FormatError("cut short")
    except (IndexError, struct.error) as error:
        raise FormatError(str(error)) from error
    return Query(id_, flags, tuple(labels), type_, class_, question, edns, dnssec, version, options)


def respond(
    query: Query,
    rcode: int,
    answer: Sequence[Record] = (),
    authority: Sequence[Record] = (),
    additional: Sequence[Record] = (),
    *,
    authoritative: bool = False,
    truncated: bool = False,
    limit: int = TCP_LIMIT,
) -> bytes:
    """The response in at most `limit` bytes: additional records are left out, and answers only with the TC mark.

    truncated: set the TC mark in any case.
    """
    buffer = bytearray(12)
    buffer += query.question
    offsets: dict[Name, int] = {}
    at = 12
    for index, label in enumerate(query.name):
        offsets[query.name[index:]] = at
        at += len(label) + 1
    limit -= 0 if query.edns is None else 11
    flags = QR | RA | (query.flags & (_OPCODE | RD | CD)) | (rcode & 0xF) | (AA if authoritative else 0)
    flags |= TC if truncated else 0
    counts = [0, 0, 0]
    for section, records in enumerate((answer, authority, additional)):
        for record in records:
            before = len(buffer)
            _write(buffer, record, offsets)
            if len(buffer) > limit:
                del buffer[before:]
                if section < 2:
                    flags |= TC
                break
            counts[section] += 1
        if flags & TC:
            break
    if query.edns is not None:
        buffer += b"\0" + _fixed.pack(OPT, EDNS_LIMIT, (rcode >> 4) << 24 | (_DO if query.dnssec else 0), 0)
        counts[2] += 1
    _header.pack_into(buffer, 0, query.id, flags, 1, *counts)
    return bytes(buffer)


def refuse(data: bytes, rcode: int) -> bytes:
    """A bare header for a request that could not be read. `data` has at least 12 bytes."""
    id_, flags = _two.unpack_from(data)
    return _header.pack(id_, QR | (flags & (_OPCODE | RD)) | rcode, 0, 0, 0, 0)


def ask(
    id_: int,
    labels: Name,
    type_: int,
    *,
    class_: int = IN,
    edns: bool = False,
    dnssec: bool = False,
    checking: int = 0,
) -> bytes:
    """A recursive query. `checking` is the CD bit to set."""
    buffer = bytearray(_header.pack(id_, RD | checking, 1, 0, 0, 1 if edns else 0))
    _write_name(buffer, labels, None)
    buffer += _two.pack(type_, class_)
    if edns:
        buffer += b"\0" + _fixed.pack(OPT, EDNS_LIMIT, _DO if dnssec else 0, 0)
    return bytes(buffer)


# Reading responses


class Raw(NamedTuple):
    """A record of a message that was received: its section (0 answer, 1 authority, 2 additional), place of the TTL
    and of the data."""

    section: int
    name: Name
    type: int
    ttl: int
    ttl_at: int
    start: int
    end: int


def records(data: bytes) -> Iterator[Raw]:
    """All records of a response. Raises FormatError."""
    try:
        _, _, questions, *counts = _header.unpack_from(data)
        offset = 12
        for _ in range(questions):
            offset = _skip_name(data, offset) + 4
        for section, count in enumerate(counts):
            for _ in range(count):
                labels, offset = read_name(data, offset)
                type_, _, ttl, length = _fixed.unpack_from(data, offset)
                end = offset + 10 + length
                if end > len(data):
                    raise FormatError("cut short")
                yield Raw(section, labels, type_, ttl, offset + 4, offset + 10, end)
                offset = end
    except (IndexError, struct.error) as error:
        raise FormatError(str(error)) from error


def decode(data: bytes, raw: Raw) -> Record:
    """A received record that can be written into another message: names in its data are spelled out.

    Raises FormatError.
    """
    try:
        return Record(raw.name, raw.type, raw.ttl, _content(data, raw))
    except struct.error as error:
        raise FormatError(str(error)) from error


def _content(data: bytes, raw: Raw) -> bytes | Name | SRVData | SOAData:
    content: bytes | Name | SRVData | SOAData = data[raw.start : raw.end]
    if raw.type in (CNAME, NS, PTR):
        content, _ = read_name(data, raw.start)
    elif raw.type == SRV:
        priority, weight, port = struct.unpack_from(">HHH", data, raw.start)
        content = SRVData(priority, weight, port, read_name(data, raw.start + 6)[0])
    elif raw.type == SOA:
        primary, offset = read_name(data, raw.start)
        mailbox, offset = read_name(data, offset)
        content = SOAData(primary, mailbox, *struct.unpack_from(">IIIII", data, offset))
    elif raw.type == 15:  # MX: the only other common type with a name in it
        exchange = bytearray(data[raw.start : raw.start + 2])
        _write_name(exchange, read_name(data, raw.start + 2)[0], None)
        content = bytes(exchange)
    return content


def read_name(data: bytes, offset: int) -> tuple[Name, int]:
    """The (possibly compressed) name at `offset`, and where it ends. Raises FormatError."""
    labels: list[str] = []
    end = -1
    jumps = 0
    try:
        while length := data[offset]:
            if length >= 0xC0:
                if end < 0:
                    end = offset + 2
                offset = (length & 0x3F) << 8 | data[offset + 1]
                jumps += 1
                if jumps > 64:
                    raise FormatError("compression loop")
                continue
            if length > 63:
                raise FormatError("unknown label type")
            labels.append(data[offset + 1 : offset + 1 + length].lower().decode("latin-1"))
            offset += length + 1
    except IndexError as error:
        raise FormatError("name cut short") from error
    return tuple(labels), end if end >= 0 else offset + 1


def _skip_name(data: bytes, offset: int) -> int:
    while length := data[offset]:
        if length >= 0xC0:
            return offset + 2
        offset += length + 1
    return offset + 1


# Writing


def _write_name(buffer: bytearray, labels: Name, offsets: dict[Name, int] | None, compress: bool = True) -> None:
    for index, label in enumerate(labels):
        if offsets is not None:
            rest = labels[index:]
            if compress and (at := offsets.get(rest)) is not None:
                buffer += (0xC000 | at).to_bytes(2, "big")
                return
            if len(buffer) < 0x4000:
                offsets.setdefault(rest, len(buffer))
        buffer.append(len(label))
        buffer += label.encode("latin-1")
    buffer.append(0)


def _write(buffer: bytearray, record: Record, offsets: dict[Name, int]) -> None:
    _write_name(buffer, record.name, offsets)
    at = len(buffer)
    buffer += _fixed.pack(record.type, IN, record.ttl, 0)
    data = record.data
    if isinstance(data, bytes):
        buffer += data
    elif isinstance(data, SRVData):
        buffer += struct.pack(">HHH", *data[:3])
        _write_name(buffer, data.target, offsets, compress=False)  # RFC 2782
    elif isinstance(data, SOAData):
        _write_name(buffer, data.primary, offsets)
        _write_name(buffer, data.mailbox, offsets)
        buffer += struct.pack(">IIIII", *data[2:])
    else:
        _write_name(buffer, data, offsets)
    struct.pack_into(">H", buffer, at + 8, len(buffer) - at - 10)
