"""The sqlite store's own promises: durability, one owner, a bounded file, failures that change nothing."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import stat
import threading
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from pybernetes.store import Entry, RevisionConflict, StoreCorrupt, StoreError, StoreLocked
from pybernetes.store.sqlite import SqliteStore
from pybernetes.store.sqlite_file import LogFile, Row, backup, replace_file
from pybernetes.store.state import Retention
from tests.suites.store_contract import stamp, take

pytestmark = pytest.mark.real_time


@asynccontextmanager
async def opened(path: Path, retention: Retention = Retention()) -> AsyncIterator[SqliteStore]:  # noqa: B008 frozen
    store = SqliteStore(path, stamp=stamp, retention=retention)
    await store.start()
    try:
        yield store
    finally:
        await store.close()


async def churn(store: SqliteStore, keys: int, rounds: int, size: int = 500) -> None:
    """Write `keys` keys `rounds` times each, all at once."""

    async def write(key: str) -> None:
        entry = await store.create(key, b"0" * size)
        for number in range(rounds - 1):
            entry = await store.update(key, b"%d" % number * size, entry.revision)

    async with asyncio.TaskGroup() as group:
        for number in range(keys):
            group.create_task(write(f"/churn/{number}"), name=f"churn-{number}")


async def test_restart_keeps_entries_history_and_revision(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with opened(path) as store:
        a = await store.create("/a", b"1")
        b = await store.create("/b", b"1")
        a2 = await store.update("/a", b"2", a.revision)
        await store.compact(a2.revision)
        gone = await store.delete("/b", b.revision)
        c = await store.create("/b", b"reborn")
        events = await take(store, "/", a2.revision, c.revision)
    async with opened(path) as store:
        assert (await store.list("/")).entries == [a2, c]
        assert store.compacted_revision == a2.revision
        assert await store.current_revision() == c.revision
        assert await take(store, "/", a2.revision, c.revision) == events
        assert (await store.list("/", revision=a2.revision)).entries == [a2, b]
        assert [event.value for event in events] == [b"1@%d" % gone.revision, c.value]
        assert (await store.create("/d", b"")).revision == c.revision + 1


async def test_revisions_are_not_reused_when_the_last_write_was_compacted_away(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with opened(path) as store:
        made = await store.create("/a", b"1")
        gone = await store.delete("/a", made.revision)
        await store.compact(gone.revision)
    async with opened(path) as store:
        assert (await store.list("")).entries == []
        assert (await store.create("/a", b"2")).revision == gone.revision + 1


async def test_one_owner(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with opened(path):
        other = SqliteStore(path)
        with pytest.raises(StoreLocked, match="in use by process"):
            await other.start()
    async with opened(path) as store:
        assert await store.current_revision() == 1


async def test_files_are_private(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "store.db"
    async with opened(path) as store:
        await store.create("/secret", b"s")
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes.keys() >= {"store.db", "store.db-wal", "store.db.lock"}
    assert set(modes.values()) == {0o600}


async def test_foreign_and_damaged_files_are_refused(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.db"
    with closing(sqlite3.connect(foreign)) as db:
        db.execute("CREATE TABLE things(a)")
        db.commit()
    text = tmp_path / "text.db"
    text.write_bytes(b"this is no database at all" * 100)
    newer = tmp_path / "newer.db"
    async with opened(newer) as store:
        await store.create("/a", b"1")
    with closing(sqlite3.connect(newer)) as db:
        db.execute("PRAGMA user_version=99")
    damaged = tmp_path / "damaged.db"
    async with opened(damaged) as store:
        await churn(store, 50, 4)
    data = bytearray(damaged.read_bytes())
    data[4096 * 3 :] = b"\xff" * (len(data) - 4096 * 3)
    damaged.write_bytes(data)
    contradictory = tmp_path / "contradictory.db"
    async with opened(contradictory) as store:
        await store.create("/a", b"1")
    with closing(sqlite3.connect(contradictory)) as db:
        db.execute("INSERT INTO log VALUES (9, '/never', NULL, 3)")
        db.commit()
    wanted = {foreign: "another application", text: "not a database", newer: "format 99", damaged: "malformed"}
    for path, reason in {**wanted, contradictory: "contradicts itself at revision 9"}.items():
        with pytest.raises(StoreCorrupt, match=reason):
            async with opened(path):
                pass
        with pytest.raises(StoreCorrupt):  # and it is not left locked
            async with opened(path):
                pass
    with pytest.raises(StoreError, match="directory"):
        async with opened(tmp_path):
            pass


async def test_a_full_disk_fails_what_is_pending_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening = LogFile.open

    def small(self: LogFile) -> None:
        opening(self)
        self.db.execute("PRAGMA max_page_count=40")

    monkeypatch.setattr(LogFile, "open", small)
    path = tmp_path / "store.db"
    async with opened(path) as store:
        kept = await store.create("/kept", b"1")
        outcomes: list[object] = []

        async def write(number: int) -> None:
            try:
                outcomes.append(await store.create(f"/big/{number}", b"x" * 50_000))
            except StoreError as error:
                outcomes.append(str(error))

        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(write(number), name=f"writer-{number}")
        made = [outcome for outcome in outcomes if isinstance(outcome, Entry)]
        assert len(made) < 20 and any("full" in str(outcome) for outcome in outcomes)
        assert {entry.key for entry in (await store.list("/big/")).entries} == {entry.key for entry in made}
        assert await store.current_revision() == max([kept.revision, *(entry.revision for entry in made)])
        changed = await store.update("/kept", b"2", kept.revision)  # small enough: life goes on
        assert changed.revision > kept.revision
        everything = await store.list("")
    async with opened(path) as store:
        assert await store.list("") == everything


async def test_a_failed_commit_takes_with_it_what_was_queued_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    appending = LogFile.append
    committing, queued = threading.Event(), threading.Event()

    def fail_once(self: LogFile, rows: Sequence[Row]) -> None:
        if rows[0][1] == "/first":
            committing.set()
            assert queued.wait(10)
            monkeypatch.setattr(LogFile, "append", appending)
            raise StoreError("the disk is on fire")
        appending(self, rows)

    path = tmp_path / "store.db"
    async with opened(path) as store:
        kept = await store.create("/kept", b"1")
        seen: list[str] = []
        store.subscribe("/", after_revision=kept.revision, on_events=lambda es, _: seen.extend(e.key for e in es))
        monkeypatch.setattr(LogFile, "append", fail_once)
        errors: list[str] = []

        async def doomed(write: Coroutine[None, None, Entry]) -> None:
            with pytest.raises(StoreError, match="on fire") as caught:
                await write
            errors.append(str(caught.value))

        async with asyncio.TaskGroup() as group:
            group.create_task(doomed(store.create("/first", b"")), name="first")
            await asyncio.to_thread(committing.wait, 10)
            group.create_task(doomed(store.create("/second", b"")), name="second")
            group.create_task(doomed(store.delete("/kept", kept.revision)), name="third")
            loser = group.create_task(store.update("/kept", b"2", kept.revision), name="judged again")
            await asyncio.sleep(0)
            queued.set()
        assert len(errors) == 3
        # The update had met a pending deletion; that failed, so the update is right after all.
        assert loser.result().value.startswith(b"2@") and loser.result().revision > kept.revision + 3
        assert await store.get("/first") is None and await store.get("/second") is None
        again = await store.create("/second", b"now")
        assert seen == ["/kept", "/second"]
        assert (await store.list("")).entries == [loser.result(), again]
    async with opened(path) as store:
        assert (await store.list("")).entries == [loser.result(), again]


async def test_commits_go_on_under_a_loop_that_is_never_idle(tmp_path: Path) -> None:
    async with opened(tmp_path / "store.db") as store:
        done = False

        async def spin() -> None:
            while not done:  # noqa: ASYNC110 being busy is the point
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as group:
            group.create_task(spin(), name="spin")
            async with asyncio.timeout(20):
                await churn(store, 4, 50)
            done = True
        assert await store.current_revision() == 201


async def test_pipelined_writers_of_one_key(tmp_path: Path) -> None:
    """Writes are judged against pending ones: exactly one of many that expect the same revision gets through."""
    async with opened(tmp_path / "store.db") as store:
        entry = await store.create("/a", b"0")
        outcomes: list[str] = []

        async def update(number: int) -> None:
            try:
                await store.update("/a", b"%d" % number, entry.revision)
                outcomes.append("won")
            except RevisionConflict as conflict:
                now = await store.get("/a")  # the loser can see who won: it is told only after the commit
                assert conflict.current == now and now is not None and now.revision > entry.revision
                outcomes.append("lost")

        async with asyncio.TaskGroup() as group:
            for number in range(30):
                group.create_task(update(number), name=f"writer-{number}")
        assert sorted(outcomes) == ["lost"] * 29 + ["won"]


async def test_a_cancelled_writer_harms_no_other(tmp_path: Path) -> None:
    async with opened(tmp_path / "store.db") as store:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(store.create(f"/{i}", b"v"), name=f"writer-{i}") for i in range(10)]
            group.create_task(asyncio.sleep(0), name="one turn")
            await asyncio.sleep(0)
            tasks[3].cancel()
        assert [task.cancelled() for task in tasks] == [i == 3 for i in range(10)]
        assert {f"/{i}" for i in range(10) if i != 3} <= {entry.key for entry in (await store.list("")).entries}


async def test_the_file_stays_bounded_under_churn(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    sizes = []
    async with opened(path) as store:
        for _ in range(4):
            await churn(store, 50, 40, size=2000)
            for entry in (await store.list("/churn/")).entries:
                await store.delete(entry.key, entry.revision)
            await store.compact(await store.current_revision())
            sizes.append(path.stat().st_size)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT count(*) FROM log").fetchone()[0] == 0
    written = 50 * 40 * 2000  # in each round
    assert path.stat().st_size < 300 * 4096  # only the spare pages are left
    assert max(sizes) < 2 * written  # and what was written once was used again


async def test_an_interrupted_compaction_is_finished_at_the_next_start(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with opened(path) as store:
        await churn(store, 5, 10)
        doomed = await store.create("/doomed", b"1")
        gone = await store.delete("/doomed", doomed.revision)
    with closing(sqlite3.connect(path)) as db:  # as if killed between recording the floor and deleting rows
        db.execute("UPDATE meta SET value=? WHERE name='compacted'", (gone.revision,))
        db.commit()
    async with opened(path) as store:
        assert len((await store.list("/churn/")).entries) == 5
        assert await store.get("/doomed") is None
        await store.create("/later", b"")
        await store.compact(await store.current_revision())
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT count(*) FROM log").fetchone()[0] == 6


async def test_retention_trims_memory_and_file(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with opened(path, Retention(max_events=100)) as store:
        await churn(store, 10, 100, size=10)
        revision = await store.current_revision()
        assert revision - 210 <= store.compacted_revision < revision
        await store.compact(store.compacted_revision)
    async with opened(path, Retention(max_events=100)) as store:
        assert len(await take(store, "", store.compacted_revision, revision)) == revision - store.compacted_revision


async def test_backup_under_load_is_one_revision(tmp_path: Path) -> None:
    copies = [tmp_path / f"copy{i}.db" for i in range(3)]
    async with opened(tmp_path / "store.db") as store:
        async with asyncio.TaskGroup() as group:
            load = group.create_task(churn(store, 20, 200), name="load")
            while await store.current_revision() < 200:  # noqa: ASYNC110 a writer thread is under way
                await asyncio.sleep(0)
            for copy in copies:
                await store.backup(copy)
            assert not load.done() or await store.current_revision() > 200
        end = await store.current_revision()
        events = await take(store, "", 1, end)
    for copy in copies:
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600
        async with opened(copy) as restored:
            at = await restored.current_revision()
            assert await take(restored, "", 1, at) == [event for event in events if event.revision <= at]
    assert not (tmp_path / "copy0.db.part").exists()
    with pytest.raises(StoreError, match="does not exist"):
        backup(tmp_path / "nothing.db", tmp_path / "copy.db")


async def test_a_file_takes_its_log_along_into_the_place_of_another(tmp_path: Path) -> None:
    path, new = tmp_path / "store.db", tmp_path / "new"
    async with opened(path) as old, opened(tmp_path / "made") as made:
        await old.create("/registry/a/old", b"1")
        await made.create("/registry/a/new", b"1")
        for suffix in ("", "-wal"):  # as its owner leaves it whose last checkpoint fails
            shutil.copy(tmp_path / f"made{suffix}", tmp_path / f"new{suffix}")
    replace_file(path, new)
    async with opened(path) as found:
        assert [entry.key for entry in (await found.list("/registry/")).entries] == ["/registry/a/new"]
    assert not [name for name in os.listdir(tmp_path) if name.startswith("new")]
