"""The local end of exec and attach: standard streams, the terminal in raw mode, its size, and the exit code.

One thread sends what is typed, the main thread prints what arrives. Channels are the first byte of each message: 0
stdin, 1 stdout, 2 stderr, 3 the final Status, 4 the terminal's size, 255 closes a channel (v5.channel.k8s.io).
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

from pybernetes.cli.detaching import Detacher
from pybernetes.cli.errors import APIError, CLIError

if TYPE_CHECKING:
    from pybernetes.cli.session import Session
    from pybernetes.cli.websocket import WebSocket

_STDIN, _STDOUT, _STDERR, _STATUS, _RESIZE, _CLOSE = 0, 1, 2, 3, 4, 255


def run(
    session: Session,
    namespace: str,
    pod: str,
    subresource: str,
    container: str,
    *,
    command: Sequence[str] = (),
    stdin: bool = False,
    tty: bool = False,
    source: BinaryIO | None = None,
    sink: BinaryIO | None = None,
    quiet: bool = False,
    detach: bytes = b"",
) -> int:
    """Connect the streams to a container until its process ends; the exit code.

    `source` and `sink` replace standard input and output; `quiet` leaves a failing exit code unsaid; `detach`: keys of
    a terminal that end the session, but not the process. Raises CLIError, APIError.
    """
    terminal = tty and source is None and sys.stdin.isatty()
    if tty and not stdin:
        pass  # output alone may be a terminal
    if tty and stdin and not terminal and source is None:
        session.warn("Unable to use a TTY - input is not a terminal or the right kind of file")
        tty = False
    query = [("container", container)] + [("command", part) for part in command]
    if stdin:
        query.append(("stdin", "true"))
    query.append(("stdout", "true"))
    query.append(("tty", "true") if tty else ("stderr", "true"))
    session.out.flush()
    path = session.resources.find("pods").path(namespace, pod, subresource)
    # Input from a file must be able to end, which only v5 knows.
    protocols = ("v5.channel.k8s.io",) if stdin and not terminal else ("v5.channel.k8s.io", "v4.channel.k8s.io")
    socket = session.upgrade(path, query, protocols)
    out = sink or sys.stdout.buffer
    restore = _raw(socket) if terminal else None
    try:
        if stdin:
            feed = source if source is not None else sys.stdin.buffer
            keys = Detacher(detach) if terminal and detach else None
            threading.Thread(target=_send, args=(socket, feed, keys), daemon=True, name="stdin").start()
        status = _receive(socket, out)
    finally:
        if restore is not None:
            restore()
        socket.close()
    return _exit_code(status, quiet)


def _send(socket: WebSocket, feed: BinaryIO, keys: Detacher | None) -> None:
    try:
        descriptor = feed.fileno()
    except (OSError, ValueError, AttributeError):
        descriptor = -1
    try:
        while True:
            data = os.read(descriptor, 32768) if descriptor >= 0 else feed.read(32768)
            if not data:
                break
            data, is_over = keys.feed(data) if keys is not None else (data, False)
            if data:
                socket.send(bytes([_STDIN]) + data)
            if is_over:
                socket.close()
                return
        if socket.protocol.startswith("v5"):
            socket.send(bytes([_CLOSE, _STDIN]))
    except (OSError, ValueError):
        pass  # the other side has ended


def _receive(socket: WebSocket, out: BinaryIO) -> dict[str, Any] | None:
    while (message := socket.receive()) is not None:
        if len(message) < 2:
            continue
        channel, data = message[0], message[1:]
        if channel == _STDOUT:
            out.write(data)
            out.flush()
        elif channel == _STDERR:
            sys.stderr.buffer.write(data)
            sys.stderr.buffer.flush()
        elif channel == _STATUS:
            status = json.loads(data)
            return status if isinstance(status, dict) else None
    return None


def _exit_code(status: dict[str, Any] | None, quiet: bool) -> int:
    if status is None:
        return 0
    if status.get("status") == "Success":
        return 0
    if status.get("reason") == "NonZeroExitCode":
        for cause in (status.get("details") or {}).get("causes") or ():
            if cause.get("reason") == "ExitCode":
                code = int(cause.get("message") or 1)
                if not quiet:
                    print(f"command terminated with exit code {code}", file=sys.stderr)
                return code
    if status.get("reason") == "InternalError" or not status.get("reason"):
        raise CLIError(status.get("message") or "unknown error", plain=False)
    raise APIError(status)


def _raw(socket: WebSocket) -> Any:
    """Put the terminal into raw mode and report its size, now and when it changes; the function that undoes it."""
    import termios
    import tty

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    tty.setraw(descriptor, termios.TCSANOW)  # what was typed before the connection stood is kept

    def size(*_: Any) -> None:
        try:
            columns, rows = os.get_terminal_size(descriptor)
            socket.send(bytes([_RESIZE]) + json.dumps({"Width": columns, "Height": rows}).encode())
        except (OSError, ValueError):
            pass

    size()
    old = signal.signal(signal.SIGWINCH, size)

    def restore() -> None:
        signal.signal(signal.SIGWINCH, old)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)

    return restore
