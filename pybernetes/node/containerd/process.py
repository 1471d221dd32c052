"""containerd as a component that outlives whoever runs it.

`Containerd.run()` starts the process in a session of its own, or finds the one that an earlier agent left (pid file,
the kernel's start time, and the command line must all agree), and starts it again when it ends. Cancelling `run()`
lets go of it: containers and containerd survive an agent that is stopped, killed or upgraded. `stop()` ends containerd
but not the containers, whose shims need no containerd; `removal.teardown()` ends everything.

Its end is told by a pidfd, which works for children and strangers alike; nothing polls.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import subprocess
from pathlib import Path

import msgspec

from pybernetes.aio import clock
from pybernetes.aio.tasks import Ready
from pybernetes.node.cri.client import CRIClient
from pybernetes.node.cri.errors import CRIError

from .settings import Config, Machine, probe, render

log = logging.getLogger(__name__)

_FIRST_PAUSE, _LAST_PAUSE = 0.002, 0.05  # between attempts to connect, seconds
_RESTART_PAUSE, _LONGEST_RESTART_PAUSE = 0.1, 10.0


class ContainerdError(Exception):
    """containerd cannot be started; the text says why, with the end of its log."""


class Record(msgspec.Struct, frozen=True):
    """A process that cannot be mistaken for a later one with the same pid. `started`: proc(5), stat field 22."""

    pid: int
    started: int


class Containerd:
    """One node's containerd; `ready` carries the path of its socket once the CRI answers."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.ready: Ready[Path] = Ready()
        self.restarts = 0

    async def run(self) -> None:
        """Keep it running until cancelled. Raises ContainerdError when it cannot be started the first time."""
        pause = _RESTART_PAUSE
        while True:
            started = clock.monotonic()
            try:
                pid = await self.start()
            except ContainerdError:
                if not self.ready.is_set():
                    raise
                log.exception("containerd could not be started again")
            else:
                self.ready.set(self.config.socket)
                await wait_for_exit(pid)
                log.warning("containerd (pid %d) has ended; starting it again", pid)
            self.restarts += 1
            pause = _RESTART_PAUSE if clock.monotonic() - started > 60 else min(pause * 2, _LONGEST_RESTART_PAUSE)
            await clock.sleep(pause)

    async def start(self) -> int:
        """Its pid, found or started, once the CRI answers. Raises ContainerdError."""
        pid = running(self.config)
        if pid is None:
            pid = await asyncio.to_thread(launch, self.config, probe())
        await self._answering(pid)
        return pid

    async def stop(self, grace: float = 10.0) -> None:
        """End containerd, with SIGKILL after `grace` seconds. Containers go on."""
        await stop(self.config, grace)

    async def _answering(self, pid: int) -> None:
        client = CRIClient(self.config.socket)
        pause, error = _FIRST_PAUSE, "no attempt"
        try:
            async with asyncio.timeout(self.config.start_timeout):
                while True:
                    if running(self.config) is None:
                        raise ContainerdError(f"containerd ended while it started\n{self._log_tail()}")
                    try:
                        await client.status()
                        return
                    except CRIError as failure:
                        error = failure.message
                    await clock.sleep(pause)
                    pause = min(pause * 2, _LAST_PAUSE)
        except TimeoutError:
            raise ContainerdError(
                f"containerd (pid {pid}) does not answer after {self.config.start_timeout:g} s: {error}\n"
                f"{self._log_tail()}"
            ) from None
        finally:
            await client.close()

    def _log_tail(self, size: int = 2000) -> str:
        with contextlib.suppress(OSError):
            return self.config.log_file.read_bytes()[-size:].decode(errors="replace")
        return ""


def running(config: Config) -> int | None:
    """The pid of this node's containerd, if it runs."""
    try:
        record = msgspec.json.decode(config.pid_file.read_bytes(), type=Record)
        command = Path(f"/proc/{record.pid}/cmdline").read_bytes()
    except (OSError, msgspec.DecodeError):
        return None
    ours = not command or os.fsencode(config.config_file) in command  # it is empty for a moment within exec
    return record.pid if ours and start_time(record.pid) == record.started else None


def start_time(pid: int) -> int | None:
    """The kernel's start time of a live process, in clock ticks since boot; None for zombies and strangers."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text[text.rindex(")") + 2 :].split()
    return None if fields[0] == "Z" else int(fields[19])


def launch(config: Config, machine: Machine) -> int:
    """Write the configuration and start the process, detached; its pid. Raises ContainerdError."""
    binary = shutil.which(config.binary)
    if binary is None:
        raise ContainerdError(f"{config.binary} is not installed (Debian, Ubuntu: apt install containerd runc)")
    plugins = config.cni_bin_dir or machine.cni_bin_dir
    if not (plugins / "bridge").exists():
        raise ContainerdError(f"no CNI plugins in {plugins} (Debian, Ubuntu: apt install containernetworking-plugins)")
    for directory in (config.root, config.state, config.cni_conf_dir):
        directory.mkdir(parents=True, exist_ok=True)
    config.config_file.write_text(render(config, machine))
    command = [binary, "--config", str(config.config_file)]
    if config.netns is not None:
        nsenter = shutil.which("nsenter")
        if nsenter is None:
            raise ContainerdError("nsenter is not installed (Debian, Ubuntu: apt install util-linux)")
        command = [nsenter, f"--net={config.netns}", "--", *command]  # executes containerd in its place
    with open(config.log_file, "ab") as output:
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, cwd="/"
            )
        except OSError as error:
            raise ContainerdError(f"{binary}: {error}") from error
    process.returncode = 0  # ours to reap (wait_for_exit), not the destructor's to complain about
    started = start_time(process.pid)
    if started is None:
        raise ContainerdError(f"containerd ended at once; see {config.log_file}")
    temporary = config.pid_file.with_suffix(".new")
    temporary.write_bytes(msgspec.json.encode(Record(process.pid, started)))
    temporary.replace(config.pid_file)
    return process.pid


async def wait_for_exit(pid: int) -> None:
    """Return when the process has ended; reaps it if it was our child."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(pidfd, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)  # noqa: ASYNC222 - it has ended, this does not wait


async def stop(config: Config, grace: float = 10.0) -> None:
    """End this node's containerd if it runs."""
    pid = running(config)
    if pid is None:
        return
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
        try:
            async with asyncio.timeout(grace):
                await wait_for_exit(pid)
                return
        except TimeoutError:
            log.warning("containerd (pid %d) does not end; killing it", pid)
        os.kill(pid, signal.SIGKILL)
        await wait_for_exit(pid)
