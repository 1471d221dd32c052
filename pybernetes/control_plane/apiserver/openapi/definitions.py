"""Schemas as OpenAPI definitions.

A `Definitions` collects what one document needs, following references, so that the document of a group version holds
the definitions that its kinds reach and no others. The two versions of OpenAPI differ in where definitions are and in
what a custom resource's schema may contain.
"""

from __future__ import annotations

from typing import Any

import msgspec

from pybernetes.api.apiextensions_v1 import JSONSchemaProps
from pybernetes.api.kinds import Kind
from pybernetes.control_plane.apiserver.openapi import names
from pybernetes.control_plane.apiserver.openapi.build import descriptions
from pybernetes.machinery import schema
from pybernetes.machinery.meta import DeleteOptions, ListMeta, ObjectMeta, Status
from pybernetes.machinery.schema import Schema

GVK = "x-kubernetes-group-version-kind"
_KEEPS = "x-kubernetes-preserve-unknown-fields"
JSON_NAME = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON"

_API_VERSION = (
    "APIVersion defines the versioned schema of this representation of an object. Servers should convert recognized "
    "schemas to the latest internal value, and may reject unrecognized values. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources"
)
_KIND = (
    "Kind is a string value representing the REST resource this object represents. Servers may infer this from the "
    "endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds"
)
_EMBEDDED_API_VERSION = (
    "apiVersion defines the versioned schema of this representation of an object. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources"
)
_EMBEDDED_KIND = (
    "kind is a string value representing the type of this object. In CamelCase. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds"
)
_LIST = (
    "Standard list metadata. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds"
)
_META = (
    "Standard object's metadata. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata"
)


class Definitions:
    """`version` is 2 or 3; `found` are the definitions so far, by name."""

    def __init__(self, version: int) -> None:
        self.version = version
        self.found: dict[str, dict[str, Any]] = {}
        self._base = "#/definitions/" if version == 2 else "#/components/schemas/"

    def ref(self, name: str) -> dict[str, Any]:
        return {"$ref": self._base + name}

    def described(self, name: str, description: str) -> dict[str, Any]:
        """A reference with a description beside it; v3 wants it wrapped."""
        reference = self.ref(name)
        if not description:
            return reference
        if self.version == 2:
            return {"description": description, **reference}
        return {"allOf": [reference], "default": {}, "description": description}

    # -- built-in ---------------------------------------------------------------------------------------------------

    def struct(self, struct: type[msgspec.Struct], kinds: list[Kind] | None = None) -> str:
        """Define a struct class and all it refers to; returns its name."""
        name = names.of_struct(struct)
        if name in self.found:
            if kinds:
                self.found[name][GVK] = [gvk(kind) for kind in kinds]
            return name
        out: dict[str, Any] = {}
        self.found[name] = out
        row = descriptions().get(name) or {}
        if row.get("d"):
            out["description"] = row["d"]
        texts = row.get("p") or {}
        out["properties"] = {
            wire: self._value(child, texts.get(wire, "")) for wire, child in schema.of_struct(struct).properties.items()
        }
        if row.get("r"):
            out["required"] = row["r"]
        out["type"] = "object"
        if not out["properties"]:
            del out["properties"]
        if schema.of_struct(struct).map_type:
            out["x-kubernetes-map-type"] = schema.of_struct(struct).map_type
        if kinds:
            out[GVK] = [gvk(kind) for kind in kinds]
        return name

    def list_of(self, kind: Kind, list_kind: str, item: str, name: str, description: str = "") -> str:
        """Define the list of a kind."""
        if name not in self.found:
            self.struct(ListMeta)
            self.found[name] = {
                "description": (descriptions().get(name) or {}).get("d")
                or description
                or f"{list_kind} is a list of {kind.kind}",
                "type": "object",
                "required": ["items"],
                "properties": {
                    "apiVersion": {"description": _API_VERSION, "type": "string"},
                    "items": {
                        "description": f"List of {kind.resource}. More info: "
                        "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md",
                        "type": "array",
                        "items": self.ref(item),
                    },
                    "kind": {"description": _KIND, "type": "string"},
                    "metadata": self.described(f"{names.META}.ListMeta", _LIST),
                },
                GVK: [{"group": kind.group, "kind": list_kind, "version": kind.version}],
            }
        return name

    def common(self) -> None:
        """What the operations of every group refer to."""
        self.struct(Status)
        self.found[f"{names.META}.Status"][GVK] = [{"group": "", "kind": "Status", "version": "v1"}]
        self.struct(DeleteOptions)
        self.found[f"{names.META}.DeleteOptions"][GVK] = [{"group": "", "kind": "DeleteOptions", "version": "v1"}]
        self.found.setdefault(
            f"{names.META}.Patch",
            {
                "description": "Patch gives a concrete name and type to the body of PATCH requests.",
                "type": "object",
            },
        )

    def _scalar(self, name: str) -> dict[str, Any]:
        """A reference to one of the scalars that have a definition."""
        if name not in self.found:
            row = descriptions().get(name) or {}
            out: dict[str, Any] = {"description": row["d"]} if row.get("d") else {}
            if name == names.QUANTITY:
                out |= {"type": "string"} if self.version == 2 else {"oneOf": [{"type": "string"}, {"type": "number"}]}
            elif name == names.INT_OR_STRING:
                either = {"oneOf": [{"type": "integer"}, {"type": "string"}]}
                out |= {"format": "int-or-string", **({"type": "string"} if self.version == 2 else either)}
            elif name in (names.TIME, names.MICRO_TIME):
                out |= {"type": "string", "format": "date-time"}
            self.found[name] = out
        return self.ref(name)

    _FORMATS = {
        "quantity": names.QUANTITY,
        "int-or-string": names.INT_OR_STRING,
        "date-time": names.TIME,
        "micro-time": names.MICRO_TIME,
    }

    def _value(self, child: Schema, description: str = "") -> dict[str, Any]:
        if child.struct is not None:
            name = self.struct(child.struct)
            out = self.described(name, description)
            if child.map_type or child.patch_strategy:
                out = dict(out)
                _extensions(child, out)
            return out
        if (scalar := self._FORMATS.get(child.format)) is not None:
            self._scalar(scalar)
            return self.described(scalar, description)
        out = {"description": description} if description else {}
        if child.type == "array" and child.items is not None:
            out["items"] = self._value(child.items)
            out["type"] = "array"
        elif child.type == "object":
            out["type"] = "object"
            if child.additional is not None and child.additional.type:
                out["additionalProperties"] = self._value(child.additional)
        elif child.type:
            out["type"] = child.type
            if child.format:
                out["format"] = child.format
            elif child.type == "integer":
                out["format"] = "int32" if child.int32 else "int64"
            elif child.type == "number":
                out["format"] = "double"
        _extensions(child, out)
        return out

    # -- custom -----------------------------------------------------------------------------------------------------

    def custom(self, kind: Kind, props: JSONSchemaProps | None) -> str:
        """Define a custom kind; returns its name."""
        name = names.of_custom(kind)
        wire: dict[str, Any] = msgspec.to_builtins(props) if props is not None else {"type": "object"}
        if self.version == 2 and wire.get(_KEEPS):
            wire = {}  # readers of v2 would take the fields that are listed for all that there are
        else:
            wire = self._embedded(_for_v2(wire) if self.version == 2 else wire)
            wire["properties"] = self._with_meta(wire, _API_VERSION, _KIND)
        wire["type"] = "object"
        wire[GVK] = [gvk(kind)]
        self.found[name] = wire
        return name

    def _with_meta(self, wire: dict[str, Any], api_version: str, kind: str) -> dict[str, Any]:
        """The properties with those that every object has."""
        self.struct(ObjectMeta)
        properties = {
            **(wire.get("properties") or {}),
            "apiVersion": {"description": api_version, "type": "string"},
            "kind": {"description": kind, "type": "string"},
            "metadata": self.described(f"{names.META}.ObjectMeta", _META),
        }
        return {key: properties[key] for key in sorted(properties)}

    def _embedded(self, wire: dict[str, Any]) -> dict[str, Any]:
        """A schema in which the objects within the object have what every object has."""
        out = dict(wire)
        if "properties" in out:
            out["properties"] = {name: self._embedded(child) for name, child in out["properties"].items()}
        for key in ("items", "additionalProperties"):
            if isinstance(out.get(key), dict):
                out[key] = self._embedded(out[key])
        if out.get("x-kubernetes-embedded-resource") and not (self.version == 2 and out.get(_KEEPS)):
            out["properties"] = self._with_meta(out, _EMBEDDED_API_VERSION, _EMBEDDED_KIND)
            required = out.get("required") or []
            out["required"] = required + [name for name in ("kind", "apiVersion") if name not in required]
        return out


