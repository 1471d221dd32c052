"""Counts packets of a cluster's addresses that leave by the machine's uplink, where nothing can stop them any more.

At the network device itself (netdev egress, Linux 5.16 and later, which also sees ARP), else behind the last filter.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


def uplinks(prefix: Sequence[str] = ()) -> list[str]:
    """The devices of the default routes."""
    found = subprocess.run(
        [*prefix, "ip", "-json", "route", "show", "default"], capture_output=True, text=True, check=False
    )
    return sorted({route["dev"] for route in json.loads(found.stdout or "[]") if "dev" in route})


def scripts(table: str, devices: list[str], ranges: Sequence[str]) -> tuple[str, str]:
    """The table at the devices, and the one behind the last filter."""
    matches = [
        f"{word} {way} {{ {', '.join(cidrs)} }}"
        for word, colon in (("ip", False), ("ip6", True))
        if (cidrs := [cidr for cidr in ranges if (":" in cidr) == colon])
        for way in ("daddr", "saddr")
    ]
    asked = [f"arp daddr ip {{ {', '.join(cidr for cidr in ranges if ':' not in cidr)} }}"]
    names = ", ".join(f'"{device}"' for device in devices)
    at_device = "".join(
        "\n    ".join(
            [
                f"chain leaks-{i} {{",
                f'type filter hook egress device "{device}" priority 500; policy accept;',
                *(f"{match} counter" for match in (*matches, *asked)),
            ]
        )
        + "\n  }\n"
        for i, device in enumerate(devices)
    )
    behind = "\n    ".join(
        [
            "chain leaks {",
            "type filter hook postrouting priority 500; policy accept;",
            *(f"oifname {{ {names} }} {match} counter" for match in matches),
        ]
    )
    behind += "\n  }\n"
    return f"table netdev {table} {{\n  {at_device}}}\n", f"table inet {table} {{\n  {behind}}}\n"


class Watch:
    """Counters that are there."""

    def __init__(self, family: str, table: str, prefix: Sequence[str]) -> None:
        self._list = [*prefix, "nft", "-j", "list", "table", family, table]

    def packets(self) -> int:
        """How many were seen so far."""
        listed = subprocess.run(self._list, capture_output=True, text=True, check=True).stdout
        rules = [item["rule"]["expr"] for item in json.loads(listed)["nftables"] if "rule" in item]
        counters = [part["counter"]["packets"] for rule in rules for part in rule if "counter" in part]
        assert counters
        return sum(counters)


@contextmanager
def watched(table: str, ranges: Sequence[str], prefix: Sequence[str] = ()) -> Iterator[Watch | None]:
    """The counters while it lasts; None on a machine without an uplink."""
    devices = uplinks(prefix)
    if not devices:
        yield None
        return
    for family, script in zip(("netdev", "inet"), scripts(table, devices, ranges), strict=True):  # noqa: B007
        made = subprocess.run([*prefix, "nft", "-f", "-"], input=script, capture_output=True, text=True, check=False)
        if not made.returncode:
            break
    else:
        raise AssertionError(made.stderr)
    try:
        yield Watch(family, table, prefix)
    finally:
        subprocess.run([*prefix, "nft", "delete", "table", family, table], check=True)
