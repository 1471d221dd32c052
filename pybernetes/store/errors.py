"""What can go wrong in a store: by the caller (conflict, revision out of reach) or the store (unavailable, broken)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pybernetes.store.protocol import Entry


class StoreError(Exception):
    """Root of the tree; by itself: the store failed for good (disk full, corrupt file, refused request)."""


class StoreUnavailable(StoreError):
    """The store cannot be reached now; a write may or may not have been made. Retry with back-off."""


class StoreClosed(StoreError):
    """The store was closed (or not started)."""


class StoreLocked(StoreError):
    """Another process has the file open."""


class StoreCorrupt(StoreError):
    """The file is damaged, or not one of ours."""


class KeyExists(StoreError):
    """A create met an existing key."""

    def __init__(self, key: str) -> None:
        super().__init__(f"key {key!r} exists")
        self.key = key


class RevisionConflict(StoreError):
    """An update or delete expected another revision. `current` is the key as it is, None if it does not exist."""

    def __init__(self, key: str, expected_revision: int, current: Entry | None) -> None:
        found = f"at revision {current.revision}" if current is not None else "absent"
        super().__init__(f"key {key!r} expected at revision {expected_revision} is {found}")
        self.key = key
        self.expected_revision = expected_revision
        self.current = current


class Compacted(StoreError):
    """History no longer reaches back to the revision asked for."""

    def __init__(self, revision: int, compact_revision: int) -> None:
        super().__init__(f"revision {revision} is compacted; history starts at {compact_revision}")
        self.revision = revision
        self.compact_revision = compact_revision


class FutureRevision(StoreError):
    """The revision asked for has not happened yet."""

    def __init__(self, revision: int, current_revision: int) -> None:
        super().__init__(f"revision {revision} is in the future; the current one is {current_revision}")
        self.revision = revision
        self.current_revision = current_revision
