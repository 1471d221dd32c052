"""One file per operation; `VERBS` maps the verb of a request to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from pybernetes.control_plane.apiserver.call import Call, Result
from pybernetes.control_plane.apiserver.core import Core
from pybernetes.control_plane.apiserver.verbs.create import create
from pybernetes.control_plane.apiserver.verbs.delete import delete
from pybernetes.control_plane.apiserver.verbs.deletecollection import deletecollection
from pybernetes.control_plane.apiserver.verbs.get import get
from pybernetes.control_plane.apiserver.verbs.list import list_
from pybernetes.control_plane.apiserver.verbs.patch import patch
from pybernetes.control_plane.apiserver.verbs.update import update
from pybernetes.control_plane.apiserver.verbs.watch import watch

Verb = Callable[[Core, Call], Awaitable[Result | None]]

VERBS: dict[str, Verb] = {
    "get": get,
    "list": list_,
    "watch": watch,
    "create": create,
    "update": update,
    "patch": patch,
    "delete": delete,
    "deletecollection": deletecollection,
}
