"""Whether somebody else writes to an etcd that a command is about to read as a whole, or to fill.

Nothing locks an etcd, and control planes of other machines cannot be stopped from here. But who is alive cannot keep
still: an API server renews its Lease, and a node its own through one. So the command looks at what is written while
its own control plane is stopped, and names the machines whose API servers it sees. SQLite's file is locked: none of
this is needed there.
"""

from __future__ import annotations

import contextlib
import json

from pybernetes.aio import clock
from pybernetes.bootstrap.cluster import ClusterError
from pybernetes.control_plane.apiserver import peers
from pybernetes.store import Event, Store
from pybernetes.store.etcd import EtcdStore

#: An API server that is alive renews within it.
_WINDOW = peers.INTERVAL + 2.0


async def none_but_us(store: Store) -> int:
    """The revision since when nobody has written. Raises ClusterError that names those who do."""
    since = await store.current_revision()
    if isinstance(store, EtcdStore):
        await clock.sleep(_WINDOW)
        await none_since(store, since)
    return since


async def none_since(store: Store, revision: int) -> None:
    """Raises ClusterError when anything was written after a revision."""
    if not isinstance(store, EtcdStore):
        return
    events: list[Event] = []
    subscription = store.subscribe("", after_revision=revision, on_events=lambda found, _: events.extend(found))
    try:
        await subscription.caught_up(await store.current_revision())
    finally:
        subscription.close()
    if events:
        raise ClusterError(
            f"somebody writes to this etcd: {writers(events)}; stop the control planes of the other machines "
            "('systemctl stop pybernetes-*-control-plane', or end what run/control-plane.pid names), and repeat this"
        )


def writers(events: list[Event]) -> str:
    """Who wrote, as far as that can be told: the API servers whose Leases were renewed, else the last key."""
    found = set()
    for event in events:
        with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):  # of any other kind, or sealed
            metadata = json.loads(event.value)["metadata"]
            if metadata["labels"][peers.IDENTITY] == "kube-apiserver":
                address = (metadata.get("annotations") or {}).get(peers.ADDRESS)
                host = metadata["labels"]["kubernetes.io/hostname"]
                found.add(f"{host} ({address})" if address else host)
    if found:
        return f"the API server of {', '.join(sorted(found))}"
    return f"the last was {events[-1].key}"
