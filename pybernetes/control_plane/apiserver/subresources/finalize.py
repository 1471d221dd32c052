"""`namespaces/finalize`: says that a finalizer of the spec has done its work."""

from __future__ import annotations

from typing import cast

from pybernetes.api.core_v1 import Namespace
from pybernetes.control_plane.apiserver.call import Call
from pybernetes.control_plane.apiserver.objects import AnyObject
from pybernetes.control_plane.apiserver.subresources.parts import Part


class Finalize(Part):
    name = "finalize"
    verbs = ("update",)

    def prepare(self, new: AnyObject, old: AnyObject, call: Call) -> None:
        cast(Namespace, new).status = cast(Namespace, old).status
