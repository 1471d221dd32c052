"""Tasks that cannot be lost: a group that outlives single failures.

`asyncio.TaskGroup` cancels all siblings when one fails, which is right for parts of one operation and wrong
for a server's connections or a controller's workers. `Nursery` keeps the others alive, logs the failure
and still guarantees that no task outlives the block.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast

log = logging.getLogger(__name__)

T = TypeVar("T")


class Nursery:
    """Owns background tasks: `start()` adds one, leaving the block cancels and awaits all.

    A task that raises is logged with its name and forgotten; the others go on.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._tasks: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def start(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Run `work` as a task of this nursery."""
        task = asyncio.get_running_loop().create_task(work, name=f"{self.name}/{name}")
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def __len__(self) -> int:
        return len(self._tasks)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("task %s failed", task.get_name(), exc_info=error)

    async def close(self) -> None:
        """Cancel and await every task."""
        while self._tasks:
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            self._tasks.difference_update(tasks)


class Ready(Generic[T]):
    """An event that carries a value: "ready, and here is the address"."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._value: T | None = None

    def set(self, value: T) -> None:
        """Announce; the first value stays."""
        if not self._event.is_set():
            self._value = value
            self._event.set()

    def is_set(self) -> bool:
        return self._event.is_set()

    async def wait(self) -> T:
        """The announced value, once there is one."""
        await self._event.wait()
        return cast(T, self._value)
