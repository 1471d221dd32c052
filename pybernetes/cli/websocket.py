"""WebSocket frames (RFC 6455) from the client's side: exec, attach, port-forward.

One thread receives while others send. A TLS connection may not be read and written at the same moment, so the waiting
happens in `select`, and only the short calls that do not wait hold the lock.
"""

from __future__ import annotations

import os
import select
import socket
import ssl
import struct
import threading

_BINARY, _CLOSE, _PING, _PONG = 2, 8, 9, 10


class WebSocket:
    """One connection. One thread may receive while others send."""

    def __init__(self, sock: socket.socket, buffer: bytes, protocol: str) -> None:
        self._socket = sock
        sock.setblocking(False)
        self._buffer = bytearray(buffer)
        self.protocol = protocol
        self._sending = threading.Lock()  # one message at a time
        self._using = threading.Lock()  # one call at a time
        self._closed = False

    def send(self, data: bytes, opcode: int = _BINARY) -> None:
        """One message. Raises OSError when the connection is gone."""
        size = len(data)
        if size < 126:
            head = struct.pack("!BB", 0x80 | opcode, 0x80 | size)
        elif size < 65536:
            head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, size)
        else:
            head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, size)
        mask = os.urandom(4)
        with self._sending:
            self._send_all(head + mask + _masked(data, mask))

    def receive(self) -> bytes | None:
        """The next message; None at the end."""
        message = b""
        while True:
            head = self._exactly(2)
            if head is None:
                return None
            final, opcode, size = head[0] & 0x80, head[0] & 0x0F, head[1] & 0x7F
            if size >= 126:
                longer = self._exactly(2 if size == 126 else 8)
                if longer is None:
                    return None
                size = int.from_bytes(longer, "big")
            data = self._exactly(size)
            if data is None:
                return None
            if opcode == _CLOSE:
                self.close()
                return None
            if opcode == _PING:
                self.send(data, _PONG)
                continue
            if opcode == _PONG:
                continue
            message += data
            if final:
                return message

    def close(self) -> None:
        """Say goodbye and close."""
        if self._closed:
            return
        self._closed = True
        try:
            self.send(struct.pack("!H", 1000), _CLOSE)
        except (OSError, ValueError):
            pass
        try:
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes a thread that reads
        except (OSError, ValueError):
            pass
        self._socket.close()

    def _send_all(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                with self._using:
                    sent = self._socket.send(view)
                view = view[sent:]
            except (ssl.SSLWantWriteError, ssl.SSLWantReadError, BlockingIOError):
                select.select([], [self._socket], [], 1)

    def _receive_some(self) -> bytes:
        while True:
            try:
                with self._using:
                    return self._socket.recv(65536)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
                select.select([self._socket], [], [], 60)

    def _exactly(self, size: int) -> bytes | None:
        while len(self._buffer) < size:
            try:
                data = self._receive_some()
            except (OSError, ValueError):
                return None
            if not data or self._closed:  # what comes after we closed is not deciphered any more
                return None
            self._buffer += data
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data


def _masked(data: bytes, mask: bytes) -> bytes:
    """XOR with the repeated mask, as one big number: a loop over bytes would be the slowest part of a copy."""
    size = len(data)
    repeated = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "big") ^ int.from_bytes(repeated, "big")).to_bytes(size, "big")
