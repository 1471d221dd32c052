"""One schema form for everything that has a schema: built-in structs and custom resources.

Pruning, defaulting, patches, server-side apply, OpenAPI and printing work on wire dicts and ask only this. The schema
of a struct is derived from its annotations when somebody first looks inside (`properties` fills itself), so that a
recursive type is one object that refers to itself and a process pays for no kind that it does not touch. The schema of
a CRD comes from its `openAPIV3Schema`; what validates values against it is in `schema_validation`.
"""

from __future__ import annotations

import builtins
import types
import typing
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final

import msgspec

from pybernetes.machinery.meta import ObjectMeta
from pybernetes.machinery.types import Format, Merge

__all__ = ["ANY", "UNSET", "Schema", "apply_defaults", "of_crd", "of_struct", "prune"]

UNSET: Final = msgspec.UNSET

_EMPTY: Final[dict[str, Any]] = {}

_DEFAULTS: Final[dict[str, Any]] = {
    "type": "",
    "items": None,
    "additional": None,
    "alternatives": (),
    "nullable": False,
    "required": (),
    "enum": None,
    "format": "",
    "default": UNSET,
    "list_type": "",
    "list_map_keys": (),
    "map_type": "",
    "patch_strategy": "",
    "patch_merge_key": "",
    "preserve_unknown_fields": False,
    "int_or_string": False,
    "embedded_resource": False,
    "validations": (),
    "description": "",
    "struct": None,
    "value": _EMPTY,
    "int32": False,
}


class Schema:
    """What a value may be. Treat as immutable.

    `type` is `object`, `array`, `string`, `integer`, `number`, `boolean` or empty for anything. An object has
    `properties` (wire name -> Schema) or, as a map, `additional`; an array has `items`. `value` holds the value
    validations of a CRD under their JSON names (`pattern`, `maxLength`, `minimum`, `allOf` as Schemas ...).
    `alternatives` are the shapes of a union, told apart by their JSON type. `struct` is the class it was derived from.
    """

    __slots__ = (
        "_has_defaults",
        "additional",
        "alternatives",
        "default",
        "description",
        "embedded_resource",
        "enum",
        "format",
        "int32",
        "int_or_string",
        "items",
        "list_map_keys",
        "list_type",
        "map_type",
        "nullable",
        "patch_merge_key",
        "patch_strategy",
        "preserve_unknown_fields",
        "properties",
        "required",
        "struct",
        "type",
        "validations",
        "value",
    )

    type: str
    properties: dict[str, Schema]
    items: Schema | None
    additional: Schema | None
    alternatives: tuple[Schema, ...]
    nullable: bool
    required: tuple[str, ...]
    enum: list[Any] | None
    format: str
    default: Any
    list_type: str
    list_map_keys: tuple[str, ...]
    map_type: str
    patch_strategy: str
    patch_merge_key: str
    preserve_unknown_fields: bool
    int_or_string: bool
    embedded_resource: bool
    validations: tuple[dict[str, Any], ...]
    description: str
    struct: builtins.type[msgspec.Struct] | None
    value: dict[str, Any]
    int32: bool

    def __init__(self, **given: Any) -> None:
        for name, default in _DEFAULTS.items():
            setattr(self, name, given.get(name, default))
        if "properties" in given:
            self.properties = given["properties"]
        elif self.struct is None:
            self.properties = _EMPTY

    def __getattr__(self, name: str) -> Any:
        if name == "properties":  # only a struct's schema leaves it unset
            assert self.struct is not None
            self.properties = _properties(self.struct)
            return self.properties
        if name == "_has_defaults":
            self._has_defaults = False  # a recursive schema asks while it is being answered
            self._has_defaults = found = _find_defaults(self)
            return found
        raise AttributeError(name)

    def __repr__(self) -> str:
        name = self.struct.__name__ if self.struct is not None else ""
        return f"Schema({self.type or 'any'}{' ' + name if name else ''})"

    def child(self, key: str) -> Schema | None:
        """The schema of one field or map entry; None when it is unknown."""
        found = self.properties.get(key)
        return found if found is not None else self.additional

    def for_value(self, value: Any) -> Schema:
        """This schema, or the alternative that fits the value's JSON type."""
        for option in self.alternatives:
            if JSON_TYPES.get(option.type) is type(value):
                return option
        return self


JSON_TYPES: Final[dict[str, type]] = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int}

#: A schema without demands.
ANY: Final = Schema(preserve_unknown_fields=True)


# From structs


@cache
def of_struct(struct: type[msgspec.Struct]) -> Schema:
    """The schema of a struct class; shared by all fields of that type."""
    return Schema(type="object", struct=struct, map_type="atomic" if _is_atomic(struct) else "")


