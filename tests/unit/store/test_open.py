"""Store URLs."""

from __future__ import annotations

from pathlib import Path

import pytest

from pybernetes.store import StoreError, open_store
from pybernetes.store.etcd import EtcdStore
from pybernetes.store.memory import MemoryStore
from pybernetes.store.sqlite import SqliteStore


def test_each_scheme() -> None:
    assert isinstance(open_store("memory:"), MemoryStore)
    absolute, relative = open_store("sqlite:///var/lib/a%20b.db"), open_store("sqlite:store.db")
    assert isinstance(absolute, SqliteStore) and absolute.path == Path("/var/lib/a b.db")
    assert isinstance(relative, SqliteStore) and relative.path == Path("store.db")


def test_etcd_endpoints() -> None:
    store = open_store("etcd://one:2379,[::1]:2380?prefix=/mine&cafile=ca.pem&certfile=c.pem&keyfile=k.pem")
    assert isinstance(store, EtcdStore)
    assert store._endpoints.addresses == [("one", 2379), ("::1", 2380)]
    assert store._prefix == "/mine" and store._endpoints._tls is not None
    plain = open_store("etcd://127.0.0.1:2379")
    assert isinstance(plain, EtcdStore) and plain._endpoints._tls is None


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("mysql://host/db", "unknown scheme"),
        ("", "unknown scheme"),
        ("memory:?size=3", "'size' is not supported"),
        ("memory:elsewhere", "'elsewhere' is not supported"),
        ("sqlite:", "path is missing"),
        ("sqlite://host/path", "'host' is not supported"),
        ("etcd://hostonly", "not host:port"),
        ("etcd://", "not host:port"),
        ("etcd://h:1?colour=red", "'colour' is not supported"),
        ("etcd://me@h:1", "user and password go together"),
        ("etcd://h:1/path", "'path' is not supported"),
    ],
)
def test_what_is_refused(url: str, reason: str) -> None:
    with pytest.raises(StoreError, match=reason):
        open_store(url)
