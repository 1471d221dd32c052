"""Processes that outlive the command that started them, found again without guessing.

`up` starts the control plane and the node agents and returns; `down`, `status` and the next `up` must find exactly
those processes. A pid alone may have been given to somebody else since, so a record holds the pid *and* the start time
that the kernel keeps for it. Readiness comes through an inherited pipe, exits through a pidfd: nothing here polls.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec


class Record(msgspec.Struct):
    """One started process. `started` is the start time in clock ticks since boot (proc(5), field 22)."""

    pid: int
    started: int
    command: list[str]


class StartError(Exception):
    """A process ended, or stayed silent, before it was ready. The text holds the tail of its log."""


def start_time(pid: int) -> int | None:
    """The kernel's start time of a running process; None when there is none (a zombie counts as gone)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text[text.rindex(")") + 2 :].split()
    return None if fields[0] == "Z" else int(fields[19])


def running(path: Path) -> Record | None:
    """The record in a pid file, if that very process still runs."""
    try:
        record = msgspec.json.decode(path.read_bytes(), type=Record)
    except (OSError, msgspec.DecodeError):
        return None
    return record if start_time(record.pid) == record.started else None


class Started:
    """A process on its way to being ready."""

    def __init__(self, process: subprocess.Popen[bytes], ready_fd: int, log: Path, name: str) -> None:
        self.process, self.ready_fd, self.log, self.name = process, ready_fd, log, name

    def wait_ready(self, timeout: float) -> str:
        """The text the process announced itself with. Raises StartError."""
        chunks = b""
        try:
            while not chunks.endswith(b"\n"):
                readable, _, _ = select.select([self.ready_fd], [], [], timeout)
                if not readable:
                    raise StartError(f"{self.name} is not ready after {timeout:.0f} s; see {self.log}\n{self.tail()}")
                chunk = os.read(self.ready_fd, 4096)
                if not chunk:
                    raise StartError(f"{self.name} ended before it was ready; see {self.log}\n{self.tail()}")
                chunks += chunk
        finally:
            os.close(self.ready_fd)
        return chunks.decode().strip()

    def tail(self, lines: int = 15) -> str:
        with contextlib.suppress(OSError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        return ""


def start(name: str, arguments: Sequence[str], *, pid_file: Path, log: Path, prefix: Sequence[str] = ()) -> Started:
    """Start `python -m pybernetes ARGUMENTS --ready-fd N` in a session of its own; its output is appended to `log`.

    prefix: a command that executes its arguments in its place (`nsenter`, `env`).
    """
    read_end, write_end = os.pipe()
    command = [*prefix, sys.executable, "-m", "pybernetes", *arguments, "--ready-fd", str(write_end)]
    log.parent.mkdir(parents=True, exist_ok=True)
    pid_file.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab", opener=_private) as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=(write_end,),
            cwd="/",
            env={**os.environ, "PYTHONPATH": import_root()},
        )
    os.close(write_end)
    started = start_time(process.pid)
    pid_file.write_bytes(msgspec.json.encode(Record(process.pid, started or 0, command)))
    return Started(process, read_end, log, name)


def announce(ready_fd: int | None, text: str) -> None:
    """Tell the command that started this process that it is ready, and where."""
    if ready_fd is not None:
        with contextlib.suppress(OSError):
            os.write(ready_fd, text.encode() + b"\n")
            os.close(ready_fd)


def notify(keeper: str, *assignments: str) -> None:
    """Tell systemd something, as in sd_notify(3); keeper: its socket, or ""."""
    if keeper:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel, contextlib.suppress(OSError):
            channel.connect("\0" + keeper[1:] if keeper.startswith("@") else keeper)
            channel.send("\n".join(assignments).encode())


def stop(path: Path, *, grace: float = 10.0) -> bool:
    """End the process of a pid file: TERM, then KILL after `grace` seconds. False when it did not run."""
    record = running(path)
    if record is not None:
        try:
            pidfd = os.pidfd_open(record.pid)
        except ProcessLookupError:
            record = None
        else:
            try:
                os.kill(record.pid, signal.SIGTERM)
                if not select.select([pidfd], [], [], grace)[0]:
                    os.kill(record.pid, signal.SIGKILL)
                    select.select([pidfd], [], [], 5)
            except ProcessLookupError:
                pass
            finally:
                os.close(pidfd)
    path.unlink(missing_ok=True)
    return record is not None


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def import_root() -> str:
    """The directory this package was imported from, so that children run the same code from any directory."""
    root = str(Path(__file__).resolve().parents[2])
    existing = os.environ.get("PYTHONPATH")
    return f"{root}{os.pathsep}{existing}" if existing else root
