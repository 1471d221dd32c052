"""Types of v1: references."""

from __future__ import annotations

from typing import Annotated

from pybernetes.machinery.types import ATOMIC, Quantity, Struct, empty_list, field, null, zero_str


class ConfigMapKeySelector(Struct):
    key: str = field(default_factory=zero_str)
    optional: bool | None = None
    name: str | None = None


class LocalObjectReference(Struct):
    name: str | None = None


class NodeSelectorRequirement(Struct):
    key: str = field(default_factory=zero_str)
    operator: str = field(default_factory=zero_str)
    values: Annotated[list[str], ATOMIC] | None = None


class NodeSelectorTerm(Struct):
    match_expressions: Annotated[list[NodeSelectorRequirement], ATOMIC] | None = None
    match_fields: Annotated[list[NodeSelectorRequirement], ATOMIC] | None = None


class NodeSelector(Struct):
    node_selector_terms: Annotated[list[NodeSelectorTerm], ATOMIC] = field(default_factory=empty_list)


class ObjectFieldSelector(Struct):
    api_version: str | None = None
    field_path: str = field(default_factory=zero_str)


class ObjectReference(Struct):
    api_version: str | None = None
    kind: str | None = None
    namespace: str | None = None
    name: str | None = None
    uid: str | None = None
    resource_version: str | None = None
    field_path: str | None = None


class ResourceFieldSelector(Struct):
    container_name: str | None = None
    resource: str = field(default_factory=zero_str)
    divisor: Quantity | None = None


class SecretKeySelector(Struct):
    key: str = field(default_factory=zero_str)
    optional: bool | None = None
    name: str | None = None


class SecretReference(Struct):
    name: str | None = None
    namespace: str | None = None


class TopologySelectorLabelRequirement(Struct):
    key: str = field(default_factory=zero_str)
    values: Annotated[list[str], ATOMIC] = field(default_factory=empty_list)


class TopologySelectorTerm(Struct):
    match_label_expressions: Annotated[list[TopologySelectorLabelRequirement], ATOMIC] | None = None


class TypedLocalObjectReference(Struct):
    kind: str = field(default_factory=zero_str)
    api_group: str | None = field(default_factory=null)
    name: str = field(default_factory=zero_str)


class TypedObjectReference(Struct):
    kind: str = field(default_factory=zero_str)
    api_group: str | None = field(default_factory=null)
    name: str = field(default_factory=zero_str)
    namespace: str | None = None
