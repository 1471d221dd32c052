"""The schema of a CRD against the rules for such schemas: it must be structural.

Structural means that the shape (types, properties) is said once, outside `allOf` and its kin, so that pruning, defaults
and server-side apply can follow it; inside them only values may be narrowed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pybernetes.machinery import field
from pybernetes.machinery.field import FieldError
from pybernetes.machinery.schema_validation import compile_pattern

__all__ = ["structural_errors"]

_UNSUPPORTED: Final = (
    "$ref",
    "$schema",
    "id",
    "definitions",
    "dependencies",
    "patternProperties",
    "additionalItems",
)
#: What may not be said inside allOf, anyOf, oneOf and not: it would change what is kept, not only what is valid.
_ONLY_OUTSIDE: Final = (
    "description",
    "type",
    "default",
    "title",
    "additionalProperties",
    "nullable",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-embedded-resource",
    "x-kubernetes-int-or-string",
)
_KNOWN_TYPES: Final = ("array", "boolean", "integer", "number", "object", "string")


def structural_errors(props: Mapping[str, Any], path: str) -> list[FieldError]:
    """What keeps an `openAPIV3Schema` (wire form) from being structural. `path` is its own path in the CRD."""
    errors: list[FieldError] = []
    if props.get("type") and props["type"] != "object":
        errors.append(field.invalid(f"{path}.type", props["type"], "must be object at the root"))
    _structural(props, path, errors, "at the root")
    return errors


def _structural(p: Mapping[str, Any], path: str, errors: list[FieldError], where: str) -> None:
    int_or_string = p.get("x-kubernetes-int-or-string")
    preserves = p.get("x-kubernetes-preserve-unknown-fields")
    type_ = p.get("type")
    if not type_ and not int_or_string and not (preserves and where != "at the root"):
        errors.append(field.required(f"{path}.type", f"must not be empty {where}"))
    elif type_ and type_ not in _KNOWN_TYPES:
        errors.append(field.not_supported(f"{path}.type", type_, _KNOWN_TYPES))
    if preserves is False:
        name = f"{path}.x-kubernetes-preserve-unknown-fields"
        errors.append(field.invalid(name, False, "must be true or undefined"))
    if int_or_string and type_:
        errors.append(field.forbidden(f"{path}.type", "must be empty if x-kubernetes-int-or-string is true"))
    if p.get("x-kubernetes-embedded-resource") and type_ != "object":
        errors.append(
            field.invalid(f"{path}.type", type_ or "", "must be object if x-kubernetes-embedded-resource is true")
        )
    _common(p, path, errors)
    if type_ == "array" and not isinstance(p.get("items"), Mapping):
        errors.append(field.required(f"{path}.items", "must be specified"))
    if p.get("properties") and p.get("additionalProperties"):
        text = "additionalProperties and properties are mutual exclusive"
        errors.append(field.forbidden(f"{path}.additionalProperties", text))
    _list_type(p, path, errors)
    for name, child in (p.get("properties") or {}).items():
        if where == "at the root" and name == "metadata":
            _metadata(child, f"{path}.properties[metadata]", errors)
        _structural(child, f"{path}.properties[{name}]", errors, "for specified object fields")
    if isinstance(p.get("additionalProperties"), Mapping):
        _structural(p["additionalProperties"], f"{path}.additionalProperties", errors, "for specified object fields")
    if isinstance(p.get("items"), Mapping):
        _structural(p["items"], f"{path}.items", errors, "for specified array items")
    for child_path, child in _options(p, path):
        allowed = int_or_string and child_path.startswith((f"{path}.anyOf", f"{path}.allOf"))
        _value_only(child, child_path, errors, p, bool(allowed))


def _options(p: Mapping[str, Any], path: str) -> list[tuple[str, Mapping[str, Any]]]:
    found = [
        (f"{path}.{name}[{i}]", child)
        for name in ("allOf", "anyOf", "oneOf")
        for i, child in enumerate(p.get(name) or [])
    ]
    return [*found, (f"{path}.not", p["not"])] if p.get("not") else found


def _common(p: Mapping[str, Any], path: str, errors: list[FieldError]) -> None:
    errors.extend(field.forbidden(f"{path}.{name}", f"{name} is not supported") for name in _UNSUPPORTED if p.get(name))
    if p.get("uniqueItems"):
        text = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        errors.append(field.forbidden(f"{path}.uniqueItems", text))
    if p.get("additionalProperties") is False:
        errors.append(field.forbidden(f"{path}.additionalProperties", "additionalProperties cannot be set to false"))
    if isinstance(p.get("items"), list):
        errors.append(field.forbidden(f"{path}.items", "items must be a schema object and not an array"))
    pattern = p.get("pattern")
    if pattern and compile_pattern(pattern) is None:
        text = "must be a valid regular expression, but isn't: error parsing regexp"
        errors.append(field.invalid(f"{path}.pattern", pattern, text))


def _list_type(p: Mapping[str, Any], path: str, errors: list[FieldError]) -> None:
    list_type, keys = p.get("x-kubernetes-list-type"), p.get("x-kubernetes-list-map-keys") or []
    if list_type and list_type not in ("atomic", "map", "set"):
        errors.append(field.not_supported(f"{path}.x-kubernetes-list-type", list_type, ("atomic", "map", "set")))
    if list_type and p.get("type") != "array":
        errors.append(
            field.invalid(f"{path}.type", p.get("type") or "", "must be array if x-kubernetes-list-type is specified")
        )
    if p.get("x-kubernetes-map-type") and p.get("type") != "object":
        text = "must be object if x-kubernetes-map-type is specified"
        errors.append(field.invalid(f"{path}.type", p.get("type") or "", text))
    keys_path = f"{path}.x-kubernetes-list-map-keys"
    if list_type != "map":
        if keys:
            text = "must be map if x-kubernetes-list-map-keys is non-empty"
            errors.append(field.invalid(f"{path}.x-kubernetes-list-type", list_type or "", text))
        return
    if not keys:
        errors.append(field.required(keys_path, "must not be empty if x-kubernetes-list-type is map"))
    items = p.get("items") if isinstance(p.get("items"), Mapping) else {}
    assert isinstance(items, Mapping)
    for i, key in enumerate(keys):
        child = (items.get("properties") or {}).get(key)
        if child is None:
            errors.append(field.invalid(f"{keys_path}[{i}]", key, "entries must all be names of item properties"))
        elif child.get("type") in ("array", "object"):
            text = "must be a scalar type if parent array's x-kubernetes-list-type is map"
            errors.append(field.invalid(f"{path}.items.properties[{key}].type", child.get("type"), text))
        elif key not in (items.get("required") or []) and child.get("default") is None:
            text = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property"
            errors.append(field.required(f"{path}.items.properties[{key}].default", text))


def _metadata(p: Mapping[str, Any], path: str, errors: list[FieldError]) -> None:
    named = set(p.get("properties") or {})
    if named - {"name", "generateName"}:
        text = "must not specify anything other than name and generateName, but metadata is implicitly specified"
        errors.append(field.forbidden(path, text))


def _value_only(
    p: Mapping[str, Any], path: str, errors: list[FieldError], outside: Mapping[str, Any] | None, types: bool
) -> None:
    """Inside allOf and the like: only what narrows values, and only fields that the schema outside names too."""
    for name in _ONLY_OUTSIDE:
        if p.get(name) and not (types and name == "type"):
            errors.append(field.forbidden(f"{path}.{name}", "must be empty to be structural"))
    _common({k: v for k, v in p.items() if k != "additionalProperties"}, path, errors)
    known = (outside or {}).get("properties") or {}
    more = (outside or {}).get("additionalProperties")
    for name, child in (p.get("properties") or {}).items():
        match = known.get(name) or (more if isinstance(more, Mapping) else None)
        if match is None and outside is not None:
            outer = path[: path.rindex(".")] if "." in path else path
            errors.append(
                field.required(f"{outer}.properties[{name}]", f"because it is defined in {path}.properties[{name}]")
            )
        _value_only(child, f"{path}.properties[{name}]", errors, match, False)
    if isinstance(p.get("items"), Mapping):
        match = (outside or {}).get("items")
        _value_only(p["items"], f"{path}.items", errors, match if isinstance(match, Mapping) else None, False)
    for child_path, child in _options(p, path):
        _value_only(child, child_path, errors, outside, types)
