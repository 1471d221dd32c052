"""All of one store into another, whatever the two are.

The source is read at one revision. The target must be empty; it ends at a revision above the source's, so that whoever
remembers a revision of the source never sees it come again with another meaning: at worst a watcher is told to list
anew. Where the target would end lower, empty writes lift it.

A copy that is cut off leaves a target that says so (`closed`): no API server starts on it, and the next copy empties
it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from pybernetes.store import closed
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


async def check_source(source: Source) -> None:
    """Raises StoreError when a store must not be copied."""
    if any(entry.key == closed.KEY for entry in (await source.list(closed.KEY, limit=1)).entries):
        raise StoreError("the store to copy from is not to be used itself: it is half a copy, or has moved")


async def copy_all(
    source: Source, target: Store, before_use: Callable[[], Awaitable[None]] | None = None
) -> tuple[int, int]:
    """(objects copied, the target's revision). Raises StoreError, also when the target is not empty and not half a
    copy, or the source is one.

    before_use: called when all is there; if it raises, the target stays half a copy.
    """
    await check_source(source)
    if await closed.reason(target) != closed.HALF:
        if (await target.list("", limit=1)).entries:
            raise StoreError("the store to copy into is not empty")
        await closed.close(target, closed.HALF)
    count = 0

    async def remove(entry: Entry) -> None:
        if entry.key != closed.KEY:
            await target.delete(entry.key, entry.revision)

    async def write(entry: Entry) -> None:
        nonlocal count
        await target.create(entry.key, entry.value)
        count += 1

    with _first_error():
        await _each(target, remove)
        await _each(source, write)
        await _lift(target, await source.current_revision())
    if before_use is not None:
        await before_use()
    await closed.reopen(target)
    return count, await target.current_revision()


@contextmanager
def _first_error() -> Iterator[None]:
    """Of the many that failing together may raise, one StoreError."""
    failed: BaseExceptionGroup[StoreError] | None = None
    try:
        yield
    except* StoreError as group:
        failed = group
    if failed is not None:
        raise failed.exceptions[0]


async def _each(source: Source, action: Callable[[Entry], Awaitable[None]]) -> None:
    """Do it to every entry, many at a time."""
    entries: asyncio.Queue[Entry | None] = asyncio.Queue(_WRITERS * 4)

    async def work() -> None:
        while (entry := await entries.get()) is not None:
            await action(entry)

    async with asyncio.TaskGroup() as group:
        for number in range(_WRITERS):
            group.create_task(work(), name=f"copy-{number}")
        async for one in _all(source):
            await entries.put(one)
        for _ in range(_WRITERS):
            await entries.put(None)


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


async def _lift(target: Store, revision: int) -> None:
    """Write nothings until the target's revision is above `revision`."""

    async def bump(number: int) -> None:
        made = await target.create(f"{_LIFT}{number}", _NOTHING)
        await target.delete(made.key, made.revision)

    while (now := await target.current_revision()) <= revision:
        async with asyncio.TaskGroup() as group:
            for number in range(min(_WRITERS * 8, (revision - now) // 2 + 1)):
                group.create_task(bump(number), name=f"lift-{number}")
