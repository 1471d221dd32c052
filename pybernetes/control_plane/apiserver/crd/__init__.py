"""CustomResourceDefinitions: kinds that are made at run time.

`controller.py` keeps the registry equal to the definitions; `strategy.py` is what the server does with one custom kind;
`values.py` judges values by a schema; `naming.py` decides which names a definition gets; `conversion.py` brings objects
into another version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.server import APIServer


def install(server: APIServer) -> None:
    """Add custom resources to a server."""
    from pybernetes.control_plane.apiserver.crd.controller import CustomResources

    server.parts["crd"] = CustomResources(server.core)
