"""`status`: the same object, of which only the status (and some metadata) can be written."""

from __future__ import annotations

from pybernetes.control_plane.apiserver.call import Call, Result
from pybernetes.control_plane.apiserver.resource import Subresource
from pybernetes.control_plane.apiserver.verbs.get import get
from pybernetes.control_plane.apiserver.verbs.patch import patch
from pybernetes.control_plane.apiserver.verbs.update import update


class Status(Subresource):
    name = "status"
    verbs = ("get", "patch", "update")

    async def handle(self, call: Call) -> Result | None:
        verb = call.info.verb
        if verb == "get":
            return await get(self.core, call)
        return await (patch if verb == "patch" else update)(self.core, call, "status")
