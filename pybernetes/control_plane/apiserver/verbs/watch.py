"""WATCH: what has happened since, then what happens.

The beginning is this watcher's own (state or missed changes, written in pieces as it reads them); from the moment it
has caught up it belongs to a group of the fan-out and costs nothing by itself. Over HTTP the request's handler
returns as soon as that is so: a watch is a stream with callbacks, not a task.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from pybernetes.aio import clock
from pybernetes.control_plane.apiserver import encodings, selection
from pybernetes.control_plane.apiserver.cache import Storage
from pybernetes.control_plane.apiserver.call import Call
from pybernetes.control_plane.apiserver.core import Core
from pybernetes.control_plane.apiserver.fanout import Group, Sink, Watcher, WatchEvent, transition
from pybernetes.control_plane.apiserver.negotiate import JSON, accepted
from pybernetes.control_plane.apiserver.render import warning_headers
from pybernetes.control_plane.apiserver.verbs.versions import check_list, revision_of
from pybernetes.machinery import errors

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.http import Stream
    from pybernetes.control_plane.apiserver.selection import Selection

#: A watch without timeoutSeconds lasts between this and twice as long.
MIN_TIMEOUT = 1800.0
#: Bytes unread after which a watcher is dropped.
SLOW = 4 * 1024 * 1024
INITIAL_END = {"k8s.io/initial-events-end": "true"}
#: Events per payload while catching up.
_PIECE = 200


class StreamSink:
    """A watcher over HTTP."""

    __slots__ = ("stream",)

    def __init__(self, stream: Stream) -> None:
        self.stream = stream

    def send(self, payload: Any) -> None:
        stream = self.stream
        if stream.paused and stream.buffered > SLOW:
            stream.abort()
        else:
            stream.write_framed(payload)

    def end(self, payload: Any = None) -> None:
        if payload is not None:
            self.stream.write_framed(payload)
        self.stream.end()

    async def drain(self) -> None:
        await self.stream.drain()

    def on_close(self, callback: Any) -> None:
        self.stream.on_close(callback)

    @property
    def closed(self) -> bool:
        return self.stream.closed


async def watch(core: Core, call: Call) -> None:
    """GET with `watch=true`: answers by a stream."""
    resource = call.resource
    storage = resource.storage
    assert storage is not None
    check_list(call, watching=True)
    if call.info.name and not call.param("fieldSelector"):  # the old /watch/.../NAME
        chosen = selection.Selection(
            resource, call.info.namespace, call.param("labelSelector"), f"metadata.name={call.info.name}"
        )
    else:
        chosen = selection.of(call, resource)
    initial = call.flag("sendInitialEvents")
    revision = revision_of(call.param("resourceVersion"))
    cache = core.cache
    if revision:
        if initial:
            await cache.reach(revision)
        elif revision > cache.revision:
            await cache.fresh()
    elif revision is None:
        await cache.fresh()
    from_state = initial if initial is not None else not revision
    start = cache.revision if initial is False and not revision else revision
    timeout = call.integer("timeoutSeconds")
    seconds = float(timeout) if timeout else MIN_TIMEOUT * (1 + clock.rng.random())
    encoding: Any
    sink: Any
    if call.request is not None:
        form = accepted(call.headers.get(b"accept", b""), True, resource.kind.module != "")
        encoding = encodings.of(resource, form, call.param("includeObject", "Metadata"))
        media = encoding.media_type
        if form.media == JSON and form.shape:
            media = b"application/json;as=%b;g=meta.k8s.io;v=%b" % (form.shape.encode(), form.version.encode())
        headers = b"Content-Type: %b\r\nCache-Control: no-cache, private\r\n" % media
        if call.flow is not None:
            headers = call.flow.headers + headers
        if call.audit is not None:
            headers = b"Audit-Id: %b\r\n%b" % (call.audit.id.encode("latin-1"), headers)
        if call.warnings:
            headers += warning_headers(call.warnings)
        sink = StreamSink(call.request.stream(200, headers))
    else:
        assert call.open_sink is not None
        encoding = encodings.ObjectEvents(resource)
        sink = call.open_sink()
    watcher = Watcher(sink, bool(call.flag("allowWatchBookmarks")))
    await _begin(core, storage, chosen, encoding, watcher, from_state, start or 0, bool(initial), seconds)


async def _begin(
    core: Core,
    storage: Storage,
    chosen: Selection,
    encoding: Any,
    watcher: Watcher,
    from_state: bool,
    revision: int,
    initial: bool,
    seconds: float,
) -> None:
    sink: Any = watcher.sink
    fanout = core.cache.fanout
    memo: dict[Any, Any] = {}
    try:
        if from_state:
            fanout.flush()
            items = storage.list(chosen.namespace)
            revision = core.cache.revision
            matches = chosen.matches
            state: list[WatchEvent] = [("ADDED", item) for item in items if matches is None or matches(item)]
            await _write(sink, encoding, state)
            if initial and watcher.bookmarks:
                sink.send(encoding.bookmark(revision, INITIAL_END))
        while changes := storage.since(revision):
            revision = changes[-1].revision
            missed = [event for change in changes if (event := transition(change, _scope(chosen))) is not None]
            if len(missed) > _PIECE:
                await _write(sink, encoding, missed)
                continue  # more may have happened meanwhile
            if missed:
                sink.send(encoding.payload(missed, memo))
            break
    except errors.StatusError as error:
        sink.end(encoding.error(error.status))
        return
    except ConnectionResetError:
        return
    if sink.closed:
        return
    key = (*chosen.key, encoding.name)
    group = storage.groups.get(key) or Group(storage, key, chosen.index, chosen.matches, encoding)
    fanout.join(watcher, group)
    timer = asyncio.get_running_loop().call_later(seconds, _expire, core, watcher, encoding)

    def closed() -> None:
        timer.cancel()
        fanout.leave(watcher)

    sink.on_close(closed)


def _scope(chosen: Selection) -> Any:
    """The whole selection as one predicate, or None: what the group's index would have ensured is asked, too."""
    if chosen.index[0] == "namespace":
        namespace, predicate = chosen.namespace, chosen.predicate
        if predicate is None:
            return lambda item: item.namespace == namespace
        return lambda item: item.namespace == namespace and predicate(item)
    return chosen.matches


async def _write(sink: Any, encoding: Any, events: list[WatchEvent]) -> None:
    for at in range(0, len(events), _PIECE):
        sink.send(encoding.payload(events[at : at + _PIECE], {}))
        await sink.drain()


def _expire(core: Core, watcher: Watcher, encoding: Any) -> None:
    """The watch's time is up: a last bookmark tells the client where to go on."""
    fanout = core.cache.fanout
    fanout.flush()
    sink: Sink = watcher.sink
    sink.end(encoding.bookmark(core.cache.revision, None) if watcher.bookmarks else None)
