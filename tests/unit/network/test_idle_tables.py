"""Which of iptables' tables do nothing any more."""

from __future__ import annotations

from typing import Any

import pytest

from pybernetes.network.idle_tables import idle


def table(name: str = "nat", family: str = "ip") -> dict[str, Any]:
    return {"table": {"family": family, "name": name}}


def chain(name: str = "nat", **fields: Any) -> dict[str, Any]:
    return {"chain": {"family": "ip", "table": name, "name": "c", **fields}}


BASE = {"type": "nat", "hook": "prerouting", "policy": "accept"}


@pytest.mark.parametrize(
    ("listing", "found"),
    [
        ([{"metainfo": {}}, table(), chain(**BASE), table(family="ip6")], ["ip nat", "ip6 nat"]),
        ([table(), chain(**BASE), chain()], []),  # a chain of somebody's
        ([table(), chain(**{**BASE, "policy": "drop"})], []),
        ([table(), chain(**BASE), {"rule": {"family": "ip", "table": "nat", "chain": "c"}}], []),
        ([table(), {"set": {"family": "ip", "table": "nat", "name": "s"}}, table("filter")], ["ip filter"]),
        ([table("mine"), table("nat", "inet")], []),  # not iptables'
    ],
)
def test_idle(listing: list[dict[str, Any]], found: list[str]) -> None:
    assert idle(listing) == found
