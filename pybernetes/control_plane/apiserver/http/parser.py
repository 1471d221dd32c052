"""Bytes to requests: what httptools calls back, with the limits and refusals around it.

llhttp (below httptools) is strict about what request smuggling needs: conflicting lengths, bare line feeds, folding.
Added here: sizes, a missing Host, and trailers, which arrive by the same callback as headers and must not pass for one.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Any

import httptools

from pybernetes.control_plane.apiserver.http.messages import Header, Request

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.http.connection import Connection
    from pybernetes.control_plane.apiserver.http.server import Config

log = logging.getLogger(__name__)


class Rejected(Exception):
    """A request that is refused before it is one: answer `status`, then close."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class RequestParser:
    """Feeds on bytes, leaves complete requests in `requests`.

    rejected: set once; nothing is parsed afterwards. upgraded: the bytes after a request that asks for an upgrade.
    in_message, head_complete: where in a message the input stopped. continue_wanted: it waits for `100 Continue`.
    """

    __slots__ = (
        "_body",
        "_connection",
        "_head_bytes",
        "_headers",
        "_last_seen",
        "_parser",
        "_parts",
        "_size",
        "_url",
        "config",
        "continue_wanted",
        "head_complete",
        "in_message",
        "rejected",
        "requests",
        "upgraded",
    )

    def __init__(self, connection: Connection, config: Config) -> None:
        self._connection = connection
        self.config = config
        self.requests: deque[Request] = deque()
        self.rejected: Rejected | None = None
        self.upgraded: bytearray | None = None
        self.in_message = False
        self.head_complete = False
        self.continue_wanted = False
        self._last_seen = False  # the last request said `Connection: close`: what follows is not ours to judge
        self._url = b""
        self._headers: list[Header] = []
        self._body = b""
        self._parts: list[bytes] | None = None
        self._size = 0
        self._head_bytes = 0
        self._parser: Any = httptools.HttpRequestParser(self)

    def feed(self, data: bytes) -> None:
        """Parse the next bytes. Never raises."""
        if self.rejected is not None or self._last_seen:
            return
        if self.upgraded is not None:
            self.upgraded += data
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self.upgraded = bytearray(data[upgrade.args[0] :])
        except httptools.HttpParserCallbackError as failure:
            cause = failure.__context__
            if not isinstance(cause, Rejected):
                log.error("parser callback failed", exc_info=cause)
                cause = Rejected(400, "bad request")
            self.rejected = cause
        except httptools.HttpParserError as error:
            if not self._last_seen:
                self.rejected = Rejected(400, str(error))
        if self.in_message and not self.head_complete:
            self._head_bytes += len(data)
            if self._head_bytes > self.config.max_header_bytes and self.rejected is None:
                self.rejected = Rejected(431, "the request's header is too large")

    def restart(self) -> bytes:
        """The upgrade was not wanted: go on with ordinary requests; the bytes to feed again."""
        data, self.upgraded = bytes(self.upgraded or b""), None
        self._parser = httptools.HttpRequestParser(self)
        return data

    def close(self) -> None:
        """Break the reference cycle with the C parser."""
        self._parser = None
        self.requests.clear()

    # -- callbacks ----------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._url = b""
        self._headers = []
        self._body = b""
        self._parts = None
        self._size = 0
        self.in_message = True
        self.head_complete = False

    def on_url(self, url: bytes) -> None:
        self._url = self._url + url if self._url else url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.head_complete:
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.head_complete = True
        size = len(self._url)
        has_body = host = False
        for name, value in self._headers:
            size += len(name) + len(value)
            if name == b"host":
                if host:
                    raise Rejected(400, "too many Host headers")
                host = True
            elif name == b"content-length" or name == b"expect":
                has_body = True
        if size > self.config.max_header_bytes:
            raise Rejected(431, "the request's header is too large")
        if not host and self._parser.get_http_version() == "1.1":
            raise Rejected(400, "missing required Host header")
        self._head_bytes = 0
        if has_body:
            self._check_body()

    def _check_body(self) -> None:
        """Refuse a body that is announced as too large, and allow one that waits for it."""
        limit = self.config.max_body_bytes
        expected = False
        for name, value in self._headers:
            if name == b"content-length":
                if int(value) > limit:
                    raise Rejected(413, f"limit is {limit}")
            elif name == b"expect":
                if value.lower() != b"100-continue":
                    raise Rejected(417, "only 100-continue can be expected")
                expected = True
        if expected and self._parser.get_http_version() == "1.1":
            self.continue_wanted = True
            self._connection.body_awaited()

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._size > self.config.max_body_bytes:
            raise Rejected(413, f"limit is {self.config.max_body_bytes}")
        if self._parts is not None:
            self._parts.append(body)
        elif self._body:
            self._parts = [self._body, body]
        else:
            self._body = body

    def on_message_complete(self) -> None:
        self.in_message = False
        self.continue_wanted = False
        parser = self._parser
        url = self._url
        path, _, query = url.partition(b"?")
        if path[:1] != b"/" and path != b"*":
            path, query = _absolute(url)
        keep_alive = parser.should_keep_alive()
        upgrade = parser.should_upgrade()
        self._last_seen = not keep_alive and not upgrade
        parts = self._parts
        self.requests.append(
            Request(
                self._connection,
                parser.get_method().decode("ascii"),
                path,
                query,
                self._headers,
                self._body if parts is None else b"".join(parts),
                keep_alive or upgrade,
                upgrade,
                parser.get_http_version() != "1.1",
            )
        )


def _absolute(url: bytes) -> tuple[bytes, bytes]:
    """Path and query of `GET http://host/path?query`, which proxies send."""
    try:
        parsed = httptools.parse_url(url)
    except httptools.HttpParserError as error:
        raise Rejected(400, "invalid request target") from error
    if not parsed.schema:
        raise Rejected(400, "invalid request target")
    return parsed.path or b"/", parsed.query or b""
