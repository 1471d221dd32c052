"""Take a node's containerd away with all that it made: nothing of it is left on the machine.

First politely, while containerd still answers: every sandbox is removed through the CRI, so that CNI gives back what
it took. Then whatever is left of a node in any half-made state, found by what names it: shims by the socket in their
command line and the containers below them, mounts by their place below the node's directories, cgroups by the
processes that were in them. Each step is idempotent and none needs the one before it to have succeeded.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
from collections.abc import Iterable
from pathlib import Path

from pybernetes.aio import clock
from pybernetes.node.cri.client import CRIClient
from pybernetes.node.cri.errors import CRIError

from .process import running, stop
from .settings import Config

log = logging.getLogger(__name__)

_MNT_DETACH = 2


async def teardown(config: Config, *, patience: float = 30.0) -> None:
    """Stop and remove everything of this node's containerd. `patience`: seconds for the polite part."""
    if running(config) is not None:
        try:
            async with asyncio.timeout(patience):
                await remove_pods(config)
        except (CRIError, TimeoutError) as error:
            log.warning("not all pods could be removed through containerd: %s", error)
        await stop(config)
    ids = _container_ids(config)
    sockets = _shim_sockets(config)
    await _kill_leftovers(config, ids)
    unmount_below([config.state, config.data_dir])
    for socket in sockets:
        socket.unlink(missing_ok=True)
    await asyncio.to_thread(_remove_directories, [config.state, config.data_dir])
    for shared in (config.state.parent, Path("/run/containerd/s"), Path("/run/containerd")):
        with contextlib.suppress(OSError):
            shared.rmdir()  # when this was the last that used it
    release_namespaces()


def release_namespaces(directory: Path = Path("/run/netns")) -> None:
    """Undo the mount on itself that containerd makes of the directory of network namespaces, unless others use it.

    Whoever adds a namespace there later (containerd, `ip netns add`) makes directory and mount anew.
    """
    if directory.is_dir() and not any(directory.iterdir()):
        unmount_below([directory])
        with contextlib.suppress(OSError):
            directory.rmdir()


async def power_off(config: Config) -> None:
    """End containerd and all containers at once. A later start of containerd finds them as ended."""
    await stop(config, grace=1.0)
    await _kill_leftovers(config, _container_ids(config))


async def remove_pods(config: Config) -> None:
    """Remove every sandbox and its containers through the CRI. Raises CRIError for the first that resists."""
    client = CRIClient(config.socket)
    try:
        sandboxes = await client.list_pod_sandboxes()
        failures: list[CRIError] = []
        limit = asyncio.Semaphore(8)

        async def remove(id: str) -> None:
            async with limit:
                try:
                    for container in await client.list_containers(pod_sandbox_id=id):
                        await client.stop_container(container.id, 0)
                    await client.stop_pod_sandbox(id)
                    await client.remove_pod_sandbox(id)
                except CRIError as error:
                    failures.append(error)

        async with asyncio.TaskGroup() as group:
            for sandbox in sandboxes:
                group.create_task(remove(sandbox.id), name=f"remove-{sandbox.id[:12]}")
        if failures:
            raise failures[0]
    finally:
        await client.close()


# --- by force ---------------------------------------------------------------------------------------------------


def _bundles(config: Config) -> list[Path]:
    return list((config.state / "state" / "io.containerd.runtime.v2.task").glob("*/*"))


def _container_ids(config: Config) -> set[str]:
    return {bundle.name for bundle in _bundles(config)}


def _shim_sockets(config: Config) -> list[Path]:
    """Sockets of shims, which lie outside of the node's directories (their place is built into the shim)."""
    found = []
    for bundle in _bundles(config):
        with contextlib.suppress(OSError):
            address = (bundle / "address").read_text().strip().removeprefix("unix://")
            if address.startswith("/run/containerd/s/"):
                found.append(Path(address))
    return found


def _processes() -> dict[int, tuple[int, bytes]]:
    """pid -> (parent's pid, command line)."""
    found: dict[int, tuple[int, bytes]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError, ValueError):
                stat = Path(f"/proc/{entry}/stat").read_text()
                parent = int(stat[stat.rindex(")") + 2 :].split()[1])
                found[int(entry)] = (parent, Path(f"/proc/{entry}/cmdline").read_bytes())
    return found


