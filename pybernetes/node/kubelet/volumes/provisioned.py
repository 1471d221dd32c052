"""Directories of the built-in StorageClass on this node: made and removed on behalf of the provisioner.

The provisioner runs with the controllers, on another machine perhaps, and knows nothing of this disk: it asks the
node, as `up` asks for nodes of its own machine. The path is always computed here from the volume's name, so that
whoever may write volumes, or ask this node, can neither make nor delete anything else.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from pathlib import Path

import msgspec

#: Where the node's API has them: PUT and DELETE PATH/NAME.
PATH = "local-volumes"

_NAME = re.compile(r"pvc-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Made(msgspec.Struct):
    """The answer to a PUT."""

    path: str


def place(directory: Path, name: str) -> Path:
    """Where a volume is. Raises LookupError for a name that the provisioner does not give."""
    if not _NAME.fullmatch(name):
        raise LookupError(f"{name!r} is not the name of a provisioned volume")
    return directory / name


def make(directory: Path, name: str) -> str:
    """The path of the volume's directory, which exists and is writable for everybody. Raises LookupError, OSError."""
    path = place(directory, name)
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o777)
    return str(path)


def remove(directory: Path, name: str, path: str) -> None:
    """Delete a volume's directory if `path`, which the volume names, is the one. Raises LookupError, OSError."""
    own = place(directory, name)
    if path != str(own):
        raise LookupError(f"the volume's path is not {own}: it was not made here")
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(own)
