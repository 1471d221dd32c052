"""The server's end of a WebSocket on the node's API: the handshake, and whole messages both ways.

`wsproto` keeps the protocol. It is loaded with the first WebSocket: an agent that has none need not carry it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pybernetes.node.kubelet.http_server import Refusal, Request

if TYPE_CHECKING:
    from wsproto.connection import Connection

_BLOCK = 64 * 1024
#: Largest message accepted, bytes.
_MOST = 32 * 1024 * 1024


def wanted(request: Request) -> bool:
    """The request asks for a WebSocket."""
    return request.header("upgrade").lower() == "websocket"


def offered(request: Request) -> list[str]:
    """The subprotocols that the caller offers, the preferred one first."""
    return [part for part in map(str.strip, request.header("sec-websocket-protocol").split(",")) if part]


class WebSocket:
    """One connection. One task receives, one sends."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, protocol: Connection) -> None:
        self._reader, self._writer, self._protocol = reader, writer, protocol
        self._messages: list[bytes] = []
        self._part = bytearray()
        self._closed = False

    async def receive(self) -> bytes | None:
        """The next message; None once the other side is done or gone."""
        while not self._messages:
            if self._closed:
                return None
            try:
                data = await self._reader.read(_BLOCK)
            except OSError:
                data = b""
            self._take(data)
        return self._messages.pop(0)

    def _take(self, data: bytes) -> None:
        from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage
        from wsproto.utilities import RemoteProtocolError

        try:
            self._protocol.receive_data(data or None)
            for event in self._protocol.events():
                match event:
                    case BytesMessage() | TextMessage():
                        part = event.data
                        self._part += part.encode() if isinstance(part, str) else part
                        if len(self._part) > _MOST:
                            raise RemoteProtocolError("message too big")
                        if event.message_finished:
                            self._messages.append(bytes(self._part))
                            self._part.clear()
                    case Ping():
                        self._write(event.response())
                    case CloseConnection():
                        if data:
                            self._write(event.response())
                        self._closed = True
        except RemoteProtocolError:
            self._closed = True

    async def send(self, data: bytes, *, text: bool = False) -> None:
        """One message. Raises OSError when the other side is gone."""
        from wsproto.events import BytesMessage, TextMessage

        self._write(TextMessage(data=data.decode()) if text else BytesMessage(data=data))
        await self._writer.drain()

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Say goodbye. The connection itself is closed by who opened it."""
        from wsproto.events import CloseConnection

        self._write(CloseConnection(code=code, reason=reason[:120]))

    def _write(self, event: object) -> None:
        from wsproto.utilities import LocalProtocolError

        try:
            self._writer.write(self._protocol.send(event))  # type: ignore[arg-type]
        except LocalProtocolError:
            pass  # goodbyes have been said


def accept(request: Request, protocol: str) -> WebSocket:
    """Answer the handshake with this subprotocol ("" for none). Raises Refusal."""
    from wsproto.connection import Connection, ConnectionType
    from wsproto.utilities import generate_accept_token

    key = request.header("sec-websocket-key")
    if not key or request.header("sec-websocket-version") != "13":
        raise Refusal(400, "bad websocket handshake")
    lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
    lines.append(f"Sec-WebSocket-Accept: {generate_accept_token(key.encode()).decode()}")
    if protocol:
        lines.append(f"Sec-WebSocket-Protocol: {protocol}")
    request.writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
    return WebSocket(request.reader, request.writer, Connection(ConnectionType.SERVER))
