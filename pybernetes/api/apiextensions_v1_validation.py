"""Validation of CustomResourceDefinitions: names, versions, structural schemas, columns, conversion.

A schema is structural (KEP-1111) when every value has a type, and logical junctors (allOf...) add no types, properties
or defaults. What is not is refused with upstream's words.
"""

from __future__ import annotations

import re
from typing import Any

from pybernetes.api import meta_validation as meta
from pybernetes.api.apiextensions_v1 import (
    CustomResourceConversion,
    CustomResourceDefinition,
    CustomResourceDefinitionNames,
    CustomResourceDefinitionSpec,
    CustomResourceDefinitionVersion,
    JSONSchemaProps,
)
from pybernetes.machinery import field, names
from pybernetes.machinery.field import FieldError, Path

SPEC = Path("spec")
COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
COLUMN_FORMATS = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")
TYPES = ("array", "boolean", "integer", "number", "object", "string")
_REASONS = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")


def validate_custom_resource_definition(definition: CustomResourceDefinition) -> list[FieldError]:
    spec = definition.spec
    wanted = f"{spec.names.plural}.{spec.group}"

    def name_check(name: str) -> list[str]:
        return [] if name == wanted else ['must be spec.names.plural+"."+spec.group']

    errors = meta.object_meta(definition.metadata, False, name_check, any_finalizer=True)
    _spec(spec, errors)
    if not spec.group.endswith((".k8s.io", ".kubernetes.io")) and spec.group not in ("k8s.io", "kubernetes.io"):
        return errors
    policy = (definition.metadata.annotations or {}).get("api-approved.kubernetes.io", "")
    at = Path("metadata").child("annotations").key("api-approved.kubernetes.io")
    more = "see https://github.com/kubernetes/enhancements/pull/1111"
    head = 'protected groups must have approval annotation "api-approved.kubernetes.io"'
    if not policy:
        errors.append(field.required(at, f"{head}, {more}"))
    elif not policy.startswith(("unapproved", "https://", "http://")):
        text = f'{head} with either a URL or a reason starting with "unapproved", {more}'
        errors.append(field.invalid(at, policy, text))
    return errors


def _spec(spec: CustomResourceDefinitionSpec, errors: list[FieldError]) -> None:
    if not spec.group:
        errors.append(field.required(SPEC.child("group")))
    elif messages := names.dns1123_subdomain(spec.group):
        errors.append(field.invalid(SPEC.child("group"), spec.group, ",".join(messages)))
    elif "." not in spec.group:
        text = "should be a domain with at least one dot"
        errors.append(field.invalid(SPEC.child("group"), spec.group, text))
    if spec.scope not in ("Cluster", "Namespaced"):
        at = SPEC.child("scope")
        errors.append(
            field.not_supported(at, spec.scope, ("Cluster", "Namespaced")) if spec.scope else field.required(at)
        )
    if spec.preserve_unknown_fields:
        text = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
        errors.append(field.invalid(SPEC.child("preserveUnknownFields"), True, text))
    seen: set[str] = set()
    storage = 0
    for i, version in enumerate(spec.versions):
        at = SPEC.child("versions").index(i)
        storage += bool(version.storage)
        if version.name in seen:
            errors.append(field.invalid(at.child("name"), version.name, "must be unique"))
            errors[-1] = field.invalid(SPEC.child("versions"), spec.versions, "must contain unique version names")
        seen.add(version.name)
        for text in names.dns1035_label(version.name):
            errors.append(field.invalid(at.child("name"), version.name, text))
        _version(version, at, errors)
    if storage != 1:
        text = "must have exactly one version marked as storage version"
        errors.append(field.invalid(SPEC.child("versions"), spec.versions, text))
    _names(spec.names, SPEC.child("names"), errors)
    _conversion(spec.conversion, SPEC.child("conversion"), errors)


def _names(given: CustomResourceDefinitionNames, path: Path, errors: list[FieldError]) -> None:
    for wire, value in (("plural", given.plural), ("singular", given.singular)):
        if not value and wire == "plural":
            errors.append(field.required(path.child(wire)))
        elif value and (messages := names.dns1035_label(value)):
            errors.append(field.invalid(path.child(wire), value, ",".join(messages)))
    for wire, value in (("kind", given.kind), ("listKind", given.list_kind)):
        if not value:
            errors.append(field.required(path.child(wire)))
        elif messages := names.dns1035_label(value.lower()):
            text = "may have mixed case, but should otherwise match: " + ",".join(messages)
            errors.append(field.invalid(path.child(wire), value, text))
    if given.kind and given.kind == given.list_kind:
        errors.append(field.invalid(path.child("listKind"), given.list_kind, "kind and listKind may not be the same"))
    for wire, listed in (("shortNames", given.short_names), ("categories", given.categories)):
        for i, name in enumerate(listed or ()):
            if messages := names.dns1035_label(name):
                errors.append(field.invalid(path.child(wire).index(i), name, ",".join(messages)))


