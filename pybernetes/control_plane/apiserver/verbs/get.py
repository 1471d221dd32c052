"""GET of one object: from the cache, which is as fresh as the store."""

from __future__ import annotations

from pybernetes.control_plane.apiserver.cache import Item
from pybernetes.control_plane.apiserver.call import Call, Result
from pybernetes.control_plane.apiserver.core import Core
from pybernetes.control_plane.apiserver.verbs.versions import revision_of
from pybernetes.machinery import errors


async def get(core: Core, call: Call) -> Result:
    """The object named by the request."""
    await settle(core, call)
    return Result(resource=call.resource, item=find(call))


async def settle(core: Core, call: Call) -> None:
    """Have the cache reach what the request's resourceVersion asks for; as fresh as the store when it is unset."""
    revision = revision_of(call.param("resourceVersion")) if call.params else None
    if revision is None:
        await core.cache.fresh()
    elif revision:
        await core.cache.reach(revision)


def find(call: Call) -> Item:
    """The item the request names. Raises 404."""
    resource, info = call.resource, call.info
    storage = resource.storage
    assert storage is not None
    item = storage.items.get(resource.key(info.namespace, info.name))
    if item is None:
        raise errors.not_found(resource.group_resource, info.name)
    return item
