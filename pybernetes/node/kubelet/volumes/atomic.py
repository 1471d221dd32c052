"""Files that change all at once: the content of ConfigMap, Secret, projected and downward API volumes.

The files live in a hidden directory named by time (`..2026_01_02_03_04_05.123`); `..data` is a symlink to it, and what
users see are symlinks through `..data`. An update writes a new directory and renames the link over the old: a reader
sees the old files or the new ones, never a mixture. That is upstream's layout, and programs that watch for `..data`
know it by heart.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from pybernetes.aio import clock

DATA = "..data"
_NEW = "..data_tmp"


class File(NamedTuple):
    """One file: content, permission bits, owner (-1: as it comes)."""

    data: bytes
    mode: int
    uid: int = -1


def check_path(path: str) -> None:
    """Raises ValueError for a path that would leave the volume."""
    if not path:
        raise ValueError("invalid path: must not be empty")
    if path.startswith("/"):
        raise ValueError(f"invalid path: must be relative path: {path}")
    if ".." in path.split("/"):
        raise ValueError(f"invalid path: must not contain '..': {path}")
    if path.startswith(".."):
        raise ValueError(f"invalid path: must not start with '..': {path}")


def write(directory: Path, files: Mapping[str, File], gid: int = -1) -> bool:
    """Make the volume hold exactly these files; whether anything had to change. `gid` owns them when it is not -1."""
    for path in files:
        check_path(path)
    if _is_current(directory, files):
        return False
    directory.mkdir(parents=True, exist_ok=True)
    old = os.readlink(directory / DATA) if (directory / DATA).is_symlink() else ""
    stamp = clock.now().strftime("..%Y_%m_%d_%H_%M_%S.") + f"{clock.rng.randrange(10**9):09d}"
    fresh = directory / stamp
    fresh.mkdir(mode=0o755)
    os.chmod(fresh, 0o755)
    for path, file in files.items():
        _write_file(fresh, path, file, gid)
    if gid >= 0:
        for folder in [fresh, *(p for p in fresh.rglob("*") if p.is_dir())]:
            os.chown(folder, -1, gid)
            os.chmod(folder, 0o2755)
    temporary = directory / _NEW
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(stamp)
    os.rename(temporary, directory / DATA)
    tops = {path.split("/", 1)[0] for path in files}
    for top in tops:
        link = directory / top
        if not link.is_symlink():
            link.symlink_to(f"{DATA}/{top}")
    for entry in os.listdir(directory):
        if not entry.startswith("..") and entry not in tops and (directory / entry).is_symlink():
            (directory / entry).unlink()
    if old and old != stamp:
        shutil.rmtree(directory / old, ignore_errors=True)
    return True


def _write_file(root: Path, path: str, file: File, gid: int) -> None:
    target = root / path
    parent = root
    for part in path.split("/")[:-1]:
        parent = parent / part
        if not parent.is_dir():
            parent.mkdir()
            os.chmod(parent, 0o755)
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        view = memoryview(file.data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fchmod(descriptor, file.mode)
        if gid >= 0 or file.uid >= 0:
            os.fchown(descriptor, file.uid, gid)
    finally:
        os.close(descriptor)


def _is_current(directory: Path, files: Mapping[str, File]) -> bool:
    data = directory / DATA
    if not data.is_symlink():
        return False
    present = _listing(data)
    if present != set(files):
        return False
    for path, file in files.items():
        target = data / path
        try:
            if target.read_bytes() != file.data or (target.stat().st_mode & 0o7777) != file.mode:
                return False
        except OSError:
            return False
    return True


def _listing(root: Path) -> set[str]:
    found: set[str] = set()
    for folder, _, names in os.walk(root):
        base = os.path.relpath(folder, root)
        found.update(name if base == "." else f"{base}/{name}" for name in names)
    return found
