"""The ServiceCIDR `kubernetes`: the ranges of the configuration."""

from __future__ import annotations

from pybernetes.api.networking_v1 import ServiceCIDR, ServiceCIDRSpec
from pybernetes.control_plane.apiserver.poststart.setup import Setup
from pybernetes.machinery.meta import ObjectMeta


async def run(setup: Setup) -> None:
    spec = ServiceCIDRSpec(cidrs=list(setup.service_cidrs))
    await setup.ensure([ServiceCIDR(metadata=ObjectMeta(name="kubernetes"), spec=spec)])
