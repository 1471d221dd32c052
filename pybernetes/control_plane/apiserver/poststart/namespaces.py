"""The four namespaces that every cluster has."""

from __future__ import annotations

from pybernetes.api.core_v1 import Namespace
from pybernetes.control_plane.apiserver.poststart.setup import Setup
from pybernetes.machinery.meta import ObjectMeta

NAMES = ("default", "kube-system", "kube-public", "kube-node-lease")


async def run(setup: Setup) -> None:
    await setup.ensure(Namespace(metadata=ObjectMeta(name=name)) for name in NAMES)
