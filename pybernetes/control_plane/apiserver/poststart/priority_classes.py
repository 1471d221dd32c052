"""The two priority classes that the system's own Pods use."""

from __future__ import annotations

from pybernetes.api.scheduling_v1 import PriorityClass
from pybernetes.control_plane.apiserver.poststart.setup import Setup
from pybernetes.machinery.meta import ObjectMeta

_CLASSES = (
    (
        "system-node-critical",
        2_000_001_000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
    (
        "system-cluster-critical",
        2_000_000_000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
)


async def run(setup: Setup) -> None:
    await setup.ensure(
        PriorityClass(metadata=ObjectMeta(name=name), value=value, description=text) for name, value, text in _CLASSES
    )