def gvk(kind: Kind) -> dict[str, str]:
    return {"group": kind.group, "kind": kind.kind, "version": kind.version}


def _extensions(child: Schema, out: dict[str, Any]) -> None:
    if child.list_map_keys:
        out["x-kubernetes-list-map-keys"] = list(child.list_map_keys)
    if child.list_type:
        out["x-kubernetes-list-type"] = child.list_type
    if child.map_type and child.struct is None:
        out["x-kubernetes-map-type"] = child.map_type
    if child.patch_merge_key:
        out["x-kubernetes-patch-merge-key"] = child.patch_merge_key
    if child.patch_strategy:
        out["x-kubernetes-patch-strategy"] = child.patch_strategy


_NOT_V2 = ("default", "oneOf", "anyOf", "allOf", "not", "nullable", "x-kubernetes-validations")


def _for_v2(wire: dict[str, Any]) -> dict[str, Any]:
    """A custom schema as OpenAPI v2 can say it: what it cannot is left out, and with it what would be wrong then."""
    out = {key: value for key, value in wire.items() if key not in _NOT_V2}
    if wire.get("x-kubernetes-int-or-string"):
        out.pop("type", None)
    if wire.get("nullable"):
        for key in ("type", "items", "properties", "additionalProperties"):
            out.pop(key, None)
    if wire.get(_KEEPS):
        for key in ("items", "properties", "additionalProperties", "type"):
            out.pop(key, None)
    if "properties" in out:
        out["properties"] = {name: _for_v2(child) for name, child in out["properties"].items()}
    if isinstance(out.get("items"), dict):
        out["items"] = _for_v2(out["items"])
    if isinstance(out.get("additionalProperties"), dict):
        out["additionalProperties"] = _for_v2(out["additionalProperties"])
    return out