def _conversion(conversion: CustomResourceConversion | None, path: Path, errors: list[FieldError]) -> None:
    if conversion is None:
        return
    if conversion.strategy not in ("None", "Webhook"):
        at = path.child("strategy")
        wrong = field.not_supported(at, conversion.strategy, ("None", "Webhook"))
        errors.append(wrong if conversion.strategy else field.required(at))
    if conversion.strategy != "Webhook":
        if conversion.webhook is not None:
            text = "should not be set when strategy is not set to Webhook"
            errors.append(field.forbidden(path.child("webhook"), text))
        return
    if conversion.webhook is None or conversion.webhook.client_config is None:
        text = "required when strategy is set to Webhook"
        errors.append(field.required(path.child("webhookClientConfig"), text))
        return
    config = conversion.webhook.client_config
    at = path.child("webhookClientConfig")
    if (config.url is None) == (config.service is None):
        text = "exactly one of url or service is required"
        errors.append(field.required(at, text))
    elif config.url is not None:
        errors.extend(webhook_url(config.url, at.child("url")))
    elif config.service is not None:
        errors.extend(webhook_service(config.service, at.child("service")))
    versions = conversion.webhook.conversion_review_versions
    where = path.child("conversionReviewVersions")
    if not versions:
        errors.append(field.required(where))
    elif "v1" not in versions and "v1beta1" not in versions:
        text = "must include at least one of v1, v1beta1"
        errors.append(field.invalid(where, versions, text))


def webhook_url(url: str, path: Path) -> list[FieldError]:
    """What is wrong with the URL of a webhook."""
    from urllib.parse import urlsplit

    form = "https://host[:port]/path"
    try:
        parts = urlsplit(url)
    except ValueError as error:
        return [field.required(path, f"url must be a valid URL: {error}; desired format: {form}")]
    errors = []
    if parts.scheme != "https":
        text = f"'https' is the only allowed URL scheme; desired format: {form}"
        errors.append(field.invalid(path, parts.scheme, text))
    if not parts.hostname:
        errors.append(field.invalid(path, parts.netloc, f"host must be specified; desired format: {form}"))
    if parts.username:
        errors.append(field.invalid(path, parts.username, "user information is not permitted in the URL"))
    if parts.fragment:
        errors.append(field.invalid(path, parts.fragment, "fragments are not permitted in the URL"))
    if parts.query:
        errors.append(field.invalid(path, parts.query, "query parameters are not permitted in the URL"))
    return errors


def webhook_service(service: Any, path: Path) -> list[FieldError]:
    """What is wrong with the Service of a webhook."""
    errors = []
    if not service.name:
        errors.append(field.required(path.child("name"), "service name is required"))
    if not service.namespace:
        errors.append(field.required(path.child("namespace"), "service namespace is required"))
    if service.port is not None and not 1 <= service.port <= 65535:
        text = f"port is not valid: {names.range_text(1, 65535)}"
        errors.append(field.invalid(path.child("port"), service.port, text))
    if service.path is not None:
        if service.path and not service.path.startswith("/"):
            errors.append(field.invalid(path.child("path"), service.path, "must start with a '/'"))
        elif "//" in service.path:
            errors.append(field.invalid(path.child("path"), service.path, "segment[0] may not be empty"))
    return errors


