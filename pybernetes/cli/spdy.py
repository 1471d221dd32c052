"""SPDY/3.1 as far as exec needs it: a container runtime that knows only v4 over WebSockets cannot be told that standard
input has ended, and `tar` or `cat` there would wait forever. Over SPDY each stream is closed by itself.

Header blocks are compressed without SPDY's dictionary, which receivers accept; those that come back are not read.
"""

from __future__ import annotations

import socket
import struct
import zlib

from pybernetes.cli.websocket import WebSocket

_SYN_STREAM, _RST_STREAM, _PING = 1, 3, 6
_FIN = 1
_NAMES = {0: "stdin", 1: "stdout", 2: "stderr", 3: "error", 4: "resize"}
_CLOSE, _STATUS = 255, 3


class SpdySocket(WebSocket):
    """The interface of a v5 WebSocket: messages that begin with the number of their channel."""

    def __init__(self, sock: socket.socket, buffer: bytes, channels: list[int]) -> None:
        super().__init__(sock, buffer, "v5.channel.k8s.io")
        packer = zlib.compressobj()
        self._ids: dict[int, int] = {}
        self._status = b""
        for index, channel in enumerate(channels):
            number = 2 * index + 1
            self._ids[channel] = number
            name, value = b"streamtype", _NAMES[channel].encode()
            block = struct.pack(">I", 1) + struct.pack(">I", len(name)) + name + struct.pack(">I", len(value)) + value
            packed = packer.compress(block) + packer.flush(zlib.Z_SYNC_FLUSH)
            body = struct.pack(">IIBB", number, 0, 0, 0) + packed
            self._send_all(struct.pack(">HHI", 0x8003, _SYN_STREAM, len(body)) + body)
        self._channels = {number: channel for channel, number in self._ids.items()}
        self._open = {c for c in channels if c in (1, 2, _STATUS)}

    def send(self, data: bytes, opcode: int = 0) -> None:
        """One message; channel 255 closes the one in the second byte."""
        flags, channel, content = 0, data[0], data[1:]
        if channel == _CLOSE:
            flags, channel, content = _FIN, data[1], b""
        with self._sending:
            self._send_all(struct.pack(">II", self._ids[channel], flags << 24 | len(content)) + content)

    def receive(self) -> bytes | None:
        """The next message; the final Status comes after all output."""
        while self._open:
            head = self._exactly(8)
            if head is None:
                break
            first, second = struct.unpack(">II", head)
            body = self._exactly(second & 0xFFFFFF)
            if body is None:
                break
            if first & 0x80000000:
                kind = first & 0xFFFF
                if kind == _PING:
                    with self._sending:
                        self._send_all(head + body)
                elif kind == _RST_STREAM:
                    self._open.discard(self._channels.get(struct.unpack(">I", body[:4])[0], -1))
                continue
            channel = self._channels.get(first, -1)
            if second >> 24 & _FIN:
                self._open.discard(channel)
            if channel == _STATUS:
                self._status += body
            elif body:
                return bytes([channel]) + body
        status, self._status = self._status, b""
        return bytes([_STATUS]) + status if status else None

    def close(self) -> None:
        """Close the connection."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._socket.close()
