"""A containerd of one node's own: started, watched, found again after a crash, and removed without a trace.

`settings` writes its configuration (pure), `process` runs it, `content` brings image archives in, `removal` takes
everything away. Only the binary is shared with the machine; root, state, socket and network configuration are the
node's, so that several nodes and the machine's own containerd live side by side.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .settings import Config

if TYPE_CHECKING:
    from .content import ArchiveError, import_archive
    from .process import Containerd, ContainerdError
    from .removal import teardown

__all__ = ["ArchiveError", "Config", "Containerd", "ContainerdError", "import_archive", "teardown"]

_PLACES = {
    "ArchiveError": "content",
    "Containerd": "process",
    "ContainerdError": "process",
    "import_archive": "content",
    "teardown": "removal",
}


def __getattr__(name: str) -> Any:
    """What needs gRPC is loaded when it is asked for: commands that only need the paths start faster."""
    if name not in _PLACES:
        raise AttributeError(name)
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
