"""TLS between the socket and a `Connection`, on OpenSSL memory buffers.

Not the event loop's own TLS: it keeps 256 KiB of read buffer per connection and its own write queue besides the
transport's, so that a thousand idle watchers cost hundreds of megabytes and the true back-pressure is invisible.
Here there is one write queue, the transport's. To the `Connection` this object is the transport.

Sessions are not resumed: a resumed session does not carry the client's verified chain, which tells the client CA
from the front proxy's; a full handshake with P-256 keys costs less than a millisecond.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.http.connection import Connection

_READ = 64 * 1024
_WRONG_PROTOCOL = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"


def server_context(certificate: str, key: str, client_cas: Iterable[str] = ()) -> ssl.SSLContext:
    """A TLS 1.2/1.3 server context.

    certificate, key: PEM files. client_cas: PEM files of the authorities whose client certificates are accepted (the
    client CA, the front proxy's CA); with any, clients may present one, and a wrong one fails the handshake.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.num_tickets = 0
    for path in client_cas:
        context.load_verify_locations(path)
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


class Flusher:
    """Encrypts what streams wrote in one turn of the loop at the end of it: events that come together go out to each
    watcher as one record in one system call."""

    __slots__ = ("_layers", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._layers: list[TLSLayer] = []

    def add(self, layer: TLSLayer) -> None:
        """`layer` has something to flush."""
        if not self._layers:
            self._loop.call_soon(self._flush)
        self._layers.append(layer)

    def _flush(self) -> None:
        layers, self._layers = self._layers, []
        for layer in layers:
            layer.flush()


class TLSLayer(asyncio.Protocol):
    """Protocol towards the socket, transport towards the `Connection`."""

    __slots__ = ("_closing", "_flusher", "_incoming", "_inner", "_outgoing", "_shaken", "_soon", "_tls", "_transport")

    def __init__(self, context: ssl.SSLContext, inner: Connection, flusher: Flusher) -> None:
        self._inner = inner
        self._flusher = flusher
        self._soon: list[bytes] | None = None
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._shaken = False
        self._closing = False
        self._transport = cast(asyncio.Transport, None)

    # -- protocol -----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._inner.attach(cast(asyncio.BaseTransport, self))

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        incoming, tls = self._incoming, self._tls
        incoming.write(data)
        try:
            if not self._shaken:
                tls.do_handshake()
                self._shaken = True
                self._inner.connection_made(cast(asyncio.BaseTransport, self))
            while not self._closing:
                if not incoming.pending and not tls.pending():
                    break
                plain = tls.read(_READ)
                if not plain:
                    self._ended()
                    break
                self._inner.data_received(plain)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self._ended()
        except ssl.SSLError as error:
            self._failed(error)
            return
        if self._outgoing.pending:
            self._transport.write(self._outgoing.read())

    def eof_received(self) -> bool:
        if self._shaken:
            self._inner.eof_received()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._closing = True
        self._inner.connection_lost(error)

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def _ended(self) -> None:
        if not self._inner.eof_received():
            self.close()

    def _failed(self, error: ssl.SSLError) -> None:
        if not self._shaken and error.reason == "HTTP_REQUEST":
            self._transport.write(_WRONG_PROTOCOL)
        elif self._outgoing.pending:  # the alert
            self._transport.write(self._outgoing.read())
        self._closing = True
        self._transport.close()

    # -- transport ----------------------------------------------------------------------------------------------

    def write_soon(self, data: bytes) -> None:
        """Send together with what else is written in this turn of the loop."""
        if self._closing:
            return
        if self._soon is None:
            self._soon = [data]
            self._flusher.add(self)
        else:
            self._soon.append(data)

    def flush(self) -> None:
        """Send what `write_soon` was given."""
        soon, self._soon = self._soon, None
        if soon is not None:
            self.write(soon[0] if len(soon) == 1 else b"".join(soon))

    def write(self, data: bytes | memoryview) -> None:
        """Encrypt and send; never blocks."""
        if self._closing:
            return
        if self._soon is not None:
            self.flush()
        tls = self._tls
        try:
            sent = tls.write(data)
            while sent < len(data):  # one record at most is 16 KiB, but OpenSSL takes all unless it must stop
                data = memoryview(data)[sent:]
                sent = tls.write(data)
        except ssl.SSLError:
            self.abort()
            return
        self._transport.write(self._outgoing.read())

    def close(self) -> None:
        """Say goodbye, send what is buffered, close."""
        if not self._closing:
            self._say_goodbye()
        self._transport.close()

    def write_eof(self) -> None:
        """Say goodbye; the socket stays open until the peer closes it, what it still sends is dropped."""
        if not self._closing:
            self._say_goodbye()
            self._transport.write_eof()

    def _say_goodbye(self) -> None:
        self.flush()
        self._closing = True
        if self._shaken:
            try:
                self._tls.unwrap()
            except ssl.SSLError:
                pass
            if self._outgoing.pending:
                self._transport.write(self._outgoing.read())

    def abort(self) -> None:
        """Cut the connection now."""
        self._closing = True
        self._transport.abort()

    def is_closing(self) -> bool:
        return self._closing

    def get_write_buffer_size(self) -> int:
        waiting = sum(map(len, self._soon)) if self._soon is not None else 0
        return self._transport.get_write_buffer_size() + waiting

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._transport.set_write_buffer_limits(high=high, low=low)

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """As asyncio's TLS transports: `ssl_object` is the TLS state, the rest is the socket's."""
        return self._tls if name == "ssl_object" else self._transport.get_extra_info(name, default)
