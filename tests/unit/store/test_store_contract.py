"""The three stores against the one contract."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from pybernetes.store import Store
from pybernetes.store.etcd import EtcdStore
from pybernetes.store.memory import MemoryStore
from pybernetes.store.sqlite import SqliteStore
from tests.suites.etcd_server import BINARY, EtcdServer
from tests.suites.store_contract import Harness, StoreContract, stamp


class MemoryHarness(Harness):
    def make(self) -> Store:
        return MemoryStore(stamp=stamp)


class SqliteHarness(Harness):
    examples = 30

    def __init__(self, directory: Path) -> None:
        self.paths = (directory / f"{number}.db" for number in itertools.count())

    def make(self) -> Store:
        return SqliteStore(next(self.paths), stamp=stamp)


class EtcdHarness(Harness):
    writers = 20
    examples = 8
    numbers = itertools.count()

    def __init__(self, server: EtcdServer) -> None:
        self.server = server

    def make(self) -> Store:
        return EtcdStore([self.server.address], stamp=stamp, prefix=f"/test{next(self.numbers)}")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    with EtcdServer(tmp_path_factory.mktemp("etcd")) as server:
        yield server


class TestMemory(StoreContract):
    @pytest.fixture
    def harness(self) -> Harness:
        return MemoryHarness()


@pytest.mark.real_time
class TestSqlite(StoreContract):
    @pytest.fixture
    def harness(self, tmp_path: Path) -> Harness:
        return SqliteHarness(tmp_path)


@pytest.mark.real_time
@pytest.mark.skipif(BINARY is None, reason="no etcd binary on PATH")
class TestEtcd(StoreContract):
    @pytest.fixture
    def harness(self, server: EtcdServer) -> Harness:
        return EtcdHarness(server)
