"""The mount calls of the kernel, through libc: no process is started for a mount."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_BIND, MS_REC, MS_REMOUNT, MNT_DETACH = 1, 2, 4, 4096, 16384, 32, 2


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: Path, kind: str = "", flags: int = 0, options: str = "") -> None:
    """mount(2). Raises OSError."""
    if _libc().mount(source.encode(), os.fsencode(target), kind.encode() or None, flags, options.encode() or None):
        code = ctypes.get_errno()
        raise OSError(code, f"mount {source} at {target}: {os.strerror(code)}")


def unmount(target: Path) -> None:
    """umount2(2), detached: what is busy disappears as soon as it is let go. No error when nothing is mounted."""
    if _libc().umount2(os.fsencode(target), MNT_DETACH):
        code = ctypes.get_errno()
        if code not in (22, 2):  # EINVAL: not a mount point; ENOENT
            raise OSError(code, f"unmount {target}: {os.strerror(code)}")


def is_mounted(target: Path) -> bool:
    """Whether something is mounted there, be it of the same file system (which `os.path.ismount` does not see)."""
    return target in mounts_below(target)


def mounts_below(root: Path) -> Iterator[Path]:
    """Mount points at or below a directory, deepest first."""
    found = []
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as table:
        for line in table:
            point = Path(line.split(" ")[4].encode().decode("unicode_escape"))
            if point == root or root in point.parents:
                found.append(point)
    return iter(sorted(found, key=lambda p: len(p.parts), reverse=True))
