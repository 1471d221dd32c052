"""The expressions that nf_tables rules are made of, as netlink attributes. Pure.

Registers are the 32-bit ones, numbered from 0 here; values that make up one key lie in registers side by side.
Constants and names are those of `linux/netfilter/nf_tables.h`.
"""

from __future__ import annotations

import struct

from pybernetes.network.proxy.netlink import attribute, nest, text, u8, u32, u64

_FIRST_REGISTER = 8  # NFT_REG32_00
_VERDICT_REGISTER = 0
ACCEPT, DROP, GOTO, JUMP, RETURN = 1, 0, -4, -3, -5
MARK, L4PROTO, NFPROTO = 3, 16, 15
_PRESENT = 0x20
LOCAL = 2  # RTN_LOCAL
NETWORK, TRANSPORT = 1, 2
EQUAL, UNEQUAL = 0, 1
#: IPS_DST_NAT of the conntrack status.
STATUS_DNAT = 0x20
STATE_NEW, STATE_RELATED = 0x8, 0x4
RANDOM_FULLY = 0x10


def _expression(name: str, *parts: bytes) -> bytes:
    return nest(1, text(1, name), nest(2, *parts))


def _register(kind: int, number: int) -> bytes:
    return u32(kind, _FIRST_REGISTER + number)


def value(kind: int, data: bytes) -> bytes:
    """A data attribute (`nft_data`) with a plain value."""
    return nest(kind, attribute(1, data))


def verdict_data(kind: int, code: int, chain: str = "") -> bytes:
    """A data attribute with a verdict."""
    parts = u32(1, code & 0xFFFFFFFF)
    return nest(kind, nest(2, parts + text(2, chain) if chain else parts))


def verdict(code: int, chain: str = "") -> bytes:
    """Accept, drop, return, or go on in another chain."""
    return _expression("immediate", u32(1, _VERDICT_REGISTER), verdict_data(2, code, chain))


def load(register: int, data: bytes) -> bytes:
    """Load a constant."""
    return _expression("immediate", _register(1, register), value(2, data))


def meta(key: int, register: int) -> bytes:
    return _expression("meta", _register(1, register), u32(2, key))


def set_mark(register: int) -> bytes:
    return _expression("meta", u32(2, MARK), _register(3, register))


def payload(base: int, offset: int, length: int, register: int) -> bytes:
    return _expression("payload", _register(1, register), u32(2, base), u32(3, offset), u32(4, length))


def compare(register: int, data: bytes, operation: int = EQUAL) -> bytes:
    """Go on only if the register is (not) `data`."""
    return _expression("cmp", _register(1, register), u32(2, operation), value(3, data))


def bitwise(source: int, target: int, mask: bytes, xor: bytes) -> bytes:
    """target = (source & mask) ^ xor."""
    return _expression(
        "bitwise", _register(1, source), _register(2, target), u32(3, len(mask)), value(4, mask), value(5, xor)
    )


def host32(number: int) -> bytes:
    return struct.pack("=I", number)


def lookup(name: str, source: int, target: int | None = None, *, invert: bool = False) -> bytes:
    """Go on only if the key is (not) in a set; of a map, load the value into `target`."""
    parts = text(1, name) + _register(2, source)
    if target is not None:
        parts += _register(3, target)
    return _expression("lookup", parts + (u32(5, 1) if invert else b""))


def verdict_map(name: str, source: int) -> bytes:
    """Do what a verdict map says of the key."""
    return _expression("lookup", text(1, name), _register(2, source), u32(3, _VERDICT_REGISTER))


def random(modulus: int, register: int) -> bytes:
    return _expression("numgen", _register(1, register), u32(2, modulus), u32(3, 1), u32(4, 0))


def dnat(family: int, address: int, port: int) -> bytes:
    return _expression(
        "nat", u32(1, 1), u32(2, family), _register(3, address), _register(4, address), _register(5, port),
        _register(6, port),
    )  # fmt: skip


def masquerade() -> bytes:
    return _expression("masq", u32(1, RANDOM_FULLY))


def reject() -> bytes:
    """ICMP "port unreachable"."""
    return _expression("reject", u32(1, 0), u8(2, 3))


def reset() -> bytes:
    """A TCP reset."""
    return _expression("reject", u32(1, 1), u8(2, 0))


def reject6() -> bytes:
    return _expression("reject", u32(1, 0), u8(2, 4))


def address_type(register: int, *, source: bool) -> bytes:
    """The kind of route (RTN_LOCAL...) to the packet's source or destination."""
    return _expression("fib", _register(1, register), u32(2, 3), u32(3, 1 if source else 2))


def conntrack(key: int, register: int) -> bytes:
    """0: state, 1: direction, 2: status."""
    return _expression("ct", _register(1, register), u32(2, key))


def remember(name: str, key: int, data: int, milliseconds: int) -> bytes:
    """Put (or keep) a pair in a dynamic map for that long."""
    return _expression("dynset", text(1, name), u32(3, 1), _register(4, key), _register(5, data), u64(6, milliseconds))
