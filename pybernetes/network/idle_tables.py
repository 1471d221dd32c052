"""Tables that iptables leaves in nftables when its last rule has gone.

Debian's iptables keeps its rules in nftables tables of the same names (`ip nat`, `ip filter`...), which it makes when
it first writes to them and never removes. A CNI plugin that maps host ports makes them; once nothing is in them they
are what a removed cluster would leave behind. A table without rules, whose chains all accept, does nothing, and
iptables makes it anew when it needs it: removing such a one cannot change what happens to a packet.
"""

from __future__ import annotations

import json
from typing import Any

from .links import Namespace

FAMILIES = ("ip", "ip6")
#: The tables that iptables knows; tables of other names are somebody else's.
NAMES = ("filter", "nat", "mangle", "raw", "security")


def idle(listing: list[dict[str, Any]]) -> list[str]:
    """`FAMILY NAME` of each of iptables' tables that does nothing, out of the objects of `nft -j list ruleset`.

    Pure. Only base chains that accept may be left: a rule, a set, a chain of somebody's or a policy keeps a table.
    """
    tables = []
    busy = set()
    for item in listing:
        for what, found in item.items():
            if what == "metainfo":
                continue
            if what == "table":
                if found["family"] in FAMILIES and found["name"] in NAMES:
                    tables.append(f"{found['family']} {found['name']}")
            elif what != "chain" or found.get("policy") != "accept":
                busy.add(f"{found['family']} {found.get('table', '')}")
    return [table for table in tables if table not in busy]


async def remove(namespace: Namespace) -> None:
    """Remove them. Where nothing can be listed nothing is removed."""
    text = await namespace.run(["nft", "-j", "list", "ruleset"], check=False)
    if not text.strip():
        return
    for table in idle(json.loads(text).get("nftables", [])):
        await namespace.nft(f"delete table {table}\n", check=False)


__all__ = ["idle", "remove"]
