"""What a handler gets and gives: `Request` and `Response`.

Both are plain slotted classes: a request is made for every call, so nothing is decoded before somebody asks.
Headers stay bytes (they are compared, rarely shown); path and query become text on first use.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, unquote_plus

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.http.connection import Connection
    from pybernetes.control_plane.apiserver.http.hijack import RawConnection
    from pybernetes.control_plane.apiserver.http.peer import PeerCertificate
    from pybernetes.control_plane.apiserver.http.stream import Stream

#: `HTTP/1.1 200 OK\r\n` by status code.
STATUS_LINES: dict[int, bytes] = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\n".encode() for s in HTTPStatus}
STATUS_LINES[413] = b"HTTP/1.1 413 Request Entity Too Large\r\n"
STATUS_LINES[422] = b"HTTP/1.1 422 Unprocessable Entity\r\n"

Header = tuple[bytes, bytes]
_NO_PARAMS: dict[str, list[str]] = {}


def status_line(status: int) -> bytes:
    """The response's first line, CRLF included."""
    return STATUS_LINES.get(status) or b"HTTP/1.1 %d Status\r\n" % status


def render_headers(headers: Iterable[Header]) -> bytes:
    """Header lines as they go over the wire; render constant headers once and pass the bytes to `Response`.

    Raises ValueError for a name or value with CR, LF or NUL (response splitting).
    """
    block = b"".join([b"%s: %s\r\n" % header for header in headers])
    if b"\0" in block or block.count(b"\n") != block.count(b"\r\n") or block.count(b"\r") != block.count(b"\n"):
        raise ValueError("a header contains a control character")
    if block.count(b"\n") != sum(1 for _ in headers):
        raise ValueError("a header contains a line break")
    return block


class Response:
    """A complete answer. `Content-Length`, `Date` and `Connection` are added when it is written.

    headers: (name, value) pairs, or a block made once by `render_headers()`.
    body: bytes, or parts that are joined on writing (a LIST of stored objects).
    """

    __slots__ = ("body", "headers", "status")

    def __init__(
        self, status: int = 200, headers: Sequence[Header] | bytes = b"", body: bytes | list[bytes] = b""
    ) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def header_block(self) -> bytes:
        """The headers as wire bytes."""
        headers = self.headers
        return headers if isinstance(headers, bytes) else render_headers(headers)


class Request:
    """One request, complete with its body.

    method: upper case. raw_path: as sent, percent-encoded, without the query. raw_query: bytes after `?`.
    raw_headers: (lower-case name, value) in order of arrival. body: at most the server's limit.
    user, attributes, context: free slots for the request chain; None until it sets them.
    """

    __slots__ = (
        "_headers",
        "_params",
        "_path",
        "attributes",
        "body",
        "connection",
        "context",
        "http_1_0",
        "keep_alive",
        "method",
        "raw_headers",
        "raw_path",
        "raw_query",
        "upgrade",
        "user",
    )

    def __init__(
        self,
        connection: Connection,
        method: str,
        raw_path: bytes,
        raw_query: bytes,
        raw_headers: list[Header],
        body: bytes = b"",
        keep_alive: bool = True,
        upgrade: bool = False,
        http_1_0: bool = False,
    ) -> None:
        self.connection = connection
        self.method = method
        self.raw_path = raw_path
        self.raw_query = raw_query
        self.raw_headers = raw_headers
        self.body = body
        self.keep_alive = keep_alive
        self.upgrade = upgrade
        self.http_1_0 = http_1_0
        self._path: str | None = None
        self._params: dict[str, list[str]] | None = None
        self._headers: dict[bytes, bytes] | None = None
        self.user: Any = None
        self.attributes: Any = None
        self.context: Any = None

    @property
    def path(self) -> str:
        """The percent-decoded path."""
        path = self._path
        if path is None:
            raw = self.raw_path
            path = self._path = unquote(raw.decode("latin-1")) if b"%" in raw else raw.decode("utf-8", "replace")
        return path

    @property
    def query(self) -> str:
        """The query as sent, without the question mark."""
        return self.raw_query.decode("latin-1")

    @property
    def params(self) -> Mapping[str, list[str]]:
        """The query's values by name, in order; a name without `=` has the value ''. Do not change it."""
        params = self._params
        if params is None:
            params = self._params = parse_query(self.raw_query) if self.raw_query else _NO_PARAMS
        return params

    def param(self, name: str, default: str = "") -> str:
        """The first value of a query parameter."""
        values = self.params.get(name)
        return values[0] if values else default

    @property
    def headers(self) -> Mapping[bytes, bytes]:
        """Header values by lower-case name; the first one where a name is repeated (`header_values` gives all)."""
        headers = self._headers
        if headers is None:
            raw = self.raw_headers
            headers = dict(raw)
            if len(headers) != len(raw):
                headers = dict(reversed(raw))
            self._headers = headers
        return headers

    def header(self, name: bytes, default: bytes = b"") -> bytes:
        """The first value of a header; `name` in lower case."""
        return self.headers.get(name, default)

    def header_values(self, name: bytes) -> list[bytes]:
        """Every value of a header, one per header line; `name` in lower case."""
        return [value for key, value in self.raw_headers if key == name]

    @property
    def remote(self) -> tuple[str, int]:
        """The peer's (address, port)."""
        return self.connection.remote

    @property
    def peer_certificate(self) -> PeerCertificate | None:
        """The client certificate that TLS verified, if there is one."""
        return self.connection.peer_certificate

    @property
    def open_stream(self) -> Stream | None:
        """The stream that answers this request, while it does."""
        return self.connection.open_stream(self)

    def stream(self, status: int = 200, headers: Sequence[Header] | bytes = b"") -> Stream:
        """Answer with a body of unknown length: the head is sent now, the rest by the `Stream`.

        The handler then returns None; the answer lasts until `stream.end()` or until the client goes away, so a watch
        needs no task of its own. Raises RuntimeError if there already is an answer.
        """
        return self.connection.start_stream(self, status, headers)

    def hijack(self) -> RawConnection:
        """Take the connection away from HTTP (SPDY, WebSocket). The handler answers the upgrade itself, with
        `raw.write()`; bytes that already arrived are what `raw.read()` returns first. The connection is closed when
        `raw` is. Raises RuntimeError if there already is an answer."""
        return self.connection.hijack(self)


def parse_query(raw: bytes) -> dict[str, list[str]]:
    """`a=1&b=&a=2` -> {"a": ["1", "2"], "b": [""]}; percent-decoded, undecodable bytes replaced."""
    params: dict[str, list[str]] = {}
    for part in raw.decode("latin-1").split("&"):
        if not part:
            continue
        name, _, value = part.partition("=")
        if "%" in name or "+" in name:
            name = unquote_plus(name)
        if "%" in value or "+" in value:
            value = unquote_plus(value)
        values = params.get(name)
        if values is None:
            params[name] = [value]
        else:
            values.append(value)
    return params
