"""Who is asked a second time, after others changed the object (KEP-492).

When a webhook or a mutating policy changed a request's object, the chain of mutating plugins runs once more: those
built in all of them, so that what was added is defaulted too, webhooks and policies those of reinvocationPolicy
IfNeeded that were asked before the last change of somebody else. There is no third round.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any


class Asked:
    """What one plugin asked about one request."""

    def __init__(self) -> None:
        self._willing: set[Hashable] = set()
        self._due: set[Hashable] = set()
        self._left: Any = None

    def skips(self, key: Hashable, again: bool) -> bool:
        """Whether somebody is left alone in this round."""
        return again and key not in self._due

    def note(self, key: Hashable, willing: bool, changed: bool) -> None:
        """Somebody was asked. willing: may be asked again. changed: the object, by the answer."""
        if changed:
            self._due |= self._willing
            self._willing.clear()
        if willing:
            self._willing.add(key)

    def leave(self, shown: Callable[[], Any]) -> None:
        """The end of a round; `shown` makes the object's wire form."""
        if self._willing:
            self._left = shown()

    def enter(self, shown: Callable[[], Any]) -> None:
        """The second round begins: all are due when other plugins changed the object in between."""
        if self._willing and shown() != self._left:
            self._due |= self._willing
