"""The machine's network tools, in one network namespace: `ip`, `nft`, `sysctl` files, run with a text of commands.

Subprocesses and not netlink from Python: a node's network is set up once, in two calls of a few milliseconds each
(the tools take a whole batch), importing a netlink library would cost more than both, and nodes come and go rarely.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any


class NetworkError(Exception):
    """A network command failed; the text is the command's and what it printed."""


@contextlib.contextmanager
def _input(text: str) -> Iterator[int]:
    """A descriptor that reads the text, from memory."""
    descriptor = os.memfd_create("input") if text else os.open(os.devnull, os.O_RDONLY)
    try:
        if text:
            os.write(descriptor, text.encode())
            os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


class Namespace:
    """Where commands run: this process's network namespace, or the one at a path (`/run/netns/NAME`)."""

    def __init__(self, path: Path | None = None) -> None:
        self._prefix = ["nsenter", f"--net={path}", "--"] if path is not None else []

    async def run(self, command: Sequence[str], text: str = "", *, check: bool = True) -> str:
        """What the command prints, given `text` on its standard input. Raises NetworkError unless `check` is false."""
        if shutil.which(command[0]) is None:
            raise NetworkError(f"{command[0]} is not installed")
        with _input(text) as given:  # a file, not a pipe: a command that fails early would break the writing
            process = await asyncio.create_subprocess_exec(
                *self._prefix,
                *command,
                stdin=given,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
        output, errors = await process.communicate()
        if check and process.returncode:
            said = errors.decode(errors="replace").strip() or f"ended with {process.returncode}"
            raise NetworkError(f"{' '.join(command)}: {said}\n{text}".strip())
        return output.decode(errors="replace")

    async def ip(self, lines: Sequence[str], *, check: bool = True) -> None:
        """Several `ip` commands (without the word `ip`); without `check` each that fails is passed over."""
        if lines:
            force = [] if check else ["-force"]
            await self.run(["ip", *force, "-batch", "-"], "\n".join(lines) + "\n", check=check)

    async def bridge(self, lines: Sequence[str]) -> None:
        """Several `bridge` commands (without the word `bridge`)."""
        if lines:
            await self.run(["bridge", "-batch", "-"], "\n".join(lines) + "\n")

    async def ip_json(self, *arguments: str) -> list[dict[str, Any]]:
        """What `ip -json ARGUMENTS` lists; nothing where it fails."""
        return await self._json(["ip", "-json", *arguments])

    async def bridge_json(self, *arguments: str) -> list[dict[str, Any]]:
        """What `bridge -json ARGUMENTS` lists; nothing where it fails."""
        return await self._json(["bridge", "-json", *arguments])

    async def _json(self, command: list[str]) -> list[dict[str, Any]]:
        text = await self.run(command, check=False)
        found: list[dict[str, Any]] = json.loads(text) if text.strip() else []
        return [item for item in found if item]  # ip prints empty objects for what a filter left out

    async def nft(self, script: str, *, check: bool = True) -> None:
        """One transaction."""
        await self.run(["nft", "-f", "-"], script, check=check)

    async def read_sysctl(self, name: str) -> str | None:
        """The value of `net.ipv4.ip_forward`; None when the kernel does not have it."""
        return (await self.run(["cat", _file(name)], check=False)).strip() or None

    async def write_sysctl(self, name: str, value: str) -> None:
        """Set it. Raises NetworkError."""
        await self.run(["tee", _file(name)], value)


def _file(sysctl: str) -> str:
    """Where a setting is. With slashes its parts may have dots, as names of interfaces do."""
    return "/proc/sys/" + (sysctl if "/" in sysctl else sysctl.replace(".", "/"))