#: Types that are atomic wherever they occur (x-kubernetes-map-type on the type itself).
_ATOMIC_TEXT: Final = """
    ConfigMapKeySelector EndpointAddress EndpointPort FileKeySelector LabelSelector LocalObjectReference
    MatchResources NamedRuleWithOperations NodeSelector NodeSelectorTerm ObjectFieldSelector ObjectReference
    OwnerReference ParamKind ParamRef ResourceFieldSelector RoleRef ScopeSelector SecretKeySelector
    SecretReference ServiceBackendPort TopologySelectorTerm TypedLocalObjectReference Variable
"""
_ATOMIC_TYPES: Final = frozenset(_ATOMIC_TEXT.split())
_ATOMIC_IN: Final = {"CrossVersionObjectReference": "autoscaling_v1", "Subject": "rbac_v1"}


def _is_atomic(struct: type[msgspec.Struct]) -> bool:
    name = struct.__name__
    return name in _ATOMIC_TYPES or (name in _ATOMIC_IN and struct.__module__.endswith(_ATOMIC_IN[name]))


def _properties(struct: type[msgspec.Struct]) -> dict[str, Schema]:
    hints = typing.get_type_hints(struct, include_extras=True)
    pairs = zip(struct.__struct_fields__, struct.__struct_encode_fields__, strict=True)
    return {wire: _of_hint(hints[attribute]) for attribute, wire in pairs}


def _of_hint(hint: Any) -> Schema:
    merge, format_ = Merge(), ""
    int32 = False
    while True:  # unwrap Annotated and Optional, in whatever order they are nested
        origin = typing.get_origin(hint)
        if origin is typing.Annotated:
            for extra in hint.__metadata__:
                if isinstance(extra, Merge):
                    merge = extra
                elif isinstance(extra, Format):
                    format_ = extra.name
                elif isinstance(extra, msgspec.Meta):
                    int32 = True
            hint = hint.__origin__
        elif origin in (typing.Union, types.UnionType):
            options = [a for a in typing.get_args(hint) if a is not type(None)]
            if format_:
                return Schema(type="string", format=format_, int_or_string=format_ == "int-or-string")
            if len(options) > 1:
                schemas = tuple(_of_hint(option) for option in options)
                return Schema(alternatives=schemas, preserve_unknown_fields=True)
            hint = options[0]
        else:
            break
    return _of_plain(hint, origin, merge, format_, int32)


def _of_plain(hint: Any, origin: Any, merge: Merge, format_: str, int32: bool) -> Schema:
    patch = {"patch_strategy": merge.patch, "patch_merge_key": merge.merge_key}
    if origin is list:
        list_type = "map" if merge.keys else "set" if merge.set_ else "atomic" if merge.atomic else ""
        items = _of_hint(typing.get_args(hint)[0])
        return Schema(type="array", items=items, list_type=list_type, list_map_keys=merge.keys, **patch)
    if origin is dict:
        value = _of_hint(typing.get_args(hint)[1])
        return Schema(type="object", additional=value, map_type="atomic" if merge.atomic else "", **patch)
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        if not merge.atomic and not merge.patch:
            return of_struct(hint)
        return Schema(type="object", struct=hint, map_type="atomic" if merge.atomic else "", **patch)
    name = _SCALARS.get(hint, "")
    return Schema(type=name, format=format_, int32=int32, preserve_unknown_fields=not name)


_SCALARS: Final[dict[Any, str]] = {str: "string", int: "integer", float: "number", bool: "boolean"}


# From CRDs

_VALUE_KEYS: Final = (
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
)


def of_crd(props: Any) -> Schema:
    """The schema of a CRD version: its `openAPIV3Schema` as a struct or wire dict."""
    if props is None:
        return ANY
    if isinstance(props, msgspec.Struct):
        props = msgspec.to_builtins(props)
    return _of_props(props)


def _of_props(p: Mapping[str, Any]) -> Schema:
    value: dict[str, Any] = {key: p[key] for key in _VALUE_KEYS if p.get(key) is not None}
    for key in ("allOf", "anyOf", "oneOf"):
        if p.get(key):
            value[key] = [_of_props(option) for option in p[key]]
    if p.get("not") is not None:
        value["not"] = _of_props(p["not"])
    additional = p.get("additionalProperties")
    items = p.get("items")
    return Schema(
        type=p.get("type") or "",
        properties={name: _of_props(schema) for name, schema in (p.get("properties") or {}).items()},
        items=_of_props(items) if isinstance(items, Mapping) else None,
        additional=_of_props(additional) if isinstance(additional, Mapping) else ANY if additional is True else None,
        nullable=bool(p.get("nullable")),
        required=tuple(p.get("required") or ()),
        enum=p.get("enum"),
        format=p.get("format") or "",
        default=p["default"] if p.get("default") is not None else UNSET,
        list_type=p.get("x-kubernetes-list-type") or "",
        list_map_keys=tuple(p.get("x-kubernetes-list-map-keys") or ()),
        map_type=p.get("x-kubernetes-map-type") or "",
        preserve_unknown_fields=bool(p.get("x-kubernetes-preserve-unknown-fields")),
        int_or_string=bool(p.get("x-kubernetes-int-or-string")),
        embedded_resource=bool(p.get("x-kubernetes-embedded-resource")),
        validations=tuple(p.get("x-kubernetes-validations") or ()),
        description=p.get("description") or "",
        value=value or _EMPTY,
    )


