"""API groups served by other servers behind ours: an APIService names a Service, and requests for its group version go
there with the user's name in headers that our front-proxy certificate vouches for.

`aggregator.py` routes and keeps the Available conditions; `remote.py` reaches one server; `local.py` makes the
APIServices of what we serve ourselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.server import APIServer


def install(server: APIServer) -> None:
    """Add aggregation to a server."""
    from pybernetes.control_plane.apiserver.aggregation.aggregator import Aggregator

    server.parts["aggregation"] = Aggregator(server)
