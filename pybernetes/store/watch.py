"""Events as an async iterator: a queue between a subscription and `async for`.

Delivery by callback is the primitive (a write must reach the API server's cache before its writer goes on);
iteration is for everyone to whom order matters and latency does not.
"""

from __future__ import annotations

import asyncio
from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pybernetes.store.protocol import Event, OnEnd, OnEvents, Subscription


class Watch:
    """`async for event in watch`; ends when closed, raises what ended the subscription (Compacted, StoreClosed).

    Events wait in an unbounded queue: a watch that is not read holds memory. One reader at a time.
    """

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._subscription: Subscription | None = None
        self._error: Exception | None = None
        self._closed = False

    def attach(self, subscription: Subscription) -> Self:
        """Own the subscription whose callbacks are `on_events` and `on_end`."""
        self._subscription = subscription
        return self

    @property
    def on_events(self) -> OnEvents:
        return self._add

    @property
    def on_end(self) -> OnEnd:
        return self._end

    def _add(self, events: list[Event], revision: int) -> None:
        self._events.extend(events)
        if events:
            self._wake()

    def _end(self, error: Exception) -> None:
        self._error = error
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def close(self) -> None:
        """Stop; what is queued is dropped and a waiting reader sees the end."""
        self._closed = True
        self._events.clear()
        if self._subscription is not None:
            self._subscription.close()
        self._wake()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while not self._events:
            if self._closed:
                raise StopAsyncIteration
            if self._error is not None:
                raise self._error
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._events.popleft()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
