"""The transport over HTTP: JSON, TLS, and WebSockets for exec, attach and port-forward.

aiohttp underneath, imported when the first connection is made (it costs 100 ms, and many processes never need it).
The one thing retried here is 429 with a Retry-After, because that is a server asking for exactly this.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import msgspec

from pybernetes.aio import clock
from pybernetes.client.credentials import Credentials
from pybernetes.client.errors import Unavailable
from pybernetes.client.kubeconfig import Connection
from pybernetes.client.transport import Event, Request, Response
from pybernetes.machinery import codec
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.meta import Status, StatusDetails

if TYPE_CHECKING:
    import aiohttp

_RETRIES = 10
#: Seconds without a sign of life from the peer after which a connection is given up.
_SILENCE = 20


class HTTPTransport:
    """A `Transport` to one server as one user. `close()` it, or use `async with`."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._credentials = Credentials(connection)
        self._session: aiohttp.ClientSession | None = None
        self._ssl: ssl.SSLContext | bool = True
        self._at = 0  # which of the servers is asked: the last one that let us in

    async def __aenter__(self) -> HTTPTransport:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def request(self, request: Request) -> Response:
        """See `Transport`."""
        for _ in range(_RETRIES):
            response = await self._send(request)
            try:
                body = await _reading(response.read())
            finally:
                response.release()
            if response.status < 400:
                return Response(response.status, body, response.headers)
            error = _error(response.status, body)
            after = response.headers.get("Retry-After", "")
            if response.status != 429 or not after.isdigit():
                raise error
            await clock.sleep(int(after))
        raise error

    async def watch(self, request: Request) -> _Watch:
        """See `Transport`."""
        return _Watch(await self._open(request))

    async def stream(self, request: Request) -> _Stream:
        """See `Transport`."""
        return _Stream(await self._open(request))

    async def upgrade(self, request: Request, subprotocols: Sequence[str]) -> _WebSocket:
        """See `Transport`."""
        import aiohttp

        session = await self._ready()
        try:
            connected = await session.ws_connect(
                self._url(request),
                protocols=subprotocols,
                headers=self._headers(request),
                ssl=self._ssl,
                max_msg_size=0,
                autoping=True,
                timeout=aiohttp.ClientWSTimeout(ws_close=5.0),
                server_hostname=self.connection.tls_server_name or None,
            )
        except aiohttp.WSServerHandshakeError as error:
            # The library drops the body of the refusal; the plain request gets the same one, with its words.
            await self.request(Request("GET", request.path, request.query, accept="*/*", headers=request.headers))
            raise _error(error.status, error.message.encode()) from None
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise _unavailable(error) from error
        return _WebSocket(connected)

    async def close(self) -> None:
        """See `Transport`."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    async def _ready(self) -> aiohttp.ClientSession:
        changed = await self._credentials.refresh()
        if self._session is None or changed:
            import aiohttp

            await self.close()
            self._ssl = self._credentials.ssl_context() or True
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=90, socket_factory=_socket),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
                read_bufsize=1 << 20,
                auto_decompress=True,
            )
        return self._session

    def _url(self, request: Request) -> Any:
        from yarl import URL

        path, _, given = request.path.partition("?")
        query = "&".join(q for q in (given, urlencode(request.query, quote_via=quote)) if q)
        servers = self._credentials.servers
        url = f"{servers[self._at % len(servers)]}{quote(path, safe='/:@!$&()*+,;=~')}"
        return URL(f"{url}?{query}" if query else url, encoded=True)

    def _headers(self, request: Request) -> list[tuple[str, str]]:
        return [
            *request.headers.items(),
            *self._credentials.headers.items(),
            *self._credentials.impersonation,
            ("accept", request.accept),
        ]

    async def _open(self, request: Request) -> aiohttp.ClientResponse:
        response = await self._send(request)
        if response.status >= 400:
            try:
                raise _error(response.status, await _reading(response.read()))
            finally:
                response.release()
        return response

    async def _send(self, request: Request, *, again: bool = False) -> aiohttp.ClientResponse:
        import aiohttp

        session = await self._ready()
        headers = self._headers(request)
        body = request.body
        if body is not None:
            headers.append(("content-type", request.content_type))
            if not isinstance(body, bytes):
                body = msgspec.json.encode(body) if isinstance(body, list | tuple) else codec.encode(body)
        for left in reversed(range(len(self._credentials.servers))):
            try:
                response = await session.request(
                    request.method,
                    self._url(request),
                    data=body,
                    headers=headers,
                    ssl=self._ssl,
                    proxy=self.connection.proxy_url or None,
                    server_hostname=self.connection.tls_server_name or None,
                    allow_redirects=False,
                )
                break
            except aiohttp.ClientConnectorError as error:  # nothing was sent: another server may be asked
                self._at += 1
                if not left:
                    raise _unavailable(error) from error
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                raise _unavailable(error) from error
        if response.status == 401 and not again and (self.connection.exec_plugin or self.connection.token_file):
            response.release()
            if await self._credentials.refresh(rejected=True):
                await self.close()
            return await self._send(request, again=True)
        return response


class _WatchLine(msgspec.Struct):
    type: str
    object: msgspec.Raw


_decode_line = msgspec.json.Decoder(_WatchLine).decode


class _Watch:
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self._partial = b""

    def __aiter__(self) -> AsyncIterator[list[Event]]:
        return self

    async def __anext__(self) -> list[Event]:
        while True:
            chunk = await _reading(self._response.content.readany())
            if not chunk:
                raise StopAsyncIteration
            *lines, self._partial = (self._partial + chunk).split(b"\n")
            batch = [(event.type, event.object) for event in map(_decode_line, filter(None, lines))]
            if batch:
                return [(type_, bytes(obj)) for type_, obj in batch]

    async def close(self) -> None:
        self._response.close()


class _Stream:
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if chunk := await _reading(self._response.content.readany()):
            return chunk
        raise StopAsyncIteration

    async def close(self) -> None:
        self._response.close()


class _WebSocket:
    def __init__(self, connected: aiohttp.ClientWebSocketResponse[Any]) -> None:
        self._connected = connected

    @property
    def subprotocol(self) -> str:
        return self._connected.protocol or ""

    async def send(self, message: bytes) -> None:
        import aiohttp

        try:
            await self._connected.send_bytes(message)
        except (aiohttp.ClientError, OSError) as error:
            raise _unavailable(error) from error

    async def receive(self) -> bytes | None:
        import aiohttp

        while True:
            message = await self._connected.receive()
            if message.type is aiohttp.WSMsgType.BINARY:
                return bytes(message.data)
            if message.type is aiohttp.WSMsgType.TEXT:
                return str(message.data).encode()
            if message.type is aiohttp.WSMsgType.ERROR:
                raise Unavailable(f"WebSocket: {self._connected.exception()}")
            return None

    async def close(self) -> None:
        await self._connected.close()


def _socket(address: Any) -> socket.socket:
    """A socket that notices within `_SILENCE` that its peer is gone without a word, as behind a cut cable.

    Without it a watch would wait for ever, and what was sent be repeated in ever longer pauses after the cable is back.
    """
    made = socket.socket(*address[:3])
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_USER_TIMEOUT", _SILENCE * 1000)):
        if hasattr(socket, option):
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return made


async def _reading(work: Any) -> bytes:
    import aiohttp

    try:
        return bytes(await work)
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise _unavailable(error) from error


def _unavailable(error: Exception) -> Unavailable:
    return Unavailable(str(error) or type(error).__name__)


def _error(code: int, body: bytes) -> StatusError:
    """The error of a refusal: its Status, or one made of the text a proxy or an odd server gave."""
    if body.startswith(b"{"):
        try:
            status = codec.decode(Status, body)
            if status.kind == "Status":
                return StatusError.of(status)
        except (msgspec.DecodeError, msgspec.ValidationError, StatusError):
            pass
    text = body.decode("utf-8", "replace").strip()[:2048]
    reasons = {401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 409: "Conflict", 410: "Gone"}
    return StatusError(
        code, reasons.get(code, ""), text or f"the server answered {code} without a body", StatusDetails()
    )
