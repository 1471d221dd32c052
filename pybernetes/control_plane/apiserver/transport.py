"""The in-process transport: the client's `Transport` straight into the request chain, without sockets or JSON.

Requests carry objects, answers hand over the cache's own; both sides keep the rule that nobody changes what crosses
here. Authentication alone is skipped: the transport is made for one user.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pybernetes.client.errors import Unavailable
from pybernetes.client.transport import ByteStream, Event, Listing, Request, Response, WebSocket
from pybernetes.control_plane.apiserver import encodings
from pybernetes.control_plane.apiserver.call import Call, Result
from pybernetes.control_plane.apiserver.objects import Custom
from pybernetes.machinery import errors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from pybernetes.control_plane.apiserver.authentication.user import User
    from pybernetes.control_plane.apiserver.chain import Chain

#: Events queued for a reader after which it is told that it fell behind.
_LIMIT = 100_000


class LocalTransport:
    """See `client.transport.Transport`."""

    def __init__(self, chain: Chain, user: User) -> None:
        self._chain = chain
        self._user = user
        self._watches: set[LocalWatch] = set()

    async def request(self, request: Request) -> Response:
        call = self._call(request)
        result = await self._chain.serve(call)
        if result is None:
            raise errors.internal("a streamed answer was not expected")
        return _response(result)

    async def watch(self, request: Request) -> LocalWatch:
        stream = LocalWatch()
        call = self._call(request)
        call.open_sink = lambda: stream
        await self._chain.serve(call)
        self._watches.add(stream)
        stream.on_close(lambda: self._watches.discard(stream))
        return stream

    async def stream(self, request: Request) -> ByteStream:
        raise errors.method_not_allowed(("", request.path), "stream")

    async def upgrade(self, request: Request, subprotocols: Sequence[str]) -> WebSocket:
        raise errors.method_not_allowed(("", request.path), "upgrade")

    async def close(self) -> None:
        for watch in tuple(self._watches):
            watch.fail(Unavailable("the transport was closed"))

    def _call(self, request: Request) -> Call:
        return Call(
            request.method,
            request.path,
            {name: [value] for name, value in request.query.items()} if request.query else {},
            request.body,
            request.content_type,
            {name.encode(): value.encode() for name, value in request.headers.items()} if request.headers else {},
            None,
            self._user,
        )


def _response(result: Result) -> Response:
    resource = result.resource
    headers = {"content-type": "application/json"}
    if result.raw is not None:
        return Response(result.status, result.raw, {"content-type": result.media_type.decode()})
    if result.items is not None:
        assert resource is not None
        items: Sequence[Any]
        if resource.served is None and resource.kind.module:
            items = [item.obj for item in result.items]
        else:
            items = [encodings.shared(resource, item) for item in result.items]
        listing = Listing(items, str(result.revision), result.continue_, result.remaining)
        return Response(result.status, listing, headers)
    if result.item is not None:
        assert resource is not None
        return Response(result.status, encodings.shared(resource, result.item), headers)
    obj = result.obj
    return Response(result.status, obj.to_wire() if isinstance(obj, Custom) else obj, headers)


class LocalWatch:
    """A watch's sink on the server's side, and the stream of batches on the client's."""

    __slots__ = ("_callbacks", "_error", "_queue", "_waiter", "closed")

    def __init__(self) -> None:
        self._queue: deque[Event] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._callbacks: list[Callable[[], None]] = []
        self._error: Exception | None = None
        self.closed = False

    # -- the server's side

    def send(self, payload: list[Event]) -> None:
        if self.closed:
            return
        self._queue.extend(payload)
        if len(self._queue) > _LIMIT:
            self._queue.clear()
            self._queue.append(("ERROR", errors.expired("the watch fell too far behind").status))
            self._end()
        self._wake()

    def end(self, payload: list[Event] | None = None) -> None:
        if payload is not None and not self.closed:
            self._queue.extend(payload)
        self._end()
        self._wake()

    async def drain(self) -> None:
        return

    def on_close(self, callback: Callable[[], None]) -> None:
        if self.closed:
            callback()
        else:
            self._callbacks.append(callback)

    def fail(self, error: Exception) -> None:
        """End with an error."""
        self._error = error
        self._end()
        self._wake()

    def _end(self) -> None:
        self.closed = True
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # -- the client's side

    def __aiter__(self) -> AsyncIterator[list[Event]]:
        return self

    async def __anext__(self) -> list[Event]:
        while not self._queue:
            if self._error is not None:
                raise self._error
            if self.closed:
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        batch = list(self._queue)
        self._queue.clear()
        return batch

    async def close(self) -> None:
        self._queue.clear()
        self._end()
        self._wake()
