"""meta/v1 Table and PartialObjectMetadata: objects as rows for humans, and as metadata for machines.

Which columns a kind has is its strategy's; a kind without columns of its own shows name and creation time, as upstream.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from pybernetes.control_plane.apiserver.resource import Column, Table

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.cache import Item
    from pybernetes.control_plane.apiserver.objects import AnyObject
    from pybernetes.control_plane.apiserver.resource import Resource

_NAME_TEXT = (
    "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a "
    "client to request the generation of an appropriate name automatically. Name is primarily intended for creation "
    "idempotence and configuration definition. Cannot be updated. More info: "
    "https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names"
)
_CREATED_TEXT = (
    "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed "
    "to be set in happens-before order across separate operations. Clients may not set this value. It is represented "
    "in RFC3339 form and is in UTC."
)
NAME = Column("Name", format="name", description=_NAME_TEXT)
DEFAULT = Table(
    (NAME, Column("Created At", "date", description=_CREATED_TEXT)),
    lambda obj: [obj.metadata.name, obj.metadata.creation_timestamp],
)


def table_of(
    resource: Resource,
    subjects: Sequence[Item | AnyObject],
    include: str,
    version: str,
    meta: dict[str, Any] | None,
    *,
    header: bool = True,
) -> dict[str, Any]:
    """The Table of items or objects. include: None, Metadata or Object; header: False for all but a watch's first."""
    table = resource.strategy.table or DEFAULT
    rows = []
    revision = ""
    for subject in subjects:
        obj = subject if not hasattr(subject, "storage") else served_object(resource, subject)
        row: dict[str, Any] = {"cells": table.row(obj)}
        if include != "None":
            row["object"] = partial_of(resource, obj, version) if include == "Metadata" else resource.codec.to_wire(obj)
        else:
            row["object"] = None
        rows.append(row)
        revision = obj.metadata.resource_version
    return {
        "kind": "Table",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": meta if meta is not None else ({"resourceVersion": revision} if revision else {}),
        "columnDefinitions": columns_of(table) if header else [],
        "rows": rows,
    }


def columns_of(table: Table) -> list[dict[str, Any]]:
    """The column definitions, in wire form."""
    return [
        {"name": c.name, "type": c.type, "format": c.format, "description": c.description, "priority": c.priority}
        for c in table.columns
    ]


def partial_of(resource: Resource, subject: Item | AnyObject, version: str) -> dict[str, Any]:
    """An item's or object's PartialObjectMetadata, in wire form."""
    obj = subject if not hasattr(subject, "storage") else served_object(resource, subject)
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": msgspec.to_builtins(obj.metadata),
    }


def served_object(resource: Resource, item: Any) -> Any:
    """An item's object in the version served."""
    return item.obj if resource.served is None else resource.served(item.obj)
