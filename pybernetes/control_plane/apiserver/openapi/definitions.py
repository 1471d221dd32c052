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
        keeps_all = bool(wire.get("x-kubernetes-preserve-unknown-fields"))
        if self.version == 2:
            wire = _for_v2(wire)
        if keeps_all and not wire.get("properties"):
            wire = {"type": "object", "x-kubernetes-preserve-unknown-fields": True, **_only(wire, "description")}
        if not keeps_all or wire.get("properties"):
            self.struct(ObjectMeta)
            properties = dict(wire.get("properties") or {})
            properties["apiVersion"] = {"description": _API_VERSION, "type": "string"}
            properties["kind"] = {"description": _KIND, "type": "string"}
            properties["metadata"] = self.described(f"{names.META}.ObjectMeta", _META)
            wire["properties"] = {key: properties[key] for key in sorted(properties)}
        wire["type"] = "object"
        wire[GVK] = [gvk(kind)]
        self.found[name] = wire
        return name


def gvk(kind: Kind) -> dict[str, str]:
    return {"group": kind.group, "kind": kind.kind, "version": kind.version}


def _only(wire: dict[str, Any], key: str) -> dict[str, Any]:
    return {key: wire[key]} if key in wire else {}


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
    if wire.get("x-kubernetes-preserve-unknown-fields"):
        for key in ("items", "properties", "additionalProperties", "type"):
            out.pop(key, None)
    if "properties" in out:
        out["properties"] = {name: _for_v2(child) for name, child in out["properties"].items()}
    if isinstance(out.get("items"), dict):
        out["items"] = _for_v2(out["items"])
    if isinstance(out.get("additionalProperties"), dict):
        out["additionalProperties"] = _for_v2(out["additionalProperties"])
    return out
