"""The core group, Pods excepted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from pybernetes.aio import clock
from pybernetes.api.core_v1 import Event, Namespace, PersistentVolume, PersistentVolumeClaim, Secret
from pybernetes.api.core_v1.object_defaults import METADATA_NAME
from pybernetes.api.core_v1.persistent_volume import PersistentVolumeStatus
from pybernetes.api.core_v1.persistent_volume_claim import PersistentVolumeClaimStatus
from pybernetes.control_plane.apiserver.call import Call
from pybernetes.control_plane.apiserver.objects import AnyObject
from pybernetes.control_plane.apiserver.resource import Strategy
from pybernetes.machinery import errors

_IMMORTAL = ("default", "kube-system", "kube-public")


class NamespaceStrategy(Strategy):
    has_status = True
    fields = {"status.phase": lambda n: n.status.phase or "", "name": lambda n: n.metadata.name}

    def prepare_create(self, obj: AnyObject, call: Call) -> None:
        namespace = cast(Namespace, obj)
        self.reset_status(namespace)
        namespace.status.phase = "Active"
        finalizers = namespace.spec.finalizers or []
        if "kubernetes" not in finalizers:
            namespace.spec.finalizers = [*finalizers, "kubernetes"]

    def prepare_update(self, new: AnyObject, old: AnyObject, call: Call) -> None:
        super().prepare_update(new, old, call)
        cast(Namespace, new).spec.finalizers = cast(Namespace, old).spec.finalizers

    async def before_create(self, obj: AnyObject, call: Call) -> Callable[[], None] | None:
        name = obj.metadata.name  # a generated one was not there yet when defaults were set
        obj.metadata.labels = {**(obj.metadata.labels or {}), METADATA_NAME: name}
        return None

    def check_delete(self, obj: AnyObject) -> None:
        name = obj.metadata.name
        if name in _IMMORTAL:
            raise errors.forbidden(self.kind.group_resource, name, "this namespace may not be deleted")

    def held(self, obj: AnyObject) -> bool:
        return bool(cast(Namespace, obj).spec.finalizers)

    def mark_deleting(self, obj: AnyObject) -> None:
        namespace = cast(Namespace, obj)
        namespace.status.phase = "Terminating"
        namespace.metadata.deletion_grace_period_seconds = None


class NodeStrategy(Strategy):
    has_status = True
    fields = {"spec.unschedulable": lambda n: "true" if n.spec.unschedulable else "false"}

    def prepare_create(self, obj: AnyObject, call: Call) -> None:
        """A kubelet registers its node with a status."""

    def prepare_status(self, new: AnyObject, old: AnyObject, call: Call) -> None:
        super().prepare_status(new, old, call)


class SecretStrategy(Strategy):
    fields = {"type": lambda s: s.type or ""}

    def prepare_update(self, new: AnyObject, old: AnyObject, call: Call) -> None:
        super().prepare_update(new, old, call)
        secret = cast(Secret, new)
        if not secret.type:
            secret.type = cast(Secret, old).type


class ServiceStrategy(Strategy):
    has_status = True
    create_on_update = True
    returns_deleted = True
    fields = {"spec.clusterIP": lambda s: s.spec.cluster_ip or "", "spec.type": lambda s: s.spec.type or ""}


def _ref(name: str) -> Any:
    return lambda event: getattr(event.involved_object, name, None) or ""


class EventStrategy(Strategy):
    create_on_update = True
    fields = {
        "involvedObject.kind": _ref("kind"),
        "involvedObject.namespace": _ref("namespace"),
        "involvedObject.name": _ref("name"),
        "involvedObject.uid": _ref("uid"),
        "involvedObject.apiVersion": _ref("api_version"),
        "involvedObject.resourceVersion": _ref("resource_version"),
        "involvedObject.fieldPath": _ref("field_path"),
        "reason": lambda e: e.reason or "",
        "reportingComponent": lambda e: e.reporting_component or "",
        "source": lambda e: (e.source.component if e.source else None) or e.reporting_component or "",
        "type": lambda e: e.type or "",
    }


def _regarding(name: str) -> Any:
    return lambda event: getattr(event.regarding, name, None) or ""


class NewEventStrategy(Strategy):
    """events.k8s.io/v1."""

    create_on_update = True
    fields = {
        "regarding.kind": _regarding("kind"),
        "regarding.namespace": _regarding("namespace"),
        "regarding.name": _regarding("name"),
        "regarding.uid": _regarding("uid"),
        "regarding.apiVersion": _regarding("api_version"),
        "regarding.resourceVersion": _regarding("resource_version"),
        "regarding.fieldPath": _regarding("field_path"),
        "reason": lambda e: e.reason or "",
        "reportingController": lambda e: e.reporting_controller or "",
        "type": lambda e: e.type or "",
    }


class EndpointsStrategy(Strategy):
    create_on_update = True
    deprecation = "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"


class LimitRangeStrategy(Strategy):
    create_on_update = True


class PersistentVolumeStrategy(Strategy):
    has_status = True
    returns_deleted = True
    fields = {"name": lambda v: v.metadata.name}

    def prepare_create(self, obj: AnyObject, call: Call) -> None:
        cast(PersistentVolume, obj).status = PersistentVolumeStatus(
            phase="Pending", last_phase_transition_time=clock.rfc3339()
        )

    def prepare_status(self, new: AnyObject, old: AnyObject, call: Call) -> None:
        super().prepare_status(new, old, call)
        volume, before = cast(PersistentVolume, new), cast(PersistentVolume, old)
        if volume.status.phase != before.status.phase:
            if volume.status.last_phase_transition_time == before.status.last_phase_transition_time:
                volume.status.last_phase_transition_time = clock.rfc3339()
        elif volume.status.last_phase_transition_time is None:
            volume.status.last_phase_transition_time = before.status.last_phase_transition_time


class PersistentVolumeClaimStrategy(Strategy):
    has_status = True
    returns_deleted = True
    fields = {"name": lambda c: c.metadata.name}

    def prepare_create(self, obj: AnyObject, call: Call) -> None:
        cast(PersistentVolumeClaim, obj).status = PersistentVolumeClaimStatus(phase="Pending")


class PodTemplateStrategy(Strategy):
    counts_generation = True
    returns_deleted = True


class ReplicationControllerStrategy(Strategy):
    has_status = True
    counts_generation = True
    orphans_by_default = True
    fields = {"status.replicas": lambda rc: str(rc.status.replicas)}


class ResourceQuotaStrategy(Strategy):
    has_status = True
    returns_deleted = True


class ServiceAccountStrategy(Strategy):
    returns_deleted = True


def event_served(event: Any) -> Any:
    """core/v1 Event to events.k8s.io/v1 (they are stored once)."""
    from pybernetes.api import events_v1

    series = event.series
    return events_v1.Event(
        metadata=event.metadata,
        event_time=event.event_time,
        series=None
        if series is None
        else events_v1.EventSeries(count=series.count or 0, last_observed_time=series.last_observed_time),
        reporting_controller=event.reporting_component or None,
        reporting_instance=event.reporting_instance or None,
        action=event.action,
        reason=event.reason,
        regarding=event.involved_object,
        related=event.related,
        note=event.message,
        type=event.type,
        deprecated_source=event.source,
        deprecated_first_timestamp=event.first_timestamp,
        deprecated_last_timestamp=event.last_timestamp,
        deprecated_count=event.count,
    )


def event_stored(event: Any) -> Any:
    """events.k8s.io/v1 Event to core/v1."""
    from pybernetes.api.core_v1 import EventSeries, ObjectReference

    series = event.series
    return Event(
        metadata=event.metadata,
        event_time=event.event_time,
        series=None
        if series is None
        else EventSeries(count=series.count, last_observed_time=series.last_observed_time),
        reporting_component=event.reporting_controller or "",
        reporting_instance=event.reporting_instance or "",
        action=event.action,
        reason=event.reason,
        involved_object=event.regarding or ObjectReference(),
        related=event.related,
        message=event.note,
        type=event.type,
        source=event.deprecated_source,
        first_timestamp=event.deprecated_first_timestamp,
        last_timestamp=event.deprecated_last_timestamp,
        count=event.deprecated_count,
    )


STRATEGIES: dict[str, type[Strategy]] = {
    "Namespace": NamespaceStrategy,
    "Node": NodeStrategy,
    "Secret": SecretStrategy,
    "Service": ServiceStrategy,
    "Event": EventStrategy,
    "Endpoints": EndpointsStrategy,
    "LimitRange": LimitRangeStrategy,
    "PersistentVolume": PersistentVolumeStrategy,
    "PersistentVolumeClaim": PersistentVolumeClaimStrategy,
    "PodTemplate": PodTemplateStrategy,
    "ReplicationController": ReplicationControllerStrategy,
    "ResourceQuota": ResourceQuotaStrategy,
    "ServiceAccount": ServiceAccountStrategy,
}
