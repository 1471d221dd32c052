"""Types of apiextensions/v1: apiextensions_v1."""

from __future__ import annotations

from typing import Annotated, Any

from pybernetes.machinery.meta import Object, ObjectMeta
from pybernetes.machinery.types import (
    ATOMIC,
    Base64,
    Int32,
    Merge,
    Struct,
    Time,
    constant,
    empty_list,
    field,
    null,
    zero_bool,
    zero_str,
)


class CustomResourceColumnDefinition(Struct):
    name: str = field(default_factory=zero_str)
    type: str = field(default_factory=zero_str)
    format: str | None = None
    description: str | None = None
    priority: Int32 | None = None
    json_path: str = field(default_factory=zero_str)


class ServiceReference(Struct):
    namespace: str = field(default_factory=zero_str)
    name: str = field(default_factory=zero_str)
    path: str | None = None
    port: Int32 | None = None


class WebhookClientConfig(Struct):
    url: str | None = None
    service: ServiceReference | None = None
    ca_bundle: Base64 | None = None


class WebhookConversion(Struct):
    client_config: WebhookClientConfig | None = None
    conversion_review_versions: Annotated[list[str], ATOMIC] = field(default_factory=empty_list)


class CustomResourceConversion(Struct):
    strategy: str = field(default_factory=zero_str)
    webhook: WebhookConversion | None = None


class CustomResourceDefinitionNames(Struct):
    kind: str = field(default_factory=zero_str)
    plural: str = field(default_factory=zero_str)
    singular: str | None = None
    short_names: Annotated[list[str], ATOMIC] | None = None
    list_kind: str | None = None
    categories: Annotated[list[str], ATOMIC] | None = None


class ExternalDocumentation(Struct):
    description: str | None = None
    url: str | None = None


class ValidationRule(Struct):
    rule: str = field(default_factory=zero_str)
    message: str | None = None
    message_expression: str | None = None
    reason: str | None = None
    field_path: str | None = None
    optional_old_self: bool | None = None


class JSONSchemaProps(Struct):
    id: str | None = None
    description: str | None = None
    type: str | None = None
    format: str | None = None
    title: str | None = None
    default: Any = None
    maximum: int | float | None = None
    exclusive_maximum: bool | None = None
    minimum: int | float | None = None
    exclusive_minimum: bool | None = None
    max_length: int | None = None
    min_length: int | None = None
    pattern: str | None = None
    max_items: int | None = None
    min_items: int | None = None
    unique_items: bool | None = None
    multiple_of: int | float | None = None
    enum: Annotated[list[Any], ATOMIC] | None = None
    max_properties: int | None = None
    min_properties: int | None = None
    required: Annotated[list[str], ATOMIC] | None = None
    items: JSONSchemaProps | list[JSONSchemaProps] | None = None
    all_of: Annotated[list[JSONSchemaProps], ATOMIC] | None = None
    one_of: Annotated[list[JSONSchemaProps], ATOMIC] | None = None
    any_of: Annotated[list[JSONSchemaProps], ATOMIC] | None = None
    not_: JSONSchemaProps | None = field(name="not", default=None)
    properties: dict[str, JSONSchemaProps] | None = None
    additional_properties: JSONSchemaProps | bool | None = None
    pattern_properties: dict[str, JSONSchemaProps] | None = None
    dependencies: dict[str, JSONSchemaProps | list[str]] | None = None
    additional_items: JSONSchemaProps | bool | None = None
    definitions: dict[str, JSONSchemaProps] | None = None
    external_docs: ExternalDocumentation | None = None
    example: Any = None
    nullable: bool | None = None
    ref: str | None = field(name="$ref", default=None)
    schema: str | None = field(name="$schema", default=None)
    x_kubernetes_embedded_resource: bool | None = field(name="x-kubernetes-embedded-resource", default=None)
    x_kubernetes_int_or_string: bool | None = field(name="x-kubernetes-int-or-string", default=None)
    x_kubernetes_list_map_keys: Annotated[list[str], ATOMIC] | None = field(
        name="x-kubernetes-list-map-keys", default=None
    )
    x_kubernetes_list_type: str | None = field(name="x-kubernetes-list-type", default=None)
    x_kubernetes_map_type: str | None = field(name="x-kubernetes-map-type", default=None)
    x_kubernetes_preserve_unknown_fields: bool | None = field(name="x-kubernetes-preserve-unknown-fields", default=None)
    x_kubernetes_validations: (
        Annotated[list[ValidationRule], Merge(keys=("rule",), patch="merge", merge_key="rule")] | None
    ) = field(name="x-kubernetes-validations", default=None)


class CustomResourceValidation(Struct):
    open_apiv3_schema: JSONSchemaProps | None = field(name="openAPIV3Schema", default=None)


class SelectableField(Struct):
    json_path: str = field(default_factory=zero_str)


class CustomResourceSubresourceScale(Struct):
    spec_replicas_path: str = field(default_factory=zero_str)
    status_replicas_path: str = field(default_factory=zero_str)
    label_selector_path: str | None = None


class CustomResourceSubresources(Struct):
    status: dict[str, Any] | None = None
    scale: CustomResourceSubresourceScale | None = None


class CustomResourceDefinitionVersion(Struct):
    name: str = field(default_factory=zero_str)
    served: bool = field(default_factory=zero_bool)
    storage: bool = field(default_factory=zero_bool)
    deprecated: bool | None = None
    deprecation_warning: str | None = None
    schema: CustomResourceValidation | None = None
    subresources: CustomResourceSubresources | None = None
    additional_printer_columns: Annotated[list[CustomResourceColumnDefinition], ATOMIC] | None = None
    selectable_fields: Annotated[list[SelectableField], ATOMIC] | None = None


class CustomResourceDefinitionSpec(Struct):
    group: str = field(default_factory=zero_str)
    names: CustomResourceDefinitionNames = field(default_factory=CustomResourceDefinitionNames)
    scope: str = field(default_factory=zero_str)
    versions: Annotated[list[CustomResourceDefinitionVersion], ATOMIC] = field(default_factory=empty_list)
    conversion: CustomResourceConversion | None = None
    preserve_unknown_fields: bool | None = None


class CustomResourceDefinitionCondition(Struct):
    type: str = field(default_factory=zero_str)
    status: str = field(default_factory=zero_str)
    last_transition_time: Time | None = field(default_factory=null)
    reason: str | None = None
    message: str | None = None
    observed_generation: int | None = None


class CustomResourceDefinitionStatus(Struct):
    conditions: Annotated[list[CustomResourceDefinitionCondition], Merge(keys=("type",))] | None = None
    accepted_names: CustomResourceDefinitionNames | None = None
    stored_versions: Annotated[list[str], ATOMIC] | None = None
    observed_generation: int | None = None


class CustomResourceDefinition(Object):
    api_version: str = field(default_factory=constant("apiextensions.k8s.io/v1"))
    kind: str = field(default_factory=constant("CustomResourceDefinition"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    spec: CustomResourceDefinitionSpec = field(default_factory=CustomResourceDefinitionSpec)
    status: CustomResourceDefinitionStatus = field(default_factory=CustomResourceDefinitionStatus)
