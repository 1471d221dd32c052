"""UPDATE: PUT of a whole object, or of its status."""

from __future__ import annotations

from pybernetes.control_plane.apiserver.body import check_kind, read_object
from pybernetes.control_plane.apiserver.call import Call, Result
from pybernetes.control_plane.apiserver.core import Core
from pybernetes.control_plane.apiserver.objects import AnyObject
from pybernetes.control_plane.apiserver.verbs.change import change
from pybernetes.control_plane.apiserver.verbs.create import settle_namespace, store_new
from pybernetes.control_plane.apiserver.verbs.writing import check_options
from pybernetes.machinery import errors


async def update(core: Core, call: Call, subresource: str = "") -> Result:
    """PUT."""
    resource = call.resource
    check_options(call, "UpdateOptions")
    obj = read_object(call, resource)
    check_kind(obj, resource)
    check_name(obj, call)
    settle_namespace(obj.metadata, resource, call.info.namespace)
    strategy = resource.strategy
    strategy.set_defaults(obj)
    if strategy.create_on_update and not subresource and _missing(call):
        if obj.metadata.uid:
            text = f"Precondition failed: UID in precondition: {obj.metadata.uid}, UID in object meta: "
            raise errors.conflict(resource.group_resource, obj.metadata.name, text)
        return await store_new(core, call, obj)
    if obj.metadata.resource_version in ("", "0"):
        codec = resource.codec

        def produce(old: AnyObject) -> AnyObject:
            return codec.copy(obj)  # another attempt needs it as it came

    else:

        def produce(old: AnyObject) -> AnyObject:
            return obj

    return await change(core, call, produce, subresource=subresource)


def check_name(obj: AnyObject, call: Call) -> None:
    """The object's name is the one in the URL."""
    name = call.info.name
    if not obj.metadata.name:
        if obj.metadata.generate_name or name:
            obj.metadata.name = name
    elif obj.metadata.name != name:
        raise errors.bad_request(
            f"the name of the object ({obj.metadata.name}) does not match the name on the URL ({name})"
        )


def _missing(call: Call) -> bool:
    storage = call.resource.storage
    assert storage is not None
    return call.resource.key(call.info.namespace, call.info.name) not in storage.items
