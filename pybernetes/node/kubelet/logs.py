"""Container logs in the CRI's format: `TIME STREAM TAG text`, one line each, TAG `P` for a part and `F` for the last.

Reading, filtering and following, for the node's log endpoint. Following is driven by a pause that grows while
nothing is written, and ends when the container has ended and its file is read to the end.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pybernetes.aio import clock

_BLOCK = 64 * 1024
#: Following looks again after this many seconds, growing while nothing comes.
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 0.5
#: The end of a log as termination message.
MESSAGE_LINES, MESSAGE_BYTES = 80, 2048


@dataclass(frozen=True, slots=True)
class LogOptions:
    """PodLogOptions of a request."""

    follow: bool = False
    timestamps: bool = False
    tail_lines: int | None = None
    #: Unix seconds; lines before are left out.
    since: float | None = None
    limit_bytes: int | None = None
    #: "stdout", "stderr" or "" for both.
    stream: str = ""


def parse_line(line: bytes) -> tuple[bytes, bytes, bool, bytes] | None:
    """(time, stream, whether the line goes on, text) of one stored line without its newline; None when malformed."""
    parts = line.split(b" ", 3)
    if len(parts) < 3:
        return None
    text = parts[3] if len(parts) > 3 else b""
    return parts[0], parts[1], parts[2].split(b":")[0] == b"P", text


def render(line: bytes, options: LogOptions) -> bytes:
    """What a reader sees of a stored line (with its newline); empty when it is filtered out."""
    parsed = parse_line(line.rstrip(b"\n"))
    if parsed is None:
        return b""
    stamp, stream, partial, text = parsed
    if options.stream and stream.decode() != options.stream:
        return b""
    if options.since is not None:
        try:
            if clock.parse_rfc3339(stamp.decode()) < options.since:
                return b""
        except ValueError:
            return b""
    out = text if partial else text + b"\n"
    return stamp + b" " + out if options.timestamps else out


def _tail_offset(file: BinaryIO, lines: int, options: LogOptions) -> int:
    """Where the last `lines` lines begin. Parts of a line count as one."""
    size = file.seek(0, os.SEEK_END)
    if lines <= 0:
        return size
    position, buffer = size, b""
    while position > 0:
        step = min(_BLOCK, position)
        position -= step
        file.seek(position)
        buffer = file.read(step) + buffer
        pieces = buffer.split(b"\n")
        at = position + len(pieces[0]) + 1
        starts = []
        for piece in pieces[1:]:
            starts.append((at, piece))
            at += len(piece) + 1
        if position == 0:
            starts.insert(0, (0, pieces[0]))
        count, offset = 0, size
        for begin, piece in reversed(starts):
            parsed = parse_line(piece) if piece else None
            if parsed is None or (options.stream and parsed[1].decode() != options.stream):
                continue
            if not parsed[2]:
                count += 1
                if count > lines:
                    return offset
            offset = begin
    return 0


def read(path: Path, options: LogOptions) -> Iterator[bytes]:
    """The lines of a log now. Raises FileNotFoundError."""
    with path.open("rb") as file:
        if options.tail_lines is not None:
            file.seek(_tail_offset(file, options.tail_lines, options))
        for line in file:
            if text := render(line, options):
                yield text


async def follow(path: Path, options: LogOptions, ended: Callable[[], bool]) -> AsyncIterator[bytes]:
    """The lines of a log now and as they come, until `ended()` and all is read. Survives rotation."""
    file = path.open("rb")
    try:
        if options.tail_lines is not None:
            file.seek(_tail_offset(file, options.tail_lines, options))
        rest, pause = b"", FIRST_PAUSE
        while True:
            over = ended()
            block = file.read(_BLOCK)
            if block:
                pause = FIRST_PAUSE
                lines = (rest + block).split(b"\n")
                rest = lines.pop()
                chunk = b"".join(render(line, options) for line in lines)
                if chunk:
                    yield chunk
                continue
            if _replaced(file, path):
                file.close()
                file = path.open("rb")
                continue
            if over:
                return
            await clock.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)
    finally:
        file.close()


def _replaced(file: BinaryIO, path: Path) -> bool:
    with contextlib.suppress(OSError):
        return os.stat(path).st_ino != os.fstat(file.fileno()).st_ino
    return False


def limited(chunks: Iterator[bytes], limit: int | None) -> Iterator[bytes]:
    """At most `limit` bytes."""
    if limit is None:
        yield from chunks
        return
    left = limit
    for chunk in chunks:
        if left <= 0:
            return
        yield chunk[:left]
        left -= len(chunk)


def tail_for_message(path: Path) -> str:
    """The end of a log as a termination message; "" when there is none."""
    try:
        text = b"".join(read(path, LogOptions(tail_lines=MESSAGE_LINES)))
    except OSError:
        return ""
    return text[-MESSAGE_BYTES:].decode("utf-8", "replace")
