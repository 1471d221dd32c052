"""Served clusters for clients that are not ours: raw requests, and both kubectls."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pybernetes.testing.pytest_plugin import ClusterThread

pytest.register_assert_rewrite(f"{__package__}.kubectl")

from .kubectl import OFFICIAL, ROOT  # noqa: E402
from .wire import Wire  # noqa: E402


@pytest.fixture(scope="session")
def wire(pybernetes_cluster: ClusterThread) -> Wire:
    return Wire(pybernetes_cluster)


@pytest.fixture(scope="module")
def kubeconfig() -> Iterator[Path]:
    """The administrator's kubeconfig of a cluster of the module's own, with the demo application."""
    thread = ClusterThread(1)
    thread.start()
    try:
        hello = ROOT / "examples" / "hello" / "hello.yaml"
        subprocess.run(
            [OFFICIAL, "--kubeconfig", thread.kubeconfig, "apply", "-f", hello], check=True, capture_output=True
        )
        yield thread.kubeconfig
    finally:
        thread.stop()
