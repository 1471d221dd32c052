"""Files that change under running programs: replaced at once, and looked at again now and then.

Certificates and kubeconfigs are renewed by one process and used by others. The file is what they share: the writer
replaces it in one step, each user asks once a minute whether it is another one. A stat a minute costs less than an
inotify watch is worth, works over every file system, and is right after a restart of either side.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from pybernetes.aio import clock

#: Seconds between looks at files that are well.
INTERVAL = 60.0


def write(path: Path, data: bytes, mode: int, *, durable: bool = False) -> None:
    """Replace a file at once (never half-written); `durable` survives a power failure: for what nobody can remake."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


class Watched:
    """Some files, and whether any is another one than at the last look. A missing file is a state like others."""

    def __init__(self, paths: Iterable[Path | str], interval: float | None = None) -> None:
        self.paths = tuple(map(str, paths))
        self.interval = INTERVAL if interval is None else interval
        self._seen = self._look()
        self._looked = clock.monotonic()

    def changed(self) -> bool:
        """Look, at most once in `interval` seconds; True once for every change."""
        now = clock.monotonic()
        if not self.paths or now - self._looked < self.interval:
            return False
        self._looked = now
        return self._differ()

    async def change(self) -> None:
        """Return when some file is another one than at the last look."""
        while not self._differ():
            await clock.sleep(self.interval)

    def _differ(self) -> bool:
        before, self._seen = self._seen, self._look()
        return before != self._seen

    def _look(self) -> list[tuple[int, int, int] | None]:
        return [_identity(path) for path in self.paths]


def _identity(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
