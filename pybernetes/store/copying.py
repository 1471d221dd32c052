"""All of one store into another, whatever the two are.

The source is read at one revision. The target must be empty; it ends at a revision above the source's, so that whoever
remembers a revision of the source never sees it come again with another meaning: at worst a watcher is told to list
anew. Where the target would end lower, empty writes lift it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

from pybernetes.store.errors import StoreError
from pybernetes.store.protocol import Entry, Page, Store

_PAGE, _WRITERS = 1000, 32
#: An empty write: outside of what anybody reads, and of a form that any stamp can mark.
_LIFT, _NOTHING = "/pybernetes/lift/", b'{"metadata":{"name":"lift"}}'


class Source(Protocol):
    """What can be copied: a store, or what is left of one."""

    async def list(self, prefix: str, *, limit: int = 0, after: str = "", revision: int = 0) -> Page:
        """See `Store`."""

    async def current_revision(self) -> int:
        """See `Store`."""


async def copy_all(source: Source, target: Store) -> tuple[int, int]:
    """(objects copied, the target's revision). Raises StoreError when the target is not empty."""
    if (await target.list("", limit=1)).entries:
        raise StoreError("the store to copy into is not empty")
    entries: asyncio.Queue[Entry | None] = asyncio.Queue(_WRITERS * 4)
    count = 0

    async def write() -> None:
        while (entry := await entries.get()) is not None:
            await target.create(entry.key, entry.value)

    async with asyncio.TaskGroup() as group:
        for number in range(_WRITERS):
            group.create_task(write(), name=f"copy-{number}")
        async for entry in _all(source):
            await entries.put(entry)
            count += 1
        for _ in range(_WRITERS):
            await entries.put(None)
    return count, await _lift(target, await source.current_revision())


async def _all(source: Source) -> AsyncIterator[Entry]:
    """Every entry, as of one revision."""
    after, revision = "", 0
    while True:
        page = await source.list("", limit=_PAGE, after=after, revision=revision)
        for entry in page.entries:
            yield entry
        if not page.remaining:
            return
        after, revision = page.entries[-1].key, page.revision


async def _lift(target: Store, revision: int) -> int:
    """Write nothings until the target's revision is above `revision`."""

    async def bump(number: int) -> None:
        made = await target.create(f"{_LIFT}{number}", _NOTHING)
        await target.delete(made.key, made.revision)

    while (now := await target.current_revision()) <= revision:
        async with asyncio.TaskGroup() as group:
            for number in range(min(_WRITERS * 8, (revision - now) // 2 + 1)):
                group.create_task(bump(number), name=f"lift-{number}")
    return now
