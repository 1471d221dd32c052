"""Looking at the node from outside: the files of its log directory, and what the kubelet is and was started with.

`/logs/` serves a directory as Go's file server does, for whoever may `get nodes/log`: listings link to their entries,
a directory without its slash is redirected to the one with it, and `..` never leads out. `/statusz` and `/flagz` are
for people; their formats are promised to nobody.
"""

from __future__ import annotations

import dataclasses
import html
import mimetypes
import os
import posixpath
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from urllib.parse import quote

from pybernetes.aio import clock
from pybernetes.node.kubelet.config import KUBELET_VERSION, Config
from pybernetes.node.kubelet.host import offload
from pybernetes.node.kubelet.http_server import Refusal, Response

_PIECE = 256 * 1024
_WARNING = (
    "Warning: This endpoint is not meant to be machine parseable, has no formatting compatibility guarantees and is "
    "for debugging purposes only."
)


def system_log(root: Path, path: str, config: Config) -> Response:
    """A file or a listing below `root`. Raises Refusal 404."""
    wanted = root / posixpath.normpath(f"/{path}").lstrip("/")
    try:
        if not wanted.is_dir():
            kind = mimetypes.guess_type(wanted.name)[0] or "text/plain; charset=utf-8"
            size = wanted.stat().st_size
            return Response(body=_content(wanted, size, config), content_type=kind, length=size)
        if path and not path.endswith("/"):
            return Response(301, headers={"Location": f"{quote(wanted.name)}/"})
        names = sorted(f"{entry.name}/" if entry.is_dir() else entry.name for entry in os.scandir(wanted))
    except OSError:
        raise Refusal(404, "404 page not found\n") from None
    links = "".join(f'<a href="{quote(name)}">{html.escape(name)}</a>\n' for name in names)
    return Response(body=f"<!doctype html>\n<pre>\n{links}</pre>\n".encode(), content_type="text/html; charset=utf-8")


async def _content(path: Path, size: int, config: Config) -> AsyncIterator[bytes]:
    """A file piece by piece, as long as it was: a log may grow meanwhile, and may be larger than our memory."""
    with path.open("rb") as file:
        while size > 0 and (piece := await offload(config, file.read, min(size, _PIECE))):
            yield piece
            size -= len(piece)


def statusz(started: float, paths: Sequence[str]) -> Response:
    """What runs, and since when (Unix seconds)."""
    minutes, seconds = divmod(int(clock.timestamp() - started), 60)
    hours, minutes = divmod(minutes, 60)
    return _page(
        "statusz",
        f"Started: {clock.format_rfc3339(started)}",
        f"Up: {hours} hr {minutes:02} min {seconds:02} sec",
        f"Python version: {sys.version.split()[0]}",
        f"Binary version: {KUBELET_VERSION.removeprefix('v')}",
        f"Paths: {' '.join(paths)}",
    )


def flagz(config: Config) -> Response:
    """The configuration, a line a field."""
    values = ((field.name, getattr(config, field.name)) for field in dataclasses.fields(config))
    return _page("flagz", *(f"{name}={'' if value is None else value}" for name, value in sorted(values)))


def _page(name: str, *lines: str) -> Response:
    return Response(body="\n".join(["", f"kubelet {name}", _WARNING, "", *lines, ""]).encode())


__all__ = ["flagz", "statusz", "system_log"]
