"""Container starts, exits and OOM kills from containerd's events service.

One server stream of envelopes on the CRI's socket, on which an event of our own announces that it listens. An exit
is published before the CRI plugin has seen it (both listen to the same exchange), so each exit is confirmed with the
CRI before it is delivered: asked at once, then after growing pauses. Confirmations of different containers run side
by side; a slow one does not hold up the others.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from itertools import count
from typing import TYPE_CHECKING, Any, cast

from grpclib.const import Cardinality
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError

from pybernetes.aio import clock
from pybernetes.aio.tasks import Nursery

from . import types as t
from . import wire
from .errors import CRIError, NotFound, Unavailable

if TYPE_CHECKING:
    from .client import CRIClient

_KINDS = {
    "/tasks/start": ("TaskStart", t.EventKind.STARTED),
    "/tasks/exit": ("TaskExit", t.EventKind.EXITED),
    "/tasks/oom": ("TaskOOM", t.EventKind.OOM),
}
#: Pauses between confirmations of an exit, seconds. containerd needs 5 to 60 ms; it is overloaded beyond the sum.
_PAUSES = (0.002, 0.004, 0.008, 0.015, 0.03, 0.06, 0.12, 0.25, 0.5, 1.0, 2.0, 4.0)


_counter = count(1)


def _nanoseconds(timestamp: dict[str, int] | None) -> int:
    return timestamp.get("seconds", 0) * 1_000_000_000 + timestamp.get("nanos", 0) if timestamp else 0


def parse_envelope(envelope: dict[str, Any]) -> t.ContainerEvent | None:
    """The event in an envelope; None when it is of no interest (another topic, the exit of an exec)."""
    known = _KINDS.get(envelope.get("topic", ""))
    if known is None:
        return None
    message, kind = known
    body = wire.decode(message, envelope.get("event", {}).get("value", b""))
    container_id = body.get("container_id", "")
    if kind is t.EventKind.EXITED and body.get("id", container_id) != container_id:
        return None
    return t.ContainerEvent(
        container_id=container_id,
        kind=kind,
        exit_code=body.get("exit_status", 0),
        at=_nanoseconds(body.get("exited_at") or envelope.get("timestamp")),
    )


async def watch_events(client: CRIClient) -> AsyncGenerator[t.ContainerEvent, None]:
    """Events until the stream ends; then Unavailable. Close the iterator to unsubscribe."""
    queue: asyncio.Queue[t.ContainerEvent | CRIError] = asyncio.Queue()
    async with Nursery("cri-events") as nursery:
        nursery.start(_receive(client, queue, nursery), "receive")
        while True:
            item = await queue.get()
            if isinstance(item, CRIError):
                raise item
            yield item


async def _receive(client: CRIClient, queue: asyncio.Queue[t.ContainerEvent | CRIError], nursery: Nursery) -> None:
    try:
        async with aclosing(_envelopes(client)) as envelopes:
            hello = f"/pybernetes/subscribed/{os.getpid()}-{next(_counter)}"
            announced = asyncio.Event()
            nursery.start(_announce(client, hello, announced, queue), "announce")
            async for envelope in envelopes:
                if envelope.get("topic") == hello:
                    if not announced.is_set():
                        announced.set()
                        queue.put_nowait(t.ContainerEvent(container_id="", kind=t.EventKind.SUBSCRIBED))
                    continue
                event = parse_envelope(envelope)
                if event is None:
                    continue
                if event.kind is t.EventKind.EXITED:
                    nursery.start(_confirm(client, event, queue), f"confirm-{event.container_id[:12]}")
                else:
                    queue.put_nowait(event)
        queue.put_nowait(Unavailable("the event stream ended"))
    except CRIError as error:
        queue.put_nowait(error)


async def _announce(
    client: CRIClient, topic: str, announced: asyncio.Event, queue: asyncio.Queue[t.ContainerEvent | CRIError]
) -> None:
    """Publish an event of our own until the stream brings it back: the server does not tell when it listens."""
    try:
        while not announced.is_set():
            await client.call("Publish", client.timeout, topic=topic, event={"type_url": "pybernetes", "value": b""})
            try:
                async with asyncio.timeout(0.1):
                    await announced.wait()
            except TimeoutError:
                pass
    except CRIError as error:
        queue.put_nowait(error)


async def _envelopes(client: CRIClient) -> AsyncGenerator[dict[str, Any], None]:
    method = wire.method("Subscribe")
    filters = [f'namespace=="{client.namespace}",topic~="^/(tasks/(start|exit|oom)$|pybernetes/)"']
    try:
        async with client.channel().request(
            method.path, Cardinality.UNARY_STREAM, cast(Any, method.request), cast(Any, method.response)
        ) as stream:
            await stream.send_message({"filters": filters}, end=True)
            async for envelope in stream:
                yield cast("dict[str, Any]", envelope)
    except GRPCError as error:
        raise Unavailable(f"events: {error.message}") from None
    except (OSError, StreamTerminatedError, ProtocolError) as error:
        raise Unavailable(f"events: {client.socket}: {error}") from None


async def _confirm(
    client: CRIClient, event: t.ContainerEvent, queue: asyncio.Queue[t.ContainerEvent | CRIError]
) -> None:
    try:
        for pause in _PAUSES:
            if await _has_exited(client, event.container_id):
                break
            await clock.sleep(pause)
    except CRIError:
        pass  # the stream's own end reports it
    queue.put_nowait(event)


async def _has_exited(client: CRIClient, container_id: str) -> bool:
    try:
        status = await client.container_status(container_id)
    except NotFound:
        try:
            sandbox = await client.pod_sandbox_status(container_id)
        except NotFound:  # removed meanwhile
            return True
        return sandbox.state is t.PodSandboxState.NOTREADY
    return status.state is not t.ContainerState.RUNNING
