"""Types of events/v1: events_v1."""

from __future__ import annotations

from pybernetes.api.core_v1.objects import EventSource
from pybernetes.api.core_v1.references import ObjectReference
from pybernetes.machinery.meta import Object, ObjectMeta
from pybernetes.machinery.types import (
    Int32,
    MicroTime,
    Struct,
    Time,
    constant,
    field,
    null,
    zero_int,
)


class EventSeries(Struct):
    count: Int32 = field(default_factory=zero_int)
    last_observed_time: MicroTime | None = field(default_factory=null)


class Event(Object):
    api_version: str = field(default_factory=constant("events.k8s.io/v1"))
    kind: str = field(default_factory=constant("Event"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    event_time: MicroTime | None = field(default_factory=null)
    series: EventSeries | None = None
    reporting_controller: str | None = None
    reporting_instance: str | None = None
    action: str | None = None
    reason: str | None = None
    regarding: ObjectReference = field(default_factory=ObjectReference)
    related: ObjectReference | None = None
    note: str | None = None
    type: str | None = None
    deprecated_source: EventSource = field(default_factory=EventSource)
    deprecated_first_timestamp: Time | None = field(default_factory=null)
    deprecated_last_timestamp: Time | None = field(default_factory=null)
    deprecated_count: Int32 | None = None
