"""What a stream was asked for, as the object that admission of a CONNECT is shown.

Such a request has no body: its query is the object. Webhooks and policies judge by it, say whether stdin of one
container is attached to.
"""

from __future__ import annotations

from pybernetes.control_plane.apiserver.call import Call
from pybernetes.machinery.types import Int32, Struct, constant, field


class Options(Struct):
    api_version: str = field(default_factory=constant("v1"))
    kind: str = ""
    stdin: bool | None = None
    stdout: bool | None = None
    stderr: bool | None = None
    tty: bool | None = None
    container: str | None = None
    command: list[str] | None = None
    ports: list[Int32] | None = None
    path: str | None = None


def options_of(kind: str, call: Call, path: str | None = None) -> Options:
    """The options of a request. kind: PodExecOptions and the like. path: below the proxy."""
    made = Options(kind=kind, path=path or None)
    if kind in ("PodExecOptions", "PodAttachOptions"):
        for name in ("stdin", "stdout", "stderr", "tty"):
            setattr(made, name, call.flag(name) or None)
        made.container = call.param("container") or None
        made.command = call.params.get("command") if kind == "PodExecOptions" else None
    elif kind == "PodPortForwardOptions":
        made.ports = [int(port) for port in call.params.get("ports", ()) if port.isdigit()] or None
    return made
