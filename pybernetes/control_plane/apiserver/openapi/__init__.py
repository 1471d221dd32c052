"""OpenAPI v2 and v3 documents, made from the schemas of structs and custom resources when somebody asks.

`names.py` names definitions as upstream does; `definitions.py` turns schemas into JSON; `paths.py` writes the
operations; `documents.py` puts documents together and answers; `build.py` fetches descriptions from the published
schemas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.server import APIServer


def install(server: APIServer) -> None:
    """Serve /openapi/v2 and /openapi/v3."""
    from pybernetes.control_plane.apiserver.openapi.documents import Documents

    documents = Documents(server.registry, server.foreign_documents)
    server.paths.mount("/openapi/v2", documents.answer_v2)
    server.paths.mount_below("/openapi/v3", documents.answer_v3)
