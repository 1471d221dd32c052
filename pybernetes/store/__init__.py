"""Revisioned bytes: what etcd is to Kubernetes, behind one protocol with three implementations.

`protocol.py` is the contract, `state.py` the world in memory that `memory.py` and `sqlite.py` share, `etcd.py` a
client of the real thing. Knows no Kubernetes.
"""

from pybernetes.store.errors import (
    Compacted,
    FutureRevision,
    KeyExists,
    RevisionConflict,
    StoreClosed,
    StoreCorrupt,
    StoreError,
    StoreLocked,
    StoreUnavailable,
)
from pybernetes.store.open import open_store
from pybernetes.store.protocol import Entry, Event, OnEnd, OnEvents, Page, Seal, Stamp, Store, Subscription, unstamped
from pybernetes.store.watch import Watch

__all__ = [
    "Compacted",
    "Entry",
    "Event",
    "FutureRevision",
    "KeyExists",
    "OnEnd",
    "OnEvents",
    "Page",
    "RevisionConflict",
    "Seal",
    "Stamp",
    "Store",
    "StoreClosed",
    "StoreCorrupt",
    "StoreError",
    "StoreLocked",
    "StoreUnavailable",
    "Subscription",
    "Watch",
    "open_store",
    "unstamped",
]
