"""What the client wants back: media type, and whether the object itself, a table of it, or its metadata only.

Parsed once per distinct Accept header.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from pybernetes.machinery import errors

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
SERVED = (JSON, YAML, PROTOBUF)

_TABLE = "Table"
_PARTIAL = "PartialObjectMetadata"
_PARTIAL_LIST = "PartialObjectMetadataList"


@dataclass(frozen=True, slots=True)
class Format:
    """media: JSON, YAML or PROTOBUF. shape: "" (as it is), "Table" or "PartialObjectMetadata".

    version: of meta.k8s.io. include: what a Table has of each object (`includeObject`): None, Metadata or Object.
    """

    media: str = JSON
    shape: str = ""
    version: str = "v1"
    pretty: bool = False
    include: str = "Metadata"

    @property
    def plain(self) -> bool:
        return self.media == JSON and not self.shape and not self.pretty


PLAIN = Format()


@dataclass(frozen=True, slots=True)
class Range:
    """One entry of an Accept header: the type, and its parameters without q."""

    media: str
    params: tuple[tuple[str, str], ...]
    quality: float

    def get(self, name: str) -> str:
        return next((value for key, value in self.params if key == name), "")


@lru_cache(512)
def ranges(accept: bytes) -> tuple[Range, ...]:
    """The entries of an Accept header, best first."""
    found: list[Range] = []
    for text in accept.decode("latin-1").split(","):
        media, *rest = (part.strip() for part in text.split(";"))
        if not media:
            continue
        quality = 1.0
        params: list[tuple[str, str]] = []
        for part in rest:
            name, _, value = part.partition("=")
            if name == "q":
                try:
                    quality = float(value)
                except ValueError:
                    quality = 0.0
            else:
                params.append((name.strip().lower(), value.strip().strip('"')))
        found.append(Range(media.lower(), tuple(params), quality))
    return tuple(sorted(found, key=lambda r: -r.quality))


@lru_cache(512)
def accepted(accept: bytes, watching: bool = False, protobuf: bool = True) -> Format:
    """The format for an Accept header. protobuf: whether what is shown has such a form. Raises 406."""
    if not accept or accept in (b"*/*", b"application/json"):
        return PLAIN
    for entry in ranges(accept):
        media = _media(entry.media, watching)
        if media is None or (media == PROTOBUF and (not protobuf or entry.get("as") == _TABLE)):
            continue
        shape, version, group = entry.get("as"), entry.get("v"), entry.get("g")
        if shape:
            known = shape in (_TABLE, _PARTIAL, _PARTIAL_LIST)
            if not known or group != "meta.k8s.io" or version not in ("v1", "v1beta1"):
                continue
            shape = _PARTIAL if shape == _PARTIAL_LIST else shape
        pretty = entry.get("pretty") == "1"
        return Format(media, shape, version or "v1", pretty)
    raise errors.not_acceptable([f"{m};stream=watch" for m in (JSON, PROTOBUF)] if watching else SERVED)


def _media(name: str, watching: bool) -> str | None:
    if name in ("*/*", "application/*"):
        return JSON
    if name == YAML and watching:
        return None
    return name if name in SERVED else None
