"""How kinds print: the columns of upstream's printers and a function for their cells, one module per API module.

Imported when somebody asks for a table for the first time.
"""

from __future__ import annotations

from importlib import import_module

from pybernetes.api.kinds import Kind
from pybernetes.control_plane.apiserver.resource import Table


def table_of(kind: Kind) -> Table | None:
    """The kind's table; None when it has no columns of its own."""
    try:
        module = import_module(f"{__name__}.{kind.module}")
    except ModuleNotFoundError:
        return None
    tables: dict[str, Table] = module.TABLES
    return tables.get(kind.kind)
