"""Recording Events: what a component did to an object and why, for people to read.

`event()` never waits: it queues, and `run()` writes. The same event again raises the count of the one there is; more
than ten different messages of one kind about one object within ten minutes become one combined event; and one object
may cause 25 events at once and one every five minutes after (upstream's numbers). When the queue is full, the newest
are dropped: Events are best effort by contract, and a controller never waits for them.

The scheduler records in the newer form (events.k8s.io), which names the action taken: repetitions within six minutes
are a series, whatever they say, and are not held back.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Any

from pybernetes.aio import clock
from pybernetes.aio.backoff import TokenBucket
from pybernetes.api import events_v1
from pybernetes.api.core_v1 import Event, EventSource, ObjectReference
from pybernetes.client.client import Client
from pybernetes.client.errors import Unavailable
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.meta import Object, ObjectMeta

log = logging.getLogger(__name__)

NORMAL = "Normal"
WARNING = "Warning"

_QUEUE = 1000  # events waiting to be written
_CACHE = 4096  # objects and events remembered
_SIMILAR = 10  # different messages before they are combined
_SIMILAR_SECONDS = 600.0
_BURST, _RATE = 25, 1 / 300
_SERIES_SECONDS = 360.0


@dataclass(frozen=True, slots=True)
class _Record:
    component: str
    at: str
    about: ObjectReference
    type: str
    reason: str
    message: str
    action: str
    related: ObjectReference | None


@dataclass(slots=True)
class _Series:
    name: str
    count: int
    last: float


@dataclass(slots=True)
class _Written:
    name: str
    count: int
    first: str


@dataclass(slots=True)
class _Similar:
    messages: set[str]
    last: float


class _Lru(OrderedDict[Any, Any]):
    def put(self, key: Any, value: Any) -> None:
        self[key] = value
        self.move_to_end(key)
        if len(self) > _CACHE:
            self.popitem(last=False)


class EventRecorder:
    """Events of one component; `recorder.named("deployment-controller")` shares the queue under another name."""

    def __init__(self, client: Client, component: str, host: str = "", *, _parent: EventRecorder | None = None) -> None:
        self._resource = client.resource(Event)
        self._client = client
        self._component = component
        self._host = host
        self._pending: deque[_Record] = _parent._pending if _parent else deque()
        self._wake: asyncio.Event = _parent._wake if _parent else asyncio.Event()
        self._series_resource = client.resource(events_v1.Event)
        self._written = _Lru()
        self._series = _Lru()
        self._similar = _Lru()
        self._buckets = _Lru()
        self._last_ns = 0
        self.dropped = 0

    def named(self, component: str) -> EventRecorder:
        """A recorder for another component; `run` of the first writes for all."""
        return EventRecorder(self._client, component, self._host, _parent=self)

    def event(
        self, obj: Object | ObjectReference, type: str, reason: str, message: str, *,
        action: str = "", related: Object | None = None,
    ) -> None:  # fmt: skip
        """Record that something happened to `obj`. `type` is Normal or Warning. Returns at once.

        action: what was done (`Binding`), which makes it an Event of the newer form; related: the other object in it.
        """
        if len(self._pending) >= _QUEUE:
            self.dropped += 1
            return
        at = clock.rfc3339_micro() if action else clock.rfc3339()
        other = reference_to(related) if related is not None else None
        self._pending.append(_Record(self._component, at, reference_to(obj), type, reason, message, action, other))
        self._wake.set()

    async def run(self) -> None:
        """Write events until cancelled; what is then still waiting is lost."""
        while True:
            await self._wake.wait()
            while self._pending:
                record = self._pending.popleft()
                try:
                    await (self._write_action(record) if record.action else self._write(record))
                except StatusError as error:
                    # A namespace on its way out takes no new objects; that is no news.
                    (log.debug if error.code in (403, 404, 409) else log.warning)("event not written: %s", error)
                except Unavailable as error:
                    log.debug("event not written: %s", error)
            self._wake.clear()

    async def _write_action(self, record: _Record) -> None:
        about, component, now = record.about, record.component, clock.monotonic()
        where = (about.namespace, about.kind, about.name, about.uid, about.resource_version)
        key = (component, *where, record.type, record.reason, record.action)
        series: _Series | None = self._series.get(key)
        if series is not None and now - series.last <= _SERIES_SECONDS:
            series.count, series.last = series.count + 1, now
            patch: dict[str, Any] = {"series": {"count": series.count, "lastObservedTime": record.at}}
            if await _patched(self._series_resource, series.name, about, patch):
                return
        name = f"{about.name}.{self._unique():016x}"
        await self._series_resource.create(
            events_v1.Event(
                metadata=ObjectMeta(name=name, namespace=_namespace(about)),
                event_time=record.at,
                reporting_controller=component,
                reporting_instance=f"{component}-{self._host or socket.gethostname()}"[:128],
                action=record.action,
                reason=record.reason,
                regarding=about,
                related=record.related,
                note=record.message,
                type=record.type,
            )
        )
        self._series.put(key, _Series(name, 1, now))

    async def _write(self, record: _Record) -> None:
        component, at, about, message = record.component, record.at, record.about, record.message
        type, reason = record.type, record.reason
        subject = (component, about.namespace, about.kind, about.name, about.uid)
        bucket = self._buckets.get(subject) or TokenBucket(_RATE, _BURST)
        self._buckets.put(subject, bucket)
        similar_key = (*subject, about.field_path, type, reason)  # a pod's containers say the same of themselves
        similar = self._similar.get(similar_key)
        now = clock.monotonic()
        if similar is None or now - similar.last > _SIMILAR_SECONDS:
            similar = _Similar(set(), now)
        similar.messages.add(message)
        similar.last = now
        self._similar.put(similar_key, similar)
        key: tuple[Any, ...] = (*similar_key, message)
        if len(similar.messages) > _SIMILAR:
            similar.messages.pop()
            key = (*similar_key, None)
            message = f"(combined from similar events): {message}"
        if not bucket.take():
            return
        written: _Written | None = self._written.get(key)
        if written is not None:
            written.count += 1
            patch = {"count": written.count, "lastTimestamp": at, "message": message}
            if await _patched(self._resource, written.name, about, patch):
                return
        name = f"{about.name}.{self._unique():016x}"
        await self._resource.create(
            Event(
                metadata=ObjectMeta(name=name, namespace=_namespace(about)),
                involved_object=about,
                reason=reason,
                message=message,
                type=type,
                count=written.count if written else 1,
                first_timestamp=written.first if written else at,
                last_timestamp=at,
                source=EventSource(component=component, host=self._host or None),
                reporting_component=component,
                reporting_instance=self._host,
            )
        )
        self._written.put(key, _Written(name, written.count if written else 1, at))

    def _unique(self) -> int:
        self._last_ns = max(self._last_ns + 1, int(clock.timestamp() * 1e9))
        return self._last_ns


async def _patched(resource: Any, name: str, about: ObjectReference, patch: dict[str, Any]) -> bool:
    """Whether the Event was there to be changed; one that has expired meanwhile is written anew."""
    try:
        await resource.patch(name, _namespace(about), patch, type="merge")
    except StatusError as error:
        if error.code != 404:
            raise
        return False
    return True


def reference_to(obj: Object | ObjectReference) -> ObjectReference:
    """The reference to an object as Events carry it."""
    if isinstance(obj, ObjectReference):
        return obj
    metadata = obj.metadata
    return ObjectReference(
        api_version=obj.api_version,
        kind=obj.kind,
        name=metadata.name,
        namespace=metadata.namespace or None,
        uid=metadata.uid or None,
        resource_version=metadata.resource_version or None,
    )


def _namespace(about: ObjectReference) -> str:
    return about.namespace or "default"
