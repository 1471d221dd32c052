"""DELETECOLLECTION: each object that the selectors choose, as if deleted by itself; the answer lists them."""

from __future__ import annotations

import msgspec

from pybernetes.control_plane.apiserver import selection
from pybernetes.control_plane.apiserver.body import read_delete_options
from pybernetes.control_plane.apiserver.cache import Item
from pybernetes.control_plane.apiserver.call import Call, Result
from pybernetes.control_plane.apiserver.core import Core
from pybernetes.control_plane.apiserver.verbs.delete import check_delete_options, delete_item
from pybernetes.machinery import errors


async def deletecollection(core: Core, call: Call) -> Result:
    """DELETE of a collection."""
    resource = call.resource
    storage = resource.storage
    assert storage is not None
    options = read_delete_options(call)
    check_delete_options(options)
    chosen = selection.of(call, resource)
    await core.cache.fresh()
    items = [item for item in storage.list(chosen.namespace) if chosen.predicate is None or chosen.predicate(item)]
    limit = call.integer("limit") or 0
    shown: list[Item] = []
    for item in items[:limit] if limit else items:
        try:
            await delete_item(core, call, resource, item, msgspec.structs.replace(options))
        except errors.StatusError as error:
            if not errors.is_not_found(error):
                raise
        else:
            shown.append(item)
    return Result(resource=resource, items=shown, revision=core.cache.revision)
