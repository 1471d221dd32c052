"""The fsGroup of a pod on a persistent volume: its members may use what is there, and what is made belongs to them.

Content of other origin is walked once when the volume is set up, which takes long for many files; a pod may ask
(`fsGroupChangePolicy: OnRootMismatch`) to leave it when the top directory already looks right. Other pods may be at
work in there, and a disk may be read-only: what cannot be given is logged, and the pod starts, as upstream has it.
"""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

from pybernetes.api.core_v1 import Pod
from pybernetes.node.kubelet.volumes.context import fs_group

log = logging.getLogger(__name__)

_FILE = 0o660
_DIRECTORY = 0o2770


def give(root: Path, pod: Pod) -> None:
    """Give a volume to the pod's fsGroup, if it has one. Raises OSError when the volume is not there."""
    gid, context = fs_group(pod), pod.spec.security_context
    if gid < 0 or context is None:
        return
    if context.fs_group_change_policy == "OnRootMismatch" and _looks_right(root, gid):
        return
    root.stat()
    for folder, names, files in os.walk(root, topdown=False):
        for name in (*names, *files):
            _try(os.path.join(folder, name), gid)
    _try(str(root), gid)  # last: that it looks right says that all below it does


def _looks_right(root: Path, gid: int) -> bool:
    now = root.stat()
    return now.st_gid == gid and now.st_mode & _DIRECTORY == _DIRECTORY


def _try(path: str, gid: int) -> None:
    try:
        _give(path, gid)
    except FileNotFoundError:
        pass  # removed since it was listed
    except OSError as error:
        log.warning("fsGroup %d: %s", gid, error)


def _give(path: str, gid: int) -> None:
    os.lchown(path, -1, gid)
    mode = os.lstat(path).st_mode
    if not stat.S_ISLNK(mode):
        os.chmod(path, stat.S_IMODE(mode) | (_DIRECTORY if stat.S_ISDIR(mode) else _FILE))


__all__ = ["give"]
