"""The verbs on one resource, and how answers become objects.

Typed, dynamic and metadata-only resources are one class: the difference is the type answers are converted to. Over an
in-process transport nothing is converted that has the type already.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple, TypeVar, cast

import msgspec

from pybernetes.api import kinds
from pybernetes.api.kinds import Kind
from pybernetes.client.transport import PARTIAL, PARTIAL_LIST, Listing, Request, WatchStream
from pybernetes.machinery import codec, errors
from pybernetes.machinery.meta import DeleteOptions, ListMeta, Object, ObjectMeta, Preconditions, Status
from pybernetes.machinery.types import Struct, field

if TYPE_CHECKING:
    from pybernetes.client.client import Client

T = TypeVar("T")
S = TypeVar("S", bound=Struct)

PatchType = Literal["merge", "strategic", "json", "apply"]
_PATCH_TYPES = {
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "json": "application/json-patch+json",
    "apply": "application/apply-patch+yaml",
}


class Partial(Object):
    """meta/v1 PartialObjectMetadata: what every object has. `kind` and `api_version` are the object's own."""


class _RawList(Struct, forbid_unknown_fields=False):
    api_version: str = ""
    kind: str = ""
    metadata: ListMeta = field(default_factory=ListMeta)
    items: list[msgspec.Raw] | None = None


class _RawPartial(Struct, forbid_unknown_fields=False):
    """Decodes a whole object as well as a PartialObjectMetadata."""

    api_version: str = ""
    kind: str = ""
    metadata: Any = None


@dataclass(slots=True)
class Page(Generic[T]):
    """Part of a list. `items` may be shared: do not change it."""

    items: Sequence[T]
    resource_version: str
    continue_: str = ""
    remaining: int | None = None


class WatchEvent(NamedTuple, Generic[T]):
    """`type` is ADDED, MODIFIED, DELETED or BOOKMARK."""

    type: str
    object: T