def _version(version: CustomResourceDefinitionVersion, path: Path, errors: list[FieldError]) -> None:
    if version.deprecation_warning is not None:
        at = path.child("deprecationWarning")
        if not version.deprecated:
            errors.append(field.invalid(at, version.deprecation_warning, "can only be set for deprecated versions"))
        if len(version.deprecation_warning) > 256:
            errors.append(field.invalid(at, version.deprecation_warning, "must be <= 256 characters long"))
        if not version.deprecation_warning:
            errors.append(field.invalid(at, "", "must not be empty"))
    props = version.schema.open_apiv3_schema if version.schema is not None else None
    at = path.child("schema", "openAPIV3Schema")
    if props is None:
        errors.append(field.required(at, "schemas are required"))
        errors[-1] = field.required(path.child("schema", "openAPIV3Schema"), "schemas are required")
    else:
        _root(props, at, errors)
        wire_path = str(at)
        from pybernetes.api.schema_rules import rule_errors

        errors.extend(rule_errors(props, wire_path))
    if version.subresources is not None and version.subresources.scale is not None:
        scale = version.subresources.scale
        where = path.child("subresources", "scale")
        for wire, value, root in (
            ("specReplicasPath", scale.spec_replicas_path, ".spec."),
            ("statusReplicasPath", scale.status_replicas_path, ".status."),
        ):
            if not value:
                errors.append(field.required(where.child(wire)))
            elif not value.startswith(root) or "[" in value:
                text = f"should be a json path under {root[:-1]}"
                errors.append(field.invalid(where.child(wire), value, text))
        selector = scale.label_selector_path
        if selector and not selector.startswith((".spec.", ".status.")):
            text = "should be a json path under either .status or .spec"
            errors.append(field.invalid(where.child("labelSelectorPath"), selector, text))
    for i, column in enumerate(version.additional_printer_columns or ()):
        where = path.child("additionalPrinterColumns").index(i)
        if not column.name:
            errors.append(field.required(where.child("name")))
        if not column.type:
            text = f"must be one of {','.join(COLUMN_TYPES)}"
            errors.append(field.required(where.child("type"), text))
        elif column.type not in COLUMN_TYPES:
            text = f"must be one of {','.join(COLUMN_TYPES)}"
            errors.append(field.invalid(where.child("type"), column.type, text))
        if column.format and column.format not in COLUMN_FORMATS:
            text = f"must be one of {','.join(COLUMN_FORMATS)}"
            errors.append(field.invalid(where.child("format"), column.format, text))
        if not column.json_path:
            errors.append(field.required(where.child("JSONPath")))
        elif not column.json_path.startswith("."):
            text = "must be a simple json path starting with ."
            errors.append(field.invalid(where.child("JSONPath"), column.json_path, text))
    _selectable(version, props, path.child("selectableFields"), errors)


def _selectable(
    version: CustomResourceDefinitionVersion, props: JSONSchemaProps | None, path: Path, errors: list[FieldError]
) -> None:
    listed = version.selectable_fields or []
    if len(listed) > 8:
        errors.append(field.too_many(path, len(listed), 8))
    seen: set[str] = set()
    for i, selectable in enumerate(listed):
        at = path.index(i).child("jsonPath")
        wanted = selectable.json_path
        if not wanted:
            errors.append(field.required(at))
            continue
        if wanted in seen:
            errors.append(field.duplicate(at, wanted))
        seen.add(wanted)
        if wanted.startswith(".metadata"):
            errors.append(field.invalid(at, wanted, "must not point to fields in metadata"))
            continue
        found: JSONSchemaProps | None = props
        for name in wanted.removeprefix(".").split("."):
            found = (found.properties or {}).get(name) if found is not None else None
        if found is None:
            text = "does not refer to a valid field" if props is not None else "schema is required"
            errors.append(field.invalid(at, wanted, text))
        elif found.type not in ("string", "boolean", "integer"):
            text = (
                "must point to a field of type string, boolean or integer. "
                "Enum string fields and strings with formats are allowed."
            )
            errors.append(field.invalid(at, wanted, text))


def _root(props: JSONSchemaProps, path: Path, errors: list[FieldError]) -> None:
    if props.nullable:
        errors.append(field.forbidden(path.child("nullable"), "nullable cannot be true at the root"))
    if props.type != "object":
        errors.append(
            field.invalid(path.child("type"), props.type or "", "must be object at the root")
            if props.type
            else field.required(path.child("type"), "must not be empty for specified object fields")
        )
        if not props.type:
            errors[-1] = field.required(path.child("type"), "must not be empty at the root")
    metadata = (props.properties or {}).get("metadata")
    if metadata is not None:
        for name in metadata.properties or {}:
            if name not in ("name", "generateName"):
                text = (
                    "must not specify anything other than name and generateName, but metadata is implicitly specified"
                )
                errors.append(field.forbidden(path.child("properties").key("metadata"), text))
                break
    _structural(props, path, errors, root=True)


