"""The raw connection behind an upgraded request, as one object that reads and writes like asyncio's streams.

Not `asyncio.StreamReader`/`StreamWriter`: those insist on their own protocol class, and the connection already has one
(with TLS, two).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.http.connection import Connection

_HIGH, _LOW = 256 * 1024, 64 * 1024  # bytes unread before the socket is no longer read, and when it is again


class RawConnection:
    """Bytes in, bytes out. One reader at a time; for the event loop's thread."""

    __slots__ = ("_buffer", "_connection", "_eof", "_paused", "_waiter", "closed")

    def __init__(self, connection: Connection, received: bytes) -> None:
        self._connection = connection
        self._buffer = bytearray(received)
        self._eof = False
        self._paused = False
        self._waiter: asyncio.Future[None] | None = None
        #: True after `close()` or after the peer went away.
        self.closed = False

    async def read(self, limit: int = 65536) -> bytes:
        """The next bytes, at most `limit`, as soon as there are any; b'' at the end."""
        buffer = self._buffer
        while not buffer:
            if self._eof or self.closed:
                return b""
            await self._wait()
        data = bytes(buffer[:limit])
        del buffer[:limit]
        if self._paused and len(buffer) < _LOW:
            self._paused = False
            self._connection.resume_reading()
        return data

    async def read_exactly(self, count: int) -> bytes:
        """`count` bytes. Raises asyncio.IncompleteReadError if the peer ends before."""
        parts: list[bytes] = []
        missing = count
        while missing:
            data = await self.read(missing)
            if not data:
                raise asyncio.IncompleteReadError(b"".join(parts), count)
            parts.append(data)
            missing -= len(data)
        return b"".join(parts)

    def write(self, data: bytes) -> None:
        """Send; never blocks. Dropped silently once closed."""
        if not self.closed:
            self._connection.write(data)

    @property
    def buffered(self) -> int:
        """Bytes written that the peer's side has not taken yet."""
        return self._connection.buffered

    async def drain(self) -> None:
        """Wait until the write buffer is below its mark. Raises ConnectionResetError when the peer goes away."""
        if not self.closed:
            await self._connection.drain()
        if self.closed:
            raise ConnectionResetError("the peer closed the connection")

    def close(self) -> None:
        """Send what is buffered, then close. Idempotent."""
        if not self.closed:
            self.closed = True
            self._wake()
            if self._paused:
                self._connection.resume_reading()
            self._connection.close_gently()

    def feed(self, data: bytes) -> None:
        """The connection hands over what it received."""
        self._buffer += data
        if len(self._buffer) > _HIGH and not self._paused:
            self._paused = True
            self._connection.pause_reading()
        self._wake()

    def feed_eof(self) -> None:
        """The peer sends no more (it may still read)."""
        self._eof = True
        self._wake()

    def connection_lost(self) -> None:
        """The connection tells that it is gone."""
        self._eof = self.closed = True
        self._wake()

    async def _wait(self) -> None:
        if self._waiter is not None:
            raise RuntimeError("two readers on one raw connection")
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
