"""An answer of unknown length (watch, logs, proxied bodies) with visible back-pressure.

Writing never blocks; what the socket does not take stays in one buffer whose size is `buffered`. A producer
either awaits `drain()`, or (watch fan-out, where one slow reader must not hold up the others) looks at `buffered` and
gives up the stream. There is no task and no queue per stream: a thousand idle watchers cost a thousand small objects.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.http.connection import Connection
    from pybernetes.control_plane.apiserver.http.messages import Request


def frame(data: bytes) -> bytes:
    """`data` as one HTTP chunk: made once for an event that goes to many streams through `write_framed()`."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class Stream:
    """The body of one answer. All methods are for the event loop's thread."""

    __slots__ = ("_callbacks", "_connection", "_raw", "_request", "_silent", "_waiter", "closed", "ended")

    def __init__(self, connection: Connection, request: Request, raw: bool, silent: bool) -> None:
        self._connection = connection
        self._request = request
        self._raw = raw  # HTTP/1.0 knows no chunks: the end of the connection ends the body
        self._silent = silent  # the answer to HEAD has no body
        self._callbacks: list[Callable[[], None]] | None = None
        self._waiter: asyncio.Future[None] | None = None
        #: True once nothing more can be written: the client went away, or `end()` or `abort()` was called.
        self.closed = False
        #: True if `end()` completed the body.
        self.ended = False

    def write(self, data: bytes) -> None:
        """Send a piece of the body. After the end of the stream it is dropped silently (the reader is gone)."""
        if data and not self.closed and not self._silent:
            self._connection.write(data if self._raw else b"%x\r\n%b\r\n" % (len(data), data))

    def write_framed(self, chunk: bytes) -> None:
        """Send what `frame()` made."""
        if self.closed or self._silent:
            return
        if self._raw:
            chunk = chunk[chunk.index(b"\n") + 1 : -2]
        self._connection.write(chunk)

    def end(self, last: bytes = b"") -> None:
        """Complete the body (with a `last` piece); the connection goes on to its next request. Idempotent."""
        if self.closed:
            return
        if not self._silent:
            if self._raw:
                self._connection.write(last)
            else:
                tail = b"0\r\n\r\n"
                self._connection.write(frame(last) + tail if last else tail)
        self.ended = True
        self._close()
        self._connection.finish(self._request)

    def abort(self) -> None:
        """Cut the connection, so that the client sees an incomplete body. Idempotent."""
        if not self.closed:
            self._close()
            self._connection.abort()

    @property
    def buffered(self) -> int:
        """Bytes written that the client's side has not taken yet."""
        return self._connection.buffered

    @property
    def paused(self) -> bool:
        """True while more than the high-water mark is buffered."""
        return self._connection.write_paused

    async def drain(self) -> None:
        """Wait until the buffer is below its mark. Raises ConnectionResetError when the client goes away."""
        if not self.closed:
            await self._connection.drain()
        if self.closed:
            raise ConnectionResetError("the client closed the stream")

    def on_close(self, callback: Callable[[], None]) -> None:
        """Call back once when the stream ends for any reason; at once if it already has."""
        if self.closed:
            callback()
        elif self._callbacks is None:
            self._callbacks = [callback]
        else:
            self._callbacks.append(callback)

    async def wait_closed(self) -> None:
        """Wait for the end of the stream, whatever its cause. For one waiter at a time."""
        if not self.closed:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    def connection_lost(self) -> None:
        """The connection tells that the client is gone."""
        if not self.closed:
            self._close()

    def _close(self) -> None:
        self.closed = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        callbacks, self._callbacks = self._callbacks, None
        for callback in callbacks or ():
            callback()
