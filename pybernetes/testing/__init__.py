"""The shipped test kit: a whole cluster in one process, and a pytest plugin.

from pybernetes.testing import LocalCluster
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pybernetes.testing.local_cluster import LocalCluster

__all__ = ["LocalCluster"]


def __getattr__(name: str) -> Any:
    """Loaded when it is asked for: the pytest plugin lives beside it and must cost nothing."""
    if name == "LocalCluster":
        from pybernetes.testing.local_cluster import LocalCluster

        return LocalCluster
    raise AttributeError(name)
