"""A note in a store that no API server may use it, and why: a copy into it has not ended, or its objects have moved.

The note is in the store itself and not beside the cluster's files, because control planes on other machines have to
meet it as well. It is a key that nobody lists, the first to be written and the last to be removed.
"""

from __future__ import annotations

import json

from pybernetes.store.errors import StoreError
from pybernetes.store.protocol import Store

KEY = "/pybernetes/closed"
#: Why, while a copy into the store is on its way. Such a store may be emptied and filled again.
HALF = "a copy into it has not come to its end; repeat the 'pybernetes restore' or 'pybernetes migrate' that made it"


async def close(store: Store, reason: str) -> None:
    """Leave the note, in the place of another."""
    value = json.dumps({"metadata": {"name": "closed"}, "reason": reason}, separators=(",", ":")).encode()
    present = await store.get(KEY)
    if present is None:
        await store.create(KEY, value)
    else:
        await store.update(KEY, value, present.revision)


async def reopen(store: Store) -> None:
    """Take the note away."""
    present = await store.get(KEY)
    if present is not None:
        await store.delete(KEY, present.revision)


async def reason(store: Store) -> str:
    """What the note says; "": there is none."""
    present = await store.get(KEY)
    return "" if present is None else str(json.loads(present.value)["reason"])


async def check(store: Store) -> None:
    """Raises StoreError when there is a note."""
    if why := await reason(store):
        raise StoreError(f"the store is not to be used: {why}")
