"""Number ranges with a part kept for those who ask for a number by name. Pure.

Numbers given out at will come from the upper part as long as it has any, so that a fixed choice out of the lower part
seldom meets one (KEP-3070, KEP-3668).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

from pybernetes.aio import clock


@dataclass(frozen=True)
class Band:
    """`first`..`last`, inclusive; the lowest `static` of them are given out at will only when all others are gone."""

    first: int
    last: int
    static: int

    def candidates(self) -> Iterator[int]:
        """Every number once: the upper part from a random place on, then the lower."""
        split = self.first + self.static
        if split > self.last:
            split = self.first
        for low, high in ((split, self.last), (self.first, split - 1)):
            size = high - low + 1
            if size <= 0:
                continue
            start = clock.rng.randrange(size)
            for i in range(size):
                yield low + (start + i) % size

    def pick(self, free: Callable[[int], bool]) -> int | None:
        """A free number, or None."""
        return next((number for number in self.candidates() if free(number)), None)

    def __contains__(self, number: object) -> bool:
        return isinstance(number, int) and self.first <= number <= self.last


@dataclass(frozen=True)
class AddressRange:
    """A range of Service addresses in CIDR notation."""

    cidr: str

    @cached_property
    def network(self) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
        return ipaddress.ip_network(self.cidr, strict=False)

    @property
    def family(self) -> str:
        return "IPv6" if self.network.version == 6 else "IPv4"

    @cached_property
    def band(self) -> Band:
        """The usable addresses as numbers: without the network's own, and for IPv4 without the broadcast address."""
        network = self.network
        base, size = int(network.network_address), network.num_addresses
        if size <= 2:
            return Band(base, base + size - 1, 0)
        last = base + size - (2 if network.version == 4 else 1)
        most = min(size, 1 << 64)
        static = 0 if most < 32 else min(max(16, most // 16), 256)
        return Band(base + 1, last, static)

    def address(self, number: int) -> str:
        return str(type(self.network.network_address)(number))


def port_band(first: int, last: int) -> Band:
    """The band of the node ports."""
    size = last - first + 1
    return Band(first, last, 0 if size < 32 else min(max(16, size // 32), 128))
