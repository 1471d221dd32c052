"""IPv6 beside IPv4: a cluster's second pair of ranges, and what of them the nodes of one machine have.

A pair is written as kubeadm's podSubnet and serviceSubnet are, `10.244.0.0/16,fd00:10:244::/56`: IPv4 first, for that
is the family of whatever has only one (the API server, the DNS, Services that do not ask). A node gets a /64. On this
machine the first 64 of them belong to its nodes, and the last one holds the nodes' own addresses, as it is in IPv4.
"""

from __future__ import annotations

import ipaddress
from itertools import islice
from pathlib import Path

import msgspec

NODE_PREFIX = 64
#: Real nodes of one machine at most, as `cluster.MAX_NODES` has it, in bits.
_LOCAL_BITS = 6


class Six(msgspec.Struct):
    """The IPv6 ranges of a cluster (CIDR)."""

    pod_cidr: str
    service_cidr: str

    @property
    def node_cidr(self) -> str:
        """Where the nodes of this machine have their addresses: the Pod range's last /64, which no node gets."""
        range_ = ipaddress.IPv6Network(self.pod_cidr)
        last = int(range_.broadcast_address) >> NODE_PREFIX << NODE_PREFIX
        return f"{ipaddress.IPv6Address(last)}/{NODE_PREFIX}"

    def node_address(self, index: int) -> str:
        """The address of a node of this machine."""
        return str(ipaddress.IPv6Network(self.node_cidr)[1 + index])

    def node_range(self, index: int) -> str:
        """The Pod range of a node of this machine."""
        return self.local_ranges[index]

    @property
    def local_ranges(self) -> list[str]:
        """The Pod ranges that this machine's nodes have, or those that they may yet get."""
        ranges = ipaddress.IPv6Network(self.pod_cidr).subnets(new_prefix=NODE_PREFIX)
        return [str(cidr) for cidr in islice(ranges, 2**_LOCAL_BITS)]

    @property
    def local_pod_cidr(self) -> str:
        """All of them in one."""
        address = ipaddress.IPv6Network(self.pod_cidr).network_address
        return f"{address}/{NODE_PREFIX - _LOCAL_BITS}"


def pair(text: str) -> tuple[str, str]:
    """The IPv4 and the IPv6 range of a flag's text; "" for a family that is not there. Raises ValueError."""
    found = [ipaddress.ip_network(part.strip()) for part in text.split(",")]
    match [network.version for network in found]:
        case [4]:
            return str(found[0]), ""
        case [4, 6]:
            return str(found[0]), str(found[1])
        case [6] | [6, 4]:
            raise ValueError(f"{text}: IPv6 alone or first is not supported; IPv4, or IPv4,IPv6")
        case _:
            raise ValueError(f"{text}: one range of each family at most, IPv4,IPv6")


def second(pods: str, services: str, *, one_machine: bool) -> Six | None:
    """The IPv6 part of two such texts; None where they have none. Raises ValueError."""
    pod_cidr, service_cidr = pair(pods)[1], pair(services)[1]
    if bool(pod_cidr) != bool(service_cidr):
        raise ValueError(f"{pods} and {services}: both need an IPv6 range, or neither")
    if not pod_cidr:
        return None
    longest = NODE_PREFIX - _LOCAL_BITS - 1 if one_machine else NODE_PREFIX - 1
    if not NODE_PREFIX - 16 <= ipaddress.ip_network(pod_cidr).prefixlen <= longest:
        raise ValueError(
            f"{pod_cidr}: a node's range is a /{NODE_PREFIX}, so /{NODE_PREFIX - 16} to /{longest} is wanted"
        )
    if not 64 <= ipaddress.ip_network(service_cidr).prefixlen <= 124:
        raise ValueError(f"{service_cidr}: /64 to /124 is wanted for Services")
    if ipaddress.IPv6Network(pod_cidr).overlaps(ipaddress.IPv6Network(service_cidr)):
        raise ValueError(f"{pod_cidr} and {service_cidr} overlap")
    return Six(pod_cidr, service_cidr)


def missing() -> str:
    """Why this machine cannot do IPv6; "" if it can."""
    if not Path("/proc/net/if_inet6").exists():
        return "its kernel has no IPv6"
    off = Path("/proc/sys/net/ipv6/conf/all/disable_ipv6")
    if off.exists() and off.read_text().strip() != "0":
        return "IPv6 is off (net.ipv6.conf.all.disable_ipv6)"
    return ""
