"""Types of discovery/v1: discovery_v1."""

from __future__ import annotations

from typing import Annotated

from pybernetes.api.core_v1.references import ObjectReference
from pybernetes.machinery.meta import Object, ObjectMeta
from pybernetes.machinery.types import ATOMIC, SET, Int32, Struct, constant, empty_list, field, null, zero_str


class EndpointConditions(Struct):
    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class ForNode(Struct):
    name: str = field(default_factory=zero_str)


class ForZone(Struct):
    name: str = field(default_factory=zero_str)


class EndpointHints(Struct):
    for_zones: Annotated[list[ForZone], ATOMIC] | None = None
    for_nodes: Annotated[list[ForNode], ATOMIC] | None = None


class Endpoint(Struct):
    addresses: Annotated[list[str], SET] = field(default_factory=empty_list)
    conditions: EndpointConditions | None = None
    hostname: str | None = None
    target_ref: ObjectReference | None = None
    deprecated_topology: dict[str, str] | None = None
    node_name: str | None = None
    zone: str | None = None
    hints: EndpointHints | None = None


class EndpointPort(Struct):
    name: str | None = None
    protocol: str | None = None
    port: Int32 | None = None
    app_protocol: str | None = None


class EndpointSlice(Object):
    api_version: str = field(default_factory=constant("discovery.k8s.io/v1"))
    kind: str = field(default_factory=constant("EndpointSlice"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    address_type: str = field(default_factory=zero_str)
    endpoints: Annotated[list[Endpoint], ATOMIC] | None = field(default_factory=null)
    ports: Annotated[list[EndpointPort], ATOMIC] | None = field(default_factory=null)
