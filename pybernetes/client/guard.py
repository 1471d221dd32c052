"""A transport that catches whoever changes what is shared.

Objects that cross an in-process transport belong to everybody (see `transport`); a controller that changes one
corrupts the server's cache and every other controller's, far from the place. Around a real transport in tests,
`check()` names the objects that are no longer what they were. It keeps every object it has seen and encodes each
twice: for tests only.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec

from pybernetes.client.transport import (
    ByteStream,
    Event,
    Listing,
    Request,
    Response,
    Transport,
    WatchStream,
    WebSocket,
)

_encode = msgspec.msgpack.Encoder().encode


class GuardedTransport:
    """A `Transport` that remembers what it handed over."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self._seen: dict[int, tuple[Any, bytes]] = {}

    def check(self) -> None:
        """Raises AssertionError for objects that have been changed since they were handed over."""
        for obj, before in self._seen.values():
            if (now := _encode(obj)) != before:
                was, is_ = msgspec.msgpack.decode(before), msgspec.msgpack.decode(now)
                changed = {k: (was.get(k), is_.get(k)) for k in {*was, *is_} if was.get(k) != is_.get(k)}
                raise AssertionError(f"a shared {type(obj).__name__} was changed: {changed}")

    async def request(self, request: Request) -> Response:
        """See `Transport`."""
        response = await self._inner.request(request)
        body = response.body
        for obj in body.items if isinstance(body, Listing) else (body,):
            self._note(obj)
        return response

    async def watch(self, request: Request) -> WatchStream:
        """See `Transport`."""
        return _Watch(await self._inner.watch(request), self)

    async def stream(self, request: Request) -> ByteStream:
        """See `Transport`."""
        return await self._inner.stream(request)

    async def upgrade(self, request: Request, subprotocols: Sequence[str]) -> WebSocket:
        """See `Transport`."""
        return await self._inner.upgrade(request, subprotocols)

    async def close(self) -> None:
        """See `Transport`."""
        await self._inner.close()

    def _note(self, obj: Any) -> None:
        if isinstance(obj, msgspec.Struct | dict) and id(obj) not in self._seen:
            self._seen[id(obj)] = (obj, _encode(obj))


class _Watch:
    def __init__(self, inner: WatchStream, guard: GuardedTransport) -> None:
        self._inner = inner
        self._guard = guard

    def __aiter__(self) -> AsyncIterator[list[Event]]:
        return self

    async def __anext__(self) -> list[Event]:
        batch = await self._inner.__anext__()
        for _, obj in batch:
            self._guard._note(obj)
        return batch

    async def close(self) -> None:
        await self._inner.close()
