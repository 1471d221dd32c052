"""The seam between the client and the wire: requests, responses, watches, streams.

Two transports of equal rank: `HTTPTransport` (JSON over a connection) and the API server's in-process one, which hands
over decoded objects. That is why a body may be either bytes or an object, in both directions: whoever needs the
other form converts it (`client.client` does for all its users), and nobody pays for JSON between two parts of one
process. Objects that cross an in-process transport are shared by everyone who sees them: neither side ever mutates
one. The server copies a request's body before it defaults it; the client copies before it changes.

Why one `Request` and not a method per verb: authentication, authorization, admission and audit in the server see
requests, and the in-process path must go through all of them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

JSON = "application/json"
#: Metadata only, as objects and as lists. An in-process server may answer with whole objects: they have `.metadata`.
PARTIAL = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
PARTIAL_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

#: One event of a watch: (`ADDED`|`MODIFIED`|`DELETED`|`BOOKMARK`|`ERROR`, the object). The object is bytes of JSON, a
#: struct or a wire dict; of an ERROR a `Status`. A BOOKMARK needs only `metadata` (resourceVersion, annotations).
Event: TypeAlias = tuple[str, Any]


@dataclass(slots=True)
class Request:
    """One API request. `path` is decoded and without query; header names are lower case."""

    method: str
    path: str
    query: dict[str, str] = field(default_factory=dict)
    body: Any = None  #: bytes in `content_type`, or an object: struct, wire dict, list (JSON patch); None: no body
    content_type: str = JSON
    accept: str = JSON
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Listing:
    """The body of an in-process list response: the shared objects, and the list's metadata. Never mutated."""

    items: Sequence[Any]
    resource_version: str = ""
    continue_: str = ""
    remaining: int | None = None


@dataclass(slots=True)
class Response:
    """A successful answer. `body` is bytes (HTTP) or an object: struct, wire dict, or `Listing` for a list."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


class WatchStream(Protocol):
    """A running watch. Iteration yields batches in order, never empty; it ends when the server ends the watch.

    Raises Unavailable when the connection breaks. A slow reader sees larger batches, or an ERROR event that says the
    watch fell behind (410), never a gap.
    """

    def __aiter__(self) -> AsyncIterator[list[Event]]: ...

    async def __anext__(self) -> list[Event]: ...

    async def close(self) -> None:
        """End it from this side; may be called twice."""


class ByteStream(Protocol):
    """A response body as it arrives (Pod logs). Iteration yields non-empty chunks."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def __anext__(self) -> bytes: ...

    async def close(self) -> None:
        """Stop reading; may be called twice."""


class WebSocket(Protocol):
    """An upgraded connection (exec, attach, port-forward): binary messages both ways."""

    @property
    def subprotocol(self) -> str:
        """The one the server chose of those offered."""

    async def send(self, message: bytes) -> None:
        """Raises Unavailable when the connection is gone."""

    async def receive(self) -> bytes | None:
        """The next message; None when the other side has closed."""

    async def close(self) -> None:
        """Close the connection; may be called twice."""


class Transport(Protocol):
    """Carries requests. An answer of 400 and above is raised as `StatusError`; no answer as `errors.Unavailable`."""

    async def request(self, request: Request) -> Response:
        """Send and wait for the whole answer."""

    async def watch(self, request: Request) -> WatchStream:
        """Open a watch (`query` has `watch=true`). Returns once the server accepted it."""

    async def stream(self, request: Request) -> ByteStream:
        """Open a response that is read as it arrives. In-process transports may refuse with StatusError."""

    async def upgrade(self, request: Request, subprotocols: Sequence[str]) -> WebSocket:
        """Open a WebSocket. `query` may repeat keys through `Request.path` (`?command=a&command=b`)."""

    async def close(self) -> None:
        """Drop connections. Running watches end with Unavailable."""
