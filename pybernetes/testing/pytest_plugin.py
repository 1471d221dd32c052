"""pytest fixtures: a cluster for tests that are not coroutines, or that use another client.

Loaded by pytest itself (entry point `pytest11`), so nothing heavy is imported before a test asks for a cluster.

    def test_something(pybernetes_cluster):
        config.load_kube_config(str(pybernetes_cluster.kubeconfig))

The cluster runs in a thread with an event loop of its own and lives as long as the test session; `pybernetes_namespace`
gives each test a namespace that is deleted after it. Coroutine tests may use `LocalCluster` directly instead.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Coroutine, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from pybernetes.testing.local_cluster import LocalCluster

T = TypeVar("T")
_numbers = itertools.count(1)


class ClusterThread:
    """A LocalCluster in a thread. `server` and `kubeconfig` are for any client; `run` is for ours."""

    def __init__(self, nodes: int) -> None:
        self._nodes = nodes
        self._started = threading.Event()
        self._error: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        self.cluster: LocalCluster
        self._thread = threading.Thread(target=self._main, name="pybernetes", daemon=True)

    @property
    def server(self) -> str:
        """https://127.0.0.1:PORT."""
        return self.cluster.server

    @property
    def kubeconfig(self) -> Path:
        """Path of an administrator's kubeconfig."""
        assert self.cluster.kubeconfig is not None
        return self.cluster.kubeconfig

    def run(self, work: Coroutine[Any, Any, T], timeout: float = 60) -> T:
        """Run a coroutine (of `cluster.client`, say) in the cluster's loop; its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout)

    def start(self) -> None:
        self._thread.start()
        self._started.wait()
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _main(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._error = error
            self._started.set()

    async def _serve(self) -> None:
        from pybernetes.testing.local_cluster import LocalCluster

        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with LocalCluster(nodes=self._nodes, serve=True) as self.cluster:
            self._started.set()
            await self._stop.wait()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini("pybernetes_nodes", "nodes of the pybernetes_cluster fixture", default="1")


@pytest.fixture(scope="session")
def pybernetes_cluster(pytestconfig: pytest.Config) -> Iterator[ClusterThread]:
    """A cluster for the whole session, with an HTTPS address and a kubeconfig."""
    thread = ClusterThread(int(pytestconfig.getini("pybernetes_nodes")))
    thread.start()
    yield thread
    thread.stop()


@pytest.fixture
def pybernetes_namespace(pybernetes_cluster: ClusterThread) -> Iterator[str]:
    """The name of a namespace of the test's own."""
    from pybernetes.api.core_v1 import Namespace
    from pybernetes.machinery.meta import ObjectMeta

    name = f"test-{next(_numbers)}"
    namespaces = pybernetes_cluster.cluster.client.resource(Namespace)
    pybernetes_cluster.run(namespaces.create(Namespace(metadata=ObjectMeta(name=name))))
    yield name
    pybernetes_cluster.run(namespaces.delete(name))