def leftovers(config: Config, ids: Iterable[str]) -> list[int]:
    """Pids of this node's shims, what runs below them, and containers whose shim is gone (known by their cgroup)."""
    processes = _processes()
    address = os.fsencode(config.socket)
    chosen = {
        pid
        for pid, (_, command) in processes.items()
        if b"containerd-shim" in command.split(b"\0")[0] and address in command.split(b"\0")
    }
    names = [id.encode() for id in ids]
    for pid in processes:
        if names:
            with contextlib.suppress(OSError):
                cgroup = Path(f"/proc/{pid}/cgroup").read_bytes()
                if any(name in cgroup for name in names):
                    chosen.add(pid)
    growing = True
    while growing:
        below = {pid for pid, (parent, _) in processes.items() if parent in chosen} - chosen
        chosen |= below
        growing = bool(below)
    return sorted(chosen - {os.getpid()})


async def _kill_leftovers(config: Config, ids: set[str]) -> None:
    cgroups: set[Path] = set()
    for _ in range(100):  # what is killed may have forked before
        pids = leftovers(config, ids)
        if not pids:
            break
        for pid in pids:  # all before the first dies: it may take others along, and the dead are in no cgroup
            cgroups |= _cgroups_of(pid, ids)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await clock.sleep(0.02)
    for cgroup in sorted(cgroups, key=lambda path: len(path.parts), reverse=True):
        await _remove_cgroup(cgroup)
    for parent in Path("/sys/fs/cgroup").glob("*/k8s.io"):  # noqa: ASYNC240 - the kernel answers at once
        with contextlib.suppress(OSError):
            parent.rmdir()  # where containers without a cgroup parent go; not empty when others have some


async def _remove_cgroup(cgroup: Path) -> None:
    """Remove it; it is busy for a moment longer than its processes are to be seen."""
    for _ in range(50):
        try:
            os.rmdir(cgroup)
            return
        except FileNotFoundError:
            return
        except OSError:
            await clock.sleep(0.02)
    log.warning("cannot remove the cgroup %s", cgroup)


def _cgroups_of(pid: int, ids: set[str]) -> set[Path]:
    """The cgroup directories of a process that are named after one of the containers."""
    found: set[Path] = set()
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if any(id in path for id in ids):
                hierarchy = controllers.removeprefix("name=") or "unified"
                root = Path("/sys/fs/cgroup")
                place = root / hierarchy if (root / hierarchy).is_dir() else root
                found.add(place / path.lstrip("/"))
    return found


def unmount_below(directories: Iterable[Path]) -> list[str]:
    """Detach every mount at or below these directories, the innermost first; the mount points."""
    places = [os.fsencode(directory.absolute()) for directory in directories]
    points = []
    for line in Path("/proc/self/mountinfo").read_bytes().splitlines():
        point = _unescape(line.split()[4])
        if any(point == place or point.startswith(place + b"/") for place in places):
            points.append(point)
    for point in reversed(points):
        _umount(point)
    return [os.fsdecode(point) for point in points]


def _unescape(field: bytes) -> bytes:
    for code, character in ((b"\\040", b" "), (b"\\011", b"\t"), (b"\\012", b"\n"), (b"\\134", b"\\")):
        field = field.replace(code, character)
    return field


def _umount(point: bytes) -> None:
    import ctypes  # only here: it is slow to import, and removal is rare

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.umount2(point, _MNT_DETACH) != 0:
        error = ctypes.get_errno()
        log.warning("cannot unmount %s: %s", os.fsdecode(point), os.strerror(error))


def _remove_directories(directories: Iterable[Path]) -> None:
    for directory in directories:
        # One file system only: had a mount survived, its content would not be ours to delete.
        if directory.exists() and not _mounted_below(directory):
            shutil.rmtree(directory, ignore_errors=True)


def _mounted_below(directory: Path) -> bool:
    place = os.fsencode(directory.absolute())
    return any(
        _unescape(line.split()[4]).startswith(place + b"/")
        for line in Path("/proc/self/mountinfo").read_bytes().splitlines()
    )
