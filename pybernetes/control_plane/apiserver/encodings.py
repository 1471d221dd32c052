"""How a watch's events look on the wire (or in process): one class per representation.

A payload is what a sink takes at once: for HTTP one chunk with all events of the batch. What many watchers share is
encoded once per flush: `memo` remembers it by event and representation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from pybernetes.control_plane.apiserver import tables
from pybernetes.control_plane.apiserver.http.stream import frame
from pybernetes.control_plane.apiserver.negotiate import JSON, PROTOBUF, Format
from pybernetes.control_plane.apiserver.objects import Custom
from pybernetes.control_plane.apiserver.render import item_json
from pybernetes.machinery.meta import Object, ObjectMeta, Status

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.cache import Item
    from pybernetes.control_plane.apiserver.fanout import Encoding, WatchEvent
    from pybernetes.control_plane.apiserver.resource import Resource

_encode = msgspec.json.Encoder().encode


def of(resource: Resource, form: Format, include: str) -> Encoding:
    """The encoding of a watch over HTTP. include: `includeObject` of tables."""
    if form.media == PROTOBUF:
        return ProtobufEvents(resource, form, include)
    if form.shape:
        return ShapedEvents(resource, form, include)
    return JsonEvents(resource)


def _version(resource: Resource) -> str:
    return f"{resource.kind.group}/{resource.kind.version}"


class JsonEvents:
    """Lines of JSON around the stored bytes."""

    media_type = b"application/json"

    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        self.name = f"json {_version(resource)}"

    def event(self, event: WatchEvent) -> bytes:
        return b'{"type":"%b","object":%b}\n' % (event[0].encode(), item_json(self._resource, event[1]))

    def payload(self, events: list[WatchEvent], memo: dict[Any, Any]) -> bytes:
        parts: list[bytes] = []
        for event in events:
            key = (self.name, event[0], event[1].key, event[1].revision)
            line = memo.get(key)
            if line is None:
                line = memo[key] = self.event(event)
            parts.append(line)
        return frame(parts[0] if len(parts) == 1 else b"".join(parts))

    def bookmark(self, revision: int, annotations: dict[str, str] | None) -> bytes:
        kind = self._resource.kind
        metadata: dict[str, Any] = {"resourceVersion": str(revision), "creationTimestamp": None}
        if annotations:
            metadata["annotations"] = annotations
        shown = {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata}
        return frame(_encode({"type": "BOOKMARK", "object": shown}) + b"\n")

    def error(self, status: Status) -> bytes:
        return frame(_encode({"type": "ERROR", "object": status}) + b"\n")


class ShapedEvents:
    """Tables or metadata as lines of JSON."""

    media_type = b"application/json"

    def __init__(self, resource: Resource, form: Format, include: str) -> None:
        self._resource = resource
        self._form = form
        self._include = include
        self.name = f"{form.shape} {form.version} {include} {_version(resource)}"

    def shown(self, item: Item) -> dict[str, Any]:
        if self._form.shape == "Table":
            # every event bears the columns: a group's watchers have joined at different times
            return tables.table_of(self._resource, [item], self._include, self._form.version, None)
        return tables.partial_of(self._resource, item, self._form.version)

    def payload(self, events: list[WatchEvent], memo: dict[Any, Any]) -> bytes:
        lines = [_encode({"type": type_, "object": self.shown(item)}) for type_, item in events]
        return frame(b"\n".join(lines) + b"\n")

    def mark(self, revision: int, annotations: dict[str, str] | None) -> dict[str, Any]:
        metadata: dict[str, Any] = {"resourceVersion": str(revision)}
        if annotations:
            metadata["annotations"] = annotations
        version = f"meta.k8s.io/{self._form.version}"
        if self._form.shape == "Table":
            partial = {"kind": "PartialObjectMetadata", "apiVersion": version, "metadata": metadata}
            row = {"cells": ["" for _ in (self._resource.strategy.table or tables.DEFAULT).columns], "object": partial}
            meta = {"resourceVersion": str(revision)}
            return {"kind": "Table", "apiVersion": version, "metadata": meta, "columnDefinitions": [], "rows": [row]}
        return {"kind": "PartialObjectMetadata", "apiVersion": version, "metadata": metadata}

    def bookmark(self, revision: int, annotations: dict[str, str] | None) -> bytes:
        return frame(_encode({"type": "BOOKMARK", "object": self.mark(revision, annotations)}) + b"\n")

    def error(self, status: Status) -> bytes:
        return frame(_encode({"type": "ERROR", "object": status}) + b"\n")


class ProtobufEvents(ShapedEvents):
    """Length-delimited protobuf frames: four bytes of length, then a WatchEvent."""

    media_type = b"application/vnd.kubernetes.protobuf;stream=watch"

    def __init__(self, resource: Resource, form: Format, include: str) -> None:
        super().__init__(resource, form, include)
        self.name = f"protobuf {self.name}"

    def shown(self, item: Item) -> dict[str, Any]:
        if self._form.shape:
            return super().shown(item)
        wire: dict[str, Any] = msgspec.json.decode(item_json(self._resource, item))
        return wire

    def mark(self, revision: int, annotations: dict[str, str] | None) -> dict[str, Any]:
        if self._form.shape:
            return super().mark(revision, annotations)
        kind = self._resource.kind
        metadata: dict[str, Any] = {"resourceVersion": str(revision)}
        if annotations:
            metadata["annotations"] = annotations
        return {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata}

    def payload(self, events: list[WatchEvent], memo: dict[Any, Any]) -> bytes:
        frames: list[bytes] = []
        for type_, item in events:
            key = (self.name, type_, item.key, item.revision)
            made = memo.get(key)
            if made is None:
                made = memo[key] = self._frame(type_, self.shown(item))
            frames.append(made)
        return frame(b"".join(frames))

    def bookmark(self, revision: int, annotations: dict[str, str] | None) -> bytes:
        return frame(self._frame("BOOKMARK", self.mark(revision, annotations)))

    def error(self, status: Status) -> bytes:
        return frame(self._frame("ERROR", msgspec.to_builtins(status)))

    @staticmethod
    def _frame(type_: str, wire: dict[str, Any]) -> bytes:
        from pybernetes.machinery import protobuf

        return protobuf.watch_event(type_, protobuf.encode(wire))


class ObjectEvents:
    """In process: lists of (type, shared object)."""

    media_type = b""

    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        self.name = f"object {_version(resource)}"

    def payload(self, events: list[WatchEvent], memo: dict[Any, Any]) -> list[tuple[str, Any]]:
        return [(type_, shared(self._resource, item)) for type_, item in events]

    def bookmark(self, revision: int, annotations: dict[str, str] | None) -> list[tuple[str, Any]]:
        kind = self._resource.kind
        metadata = ObjectMeta(resource_version=str(revision), annotations=annotations)
        return [("BOOKMARK", Object(api_version=kind.api_version, kind=kind.kind, metadata=metadata))]

    def error(self, status: Status) -> list[tuple[str, Any]]:
        return [("ERROR", status)]


def shared(resource: Resource, item: Item) -> Any:
    """What an in-process client is given for an item: its struct, or for custom objects the wire dict."""
    if resource.served is not None:
        obj = resource.served(item.obj)
        return obj.to_wire() if isinstance(obj, Custom) else obj
    obj = item.obj
    return item.wire if obj.__class__ is Custom else obj


__all__ = ["JSON", "JsonEvents", "ObjectEvents", "ProtobufEvents", "ShapedEvents", "of", "shared"]