def _structural(
    props: JSONSchemaProps, path: Path, errors: list[FieldError], *, root: bool = False, name: str = ""
) -> None:
    """One value and all below it."""
    free = props.x_kubernetes_int_or_string or props.x_kubernetes_preserve_unknown_fields
    if not props.type and not free and not root:
        kind = "array items" if name == "[]" else "specified object fields"
        errors.append(field.required(path.child("type"), f"must not be empty for {kind}"))
    if props.type is not None and props.type not in TYPES and props.type:
        errors.append(field.not_supported(path.child("type"), props.type, TYPES))
    if props.x_kubernetes_int_or_string and props.type:
        text = "must be empty if x-kubernetes-int-or-string is true"
        errors.append(field.forbidden(path.child("type"), text))
    if props.x_kubernetes_embedded_resource:
        if props.type != "object":
            text = "must be object if x-kubernetes-embedded-resource is true"
            errors.append(field.invalid(path.child("type"), props.type or "", text))
        if not props.x_kubernetes_preserve_unknown_fields and not props.properties:
            text = (
                "must not be empty if x-kubernetes-embedded-resource is true "
                "without x-kubernetes-preserve-unknown-fields"
            )
            errors.append(field.required(path.child("properties"), text))
    for wire, value in (
        ("$ref", props.ref),
        ("definitions", props.definitions),
        ("dependencies", props.dependencies),
        ("id", props.id),
        ("patternProperties", props.pattern_properties),
        ("additionalItems", props.additional_items),
    ):
        if value:
            errors.append(field.forbidden(path.child(wire), f"{wire} is not supported"))
    if props.unique_items:
        text = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        errors.append(field.forbidden(path.child("uniqueItems"), text))
    if props.additional_properties is False:
        text = "additionalProperties cannot be set to false"
        errors.append(field.forbidden(path.child("additionalProperties"), text))
    if props.properties and props.additional_properties not in (None, False):
        text = "additionalProperties and properties are mutual exclusive"
        errors.append(field.forbidden(path.child("additionalProperties"), text))
    if props.pattern is not None:
        try:
            re.compile(props.pattern.replace(r"\z", r"\Z"))
        except re.error as error:
            text = f"must be a valid regular expression, but isn't: {error}"
            errors.append(field.invalid(path.child("pattern"), props.pattern, text))
    _lists(props, path, errors)
    if props.default is not None:
        _default(props, path.child("default"), errors)
    for key, child in (props.properties or {}).items():
        _structural(child, path.child("properties").key(key), errors, name=key)
    if isinstance(props.additional_properties, JSONSchemaProps):
        _structural(props.additional_properties, path.child("additionalProperties"), errors, name="{}")
    if isinstance(props.items, JSONSchemaProps):
        _structural(props.items, path.child("items"), errors, name="[]")
    elif isinstance(props.items, list):
        text = "items must be a schema object and not an array"
        errors.append(field.forbidden(path.child("items"), text))
    elif props.type == "array":
        errors.append(field.required(path.child("items"), "must be specified"))
    for wire, listed in (("allOf", props.all_of), ("anyOf", props.any_of), ("oneOf", props.one_of)):
        for i, part in enumerate(listed or ()):
            _junctor(part, props, path.child(wire).index(i), errors, wire)
    if props.not_ is not None:
        _junctor(props.not_, props, path.child("not"), errors, "not")


def _junctor(part: JSONSchemaProps, around: JSONSchemaProps, path: Path, errors: list[FieldError], wire: str) -> None:
    """Inside allOf and the like only value validations are allowed."""
    text = "must be empty to be structural"
    allowed = around.x_kubernetes_int_or_string and wire in ("anyOf", "allOf")
    for name, value in (
        ("description", part.description),
        ("type", None if allowed else part.type),
        ("default", part.default),
        ("title", part.title),
        ("nullable", part.nullable),
        ("additionalProperties", part.additional_properties),
        ("x-kubernetes-preserve-unknown-fields", part.x_kubernetes_preserve_unknown_fields),
        ("x-kubernetes-embedded-resource", part.x_kubernetes_embedded_resource),
        ("x-kubernetes-int-or-string", part.x_kubernetes_int_or_string),
    ):
        if value:
            errors.append(field.forbidden(path.child(name), text))
    for key, child in (part.properties or {}).items():
        known = (around.properties or {}).get(key)
        if known is None:
            where = path.child("properties").key(key)
            if not around.x_kubernetes_preserve_unknown_fields:
                errors.append(field.required(_mirror(path, wire, key), f"because it is defined in {where}"))
            continue
        _junctor(child, known, path.child("properties").key(key), errors, wire)


