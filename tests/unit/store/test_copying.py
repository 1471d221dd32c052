"""All of one store in another: every key, nothing of the past, and revisions that never go back."""

from __future__ import annotations

from pathlib import Path

import pytest

from pybernetes.bootstrap import restore
from pybernetes.control_plane.apiserver.server import APIServer, Config
from pybernetes.store import Entry, Page, StoreError, StoreUnavailable, closed
from pybernetes.store.copying import copy_all
from pybernetes.store.memory import MemoryStore
from pybernetes.store.sqlite import SqliteStore
from tests.suites.store_contract import stamp


async def filled(count: int, *, changes: int = 0) -> MemoryStore:
    store = MemoryStore(stamp=stamp)
    await store.start()
    for number in range(count):
        entry = await store.create(f"/registry/a/{number:05}", b"%d" % number)
        for _ in range(changes):
            entry = await store.update(entry.key, b"%d" % number, entry.revision)
    return store


@pytest.mark.parametrize(("count", "changes"), [(0, 0), (3, 7), (2500, 1)])
async def test_everything_arrives_at_a_higher_revision(count: int, changes: int) -> None:
    source, target = await filled(count, changes=changes), MemoryStore()
    await target.start()
    copied, revision = await copy_all(source, target)
    assert copied == count
    there, here = await source.list("/registry/"), await target.list("/registry/")
    assert [(e.key, e.value) for e in there.entries] == [(e.key, e.value) for e in here.entries]
    assert revision == await target.current_revision() > await source.current_revision()
    assert len((await target.list("")).entries) == count, "what lifted the revision is gone"
    await source.close()
    await target.close()


async def test_a_store_in_use_is_not_copied_into() -> None:
    source, target = await filled(2), await filled(1)
    with pytest.raises(StoreError, match="not empty"):
        await copy_all(source, target)
    await source.close()
    await target.close()


class Interrupted:
    """A source that is away after the first page."""

    def __init__(self, source: MemoryStore) -> None:
        self.source = source

    async def list(self, prefix: str, *, limit: int = 0, after: str = "", revision: int = 0) -> Page:
        if after:
            raise StoreUnavailable("gone")
        return await self.source.list(prefix, limit=limit, after=after, revision=revision)

    async def current_revision(self) -> int:
        return await self.source.current_revision()


class Failing(MemoryStore):
    """A target that soon takes nothing more."""

    left = 100

    async def create(self, key: str, value: bytes) -> Entry:
        if not self.left:
            raise StoreUnavailable("full")
        self.left -= 1
        return await super().create(key, value)


async def test_a_copy_that_was_cut_off_says_so_and_is_completed_by_the_next() -> None:
    source, target, failing = await filled(2500), MemoryStore(), Failing()
    await target.start()
    await failing.start()
    with pytest.raises(StoreUnavailable, match="gone"):
        await copy_all(Interrupted(source), target)
    with pytest.raises(StoreUnavailable, match="full"):
        await copy_all(source, failing)
    for half in (target, failing):
        assert len((await half.list("/registry/")).entries) > 0
        with pytest.raises(StoreError, match="not to be used: a copy into it has not come to its end"):
            await closed.check(half)
        with pytest.raises(StoreError, match="half a copy"):
            await copy_all(half, MemoryStore())
        failing.left = 10_000
        await copy_all(source, half)
        await closed.check(half)
        found = (await half.list("")).entries
        assert [e.key for e in found] == [e.key for e in (await source.list("")).entries]
        await half.close()
    await source.close()


async def test_a_copy_that_is_not_wanted_in_the_end_stays_half() -> None:
    source, target = await filled(10), MemoryStore()
    await target.start()

    async def not_alone() -> None:
        assert len((await target.list("/registry/")).entries) == 10
        raise StoreUnavailable("somebody writes")

    with pytest.raises(StoreUnavailable, match="somebody writes"):
        await copy_all(source, target, not_alone)
    assert await closed.reason(target) == closed.HALF
    assert (await copy_all(source, target))[0] == 10 and not await closed.reason(target)
    await target.close()
    await source.close()


async def test_nothing_of_a_closed_store_comes_into_one_that_is_in_use() -> None:
    saved, target = await filled(3), await filled(2)
    await closed.close(saved, "it has moved")
    with pytest.raises(StoreError, match="or has moved"):
        await restore._fill(target, saved)
    assert not await closed.reason(target) and len((await target.list("")).entries) == 2
    await target.close()
    await saved.close()


async def test_no_api_server_starts_on_a_store_that_is_closed() -> None:
    store = MemoryStore()
    await store.start()
    await closed.close(store, "it has moved")
    with pytest.raises(StoreError, match="not to be used: it has moved"):
        await APIServer(Config(store=store, listen=False)).run()


@pytest.mark.real_time
async def test_a_file_that_was_copied_into_opens_again(tmp_path: Path) -> None:
    source = await filled(50, changes=3)
    target = SqliteStore(tmp_path / "store.db")
    await target.start()
    _, revision = await copy_all(source, target)
    await target.close()
    again = SqliteStore(tmp_path / "store.db")
    await again.start()
    assert await again.current_revision() >= revision
    assert len((await again.list("/registry/")).entries) == 50
    await again.close()
    await source.close()
