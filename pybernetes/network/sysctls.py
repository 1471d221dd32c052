"""Kernel settings that clusters share on one machine: changed by the first, restored after the last.

One file of the machine names, for each setting, its value before and who wants it changed. Two clusters that come
and go in any order thus leave the machine as they found it.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TextIO

import msgspec

from .links import Namespace

REGISTRY = Path("/run/pybernetes/sysctls.json")


class Setting(msgspec.Struct):
    """One changed setting: its value before the first change, and the owners that need the change."""

    before: str
    owners: list[str]


async def claim(namespace: Namespace, owner: str, wanted: Mapping[str, str], registry: Path = REGISTRY) -> None:
    """Set what is not as wanted, and remember. What the kernel does not have is passed over. Idempotent.

    What is remembered is written first: who is ended between the two has changed nothing that nobody would restore.
    """
    async with _locked(registry) as settings:
        changes = {}
        for name, value in wanted.items():
            current = await namespace.read_sysctl(name)
            if current is None:
                continue
            setting = settings.get(name)
            if setting is None:
                if current == value:
                    continue  # it was so before us: not ours to restore
                setting = settings[name] = Setting(before=current, owners=[])
            if owner not in setting.owners:
                setting.owners.append(owner)
            if current != value:
                changes[name] = value
        _write(registry, settings)
        for name, value in changes.items():
            await namespace.write_sysctl(name, value)


async def release(namespace: Namespace, owner: str, registry: Path = REGISTRY) -> None:
    """Restore what nobody else needs. Idempotent."""
    if not registry.exists():  # noqa: ASYNC240 - a file in /run
        return
    async with _locked(registry) as settings:
        for name, setting in list(settings.items()):
            if owner in setting.owners:
                setting.owners.remove(owner)
            if not setting.owners:
                # Its interface may have gone meanwhile, and what could never be changed needs no change back.
                if await namespace.read_sysctl(name) not in (None, setting.before):
                    await namespace.write_sysctl(name, setting.before)
                del settings[name]


@asynccontextmanager
async def _locked(registry: Path) -> AsyncIterator[dict[str, Setting]]:
    # Waiting is for a thread: the holder may be another task of this process, which must go on meanwhile.
    with await asyncio.to_thread(_lock, registry.with_suffix(".lock")) as lock:
        settings = _read(registry)
        yield settings
        _write(registry, settings)
        if not settings:
            _leave(Path(lock.name))


def _lock(path: Path) -> TextIO:
    """Hold the lock file, and be sure that it is the one at `path`: its last holder may have removed it."""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = open(path, "w")  # noqa: SIM115 - it is the answer
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _is_at(lock.fileno(), path):
            return lock
        lock.close()


def _read(registry: Path) -> dict[str, Setting]:
    try:
        return msgspec.json.decode(registry.read_bytes(), type=dict[str, Setting])
    except (FileNotFoundError, msgspec.DecodeError):
        return {}


def _write(registry: Path, settings: dict[str, Setting]) -> None:
    if settings:
        temporary = registry.with_suffix(".new")
        temporary.write_bytes(msgspec.json.encode(settings))
        temporary.replace(registry)
    else:
        registry.unlink(missing_ok=True)


def _leave(lock: Path) -> None:
    lock.unlink()  # nothing stays of the last one
    with suppress(OSError):
        lock.parent.rmdir()


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
