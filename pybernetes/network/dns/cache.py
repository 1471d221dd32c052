"""A bounded cache in two generations: when the young one is full it becomes the old one, and the old one is forgotten.

What is asked for again moves to the young one, so what is in use stays. Not a dictionary whose first entry goes when a
new one comes: finding the first entry of a dictionary that has lost many is a walk over the holes they left.
"""

from __future__ import annotations

from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Generations(Generic[K, V]):
    """At most `size` entries; at least the last `size / 2` that were put or got are there."""

    __slots__ = ("_half", "old", "young")

    def __init__(self, size: int) -> None:
        self._half = max(1, size // 2)
        #: Readable by who cannot afford a call: `young.get(key)`, then `get(key)`. Stays the same object.
        self.young: dict[K, V] = {}
        self.old: dict[K, V] = {}

    def __len__(self) -> int:
        return len(self.young) + len(self.old)

    def get(self, key: K) -> V | None:
        """The value, or None."""
        found = self.young.get(key)
        if found is None and (found := self.old.pop(key, None)) is not None:
            self.put(key, found)
        return found

    def put(self, key: K, value: V) -> None:
        """Keep a value."""
        self.old.pop(key, None)
        if len(self.young) >= self._half and key not in self.young:
            self.old = self.young.copy()
            self.young.clear()
        self.young[key] = value

    def clear(self) -> None:
        """Forget everything."""
        self.young.clear()
        self.old = {}
