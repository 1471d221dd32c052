"""Events as lines of a file that is renamed when it is large.

Lines of one turn of the loop are written together; a write goes to the page cache, so it happens on the loop itself and
the order is that of the events. A full disk must not stop the cluster: what cannot be written is told once and lost.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from pybernetes.aio import clock

log = logging.getLogger(__name__)

_encode = msgspec.json.Encoder().encode
_DAY = 86400.0


class LogFile:
    """See the module. max_size in bytes, max_age in days, max_backups in files; 0: without limit."""

    def __init__(self, path: str, max_size: int, max_age: int, max_backups: int) -> None:
        self._path = Path(path) if path != "-" else None
        self._max_size = max_size
        self._max_age = max_age
        self._max_backups = max_backups
        self._lines: list[bytes] = []
        self._timer: asyncio.Handle | None = None
        self._failed = False
        self._size = 0
        self._fd = self._open()

    def _open(self) -> int:
        if self._path is None:
            return sys.stdout.fileno()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(fd).st_size
        return fd

    def write(self, events: Sequence[dict[str, object]]) -> None:
        """Queue events for the end of this turn of the loop."""
        self._lines.extend(_encode(event) + b"\n" for event in events)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_soon(self.flush)

    def flush(self) -> None:
        """Write what is queued."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        data, self._lines = b"".join(self._lines), []
        if not data:
            return
        try:
            if self._max_size and self._size and self._size + len(data) > self._max_size:
                self._rotate()
            view = memoryview(data)
            while view:
                view = view[os.write(self._fd, view) :]
            self._size += len(data)
            self._failed = False
        except OSError as error:
            if not self._failed:
                log.error("audit events are lost: %s", error)
            self._failed = True

    def _rotate(self) -> None:
        path = self._path
        if path is None:
            return
        stamp = clock.now().strftime("%Y-%m-%dT%H-%M-%S.%f")[:-3]
        os.rename(path, path.with_name(f"{path.stem}-{stamp}{path.suffix}"))
        os.close(self._fd)
        self._fd = self._open()
        kept = sorted(path.parent.glob(f"{path.stem}-*{path.suffix}"), reverse=True)
        too_old = clock.timestamp() - self._max_age * _DAY
        for index, old in enumerate(kept):
            if (self._max_backups and index >= self._max_backups) or (self._max_age and old.stat().st_mtime < too_old):
                old.unlink(missing_ok=True)

    async def run(self) -> None:
        """Nothing to do until the end; then all is written and the file closed."""
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.flush()
            if self._path is not None:
                os.close(self._fd)
