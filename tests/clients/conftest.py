"""A client of raw requests beside the cluster of the plugin."""

from __future__ import annotations

import pytest

from pybernetes.testing.pytest_plugin import ClusterThread

from .wire import Wire


@pytest.fixture(scope="session")
def wire(pybernetes_cluster: ClusterThread) -> Wire:
    return Wire(pybernetes_cluster)
