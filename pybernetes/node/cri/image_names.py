"""Image references as users write them, and in the full form that runtimes store them under.

`busybox` means `docker.io/library/busybox:latest`; the rules are those of the distribution reference grammar.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_PATH = re.compile(r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*")
_DOMAIN = re.compile(r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]+)?")
_TAG = re.compile(r"[\w][\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[+._-][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}")


class Reference(NamedTuple):
    """A reference in its parts; tag and digest are empty when absent."""

    domain: str
    path: str
    tag: str
    digest: str

    def __str__(self) -> str:
        return (
            f"{self.domain}/{self.path}"
            + (f":{self.tag}" if self.tag else "")
            + (f"@{self.digest}" if self.digest else "")
        )


def parse(image: str) -> Reference:
    """The reference in full: default registry, `library/`, and `:latest` when neither tag nor digest is given.

    Raises ValueError in the words users know: "invalid reference format".
    """
    rest, _, digest = image.partition("@")
    if "@" in image and not _DIGEST.fullmatch(digest):
        raise ValueError("invalid reference format")
    name, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:  # no tag: the colon, if any, is a port's
        name, tag = rest, ""
    elif not _TAG.fullmatch(tag):
        raise ValueError("invalid reference format")
    domain, slash, path = name.partition("/")
    if not slash or not ("." in domain or ":" in domain or domain == "localhost" or domain != domain.lower()):
        domain, path = "docker.io", name
    if domain == "index.docker.io":
        domain = "docker.io"
    if domain == "docker.io" and "/" not in path:
        path = f"library/{path}"
    if not _DOMAIN.fullmatch(domain) or not _PATH.fullmatch(path):
        raise ValueError("invalid reference format")
    return Reference(domain, path, tag if tag or digest else "latest", digest)


def normalise(image: str) -> str:
    """`str(parse(image))`: the name a runtime lists the image under. Raises ValueError."""
    return str(parse(image))
