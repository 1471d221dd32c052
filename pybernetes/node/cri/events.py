"""Container starts, exits and OOM kills from containerd's events service.

One server stream of envelopes on the CRI's socket, on which an event of our own announces that it listens. An exit
is published some 40 ms before the CRI plugin has cleaned up and admits it, so it is held back: the task's deletion,
published at the end of the clean-up, is waited for, then the CRI is asked until it agrees (usually once). Exits of
different containers are confirmed side by side; a slow one does not hold up the others.
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

_Queue = asyncio.Queue["t.ContainerEvent | CRIError"]

_DELETED = "/tasks/delete"
_KINDS = {
    "/tasks/start": ("TaskStart", t.EventKind.STARTED),
    "/tasks/exit": ("TaskExit", t.EventKind.EXITED),
    "/tasks/oom": ("TaskOOM", t.EventKind.OOM),
    _DELETED: ("TaskDelete", t.EventKind.EXITED),
}
#: Seconds to wait for the deletion of an exited task before the CRI is asked all the same.
_CLEAN_UP = 0.5
#: Pauses between confirmations of an exit, seconds. containerd is overloaded, or lost, beyond their sum.
_PAUSES = (0.001, 0.002, 0.004, 0.008, 0.015, 0.03, 0.06, 0.12, 0.25, 0.5, 1.0, 2.0, 4.0)


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
    if kind is t.EventKind.EXITED and body.get("id", "") not in ("", container_id):
        return None
    return t.ContainerEvent(
        container_id=container_id,
        kind=kind,
        exit_code=body.get("exit_status", 0),
        at=_nanoseconds(body.get("exited_at") or envelope.get("timestamp")),
    )


async def watch_events(client: CRIClient) -> AsyncGenerator[t.ContainerEvent, None]:
    """Events until the stream ends; then Unavailable. Close the iterator to unsubscribe."""
    queue: _Queue = asyncio.Queue()
    async with Nursery("cri-events") as nursery:
        nursery.start(_receive(client, queue, nursery), "receive")
        while True:
            item = await queue.get()
            if isinstance(item, CRIError):
                raise item
            yield item


async def _receive(client: CRIClient, queue: _Queue, nursery: Nursery) -> None:
    """Sort the stream's envelopes into the queue until it ends."""
    hello = f"/pybernetes/subscribed/{os.getpid()}-{next(_counter)}"
    announced = asyncio.Event()
    early: list[t.ContainerEvent] = []  # came before our own announcement
    deletions: dict[str, asyncio.Event] = {}  # of tasks whose exit has been seen

    def confirm(event: t.ContainerEvent, deleted: asyncio.Event) -> None:
        nursery.start(_confirm(client, event, announced, deleted, queue), f"confirm-{event.container_id[:12]}")

    try:
        async with aclosing(_envelopes(client)) as envelopes:
            nursery.start(_announce(client, hello, announced, queue), "announce")
            async for envelope in envelopes:
                topic = envelope.get("topic")
                if topic == hello:
                    if not announced.is_set():
                        queue.put_nowait(t.ContainerEvent(container_id="", kind=t.EventKind.SUBSCRIBED))
                        for event in early:
                            queue.put_nowait(event)
                        announced.set()
                    continue
                parsed = parse_envelope(envelope)
                if parsed is None:
                    continue
                if topic == _DELETED:
                    deleted = deletions.pop(parsed.container_id, None)
                    if deleted is None:  # it ended just before this subscription: nobody has told of it yet
                        deleted = asyncio.Event()
                        confirm(parsed, deleted)
                    deleted.set()
                elif parsed.kind is t.EventKind.EXITED:
                    confirm(parsed, deletions.setdefault(parsed.container_id, asyncio.Event()))
                elif announced.is_set():
                    queue.put_nowait(parsed)
                else:
                    early.append(parsed)
        queue.put_nowait(Unavailable("the event stream ended"))
    except CRIError as error:
        queue.put_nowait(error)


async def _announce(client: CRIClient, topic: str, announced: asyncio.Event, queue: _Queue) -> None:
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
    filters = [f'namespace=="{client.namespace}",topic~="^/(tasks/(start|exit|oom|delete)$|pybernetes/)"']
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
    client: CRIClient,
    event: t.ContainerEvent,
    announced: asyncio.Event,
    deleted: asyncio.Event,
    queue: _Queue,
) -> None:
    try:
        async with asyncio.timeout(_CLEAN_UP):
            await deleted.wait()
    except TimeoutError:
        pass
    try:
        for pause in _PAUSES:
            if await _has_exited(client, event.container_id):
                break
            await clock.sleep(pause)
    except CRIError:
        pass  # the stream's own end reports it
    await announced.wait()
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
