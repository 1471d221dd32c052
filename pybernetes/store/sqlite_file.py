"""The file below the sqlite store: an append-only log of writes, and everything that blocks.

One table, `log(rev, key, value, created)`; a NULL value is a deletion. The row of a revision is written once and never
changed, so an insert touches the right edge of one B-tree and nothing else; there is no index on keys, because all live
keys are in memory and the rows a compaction makes superfluous are known there. The file stays bounded by deleting
those rows and giving their pages back (incremental vacuum).

A batch is one multi-row INSERT, not `executemany`: each sqlite call gives up the interpreter lock and has to win it
back from a busy event loop, and one call per batch does that once.

All functions block and belong to one thread (the store's writer), except `backup`, which uses a connection of its own.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from pybernetes.store.errors import StoreCorrupt, StoreError, StoreLocked
from pybernetes.store.protocol import Entry, Event, Seal, Stamp

#: `PRAGMA application_id` of our files ("pybe"), and `user_version`, the format of the log.
APPLICATION_ID = 0x70796265
FORMAT = 1

#: One row of the log: revision, key, value (None: deleted), create revision.
Row = tuple[int, str, bytes | None, int]

ROWS_PER_INSERT = 250
VACUUM_PAGES = 128  # given back between two batches
SPARE_PAGES = 256  # never given back


@dataclass
class Loaded:
    """What a file contained: live entries, events above `compacted`, and rows no reader can reach any more."""

    entries: dict[str, Entry]
    history: list[Event]
    revision: int
    compacted: int
    garbage: list[int]


class LogFile:
    """An open log. Errors of sqlite come out as `StoreError`; a failed call has changed nothing."""

    def __init__(self, path: Path, seal: Seal | None = None) -> None:
        self.path = path
        self._seal = seal
        self._lock = -1
        self._db: sqlite3.Connection | None = None
        self._inserts: dict[int, str] = {}

    @property
    def db(self) -> sqlite3.Connection:
        if self._db is None:
            raise StoreError(f"{self.path} is not open")
        return self._db

    def open(self) -> None:
        """Lock the file for this process and prepare it. Raises StoreLocked, StoreCorrupt, StoreError."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._acquire()
            _make_private(self.path)
            self._db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=5)
            self._prepare(self._db)
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise _explain(self.path, error) from error
        except StoreError:
            self.close()
            raise

    def _acquire(self) -> None:
        # A lock file of its own: closing any descriptor of the database itself would drop sqlite's own locks, and
        # other processes may read (back up) while we write. The kernel releases it however we die.
        self._lock = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._lock, 32, 0).decode(errors="replace").strip() or "unknown"
            raise StoreLocked(f"{self.path} is in use by process {holder}") from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)

    def _prepare(self, db: sqlite3.Connection) -> None:
        application = _number(db, "PRAGMA application_id")
        version = _number(db, "PRAGMA user_version")
        tables = _number(db, "SELECT count(*) FROM sqlite_master")
        if tables and application != APPLICATION_ID:
            raise StoreCorrupt(f"{self.path} is an SQLite database of another application")
        if tables and version != FORMAT:
            raise StoreCorrupt(f"{self.path} has format {version}; this version reads format {FORMAT}")
        if not tables:
            db.execute("PRAGMA auto_vacuum=INCREMENTAL")  # only possible before the first table
        if (mode := db.execute("PRAGMA journal_mode=WAL").fetchone()[0]) != "wal":
            raise StoreError(f"{self.path}: the file system does not support write-ahead logging (got {mode!r})")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("PRAGMA journal_size_limit=67108864")
        if not tables:
            db.executescript(
                f"""BEGIN;
                CREATE TABLE log(rev INTEGER PRIMARY KEY, key TEXT NOT NULL, value BLOB, created INTEGER NOT NULL);
                CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
                INSERT INTO meta VALUES ('compacted', 0);
                PRAGMA application_id={APPLICATION_ID};
                PRAGMA user_version={FORMAT};
                COMMIT;"""
            )

    def load(self, stamp: Stamp) -> Loaded:
        """Read everything. Raises StoreCorrupt when the log contradicts itself."""
        try:
            return self._load(stamp)
        except sqlite3.Error as error:
            raise _explain(self.path, error) from error

    def _load(self, stamp: Stamp) -> Loaded:
        row = self.db.execute("SELECT value FROM meta WHERE name='compacted'").fetchone()
        if row is None:
            raise StoreCorrupt(f"{self.path}: the compacted revision is missing")
        compacted: int = row[0]
        found = Loaded({}, [], max(compacted, 1), compacted, [])
        entries = found.entries
        for rev, key, value, created in self.db.execute("SELECT rev, key, value, created FROM log ORDER BY rev"):
            before = entries.get(key)
            if value is not None and self._seal is not None:
                value = self._seal.unseal(key, value)
            if rev > compacted:
                if (value is None and before is None) or created != (before.create_revision if before else rev):
                    raise StoreCorrupt(f"{self.path}: the log contradicts itself at revision {rev}")
                old, old_revision = (before.value, before.revision) if before else (None, 0)
                if value is not None:
                    found.history.append(Event("put", key, value, old, rev, created, old_revision))
                else:
                    found.history.append(Event("delete", key, stamp(old or b"", rev), old, rev, created, old_revision))
            else:  # left by a compaction that was interrupted
                found.garbage += [before.revision] if before else []
                found.garbage += [rev] if value is None else []
            if value is None:
                entries.pop(key, None)
            else:
                entries[key] = Entry(key, value, rev, created)
            found.revision = max(found.revision, rev)
        return found

    def append(self, rows: Sequence[Row]) -> None:
        """Make rows durable, all or none."""
        if (seal := self._seal) is not None:
            rows = [(r, key, None if value is None else seal.seal(key, value), made) for r, key, value, made in rows]
        try:
            if len(rows) <= ROWS_PER_INSERT:  # one statement is its own transaction
                self._insert(rows)
                return
            self.db.execute("BEGIN IMMEDIATE")
            for start in range(0, len(rows), ROWS_PER_INSERT):
                self._insert(rows[start : start + ROWS_PER_INSERT])
            self.db.execute("COMMIT")
        except sqlite3.Error as error:
            self._undo()
            raise _explain(self.path, error) from error

    def _insert(self, rows: Sequence[Row]) -> None:
        sql = self._inserts.get(len(rows))
        if sql is None:
            sql = "INSERT INTO log VALUES " + ",".join(["(?,?,?,?)"] * len(rows))
            self._inserts[len(rows)] = sql
        self.db.execute(sql, [column for row in rows for column in row])

    def forget(self, compacted: int, revisions: Sequence[int]) -> None:
        """Record the compacted revision and delete rows it made superfluous.

        Called with parts of a long list in its order: a deletion's row must not go before the row of the value deleted,
        or an interruption between the two would bring the value back.
        """
        try:
            self.db.execute("BEGIN IMMEDIATE")
            self.db.execute("UPDATE meta SET value=max(value, ?) WHERE name='compacted'", (compacted,))
            if revisions:
                marks = ",".join("?" * len(revisions))
                self.db.execute(f"DELETE FROM log WHERE rev IN ({marks})", revisions)
            self.db.execute("COMMIT")
        except sqlite3.Error as error:
            self._undo()
            raise _explain(self.path, error) from error

    def vacuum(self) -> bool:
        """Give some free pages back to the file system; True if there is more to give.

        An eighth of the file stays free for what comes next: giving and taking the same pages would cost writes.
        """
        try:
            free, pages = _number(self.db, "PRAGMA freelist_count"), _number(self.db, "PRAGMA page_count")
            spare = free - max(SPARE_PAGES, pages // 8)
            if spare <= 0:
                return False
            # not `execute`: this pragma frees one page per step, and `execute` takes one step
            self.db.executescript(f"PRAGMA incremental_vacuum({min(spare, VACUUM_PAGES)})")
            return spare > VACUUM_PAGES
        except sqlite3.Error as error:
            self._undo()
            raise _explain(self.path, error) from error

    def _undo(self) -> None:
        if self._db is not None and self._db.in_transaction:
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")

    def close(self) -> None:
        """Close and unlock. May be called twice."""
        if self._db is not None:
            with suppress(sqlite3.Error):  # a failing last checkpoint loses nothing: the log beside the file stays
                self._db.close()
            self._db = None
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def backup(source: str | Path, target: str | Path) -> None:
    """Copy the store's file `source` to `target` as of one revision, while its owner goes on writing.

    Works from any thread or process. Blocks as long as the copy takes. `target` appears complete or not at all, mode
    0600, as one file that a store opens. Raises StoreError.
    """
    source, target = Path(source), Path(target)
    if not source.is_file():
        raise StoreError(f"{source} does not exist")
    part = target.with_name(target.name + ".part")
    try:
        part.unlink(missing_ok=True)
        _make_private(part)
        with closing(sqlite3.connect(source, isolation_level=None)) as src:
            if _number(src, "PRAGMA application_id") != APPLICATION_ID:
                raise StoreCorrupt(f"{source} is not a store of this application")
            with closing(sqlite3.connect(part, isolation_level=None)) as dst:
                src.backup(dst)  # one step: one read transaction, which in WAL mode hinders no writer
                dst.execute("PRAGMA journal_mode=DELETE")  # fold everything into the one file
        _sync(part)
        part.replace(target)
        _sync(target.parent)
    except (sqlite3.Error, OSError) as error:
        raise _explain(source, error) from error
    finally:
        part.unlink(missing_ok=True)


def verify(path: str | Path) -> None:
    """Read all of a store's file that nobody has open. Raises StoreCorrupt when anything in it is damaged: a copy is
    made page by page, and takes the damage with it."""
    path = Path(path)
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            (said,) = db.execute("PRAGMA integrity_check(1)").fetchone()
    except sqlite3.Error as error:
        said = str(error)
    if said != "ok":
        raise StoreCorrupt(f"{path} is damaged: {said}")


def replace_file(path: str | Path, new: str | Path) -> None:
    """Put a store's file in the place of another; nobody has either open. Whatever happens on the way, one of the two
    is there, complete. Raises StoreError."""
    path, new = Path(path), Path(new)
    try:
        with closing(sqlite3.connect(new, isolation_level=None)) as db:
            db.execute("PRAGMA journal_mode=DELETE")  # fold everything into the one file, if its owner could not
        with suppress(sqlite3.Error), closing(sqlite3.connect(path, isolation_level=None)) as old:
            old.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # its log must not meet the new file
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        new.replace(path)
        _sync(path.parent)
    except (sqlite3.Error, OSError) as error:
        raise _explain(path, error) from error


def _make_private(path: Path) -> None:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(fd, 0o600)  # the log and index beside it inherit the mode
    finally:
        os.close(fd)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _number(db: sqlite3.Connection, sql: str) -> int:
    return int(db.execute(sql).fetchone()[0])


def _explain(path: Path, error: Exception) -> StoreError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StoreCorrupt(f"{path}: {error}")
    return StoreError(f"{path}: {error}")
