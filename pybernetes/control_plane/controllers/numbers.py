"""Numbers that are absolute or a percentage, and names that are a hash of a template."""

from __future__ import annotations

import hashlib
from typing import Any

from pybernetes.machinery import codec, names

FOREVER = 2**31 - 1


def resolve(value: int | str | None, total: int, *, round_up: bool) -> int:
    """An int-or-percentage of `total`. Raises ValueError for text that is no percentage."""
    if value is None:
        return 0
    if isinstance(value, int):
        return value
    if not value.endswith("%"):
        raise ValueError(f"invalid value for IntOrString: {value!r} is not a percentage")
    product = int(value[:-1]) * total
    return -(-product // 100) if round_up else product // 100


def template_hash(template: Any, collisions: int | None) -> str:
    """A short name for a template, safe in object names and labels.

    Any function of the content will do: nobody but the controller itself computes it again.
    """
    digest = hashlib.blake2b(codec.encode(template), digest_size=4)
    if collisions:
        digest.update(str(collisions).encode())
    return names.safe_encode(str(int.from_bytes(digest.digest(), "big")))
