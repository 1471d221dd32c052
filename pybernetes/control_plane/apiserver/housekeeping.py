"""What has to be cleaned up regularly: the store's history, and Events that nobody will read any more."""

from __future__ import annotations

import logging

from pybernetes.aio import clock
from pybernetes.control_plane.apiserver.cache import Item, WatchCache
from pybernetes.store import RevisionConflict, StoreError

log = logging.getLogger(__name__)

#: Seconds between looks for old Events.
_SWEEP = 60.0


async def compact(cache: WatchCache, interval: float) -> None:
    """Forget, every `interval` seconds, what is older than one interval: a watch can resume for at least that long."""
    last = cache.revision
    while True:
        await clock.sleep(interval)
        revision, last = last, cache.revision
        if revision <= cache.store.compacted_revision:
            continue
        try:
            await cache.store.compact(revision)
        except StoreError as error:
            log.warning("compaction at %d failed: %s", revision, error)
            continue
        cache.forget(revision)


async def expire_events(cache: WatchCache, ttl: float) -> None:
    """Remove Events `ttl` seconds after their last write, as upstream's leases do.

    Writes are told by revision, so the sweeper notes when it first saw each; after a restart the clock starts anew.
    """
    storage = cache.storage("", "events")
    seen: dict[str, tuple[int, float]] = {}
    while True:
        await clock.sleep(_SWEEP)
        now = clock.monotonic()
        old: list[Item] = []
        for key, item in storage.items.items():
            noted = seen.get(key)
            if noted is None or noted[0] != item.revision:
                seen[key] = (item.revision, now)
            elif now - noted[1] >= ttl:
                old.append(item)
        for item in old:
            seen.pop(item.key, None)
            try:
                await storage.delete(item.key, item.revision)
            except RevisionConflict:
                continue
            except StoreError as error:
                log.warning("an old event could not be removed: %s", error)
                break
        for key in [key for key in seen if key not in storage.items]:
            del seen[key]