# Over values

_META: Final = frozenset({"apiVersion", "kind", "metadata"})


def prune(
    value: Any,
    schema: Schema,
    on_unknown: Callable[[str], None] | None = None,
    *,
    root: bool = True,
    drop_nulls: bool = False,
    path: str = "",
) -> None:
    """Remove, in place, the fields that the schema does not know.

    `on_unknown` is told each path (`spec.containers[0].foo`). `root`: the value is a whole object, whose `apiVersion`
    and `kind` stay and whose `metadata` is pruned as ObjectMeta, as in an embedded resource. `drop_nulls` also removes
    `null` fields, as decoding into a Go struct does (in a map of strings it is the empty string, as there).
    """
    if schema.alternatives:
        schema = schema.for_value(value)
    if isinstance(value, dict):
        properties, additional = schema.properties, schema.additional
        keep = schema.preserve_unknown_fields
        is_object = root or schema.embedded_resource
        drop: list[str] = []
        for key, item in value.items():
            child = properties.get(key)
            if child is None:
                child = additional
            if is_object and key in _META and schema.struct is None:
                if key == "metadata" and isinstance(item, dict):
                    meta = of_struct(ObjectMeta)
                    prune(item, meta, on_unknown, root=False, drop_nulls=True, path=f"{path}.{key}" if path else key)
                continue
            if child is None:
                if not keep:
                    drop.append(key)
                    if on_unknown is not None:
                        on_unknown(f"{path}.{key}" if path else key)
                continue
            if item is None:
                if drop_nulls and not (child.preserve_unknown_fields and additional is None):
                    if additional is child and child.type == "string":
                        value[key] = ""
                    else:
                        drop.append(key)
            elif isinstance(item, dict | list):
                prune(
                    item,
                    child,
                    on_unknown,
                    root=False,
                    drop_nulls=drop_nulls,
                    path=f"{path}.{key}" if path else key,
                )
        for key in drop:
            value.pop(key, None)
    elif isinstance(value, list) and schema.items is not None:
        items = schema.items
        for i, item in enumerate(value):
            if isinstance(item, dict | list):
                prune(item, items, on_unknown, root=False, drop_nulls=drop_nulls, path=f"{path}[{i}]")
            elif item is None and drop_nulls and items.type:
                value[i] = _ZERO.get(items.type)


_ZERO: Final[dict[str, Any]] = {"string": "", "object": {}, "array": [], "integer": 0, "boolean": False, "number": 0}


def _find_defaults(schema: Schema) -> bool:
    if schema.default is not UNSET:
        return True
    children = [*schema.properties.values(), schema.items, schema.additional]
    return any(child is not None and child._has_defaults for child in children)


def apply_defaults(value: Any, schema: Schema) -> None:
    """Fill, in place, what is absent and has a default; a `null` that is not nullable counts as absent."""
    if not schema._has_defaults:
        return
    if isinstance(value, dict):
        for key, child in schema.properties.items():
            if not child._has_defaults:
                continue
            found = value.get(key)
            if found is None:
                if key in value and child.nullable:
                    continue
                if child.default is not UNSET:
                    value[key] = found = _copy(child.default)
                elif key in value:
                    continue
            if isinstance(found, dict | list):
                apply_defaults(found, child)
        additional = schema.additional
        if additional is not None and additional._has_defaults:
            for key, item in value.items():
                if key in schema.properties:
                    continue
                if item is None and not additional.nullable and additional.default is not UNSET:
                    value[key] = item = _copy(additional.default)
                apply_defaults(item, additional)
    elif isinstance(value, list) and schema.items is not None:
        for i, item in enumerate(value):
            if item is None and not schema.items.nullable and schema.items.default is not UNSET:
                value[i] = item = _copy(schema.items.default)
            apply_defaults(item, schema.items)


def _copy(value: Any) -> Any:
    """A deep copy of JSON: `copy.deepcopy` costs ten times as much."""
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copy(item) for item in value]
    return value
