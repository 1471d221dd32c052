"""The embedded store: everything in memory for reading, every write on disk before it is acknowledged.

Group commit. A write is judged on the event loop against what is committed *and pending*, takes the next revision at
once, and goes to the one writer thread, which commits whatever has come together in the meantime as one transaction.
While the disk syncs one batch, the next one gathers: alone a writer waits for one sync, a hundred writers share it.
When the batch is on disk the loop applies it to `State`, tells the subscribers, and only then lets the writers go on.
So readers see only what is durable, and a writer finds its own write in whatever a subscriber feeds.

If a commit fails (disk full), every write pending fails with it, since each may have been judged by the one before, and
the state is as if they had never been; their revisions are skipped, not reused. Why not a connection pool, or a thread
per write: sqlite has one writer anyhow, and the order of revisions must be the order of commits.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TypeAlias

from pybernetes.store.errors import FutureRevision, KeyExists, RevisionConflict, StoreClosed, StoreError
from pybernetes.store.protocol import Entry, Event, OnEnd, OnEvents, Page, Seal, Stamp, Subscription, unstamped
from pybernetes.store.sqlite_file import Loaded, LogFile, Row, backup
from pybernetes.store.state import Retention, State, check_key
from pybernetes.store.watch import Watch

MAX_BATCH = 2000  # rows in one transaction: bounds how long the first writer waits for the last
FORGET_ROWS = 1000  # rows deleted between two batches
PATIENCE = 0.002  # seconds a commit may take before the loop gives way to the writer thread
GIVE_WAY = (0.0001, 0.0005)  # for how long, and how often


class _Write:
    """A write on its way to the disk."""

    __slots__ = ("after", "event", "followers", "future", "generation")

    def __init__(self, event: Event, generation: int, future: asyncio.Future[Entry]) -> None:
        self.event = event
        self.generation = generation
        self.future = future
        #: The key once this is committed.
        self.after: Entry | None = None
        if event.kind == "put":
            self.after = Entry(event.key, event.value, event.revision, event.create_revision)
        #: Who waits to be judged again when this is settled, one way or the other.
        self.followers: list[asyncio.Future[None]] = []


class _Forget:
    """A compaction on its way to the disk."""

    __slots__ = ("compacted", "future", "recorded", "revisions")

    def __init__(self, compacted: int, revisions: deque[int], future: asyncio.Future[None] | None) -> None:
        self.compacted = compacted
        self.revisions = revisions
        self.recorded = False  # whether the file knows the compacted revision
        self.future = future


_Job: TypeAlias = "_Write | _Forget | None"  # None: finish


class SqliteStore:
    """`Store` in one SQLite file (beside it sqlite's `-wal` and `-shm`, and our `.lock`)."""

    def __init__(
        self,
        path: str | Path,
        *,
        stamp: Stamp = unstamped,
        retention: Retention = Retention(),  # noqa: B008 frozen
        seal: Seal | None = None,
    ) -> None:
        self.path = Path(path)
        self._seal = seal
        self._state = State(stamp, retention)
        self._next = 1  # the revision last given out
        self._pending: dict[str, _Write] = {}  # the last unsettled write of each key
        self._unsettled: deque[_Write] = deque()  # in order of revision, which is the order of commits
        self._generation = 0  # writes of earlier generations were lost to a failed commit
        self._undeleted: deque[int] = deque()  # rows that a failed compaction left
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._finished: asyncio.Future[None] | None = None
        self._patience: asyncio.TimerHandle | None = None
        self._shut = threading.Lock()  # never released: waiting for it is waiting without the interpreter lock
        self._shut.acquire()

    # -- life -----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        if self._thread is not None:
            raise StoreError("the store was started already")
        self._loop = loop = asyncio.get_running_loop()
        self._jobs = SimpleQueue()
        opened: asyncio.Future[Loaded] = loop.create_future()
        self._finished = loop.create_future()
        writer = _Writer(LogFile(self.path, self._seal), self._state.stamp, self._jobs, self, loop, self._finished)
        self._thread = threading.Thread(target=writer.run, args=(opened,), name="store-writer", daemon=True)
        self._thread.start()
        try:
            found = await opened
        except BaseException:
            self._jobs.put(None)
            self._thread.join()
            self._thread = None
            raise
        self._state.load(found.entries.values(), found.history, found.revision, found.compacted)
        self._next = found.revision
        if found.garbage:
            self._jobs.put(_Forget(found.compacted, deque(found.garbage), None))

    async def close(self) -> None:
        thread, finished, self._thread = self._thread, self._finished, None
        if thread is None or finished is None:
            return
        self._jobs.put(None)
        await asyncio.shield(finished)
        thread.join()
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        self._state.end()

    # -- reading --------------------------------------------------------------------------------------------------

    async def get(self, key: str) -> Entry | None:
        return self._state.entries.get(key)

    async def list(self, prefix: str, *, limit: int = 0, after: str = "", revision: int = 0) -> Page:
        return self._state.page(prefix, limit, after, revision)

    async def current_revision(self) -> int:
        return self._state.revision

    @property
    def compacted_revision(self) -> int:
        return self._state.compacted_revision

    def watch(self, prefix: str, *, after_revision: int) -> Watch:
        if self._thread is None:
            raise StoreClosed("the store is not open")
        return self._state.watch(prefix, after_revision)

    def subscribe(
        self, prefix: str, *, after_revision: int, on_events: OnEvents, on_end: OnEnd | None = None
    ) -> Subscription:
        if self._thread is None:
            raise StoreClosed("the store is not open")
        return self._state.subscribe(prefix, after_revision, on_events, on_end)

    # -- writing --------------------------------------------------------------------------------------------------

    async def create(self, key: str, value: bytes) -> Entry:
        check_key(key)
        entries = self._state.entries
        while (pending := self._pending.get(key)) is not None and pending.after is not None and key not in entries:
            await self._settled(pending)  # created, but not yet for sure
        if (key in entries) if pending is None else (pending.after is not None):
            raise KeyExists(key)
        return await self._submit(self._state.put(key, value, None, self._next + 1))

    async def update(self, key: str, value: bytes, expected_revision: int) -> Entry:
        current = await self._expected(key, expected_revision)
        return await self._submit(self._state.put(key, value, current, self._next + 1))

    async def delete(self, key: str, expected_revision: int) -> Entry:
        current = await self._expected(key, expected_revision)
        return await self._submit(self._state.removal(current, self._next + 1))

    async def _expected(self, key: str, expected_revision: int) -> Entry:
        """The key as the last writer left it, if that is the revision expected. Raises RevisionConflict.

        The last writer may not be committed yet. Who conflicts only with such a one waits for its fate: told of the
        conflict at once, it would read the old entry again and try in vain until the disk is done.
        """
        while True:
            pending = self._pending.get(key)
            committed = self._state.entries.get(key)
            current = pending.after if pending is not None else committed
            if current is not None and current.revision == expected_revision:
                return current
            if pending is None or committed is None or committed.revision != expected_revision:
                raise RevisionConflict(key, expected_revision, committed)
            await self._settled(pending)

    async def _settled(self, write: _Write) -> None:
        follower: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        write.followers.append(follower)
        await follower

    def _submit(self, event: Event) -> asyncio.Future[Entry]:
        if self._thread is None or self._loop is None:
            raise StoreClosed("the store is not open")
        write = _Write(event, self._generation, self._loop.create_future())
        self._next = event.revision
        self._pending[event.key] = write
        self._unsettled.append(write)
        self._jobs.put(write)
        if self._patience is None:
            self._patience = self._loop.call_later(PATIENCE, self._give_way, event.revision)
        return write.future

    def _give_way(self, revision: int) -> None:
        """Let the writer thread have the interpreter if the write of `revision` is still not settled.

        A loop that is never idle lets go of the interpreter lock only for moments, too short for the thread to wake up
        in: without this, commits were seen to starve for a second under full load.
        """
        self._patience = None
        if not self._unsettled or self._loop is None:
            return
        first = self._unsettled[0].event.revision
        if first <= revision:
            self._shut.acquire(timeout=GIVE_WAY[0])
            self._patience = self._loop.call_later(GIVE_WAY[1], self._give_way, revision)
        else:
            self._patience = self._loop.call_later(PATIENCE, self._give_way, self._unsettled[-1].event.revision)

    def committed(self, count: int) -> None:
        """The writer thread's word (on the loop): the first `count` unsettled writes are on disk."""
        writes = [self._unsettled.popleft() for _ in range(count)]
        state, pending = self._state, self._pending
        entries = []
        for write in writes:
            entries.append(state.apply(write.event))
            if pending.get(write.event.key) is write:
                del pending[write.event.key]
        state.publish([write.event for write in writes])
        for write, entry in zip(writes, entries, strict=True):
            if not write.future.done():  # its writer may have been cancelled
                write.future.set_result(entry)
            for follower in write.followers:
                if not follower.done():
                    follower.set_result(None)
        if overdue := state.overdue():
            self._jobs.put(_Forget(overdue, self._forgotten(overdue), None))

    def failed(self, error: StoreError) -> None:
        """The writer thread's word (on the loop): a commit failed, and with it all that is unsettled."""
        self._generation += 1
        writes, self._unsettled = self._unsettled, deque()
        self._pending.clear()
        for write in writes:
            if not write.future.done():
                write.future.set_exception(type(error)(*error.args))
            for follower in write.followers:
                if not follower.done():
                    follower.set_result(None)

    # -- forgetting -----------------------------------------------------------------------------------------------

    async def compact(self, revision: int) -> None:
        """See `Store.compact`. Returns when the file has forgotten as well; writes go on meanwhile."""
        if revision > self._state.revision:
            raise FutureRevision(revision, self._state.revision)
        if revision <= self._state.compacted_revision:
            return
        if self._thread is None:
            raise StoreClosed("the store is not open")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._jobs.put(_Forget(revision, self._forgotten(revision), done))
        await done

    def _forgotten(self, revision: int) -> deque[int]:
        dead, self._undeleted = self._undeleted, deque()
        dead.extend(self._state.compact(revision))
        return dead

    def forgotten(self, job: _Forget, error: StoreError | None) -> None:
        """The writer thread's word (on the loop): a compaction is done, or was given up."""
        self._undeleted.extend(job.revisions)
        if job.future is not None and not job.future.done():
            if error is None:
                job.future.set_result(None)
            else:
                job.future.set_exception(error)

    async def backup(self, target: str | Path) -> None:
        """Copy the file as of one revision to `target` while writes go on. See `sqlite_file.backup`."""
        await asyncio.to_thread(backup, self.path, target)


class _Writer:
    """The other side of the queue: takes what has come together, commits it, reports to the loop. Owns the file."""

    def __init__(
        self,
        file: LogFile,
        stamp: Stamp,
        jobs: SimpleQueue[_Job],
        store: SqliteStore,
        loop: asyncio.AbstractEventLoop,
        finished: asyncio.Future[None],
    ) -> None:
        self._file = file
        self._stamp = stamp
        self._jobs = jobs
        self._store = store
        self._loop = loop
        self._finished = finished
        self._lost = -1  # the generation of the last failed commit
        self._forgets: deque[_Forget] = deque()
        self._open = True

    def run(self, opened: asyncio.Future[Loaded]) -> None:
        try:
            self._file.open()
            found = self._file.load(self._stamp)
        except Exception as error:
            self._file.close()
            self._tell(_fail, opened, error)
            return
        self._tell(_succeed, opened, found)
        try:
            while self._open:
                self._commit(self._gather())
                if self._forgets:
                    self._forget(self._forgets[0])
        finally:
            for job in self._forgets:
                self._tell(self._store.forgotten, job, StoreClosed("the store was closed"))
            self._file.close()
            self._tell(_succeed, self._finished, None)

    def _gather(self) -> list[_Write]:
        """All writes that wait; blocks only when there is nothing else to do."""
        writes: list[_Write] = []
        block = not self._forgets
        while len(writes) < MAX_BATCH:
            try:
                job = self._jobs.get(block)
            except Empty:
                break
            block = False
            if job is None:
                self._open = False
                break
            if isinstance(job, _Forget):
                self._forgets.append(job)
            elif job.generation > self._lost:
                writes.append(job)
        return writes

    def _commit(self, writes: list[_Write]) -> None:
        if not writes:
            return
        rows: list[Row] = [
            (event.revision, event.key, None if event.kind == "delete" else event.value, event.create_revision)
            for event in [write.event for write in writes]
        ]
        try:
            self._file.append(rows)
        except Exception as error:
            self._lost = writes[-1].generation
            self._tell(self._store.failed, error if isinstance(error, StoreError) else StoreError(repr(error)))
        else:
            self._tell(self._store.committed, len(writes))

    def _forget(self, job: _Forget) -> None:
        """One step of a compaction: delete some rows, or give some pages back."""
        if job.recorded and not job.revisions:
            if not self._try_vacuum():
                self._forgets.popleft()
                self._tell(self._store.forgotten, job, None)
            return
        part = [job.revisions[i] for i in range(min(FORGET_ROWS, len(job.revisions)))]
        try:
            self._file.forget(job.compacted, part)
        except StoreError as error:
            self._forgets.popleft()
            self._tell(self._store.forgotten, job, error)
            return
        job.recorded = True
        for _ in part:
            job.revisions.popleft()

    def _try_vacuum(self) -> bool:
        try:
            return self._file.vacuum()
        except StoreError:  # a file larger than need be is no error of anyone; the next compaction tries again
            return False

    def _tell(self, function: Callable[..., None], *args: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *args)
        except RuntimeError:  # the loop was closed without closing the store
            self._open = False


def _succeed(future: asyncio.Future[object], value: object) -> None:
    if not future.done():
        future.set_result(value)


def _fail(future: asyncio.Future[object], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
