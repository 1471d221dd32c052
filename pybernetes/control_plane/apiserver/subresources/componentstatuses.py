"""ComponentStatus: deprecated, and still shown by `kubectl get cs`: this server can only speak for its store."""

from __future__ import annotations

from pybernetes.api.core_v1 import ComponentCondition, ComponentStatus
from pybernetes.control_plane.apiserver.call import Call, Result
from pybernetes.control_plane.apiserver.resource import Subresource
from pybernetes.machinery import codec, errors
from pybernetes.machinery.meta import ObjectMeta

_NAME = "etcd-0"


class ComponentStatuses(Subresource):
    verbs = ("get", "list")

    async def handle(self, call: Call) -> Result | None:
        call.warn("v1 ComponentStatus is deprecated in v1.19+")
        healthy = not self.core.cache.failed.is_set()
        status = ComponentStatus(
            metadata=ObjectMeta(name=_NAME),
            conditions=[
                ComponentCondition(
                    type="Healthy", status="True" if healthy else "False", message="ok" if healthy else ""
                )
            ],
        )
        if call.info.verb == "get":
            if call.info.name != _NAME:
                raise errors.not_found(self.resource.group_resource, call.info.name)
            return Result(resource=self.resource, obj=status)
        shown = {"kind": "ComponentStatusList", "apiVersion": "v1", "metadata": {}, "items": [codec.to_dict(status)]}
        return Result(resource=self.resource, obj=shown)
