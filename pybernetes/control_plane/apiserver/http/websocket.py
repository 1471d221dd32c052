"""WebSocket over a hijacked connection: exec, attach, port-forward and watch for clients that speak it.

`wsproto` keeps the protocol; here are the handshake with its subprotocols, and reading and writing whole messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from wsproto import ConnectionType
from wsproto.connection import Connection as Protocol
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage
from wsproto.utilities import LocalProtocolError, RemoteProtocolError, generate_accept_token

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.http.hijack import RawConnection
    from pybernetes.control_plane.apiserver.http.messages import Request

#: Largest message accepted, bytes.
MAX_MESSAGE = 32 * 1024 * 1024


class NotWebSocket(Exception):
    """The request is no WebSocket handshake, or none we can meet: answer 400 with this text."""


def offered(request: Request) -> list[str]:
    """The subprotocols a request offers, in its order of preference."""
    text = ",".join(value.decode("latin-1") for value in request.header_values(b"sec-websocket-protocol"))
    return [part for part in map(str.strip, text.split(",")) if part]


def wanted(request: Request) -> bool:
    """The request asks for a WebSocket."""
    return request.upgrade and request.header(b"upgrade").lower() == b"websocket"


class WebSocket:
    """The server's end. One task receives, any may send."""

    def __init__(self, raw: RawConnection, subprotocol: str) -> None:
        self.raw = raw
        #: What was agreed on; "" if the client offered none.
        self.subprotocol = subprotocol
        #: The code the client closed with, once it has.
        self.close_code: int | None = None
        self._protocol = Protocol(ConnectionType.SERVER)
        self._messages: list[bytes | str] = []
        self._parts: list[bytes | str] = []
        self._size = 0

    @classmethod
    def accept(cls, request: Request, subprotocols: Sequence[str] = ()) -> WebSocket:
        """Answer the handshake and take over the connection.

        subprotocols: those we speak; the client's first choice among them is agreed on. With none offered by the client
        and some given, "" is agreed on. Raises NotWebSocket, with the connection untouched.
        """
        if not wanted(request):
            raise NotWebSocket("websocket upgrade expected")
        key = request.header(b"sec-websocket-key").strip()
        if request.method != "GET" or not key or request.header(b"sec-websocket-version").strip() != b"13":
            raise NotWebSocket("bad websocket handshake")
        choices = offered(request)
        chosen = next((choice for choice in choices if choice in subprotocols), "")
        if choices and subprotocols and not chosen:
            raise NotWebSocket(f"none of the subprotocols {choices} is supported, but {list(subprotocols)} are")
        protocol = b"Sec-WebSocket-Protocol: %b\r\n" % chosen.encode("latin-1") if chosen else b""
        raw = request.hijack()
        raw.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: %b\r\n%b\r\n" % (generate_accept_token(key), protocol)
        )
        return cls(raw, chosen)

    async def receive(self) -> bytes | str | None:
        """The next message, text as str; None once the connection is closed."""
        while not self._messages:
            if self.raw.closed:
                return None
            data = await self.raw.read()
            try:
                self._protocol.receive_data(data or None)
                for event in self._protocol.events():
                    self._handle(event)
            except RemoteProtocolError as error:
                self._fail(1002, str(error))
        return self._messages.pop(0)

    def _handle(self, event: object) -> None:
        if isinstance(event, (BytesMessage, TextMessage)):
            data: bytes | str = event.data if isinstance(event.data, str) else bytes(event.data)
            self._size += len(data)
            if self._size > MAX_MESSAGE:
                self._fail(1009, "message too big")
                return
            self._parts.append(data)
            if event.message_finished:
                self._messages.append(_join(self._parts))
                self._parts, self._size = [], 0
        elif isinstance(event, Ping):
            self.raw.write(self._protocol.send(event.response()))
        elif isinstance(event, CloseConnection):
            if self.close_code is None and not self.raw.closed:
                self.close_code = event.code
                try:
                    self.raw.write(self._protocol.send(event.response()))
                except LocalProtocolError:
                    pass  # we have already said goodbye
            self.raw.close()

    def send(self, data: bytes | str) -> None:
        """Send one message; dropped silently once closed. Mind `buffered` and `drain()`."""
        if self.raw.closed:
            return
        message = TextMessage(data=data) if isinstance(data, str) else BytesMessage(data=data)
        try:
            self.raw.write(self._protocol.send(message))
        except LocalProtocolError:
            pass  # closing

    @property
    def closed(self) -> bool:
        return self.raw.closed

    @property
    def buffered(self) -> int:
        """Bytes the client has not taken yet."""
        return self.raw.buffered

    async def drain(self) -> None:
        """Wait until little is buffered. Raises ConnectionResetError when the client goes away."""
        await self.raw.drain()

    def ping(self) -> None:
        """Ask for a sign of life (keeps middle boxes from dropping an idle connection)."""
        if not self.raw.closed:
            self.raw.write(self._protocol.send(Ping(payload=b"")))

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Say goodbye and close; what is buffered is still sent. Idempotent."""
        if not self.raw.closed:
            try:
                self.raw.write(self._protocol.send(CloseConnection(code=code, reason=reason)))
            except LocalProtocolError:
                pass
            self.raw.close()

    def _fail(self, code: int, reason: str) -> None:
        self._messages.clear()
        self.close(code, reason[:120])


def _join(parts: list[bytes | str]) -> bytes | str:
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], str):
        return "".join(part for part in parts if isinstance(part, str))
    return b"".join(part for part in parts if isinstance(part, bytes))
