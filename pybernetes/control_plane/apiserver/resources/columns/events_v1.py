"""How events.k8s.io prints: as the events of the core group."""

from __future__ import annotations

from typing import Any

from pybernetes.control_plane.apiserver.resource import Table
from pybernetes.control_plane.apiserver.resources.columns import core_v1
from pybernetes.control_plane.apiserver.resources.core_v1 import event_stored

_CORE = core_v1.TABLES["Event"]


def _row(event: Any) -> list[Any]:
    return _CORE.row(event_stored(event))


TABLES: dict[str, Table] = {"Event": Table(_CORE.columns, _row)}
