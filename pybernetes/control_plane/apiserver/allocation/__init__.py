"""Service addresses and node ports: what a Service gets from ranges that all Services share.

A cluster IP is taken by creating an IPAddress object named like the address: the store lets one creator win, so several
API servers need no lock between them, and a restart finds everything where it was. Node ports are counted in memory
from the stored Services. `services.py` joins both to the verbs; `families.py` and `fields.py` are the pure part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.server import APIServer


def install(server: APIServer) -> None:
    """Let Services of this server be given addresses and ports."""
    from pybernetes.control_plane.apiserver.allocation.services import AllocatingServices, Allocation

    resource = server.registry.get("", "v1", "services")
    assert resource is not None
    allocation = Allocation(server.core)
    resource.strategy = AllocatingServices(resource.kind, allocation)
    server.parts["allocation"] = allocation
