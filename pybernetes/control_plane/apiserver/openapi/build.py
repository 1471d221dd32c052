"""Descriptions for OpenAPI and `kubectl explain`, out of the published schemas (the package `kubernetes-validate`).

Their text is upstream's and not committed here: `python -m pybernetes.control_plane.apiserver.openapi.build` writes
it into a data file that git ignores, and without that file the package itself is read once, when it is installed. A
server without either serves valid documents that describe nothing.
"""

from __future__ import annotations

import gzip
import logging
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec

log = logging.getLogger(__name__)

VERSION = "v1.36.0"
FILE = Path(__file__).resolve().parents[3] / "api" / "descriptions.json.gz"

#: definition -> {"d": description, "p": {property: description}, "r": required properties}
Descriptions = dict[str, dict[str, Any]]


def extract() -> Descriptions | None:
    """The descriptions out of the installed package; None when it is not installed."""
    spec = find_spec("kubernetes_validate")
    if spec is None or spec.origin is None:
        return None
    source = Path(spec.origin).parent / "kubernetes-json-schema" / f"{VERSION}-local" / "_definitions.json"
    if not source.exists():
        return None
    document = msgspec.json.decode(source.read_bytes())
    found: Descriptions = {}
    for name, definition in document["$defs"].items():
        row: dict[str, Any] = {"d": definition.get("description", "")}
        properties = definition.get("properties") or {}
        row["p"] = {key: value["description"] for key, value in properties.items() if value.get("description")}
        if definition.get("required"):
            row["r"] = definition["required"]
        found[name] = row
    return found


def write(path: Path = FILE) -> bool:
    """Write the data file; False when there is nothing to write it from."""
    found = extract()
    if found is None:
        return False
    path.write_bytes(gzip.compress(msgspec.json.encode(found), mtime=0))
    return True


@cache
def descriptions() -> Descriptions:
    """What is there: the data file, else the package, else nothing. Read once."""
    if FILE.exists():
        try:
            return msgspec.json.decode(gzip.decompress(FILE.read_bytes()), type=Descriptions)
        except (OSError, ValueError) as error:
            log.warning("%s is unusable: %s", FILE, error)
    return extract() or {}


if __name__ == "__main__":
    if not write():
        print("kubernetes-validate is not installed: documents will have no descriptions", file=sys.stderr)
