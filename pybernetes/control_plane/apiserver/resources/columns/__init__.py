"""How kinds print: the columns of upstream's printers and a function for their cells.

Imported when somebody asks for a table for the first time. The larger groups have a module of their own, named as the
module of their types; the rest is in `others.py`.
"""

from __future__ import annotations

from importlib import import_module

from pybernetes.api.kinds import Kind
from pybernetes.control_plane.apiserver.resource import Table

_OWN = ("core_v1", "apps_v1", "batch_v1", "autoscaling_v1", "autoscaling_v2", "events_v1")


def table_of(kind: Kind) -> Table | None:
    """The kind's table; None when it has no columns of its own."""
    if kind.module in _OWN:
        tables: dict[str, Table] = import_module(f"{__name__}.{kind.module}").TABLES
    else:
        from pybernetes.control_plane.apiserver.resources.columns import others

        tables = others.BY_MODULE.get(kind.module, {})
    return tables.get(kind.kind)