def _mirror(path: Path, wire: str, key: str) -> str:
    text = str(path)
    return f"{text[: text.index(f'.{wire}')]}.properties[{key}]" if f".{wire}" in text else text


def _lists(props: JSONSchemaProps, path: Path, errors: list[FieldError]) -> None:
    kind = props.x_kubernetes_list_type
    at = path.child("x-kubernetes-list-type")
    if kind is not None:
        if kind not in ("atomic", "map", "set"):
            errors.append(field.not_supported(at, kind, ("atomic", "map", "set")))
        if props.type != "array":
            text = "must be array if x-kubernetes-list-type is specified"
            errors.append(field.invalid(path.child("type"), props.type or "", text))
    keys = props.x_kubernetes_list_map_keys
    if keys and kind != "map":
        if kind is None:
            text = "must be map if x-kubernetes-list-map-keys is non-empty"
            errors.append(field.required(at, text))
        else:
            text = "must be map if x-kubernetes-list-map-keys is non-empty"
            errors.append(field.invalid(at, kind, text))
    if kind == "map":
        where = path.child("x-kubernetes-list-map-keys")
        if not keys:
            text = "must not be empty if x-kubernetes-list-type is map"
            errors.append(field.required(where, text))
        items = props.items if isinstance(props.items, JSONSchemaProps) else None
        for i, key in enumerate(keys or ()):
            child = (items.properties or {}).get(key) if items is not None else None
            if child is None:
                text = "entries must all be names of item properties"
                errors.append(field.invalid(where.index(i), key, text))
            elif child.default is None and key not in ((items.required if items else None) or ()):
                text = (
                    "this property is in x-kubernetes-list-map-keys, "
                    "so it must have a default or be a required property"
                )
                errors.append(field.required(path.child("items", "properties").key(key).child("default"), text))
    map_type = props.x_kubernetes_map_type
    if map_type is not None and map_type not in ("atomic", "granular"):
        errors.append(field.not_supported(path.child("x-kubernetes-map-type"), map_type, ("atomic", "granular")))


def _default(props: JSONSchemaProps, path: Path, errors: list[FieldError]) -> None:
    """A default must fit its own schema."""
    expected = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float)}
    wanted: Any = expected.get(props.type or "")
    value = props.default
    wrong = wanted is not None and (not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool))
    if wrong:
        have = {bool: "boolean", str: "string", int: "integer", float: "number", list: "array", dict: "object"}.get(
            type(value), "null"
        )
        text = f'{path} in body must be of type {props.type}: "{have}"'
        errors.append(field.invalid(path, value, text))
    elif props.enum is not None and value not in props.enum:
        errors.append(field.not_supported(path, value, [str(e) for e in props.enum]))


def validate_custom_resource_definition_update(
    new: CustomResourceDefinition, old: CustomResourceDefinition
) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata, any_finalizer=True)
    if new.spec != old.spec:
        _spec(new.spec, errors)
    established = any(c.type == "Established" and c.status == "True" for c in old.status.conditions or ())
    if established:
        meta.immutable(new.spec.scope, old.spec.scope, SPEC.child("scope"), errors)
        meta.immutable(new.spec.names.kind, old.spec.names.kind, SPEC.child("names", "kind"), errors)
    meta.immutable(new.spec.group, old.spec.group, SPEC.child("group"), errors)
    meta.immutable(new.spec.names.plural, old.spec.names.plural, SPEC.child("names", "plural"), errors)
    known = {version.name for version in new.spec.versions}
    for i, stored in enumerate(old.status.stored_versions or ()):
        if stored not in known:
            at = Path("status", "storedVersions").index(i)
            text = "must appear in spec.versions"
            errors.append(field.invalid(at, stored, text))
    return errors


def validate_custom_resource_definition_status_update(
    new: CustomResourceDefinition, old: CustomResourceDefinition
) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata, any_finalizer=True)
    known = {version.name: version.storage for version in new.spec.versions}
    stored = new.status.stored_versions or []
    at = Path("status", "storedVersions")
    if not stored:
        errors.append(field.invalid(at, stored, "must have at least one stored version"))
    for i, name in enumerate(stored):
        if name not in known:
            errors.append(field.invalid(at.index(i), name, "must appear in spec.versions"))
    current = next((name for name, storage in known.items() if storage), None)
    if current is not None and stored and current not in stored:
        text = f"must have the storage version {current}"
        errors.append(field.invalid(at, stored, text))
    return errors
