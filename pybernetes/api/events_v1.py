"""Types of events/v1: events_v1."""

from __future__ import annotations

from pybernetes.api.core_v1.objects import EventSource
from pybernetes.api.core_v1.references import ObjectReference
from pybernetes.machinery.meta import Object, ObjectMeta
from pybernetes.machinery.types import Int32, MicroTime, Struct, Time, constant, field, zero_int


class EventSeries(Struct):
    count: Int32 = field(default_factory=zero_int)
    last_observed_time: MicroTime | None = None


class Event(Object):
    api_version: str = field(default_factory=constant("events.k8s.io/v1"))
    kind: str = field(default_factory=constant("Event"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    event_time: MicroTime | None = None
    series: EventSeries | None = None
    reporting_controller: str | None = None
    reporting_instance: str | None = None
    action: str | None = None
    reason: str | None = None
    regarding: ObjectReference | None = None
    related: ObjectReference | None = None
    note: str | None = None
    type: str | None = None
    deprecated_source: EventSource | None = None
    deprecated_first_timestamp: Time | None = None
    deprecated_last_timestamp: Time | None = None
    deprecated_count: Int32 | None = None
