"""Driving a handler's coroutine without a task until it really waits.

Most requests are answered from memory, and a task costs several microseconds and a turn of the event loop. So the
connection takes the first step itself; only what suspends goes on as a task, by `Call`.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any

from pybernetes.control_plane.apiserver.http.messages import Request, Response

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.http.connection import Connection

Result = Response | None
Handler = Callable[[Request], Result | Coroutine[Any, Any, Result]]


@types.coroutine
def _reschedule() -> Generator[None, None, None]:
    yield


async def ensure_task() -> None:
    """In a handler: make sure the rest runs inside a task (for `asyncio.timeout()`, `TaskGroup`, `current_task()`)."""
    if asyncio.current_task() is None:
        await _reschedule()


class Call(Coroutine[Any, Any, None]):
    """The rest of a handler's coroutine after its first suspension, in the shape a task wants.

    A class and not a wrapping coroutine, because a task cancelled before its first step throws into the
    outermost coroutine only: one that had not started would swallow the cancellation.
    """

    __slots__ = ("_connection", "_first", "_inner", "_request", "_resumed")

    def __init__(self, connection: Connection, request: Request, inner: Coroutine[Any, Any, Result], first: Any):
        self._connection = connection
        self._request = request
        self._inner = inner
        self._first = first  # what the first step waits for, still to be shown to the task
        self._resumed = False

    def send(self, value: Any) -> Any:
        if not self._resumed:
            self._resumed = True
            first, self._first = self._first, None
            return first
        return self._step(self._inner.send, value)

    def throw(self, *error: Any) -> Any:
        if not self._resumed:
            self._resumed = True
            if asyncio.isfuture(self._first):  # as a task does: the cancellation reaches what is waited for
                self._first.cancel()
            self._first = None
        return self._step(self._inner.throw, *error)

    def close(self) -> None:
        self._inner.close()

    def __await__(self) -> Generator[Any, None, None]:
        raise TypeError("driven by a task only")

    def _step(self, step: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return step(*arguments)
        except StopIteration as stop:
            self._connection.task_done(self._request, stop.value, None)
            raise StopIteration(None) from None
        except Exception as error:
            self._connection.task_done(self._request, None, error)
            raise StopIteration(None) from None
        except BaseException as error:
            self._connection.task_done(self._request, None, error)
            raise
