"""Types of v1: objects."""

from __future__ import annotations

from typing import Annotated

from pybernetes.api.core_v1.references import LocalObjectReference, ObjectReference
from pybernetes.machinery.meta import Object, ObjectMeta
from pybernetes.machinery.types import (
    ATOMIC,
    BY_NAME,
    BY_TYPE,
    Base64,
    Int32,
    MicroTime,
    Quantity,
    Struct,
    Time,
    constant,
    empty_list,
    field,
    null,
    zero_str,
)


class Binding(Object):
    api_version: str = field(default_factory=constant("v1"))
    kind: str = field(default_factory=constant("Binding"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    target: ObjectReference = field(default_factory=ObjectReference)


class ComponentCondition(Struct):
    type: str = field(default_factory=zero_str)
    status: str = field(default_factory=zero_str)
    message: str | None = None
    error: str | None = None


class ComponentStatus(Object):
    api_version: str = field(default_factory=constant("v1"))
    kind: str = field(default_factory=constant("ComponentStatus"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    conditions: Annotated[list[ComponentCondition], BY_TYPE] | None = None


class ConfigMap(Object):
    api_version: str = field(default_factory=constant("v1"))
    kind: str = field(default_factory=constant("ConfigMap"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    immutable: bool | None = None
    data: dict[str, str] | None = None
    binary_data: dict[str, Base64] | None = None


class EventSeries(Struct):
    count: Int32 | None = None
    last_observed_time: MicroTime | None = field(default_factory=null)


class EventSource(Struct):
    component: str | None = None
    host: str | None = None


class Event(Object):
    api_version: str = field(default_factory=constant("v1"))
    kind: str = field(default_factory=constant("Event"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    involved_object: ObjectReference = field(default_factory=ObjectReference)
    reason: str | None = None
    message: str | None = None
    source: EventSource = field(default_factory=EventSource)
    first_timestamp: Time | None = field(default_factory=null)
    last_timestamp: Time | None = field(default_factory=null)
    count: Int32 | None = None
    type: str | None = None
    event_time: MicroTime | None = field(default_factory=null)
    series: EventSeries | None = None
    action: str | None = None
    related: ObjectReference | None = None
    reporting_component: str = field(default_factory=zero_str)
    reporting_instance: str = field(default_factory=zero_str)


class LimitRangeItem(Struct):
    type: str = field(default_factory=zero_str)
    max: dict[str, Quantity] | None = None
    min: dict[str, Quantity] | None = None
    default: dict[str, Quantity] | None = None
    default_request: dict[str, Quantity] | None = None
    max_limit_request_ratio: dict[str, Quantity] | None = None


class LimitRangeSpec(Struct):
    limits: Annotated[list[LimitRangeItem], ATOMIC] = field(default_factory=empty_list)


class LimitRange(Object):
    api_version: str = field(default_factory=constant("v1"))
    kind: str = field(default_factory=constant("LimitRange"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    spec: LimitRangeSpec = field(default_factory=LimitRangeSpec)


class NamespaceSpec(Struct):
    finalizers: Annotated[list[str], ATOMIC] | None = None


class NamespaceCondition(Struct):
    type: str = field(default_factory=zero_str)
    status: str = field(default_factory=zero_str)
    last_transition_time: Time | None = field(default_factory=null)
    reason: str | None = None
    message: str | None = None


class NamespaceStatus(Struct):
    phase: str | None = None
    conditions: Annotated[list[NamespaceCondition], BY_TYPE] | None = None


class Namespace(Object):
    api_version: str = field(default_factory=constant("v1"))
    kind: str = field(default_factory=constant("Namespace"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    spec: NamespaceSpec = field(default_factory=NamespaceSpec)
    status: NamespaceStatus = field(default_factory=NamespaceStatus)


class ScopedResourceSelectorRequirement(Struct):
    scope_name: str = field(default_factory=zero_str)
    operator: str = field(default_factory=zero_str)
    values: Annotated[list[str], ATOMIC] | None = None


class ScopeSelector(Struct):
    match_expressions: Annotated[list[ScopedResourceSelectorRequirement], ATOMIC] | None = None


class ResourceQuotaSpec(Struct):
    hard: dict[str, Quantity] | None = None
    scopes: Annotated[list[str], ATOMIC] | None = None
    scope_selector: ScopeSelector | None = None


class ResourceQuotaStatus(Struct):
    hard: dict[str, Quantity] | None = None
    used: dict[str, Quantity] | None = None


class ResourceQuota(Object):
    api_version: str = field(default_factory=constant("v1"))
    kind: str = field(default_factory=constant("ResourceQuota"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    spec: ResourceQuotaSpec = field(default_factory=ResourceQuotaSpec)
    status: ResourceQuotaStatus = field(default_factory=ResourceQuotaStatus)


class Secret(Object):
    api_version: str = field(default_factory=constant("v1"))
    kind: str = field(default_factory=constant("Secret"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    immutable: bool | None = None
    data: dict[str, Base64] | None = None
    string_data: dict[str, str] | None = None
    type: str | None = None


class ServiceAccount(Object):
    api_version: str = field(default_factory=constant("v1"))
    kind: str = field(default_factory=constant("ServiceAccount"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    secrets: Annotated[list[ObjectReference], BY_NAME] | None = None
    image_pull_secrets: Annotated[list[LocalObjectReference], ATOMIC] | None = None
    automount_service_account_token: bool | None = None
