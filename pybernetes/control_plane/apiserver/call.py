"""One request on its way through the server, whichever transport brought it.

HTTP and the in-process transport both make a `Call`; the chain fills it in (info, user), the verb answers with a
`Result`, and only then does the transport decide what becomes of that: bytes in the media type that was accepted, or
the objects themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pybernetes.machinery.errors import bad_request

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.authentication.user import User
    from pybernetes.control_plane.apiserver.cache import Item
    from pybernetes.control_plane.apiserver.fanout import Sink
    from pybernetes.control_plane.apiserver.flowcontrol.control import Flow
    from pybernetes.control_plane.apiserver.http import Request
    from pybernetes.control_plane.apiserver.objects import AnyObject
    from pybernetes.control_plane.apiserver.requestinfo import RequestInfo
    from pybernetes.control_plane.apiserver.resource import Resource

_NO_HEADERS: Mapping[bytes, bytes] = {}


class Call:
    """See the module.

    request: the HTTP request, None in process. body: bytes, or in process an object (struct, Custom or wire dict).
    headers: by lower-case name. user: None until authenticated (in process: set from the start).
    resource: the served resource, once routed. warnings: texts that go out as Warning headers.
    audit: what records this request; None when nothing does.
    flow, seats: what flow control classified it as, and the seats it holds.
    open_sink: in process, what a watch delivers to; None over HTTP.
    """

    __slots__ = (
        "audit",
        "body",
        "content_type",
        "flow",
        "headers",
        "info",
        "method",
        "open_sink",
        "params",
        "path",
        "request",
        "resource",
        "seats",
        "user",
        "warnings",
    )

    info: RequestInfo
    resource: Resource

    def __init__(
        self,
        method: str,
        path: str,
        params: Mapping[str, list[str]],
        body: Any = b"",
        content_type: str = "",
        headers: Mapping[bytes, bytes] = _NO_HEADERS,
        request: Request | None = None,
        user: User | None = None,
        open_sink: Callable[[], Sink] | None = None,
    ) -> None:
        self.method = method
        self.path = path
        self.params = params
        self.body = body
        self.content_type = content_type
        self.headers = headers
        self.request = request
        self.user = user
        self.open_sink = open_sink
        self.warnings: list[str] | None = None
        self.audit: Any = None
        self.flow: Flow | None = None
        self.seats = 0

    @property
    def annotations(self) -> dict[str, str] | None:
        """Where admission leaves notes for the audit; None: nobody reads them."""
        return self.audit.annotations if self.audit is not None else None

    def param(self, name: str, default: str = "") -> str:
        """The first value of a query parameter."""
        values = self.params.get(name)
        return values[0] if values else default

    def integer(self, name: str) -> int | None:
        """A query parameter as a number; None when absent or empty. Raises 400."""
        text = self.param(name)
        if not text:
            return None
        try:
            return int(text)
        except ValueError:
            raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None

    def flag(self, name: str) -> bool | None:
        """A query parameter as a truth value, by upstream's rule: present and neither `false` nor `0`."""
        values = self.params.get(name)
        return None if not values else values[0].lower() not in ("false", "0")

    def warn(self, text: str) -> None:
        """Add a Warning header (once per text)."""
        if self.warnings is None:
            self.warnings = [text]
        elif text not in self.warnings:
            self.warnings.append(text)

    @property
    def dry_run(self) -> bool:
        return bool(self.params.get("dryRun"))


class Result:
    """What a verb answers. One of: `item` (stored object), `obj` (an object that is not in the store, or Status),
    `items` (a list), `raw` (bytes of `media_type`). None instead of a Result: the verb has answered by itself."""

    __slots__ = (
        "continue_",
        "headers",
        "item",
        "items",
        "media_type",
        "obj",
        "raw",
        "remaining",
        "resource",
        "revision",
        "status",
    )

    def __init__(
        self,
        status: int = 200,
        *,
        resource: Resource | None = None,
        item: Item | None = None,
        obj: AnyObject | Any = None,
        items: list[Item] | None = None,
        revision: int = 0,
        continue_: str = "",
        remaining: int | None = None,
        raw: bytes | None = None,
        media_type: bytes = b"application/json",
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        self.status = status
        self.resource = resource
        self.item = item
        self.obj = obj
        self.items = items
        self.revision = revision
        self.continue_ = continue_
        self.remaining = remaining
        self.raw = raw
        self.media_type = media_type
        self.headers = headers