class Resource(Generic[T]):
    """The verbs on one resource. `namespace` "" means cluster scope, or all namespaces for lists and watches.

    Every method raises `machinery.errors.StatusError` for the server's refusal and `client.errors.Unavailable` when the
    server cannot be reached.
    """

    __slots__ = ("_as_partial", "_client", "_kind", "_name", "_type")

    def __init__(
        self, client: Client, kind: Kind | None, type_: type[Any], name: tuple[str, str] | None = None
    ) -> None:
        self._client = client
        self._kind = kind
        self._type = type_
        self._as_partial = type_ is Partial
        self._name = name

    @property
    def kind(self) -> Kind:
        """The resource's row. Raises LookupError for a dynamic one that discovery has not been asked for yet."""
        if self._kind is None:
            raise LookupError(f"{self._name} is not resolved yet: await resolve()")
        return self._kind

    async def resolve(self) -> Kind:
        """The resource's row, from discovery if need be."""
        if self._kind is None:
            assert self._name is not None
            self._kind = await self._client.find(*self._name)
        return self._kind

    async def get(self, name: str, namespace: str = "", *, resource_version: str = "") -> T:
        """One object."""
        query = {"resourceVersion": resource_version} if resource_version else {}
        return cast(T, await self._call("GET", namespace, name, query=query))

    async def list(
        self,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_: str = "",
        resource_version: str = "",
        resource_version_match: str = "",
    ) -> Page[T]:
        """One page; all of it when `limit` is 0."""
        query = _query(
            labelSelector=label_selector,
            fieldSelector=field_selector,
            limit=str(limit) if limit else "",
            resourceVersion=resource_version,
            resourceVersionMatch=resource_version_match,
        )
        if continue_:
            query["continue"] = continue_
        kind = self._kind or await self.resolve()
        request = Request("GET", kind.path(namespace), query, headers=self._client.headers)
        if self._as_partial:
            request.accept = PARTIAL_LIST
        body = (await self._client.transport.request(request)).body
        if isinstance(body, Listing):
            return Page(self._convert_all(body.items), body.resource_version, body.continue_, body.remaining)
        return self._decode_list(kind, body)

    async def create(self, obj: T, *, field_manager: str = "", dry_run: bool = False) -> T:
        """Create; the namespace is the object's. Returns it as stored."""
        metadata = _metadata(obj)
        query = _query(fieldManager=field_manager, dryRun="All" if dry_run else "")
        return cast(T, await self._call("POST", metadata[0], body=obj, query=query))

    async def update(self, obj: T, subresource: str = "", *, field_manager: str = "") -> T:
        """Replace; fails with Conflict when the object's resourceVersion is set and not the current one."""
        namespace, name = _metadata(obj)
        query = _query(fieldManager=field_manager)
        return cast(T, await self._call("PUT", namespace, name, subresource, body=obj, query=query))

    async def update_status(self, obj: T) -> T:
        """Replace the status, leaving the rest as stored."""
        return await self.update(obj, "status")

    async def patch(
        self,
        name: str,
        namespace: str,
        body: dict[str, Any] | Sequence[Any],
        *,
        type: PatchType = "merge",
        subresource: str = "",
        field_manager: str = "",
        force: bool = False,
    ) -> T:
        """Patch; `apply` needs a `field_manager`."""
        query = _query(fieldManager=field_manager, force="true" if force else "")
        return cast(
            T,
            await self._call(
                "PATCH", namespace, name, subresource, body=body, query=query, content_type=_PATCH_TYPES[type]
            ),
        )

    async def delete(
        self,
        name: str,
        namespace: str = "",
        *,
        grace_period: int | None = None,
        propagation: Literal["Foreground", "Background", "Orphan"] | None = None,
        uid: str | None = None,
        resource_version: str | None = None,
    ) -> None:
        """Delete (or begin to: finalizers and graceful termination take their time)."""
        await self._call(
            "DELETE", namespace, name, body=_delete_options(grace_period, propagation, uid, resource_version), raw=True
        )

    async def delete_collection(
        self,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        grace_period: int | None = None,
        propagation: Literal["Foreground", "Background", "Orphan"] | None = None,
    ) -> None:
        """Delete everything that matches."""
        query = _query(labelSelector=label_selector, fieldSelector=field_selector)
        body = _delete_options(grace_period, propagation, None, None)
        await self._call("DELETE", namespace, query=query, body=body, raw=True)

    async def get_subresource(self, name: str, namespace: str, subresource: str) -> Any:
        """GET a subresource (`scale`): a struct when its kind is built in, else a dict."""
        return _any(await self._call("GET", namespace, name, subresource, raw=True))

    async def create_subresource(self, name: str, namespace: str, subresource: str, obj: Any) -> Any:
        """POST to a subresource (`binding`, `eviction`, `token`); returns the answer as `get_subresource` does."""
        return _any(await self._call("POST", namespace, name, subresource, body=obj, raw=True), type(obj))

    async def update_subresource(self, name: str, namespace: str, subresource: str, obj: Any) -> Any:
        """PUT a subresource of another kind: `scale`."""
        return _any(await self._call("PUT", namespace, name, subresource, body=obj, raw=True), type(obj))

    async def watch(
        self, namespace: str = "", *, resource_version: str = "", label_selector: str = "", field_selector: str = ""
    ) -> AsyncIterator[WatchEvent[T]]:
        """Events from `resource_version` on (exclusive), until the server ends the watch.

        Close the iterator (`contextlib.aclosing`) to end it early. Raises StatusError for an ERROR event.
        """
        stream = await self.watch_batches(
            namespace,
            resource_version=resource_version,
            label_selector=label_selector,
            field_selector=field_selector,
        )
        try:
            async for batch in stream:
                for type_, obj in batch:
                    yield WatchEvent(type_, obj)
        finally:
            await stream.close()

    async def watch_batches(
        self,
        namespace: str = "",
        *,
        resource_version: str = "",
        label_selector: str = "",
        field_selector: str = "",
        send_initial_events: bool = False,
        timeout: int = 0,
    ) -> Batches[T]:
        """A watch with bookmarks, in batches as they arrive. `send_initial_events` is the streaming list (KEP-3157):
        the state as ADDED events, then a BOOKMARK annotated `k8s.io/initial-events-end`. `timeout` in seconds."""
        kind = self._kind or await self.resolve()
        query = _query(
            resourceVersion=resource_version,
            labelSelector=label_selector,
            fieldSelector=field_selector,
            timeoutSeconds=str(timeout) if timeout else "",
        )
        query["watch"] = "true"
        query["allowWatchBookmarks"] = "true"
        if send_initial_events:
            query["sendInitialEvents"] = "true"
            query["resourceVersionMatch"] = "NotOlderThan"
        request = Request("GET", kind.path(namespace), query, headers=self._client.headers)
        if self._as_partial:
            request.accept = PARTIAL
        return Batches(await self._client.transport.watch(request), self)

    async def _call(
        self,
        method: str,
        namespace: str,
        name: str = "",
        subresource: str = "",
        *,
        query: dict[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        raw: bool = False,
    ) -> Any:
        kind = self._kind or await self.resolve()
        request = Request(
            method,
            kind.path(namespace, name, subresource),
            query or {},
            body,
            content_type,
            headers=self._client.headers,
        )
        if self._as_partial and not raw:
            request.accept = PARTIAL
        answer = (await self._client.transport.request(request)).body
        return answer if raw else self._convert(answer)

    def _convert(self, body: Any) -> Any:
        type_ = self._type
        if isinstance(body, bytes | bytearray | memoryview | msgspec.Raw):
            if self._as_partial:
                raw = msgspec.json.decode(body, type=_RawPartial)
                return _partial(raw.api_version, raw.kind, raw.metadata)
            return msgspec.json.decode(body) if type_ is dict else codec.decode(type_, bytes(body))
        if type_ is dict:
            return body if isinstance(body, dict) else codec.to_dict(body)
        if isinstance(body, dict):
            if self._as_partial:
                return _partial(body.get("apiVersion", ""), body.get("kind", ""), body.get("metadata"))
            return codec.from_dict(type_, body)
        return body

    def _convert_all(self, items: Sequence[Any]) -> Sequence[T]:
        if self._type is not dict and (not items or not isinstance(items[0], dict)):
            return items  # 10,000 structs are handed over as they are
        return [self._convert(item) for item in items]

    def _decode_list(self, kind: Kind, body: bytes) -> Page[T]:
        raw = msgspec.json.decode(body, type=_RawList)
        items = [self._convert(item) for item in raw.items or ()]
        if self._type is dict:
            for item in items:  # items of a built-in list bear no type of their own
                item.setdefault("apiVersion", kind.api_version)
                item.setdefault("kind", kind.kind)
        return Page(items, raw.metadata.resource_version, raw.metadata.continue_, raw.metadata.remaining_item_count)


class Batches(Generic[T]):
    """A running watch: iterate for lists of `(type, object)`; `close()` it, or use `async with`."""

    __slots__ = ("_resource", "_stream")

    def __init__(self, stream: WatchStream, resource: Resource[T]) -> None:
        self._stream = stream
        self._resource = resource

    def __aiter__(self) -> Batches[T]:
        return self

    async def __anext__(self) -> list[tuple[str, T]]:
        batch = await self._stream.__anext__()
        convert = self._resource._convert
        for i, (type_, obj) in enumerate(batch):
            if type_ == "ERROR":
                if i:  # what came before it first
                    self._stream = _Ended(self._stream, obj)
                    return [(t, convert(o)) for t, o in batch[:i]]
                raise errors.StatusError.of(as_struct(Status, obj))
        return [(t, convert(o)) for t, o in batch]

    async def __aenter__(self) -> Batches[T]:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End the watch."""
        await self._stream.close()


class _Ended:
    """A stream of which only its last error is left."""

    def __init__(self, stream: WatchStream, status: Any) -> None:
        self._stream = stream
        self._status = status

    def __aiter__(self) -> _Ended:
        return self

    async def __anext__(self) -> list[tuple[str, Any]]:
        return [("ERROR", self._status)]

    async def close(self) -> None:
        await self._stream.close()


def _query(**values: str) -> dict[str, str]:
    return {name: value for name, value in values.items() if value}


def _metadata(obj: Any) -> tuple[str, str]:
    """(namespace, name) of a struct or wire dict."""
    if isinstance(obj, dict):
        metadata = obj.get("metadata") or {}
        return metadata.get("namespace") or "", metadata.get("name") or ""
    return obj.metadata.namespace, obj.metadata.name


def _delete_options(
    grace_period: int | None, propagation: str | None, uid: str | None, resource_version: str | None
) -> DeleteOptions:
    return DeleteOptions(
        api_version="v1",
        kind="DeleteOptions",
        grace_period_seconds=grace_period,
        propagation_policy=propagation,
        preconditions=Preconditions(uid=uid, resource_version=resource_version) if uid or resource_version else None,
    )


def as_struct(type_: type[S], body: Any) -> S:
    if isinstance(body, type_):
        return body
    if isinstance(body, bytes | bytearray | memoryview | msgspec.Raw):
        return codec.decode(type_, bytes(body))
    return codec.from_dict(type_, body)


def _partial(api_version: str, kind: str, metadata: dict[str, Any] | None) -> Partial:
    return Partial(api_version=api_version, kind=kind, metadata=codec.from_dict(ObjectMeta, metadata or {}))


def _any(body: Any, asked: type[Any] | None = None) -> Any:
    """A struct if the kind is known (from the table, or because the same was sent), else a wire dict."""
    if isinstance(body, bytes):
        if not body:
            return None
        body = msgspec.json.decode(body)
    if not isinstance(body, dict):
        return body
    if body.get("kind") == "Status":
        return as_struct(Status, body)
    if asked is not None and issubclass(asked, Object) and body.get("kind") == asked().kind:
        return codec.from_dict(asked, body)
    kind = kinds.by_kind(body.get("apiVersion", ""), body.get("kind", ""))
    return codec.from_dict(kind.type, body) if kind and kind.module else body
