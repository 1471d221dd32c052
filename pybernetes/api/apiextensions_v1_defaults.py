"""Defaults of CustomResourceDefinitions."""

from __future__ import annotations

from pybernetes.api.apiextensions_v1 import (
    CustomResourceConversion,
    CustomResourceDefinition,
    CustomResourceDefinitionNames,
)


def default_custom_resource_definition(definition: CustomResourceDefinition) -> None:
    spec = definition.spec
    names = spec.names
    if not names.singular:
        names.singular = names.kind.lower()
    if not names.list_kind and names.kind:
        names.list_kind = names.kind + "List"
    if spec.conversion is None:
        spec.conversion = CustomResourceConversion(strategy="None")
    webhook = spec.conversion.webhook
    if webhook is not None and webhook.client_config is not None and webhook.client_config.service is not None:
        service = webhook.client_config.service
        if service.port is None:
            service.port = 443
    status = definition.status
    if status.accepted_names is None:
        status.accepted_names = CustomResourceDefinitionNames()
    if status.conditions is None:
        status.conditions = []
    if not status.stored_versions:
        status.stored_versions = [version.name for version in spec.versions if version.storage][:1]
