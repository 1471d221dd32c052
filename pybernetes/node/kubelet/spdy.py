"""SPDY/3.1 framing, the client's side: as much as a runtime's streaming server needs to exec and attach.

Streams are opened with one header that says which one it is, carry data, and end one by one. The peers we talk to
neither keep flow control nor priorities, so window updates and settings are read over. Header blocks are compressed
without SPDY's dictionary, which receivers accept; those that come back say nothing of interest and are not read.

Pure: bytes and events, no connection.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

_CONTROL = 0x80000000
_VERSION = 0x8003
_SYN_STREAM, _SYN_REPLY, _RST_STREAM, _PING, _GOAWAY = 1, 2, 3, 6, 7
_FIN = 1


class Data(NamedTuple):
    """Data of a stream that we opened; `end` when its other side will send no more."""

    name: str
    data: bytes
    end: bool


class Reply(NamedTuple):
    """Bytes that must be sent back."""

    data: bytes


class Session:
    """One connection: makes frames for it, and takes apart what comes."""

    def __init__(self) -> None:
        self._packer = zlib.compressobj()
        self._buffer = bytearray()
        self._numbers: dict[str, int] = {}
        self._names: dict[int, str] = {}

    def open(self, name: str) -> bytes:
        """The frame that opens a stream of this type."""
        number = 2 * len(self._numbers) + 1
        self._numbers[name], self._names[number] = number, name
        pairs = b"".join(struct.pack(">I", len(part)) + part for part in (b"streamtype", name.encode()))
        packed = self._packer.compress(struct.pack(">I", 1) + pairs) + self._packer.flush(zlib.Z_SYNC_FLUSH)
        body = struct.pack(">IIBB", number, 0, 0, 0) + packed
        return struct.pack(">HHI", _VERSION, _SYN_STREAM, len(body)) + body

    def data(self, name: str, data: bytes, *, end: bool = False) -> bytes:
        """The frame with data for an opened stream; `end` closes our side of it."""
        return struct.pack(">II", self._numbers[name], (_FIN if end else 0) << 24 | len(data)) + data

    def receive(self, data: bytes) -> Iterator[Data | Reply]:
        """What the bytes that came make complete."""
        self._buffer += data
        while len(self._buffer) >= 8:
            first, second = struct.unpack_from(">II", self._buffer)
            flags, size = second >> 24, second & 0xFFFFFF
            if len(self._buffer) < 8 + size:
                return
            frame = bytes(self._buffer[: 8 + size])
            del self._buffer[: 8 + size]
            if first & _CONTROL:
                yield from self._control(first & 0xFFFF, flags, frame)
            elif first in self._names:
                yield Data(self._names[first], frame[8:], bool(flags & _FIN))

    def _control(self, kind: int, flags: int, frame: bytes) -> Iterator[Data | Reply]:
        if kind == _PING:
            yield Reply(frame)
        elif kind == _GOAWAY:
            for name in self._names.values():
                yield Data(name, b"", end=True)
        elif kind == _RST_STREAM or (kind == _SYN_REPLY and flags & _FIN):
            (number,) = struct.unpack_from(">I", frame, 8)
            if number in self._names:
                yield Data(self._names[number], b"", end=True)
