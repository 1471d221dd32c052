"""In which order the nftables backend tells the kernel: a packet under way must find what it was sent to.

What the rules do to packets is judged by packets (`tests/e2e/test_services_packets.py`); that a packet is between two
lookups just as a transaction is committed cannot be arranged.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import cast

import pytest

from pybernetes.network.proxy.layout import (
    DELCHAIN,
    DELSETELEM,
    DELTABLE,
    NEWCHAIN,
    NEWSETELEM,
    NEWTABLE,
    Message,
)
from pybernetes.network.proxy.netlink import Netlink, NetlinkError, attributes
from pybernetes.network.proxy.nftables import Nftables
from pybernetes.network.proxy.rules import PortRules, ServiceRules

NAMES = {NEWCHAIN: "+chain", DELCHAIN: "-chain", NEWSETELEM: "+", DELSETELEM: "-"}


class Notes:
    """A kernel that writes down what it is told, a set of words for each transaction."""

    def __init__(self) -> None:
        self.told: list[set[str]] = []
        self.tables: list[str] = []

    def transact(self, messages: Iterable[Message]) -> None:
        words = set()
        for kind, _, _, body in messages:
            if kind in (NEWTABLE, DELTABLE):
                name = dict(attributes(body))[1].rstrip(b"\0").decode()
                self.tables = [table for table in self.tables if table != name] + [name] * (kind == NEWTABLE)
            if kind in NAMES:
                parts = dict(attributes(body))
                name = parts[3 if kind in (NEWCHAIN, DELCHAIN) else 2].rstrip(b"\0").decode()
                words.add(f"{NAMES[kind]} {name}")
        if words:
            self.told.append(words)

    def request(self, kind: int, flags: int, family: int, body: bytes) -> None:
        """Is there such a table?"""
        if dict(attributes(body))[1].rstrip(b"\0").decode() not in self.tables:
            raise NetlinkError(2, 0)

    def dump(self, *_: object) -> Iterable[bytes]:
        return ()


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def backend(notes: Notes) -> Nftables:
    made = Nftables("t", "IPv4", ("10.200.0.0/16",), ("192.0.2.1",))
    made._netlink = cast(Netlink, notes)
    made.replace({"default/s": service(3)})
    notes.told.clear()
    return made


def service(count: int, **changes: object) -> ServiceRules:
    found = tuple((f"10.200.0.{i}", 8080) for i in range(count))
    port = PortRules(
        namespace="default", service="s", port_name="", protocol="TCP", port=80, cluster_ip="10.96.0.1",
        external_ips=(), node_port=30080, inside=found, outside=found, cluster=found, outside_local=False,
        elsewhere=bool(found), affinity_seconds=0, source_ranges=(), guarded_ips=(),
    )  # fmt: skip
    return ServiceRules((replace(port, **changes),), frozenset())  # type: ignore[arg-type]


def test_fewer_endpoints(backend: Nftables, notes: Notes) -> None:
    """A packet that was to get the third of three still gets it."""
    backend.update({"default/s": service(2)})
    backend.settle()
    backend.settle()
    assert notes.told == [
        {"+chain pick-2", "+chain pick-2-masq-always"},
        {"+ services", "- services"},
        {"- endpoints", "-chain pick-3", "-chain pick-3-masq-always"},
    ]


def test_affinity(backend: Nftables, notes: Notes) -> None:
    backend.update({"default/s": service(1, affinity_seconds=9)})
    kept = {f"+chain {name}" for name in ("pick-1-sticky-9", "pick-1-masq-always-sticky-9", "stick-10.200.0.0-8080-9")}
    assert notes.told == [kept, {"+ services", "- services", "+ sticky"}]


def test_a_changed_traffic_policy(backend: Nftables, notes: Notes) -> None:
    """The twin maps are asked after `services`: what is in them is needed until a packet finds itself there."""
    backend.update({"default/s": service(3, outside_local=True)})
    notes.told.clear()
    backend.update({"default/s": service(3)})
    assert notes.told[-1] >= {"+ services"} and not any("- inside" in word for word in notes.told[-1])
    backend.settle()
    assert notes.told[-1] >= {"- inside-services", "- outside-services", "- inside-endpoints"}


def test_what_comes_back_at_once(backend: Nftables, notes: Notes) -> None:
    """What waits to go and is wanted again: a chain stays, an element is written anew."""
    backend.update({"default/s": service(2)})
    notes.told.clear()
    backend.update({"default/s": service(3)})
    assert notes.told == [{"- services", "+ services", "- endpoints", "+ endpoints"}]
    backend.settle()
    assert notes.told[1:] == [{"-chain pick-2", "-chain pick-2-masq-always"}]


def test_a_service_that_goes_leaves_nothing_that_packets_find(backend: Nftables, notes: Notes) -> None:
    backend.update({"default/s": ServiceRules((), frozenset())})
    assert notes.told == [{"- services", "- cluster-ips"}]
    backend.settle()
    assert notes.told[1:] == [{"- endpoints", "-chain pick-3", "-chain pick-3-masq-always"}]


def test_the_old_table_goes_when_the_new_one_is_there(backend: Nftables, notes: Notes) -> None:
    assert notes.tables == ["t"]
    for wanted in ("t-b", "t"):
        backend.replace({"default/s": service(2)})
        assert notes.tables == [wanted] and backend.intact()
    notes.tables = ["t", "t-b"]  # an earlier process ended between the two
    backend.replace({})
    assert notes.tables == ["t-b"]
    backend.update({"default/s": service(1)})
    notes.tables = []
    assert not backend.intact()
    backend.replace({})
    assert notes.tables == ["t"]
