"""haproxy as a child: started, reloaded without losing a connection, told what changed, and never left alone.

It runs as a master with workers. On reload the master reads the files again, starts a new worker on the same sockets
and lets the old one finish what it has. The master says when that is done over systemd's notification socket, so
nothing here polls. The kernel ends the master when this process ends, however it ends (`setpriv --pdeathsig`), and
workers end with their master.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pwd
import shutil
import signal
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pybernetes.aio.tasks import Nursery
from pybernetes.network.ingress.render import CERTIFICATE_DIRECTORY, CONFIGURATION

log = logging.getLogger(__name__)

_TIMEOUT = 30.0  # seconds until a start or reload must be done
_BATCH = 50  # commands in one line, which may have 16 KB
_SOCKET = "haproxy.sock"
_NOTIFY = "notify.sock"


class HaproxyError(Exception):
    """haproxy does not run, or refused something; the text is its own."""


@dataclass(frozen=True)
class Paths:
    """Where everything of one haproxy is."""

    directory: Path

    @property
    def socket(self) -> Path:
        return self.directory / _SOCKET


def user() -> str:
    """Whom the worker runs as when this process is root: the package's user, else nobody; "" when it is not root."""
    if os.geteuid() != 0:
        return ""
    for name in ("haproxy", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    return ""


class Haproxy:
    """One haproxy over the files in a directory."""

    def __init__(self, program: str, directory: Path) -> None:
        self.paths = Paths(directory)
        self._program = program
        #: Set while it runs, or is thought to; see `ended`.
        self.started = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._notify: socket.socket | None = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def apply(self, files: Mapping[str, bytes]) -> None:
        """Run with these files: start, or reload. Raises HaproxyError; what ran goes on as it was."""
        await asyncio.to_thread(self._write, files)
        await self._check()
        if self.running:
            assert self._process is not None and self._notify is not None
            _pending(self._notify)  # of earlier reloads
            self._process.send_signal(signal.SIGUSR2)
            await self._reported("reload")
        else:
            await self._start()

    async def command(self, lines: Sequence[str]) -> None:
        """Tell the running worker something, in this order. Raises HaproxyError when it answers with a complaint."""
        for first in range(0, len(lines), _BATCH):
            together = "; ".join(lines[first : first + _BATCH])
            try:
                async with asyncio.timeout(_TIMEOUT):
                    reader, writer = await asyncio.open_unix_connection(self.paths.socket)
                    try:
                        writer.write(together.encode() + b"\n")
                        await writer.drain()
                        answer = (await reader.read()).decode(errors="replace")
                    finally:
                        writer.close()
            except (OSError, TimeoutError) as error:
                raise HaproxyError(f"haproxy does not answer: {error}") from error
            # A new address is confirmed in words ("IP changed from ..."), a new state by silence.
            for line in filter(None, map(str.strip, answer.splitlines())):
                if "changed from" not in line and "no need to change" not in line:
                    raise HaproxyError(f"haproxy complains: {line}")

    async def ended(self) -> int:
        """Wait until it has ended; the exit code."""
        assert self._process is not None
        return await self._process.wait()

    async def stop(self) -> None:
        """End it and remove its sockets."""
        self.started.clear()
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(3.0):
                    await process.wait()
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if self._notify is not None:
            self._notify.close()
            self._notify = None
        for name in (_SOCKET, _NOTIFY):
            (self.paths.directory / name).unlink(missing_ok=True)

    # -- pieces --------------------------------------------------------------------------------------------------------

    def _write(self, files: Mapping[str, bytes]) -> None:
        directory = self.paths.directory
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        (directory / CERTIFICATE_DIRECTORY).mkdir(exist_ok=True, mode=0o700)
        for name, content in files.items():
            path = directory / name
            temporary = path.with_name(path.name + ".new")
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(descriptor, "wb") as file:
                file.write(content)
            temporary.replace(path)
        for path in (directory / CERTIFICATE_DIRECTORY).iterdir():
            if f"{CERTIFICATE_DIRECTORY}/{path.name}" not in files:
                path.unlink()

    async def _check(self) -> None:
        command = (self._program, "-c", "-q", "-f", str(self.paths.directory / CONFIGURATION))
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        output, _ = await process.communicate()
        if process.returncode:
            raise HaproxyError(f"haproxy refuses its configuration: {output.decode(errors='replace').strip()}")

    async def _start(self) -> None:
        await self.stop()
        notify = self.paths.directory / _NOTIFY
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._notify.bind(str(notify))
        guard = shutil.which("setpriv")
        command = [guard, "--pdeathsig", "TERM", "--"] if guard else []
        command += [self._program, "-Ws", "-f", str(self.paths.directory / CONFIGURATION)]
        environment = {"PATH": os.environ.get("PATH", ""), "NOTIFY_SOCKET": str(notify)}
        self._process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, env=environment, start_new_session=True, cwd="/"
        )
        await self._reported("start")
        self.started.set()

    async def _reported(self, what: str) -> None:
        """Wait until the master says that its worker is ready."""
        process, notify = self._process, self._notify
        assert process is not None and notify is not None
        try:
            async with asyncio.timeout(_TIMEOUT), Nursery("haproxy") as nursery:
                ending = nursery.start(process.wait(), "ended")
                hearing = nursery.start(_ready(notify), "ready")
                await asyncio.wait((ending, hearing), return_when=asyncio.FIRST_COMPLETED)
                if not hearing.done():
                    raise HaproxyError(f"haproxy ended with {process.returncode} on {what}; see the node's log")
        except TimeoutError:
            raise HaproxyError(f"haproxy did not report its {what} within {_TIMEOUT:.0f} s") from None


async def _ready(notify: socket.socket) -> None:
    """Wait for the datagram that says READY=1."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(notify.fileno(), readable.set)
    try:
        while True:
            await readable.wait()
            readable.clear()
            if any(b"READY=1" in text for text in _pending(notify)):
                return
    finally:
        loop.remove_reader(notify.fileno())


def _pending(notify: socket.socket) -> list[bytes]:
    """All datagrams that have arrived."""
    found = []
    with contextlib.suppress(BlockingIOError):
        while True:
            found.append(notify.recv(4096))
    return found
