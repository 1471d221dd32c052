"""Validation of events.k8s.io/v1 Events, which is stricter than that of core Events."""

from __future__ import annotations

from pybernetes.api import meta_validation as meta
from pybernetes.api.events_v1 import Event
from pybernetes.machinery import field, names
from pybernetes.machinery.field import FieldError


def validate_event(event: Event) -> list[FieldError]:
    errors = meta.object_meta(event.metadata, True)
    namespace = (event.regarding.namespace if event.regarding else None) or ""
    if (namespace and event.metadata.namespace != namespace) or (
        not namespace and event.metadata.namespace not in ("default", "kube-system")
    ):
        errors.append(field.invalid("involvedObject.namespace", namespace, "does not match event.namespace"))
    if not event.event_time:
        errors.append(field.required("eventTime"))
    if event.type not in ("Normal", "Warning"):
        errors.append(field.invalid("type", event.type or "", "has invalid value: " + (event.type or "")))
    for name, value, limit in (
        ("reportingController", event.reporting_controller, 0),
        ("reportingInstance", event.reporting_instance, 128),
        ("action", event.action, 128),
        ("reason", event.reason, 128),
    ):
        if not value:
            errors.append(field.required(name))
        elif limit and len(value) > limit:
            errors.append(field.invalid(name, "", f"can have at most {limit} characters"))
    if event.reporting_controller:
        for text in names.qualified_name(event.reporting_controller):
            errors.append(field.invalid("reportingController", event.reporting_controller, text))
    if len(event.note or "") > 1024:
        errors.append(field.invalid("message", "", "can have at most 1024 characters"))
    if event.series is not None:
        if event.series.count < 2:
            errors.append(field.invalid("series.count", "", "should be at least 2"))
        if not event.series.last_observed_time:
            errors.append(field.required("series.lastObservedTime"))
    return errors


def validate_event_update(new: Event, old: Event) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata)
    for name, now, was in (
        ("involvedObject", new.regarding, old.regarding),
        ("reason", new.reason, old.reason),
        ("message", new.note, old.note),
        ("type", new.type, old.type),
        ("eventTime", new.event_time, old.event_time),
        ("action", new.action, old.action),
        ("related", new.related, old.related),
        ("reportingController", new.reporting_controller, old.reporting_controller),
        ("reportingInstance", new.reporting_instance, old.reporting_instance),
    ):
        if now != was:
            errors.append(field.invalid(name, now, meta.IMMUTABLE))
    return errors
