"""LIST: items out of the cache, or for an older snapshot out of the store's history.

Pages are consistent: the continue token carries the revision of the first page. As long as the resource has not changed
since, the cache still is that snapshot; else the store undoes its history.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right

from pybernetes.control_plane.apiserver import selection
from pybernetes.control_plane.apiserver.cache import Item, Storage, too_large_revision
from pybernetes.control_plane.apiserver.call import Call, Result
from pybernetes.control_plane.apiserver.core import Core
from pybernetes.control_plane.apiserver.selection import Selection
from pybernetes.control_plane.apiserver.verbs.versions import EXACT, Token, check_list, decode_token, revision_of
from pybernetes.machinery import errors
from pybernetes.store import Compacted, FutureRevision

_EXPIRED = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)


async def list_(core: Core, call: Call) -> Result:
    """The objects that the request selects."""
    resource = call.resource
    storage = resource.storage
    assert storage is not None
    chosen = selection.of(call, resource)
    cache = core.cache
    if not call.params:
        await cache.fresh()
        return Result(resource=resource, items=storage.list(chosen.namespace), revision=cache.revision)
    check_list(call, watching=False)
    limit = call.integer("limit") or 0
    token_text = call.param("continue")
    version = call.param("resourceVersion")
    if token_text:
        if version and version != "0":
            raise errors.bad_request("specifying resource version is not allowed when using continue")
        token = decode_token(token_text)
        await cache.fresh()
        revision = cache.revision if token.revision < 0 else token.revision
        return await _page(core, call, chosen, revision, token.after, limit)
    revision_wanted = revision_of(version)
    if revision_wanted is None:
        await cache.fresh()
    elif call.param("resourceVersionMatch") == EXACT or (limit and revision_wanted and not _match(call)):
        await cache.fresh()
        if revision_wanted > cache.revision:
            raise too_large_revision(revision_wanted, cache.revision)
        return await _page(core, call, chosen, revision_wanted, "", limit)
    elif revision_wanted:
        await cache.reach(revision_wanted)
    if limit and revision_wanted != 0:
        return await _page(core, call, chosen, cache.revision, "", limit)
    items = storage.list(chosen.namespace)
    if chosen.predicate is not None:
        items = [item for item in items if chosen.predicate(item)]
    return Result(resource=resource, items=items, revision=cache.revision)


def _match(call: Call) -> str:
    return call.param("resourceVersionMatch")


async def _page(core: Core, call: Call, chosen: Selection, revision: int, after: str, limit: int) -> Result:
    """`limit` items (0: all) behind the relative key `after`, as of `revision`."""
    storage = call.resource.storage
    assert storage is not None
    scope = f"{storage.prefix}{chosen.namespace}/" if chosen.namespace else storage.prefix
    start = storage.prefix + after if after else ""
    if storage.revision <= revision and storage.floor <= revision:
        items, remaining = _from_cache(storage, chosen, start, limit)
    else:
        items, remaining = await _from_store(core, storage, chosen, scope, start, limit, revision)
    continue_ = ""
    left: int | None = None
    if limit and remaining:
        continue_ = Token(revision, items[-1].key[len(storage.prefix) :]).encode()
        if chosen.predicate is None:
            left = remaining
    return Result(resource=call.resource, items=items, revision=revision, continue_=continue_, remaining=left)


def _from_cache(storage: Storage, chosen: Selection, start: str, limit: int) -> tuple[list[Item], int]:
    first, stop = storage.span(chosen.namespace)
    keys, items = storage.keys, storage.items
    if start:
        first = max(first, bisect_right(keys, start, first, stop))
    predicate = chosen.predicate
    if predicate is None:
        end = min(stop, first + limit) if limit else stop
        return [items[key] for key in keys[first:end]], stop - end
    found: list[Item] = []
    for at in range(first, stop):
        item = items[keys[at]]
        if predicate(item):
            if limit and len(found) == limit:
                return found, 1
            found.append(item)
    return found, 0


async def _from_store(
    core: Core, storage: Storage, chosen: Selection, scope: str, start: str, limit: int, revision: int
) -> tuple[list[Item], int]:
    found: list[Item] = []
    predicate = chosen.predicate
    while True:
        try:
            page = await core.cache.store.list(scope, limit=limit, after=start, revision=revision)
        except Compacted:
            raise _expired(core, storage, start) from None
        except FutureRevision as error:
            raise too_large_revision(revision, error.current_revision) from None
        for entry in page.entries:
            item = Item(storage, entry.key, entry.value, entry.revision, entry.create_revision)
            if predicate is None or predicate(item):
                if predicate is not None and limit and len(found) == limit:
                    return found, 1
                found.append(item)
        if predicate is None or not page.remaining:
            return found, page.remaining
        start = page.entries[-1].key
        await asyncio.sleep(0)


def _expired(core: Core, storage: Storage, start: str) -> errors.StatusError:
    """410, with a token that goes on from the same place in the present."""
    if not start:
        return errors.expired("The resourceVersion for the provided list is too old.")
    error = errors.expired(_EXPIRED)
    error.status.metadata.continue_ = Token(-1, start[len(storage.prefix) :]).encode()
    return error
