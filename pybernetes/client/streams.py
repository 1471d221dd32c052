"""exec, attach and port-forward from the client's side, over WebSockets.

Channels are the first byte of each message (v5.channel.k8s.io; v4 is the same without half-close): 0 stdin, 1 stdout,
2 stderr, 3 the final Status, 4 terminal size, and in v5 255 closes the channel named in the second byte. Port-forward
uses v4 with two channels a port, data and error, each opened by the port number.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from urllib.parse import urlencode

import msgspec

from pybernetes.aio.tasks import Nursery
from pybernetes.api import kinds
from pybernetes.api.core_v1 import Pod
from pybernetes.client.client import Client
from pybernetes.client.errors import Unavailable
from pybernetes.client.transport import Request, WebSocket
from pybernetes.machinery import codec
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.meta import Status

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
_STDIN, _STDOUT, _STDERR, _ERROR, _RESIZE = range(5)
_CLOSE_V5 = 255
_CHUNK = 32 * 1024

Sink = Callable[[bytes], object]


async def run_command(
    client: Client,
    namespace: str,
    pod: str,
    *,
    subresource: str = "exec",
    container: str = "",
    command: Sequence[str] = (),
    stdin: AsyncIterator[bytes] | None = None,
    stdout: Sink | None = None,
    stderr: Sink | None = None,
    tty: bool = False,
    sizes: AsyncIterator[tuple[int, int]] | None = None,
) -> int:
    """Run a command in a container (`exec`) or join its main process (`attach`). Returns the exit code.

    `sizes` yields (columns, rows) of the terminal. Raises StatusError for what is not an exit code, Unavailable when
    the connection breaks.
    """
    query = [("container", container)] if container else []
    query += [("command", part) for part in command]
    for name, wanted in (("stdin", stdin), ("stdout", stdout), ("stderr", stderr if not tty else None), ("tty", tty)):
        if wanted:
            query.append((name, "true"))
    path = f"{kinds.of(Pod).path(namespace, pod, subresource)}?{urlencode(query)}"
    socket = await client.transport.upgrade(Request("GET", path, accept="*/*", headers=client.headers), PROTOCOLS)
    try:
        async with Nursery(f"{subresource} {pod}") as nursery:
            if stdin is not None:
                nursery.start(_send_stdin(socket, stdin), "stdin")
            if sizes is not None:
                nursery.start(_send_sizes(socket, sizes), "sizes")
            return await _receive(socket, stdout, stderr)
    finally:
        await socket.close()


async def _send_stdin(socket: WebSocket, stdin: AsyncIterator[bytes]) -> None:
    async for data in stdin:
        for start in range(0, len(data), _CHUNK):
            await socket.send(bytes([_STDIN]) + data[start : start + _CHUNK])
    if socket.subprotocol.startswith("v5"):
        await socket.send(bytes([_CLOSE_V5, _STDIN]))


async def _send_sizes(socket: WebSocket, sizes: AsyncIterator[tuple[int, int]]) -> None:
    async for columns, rows in sizes:
        await socket.send(bytes([_RESIZE]) + msgspec.json.encode({"Width": columns, "Height": rows}))


async def _receive(socket: WebSocket, stdout: Sink | None, stderr: Sink | None) -> int:
    while (message := await socket.receive()) is not None:
        if not message:
            continue
        channel, data = message[0], message[1:]
        if channel == _STDOUT and stdout and data:
            stdout(data)
        elif channel == _STDERR and stderr and data:
            stderr(data)
        elif channel == _ERROR and data:
            return exit_code(codec.decode(Status, data))
    raise Unavailable("the connection ended without the command's status")


def exit_code(status: Status) -> int:
    """The exit code a final Status tells. Raises StatusError when it tells something else."""
    if status.status == "Success":
        return 0
    if status.reason == "NonZeroExitCode" and status.details:
        for cause in status.details.causes or ():
            if cause.reason == "ExitCode":
                return int(cause.message or 1)
    raise StatusError.of(status)


async def forward_connection(
    client: Client, namespace: str, pod: str, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Carry one TCP connection to a port of a Pod, until both sides are done.

    Raises StatusError with the node's message when the port cannot be reached.
    """
    path = f"{kinds.of(Pod).path(namespace, pod, 'portforward')}?ports={port}"
    request = Request("GET", path, accept="*/*", headers=client.headers)
    socket = await client.transport.upgrade(request, ("v4.channel.k8s.io",))
    opened = [False, False]  # the first message on either channel is the port number
    try:
        async with Nursery(f"port-forward {pod}:{port}") as nursery:
            nursery.start(_upload(socket, reader), "upload")
            while (message := await socket.receive()) is not None:
                channel, data = message[0], message[1:]
                if channel < 2 and not opened[channel]:
                    opened[channel] = True
                    if len(data) == 2 and struct.unpack("<H", data)[0] == port:
                        continue
                if channel == 1 and data:
                    raise StatusError(500, "InternalError", data.decode("utf-8", "replace"))
                if channel == 0 and data:
                    writer.write(data)
                    await writer.drain()
    finally:
        await socket.close()
        writer.close()


async def _upload(socket: WebSocket, reader: asyncio.StreamReader) -> None:
    while data := await reader.read(_CHUNK):
        await socket.send(b"\0" + data)
    await socket.close()
