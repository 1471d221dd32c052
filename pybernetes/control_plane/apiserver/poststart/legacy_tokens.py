"""ConfigMap kube-system/kube-apiserver-legacy-service-account-token-tracking: since when uses of tokens are noted."""

from __future__ import annotations

from pybernetes.control_plane.apiserver.legacy_tokens import begin
from pybernetes.control_plane.apiserver.poststart.setup import Setup


async def run(setup: Setup) -> None:
    await setup.ensure([begin()])
