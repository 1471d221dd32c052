"""All of one store in another: every key, nothing of the past, and revisions that never go back."""

from __future__ import annotations

from pathlib import Path

import pytest

from pybernetes.store import StoreError
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
