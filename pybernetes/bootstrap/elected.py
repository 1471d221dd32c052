"""Parts of a control plane of which one works at a time: whoever holds the part's Lease.

Several control planes share a store; each offers its controllers, its scheduler and its cloud manager. A lease that is
lost is stood for again with a part made anew, instead of ending the process: the API server beside it goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from pybernetes.client import leader
from pybernetes.client.client import Client

log = logging.getLogger(__name__)

NAMESPACE = "kube-system"


class _Part(Protocol):
    def run(self) -> Awaitable[None]: ...


async def run(name: str, identity: str, client: Client, make: Callable[[], _Part]) -> None:
    """Until cancelled: wait for Lease `name`, run what `make` makes while holding it, and so on."""
    config = leader.Config(name, NAMESPACE, identity)
    while True:
        try:
            await leader.LeaderElector(config, client).run(lambda: make().run())
            return
        except leader.LeadershipLost:
            log.warning("%s lost the lease %s; standing by", identity, name)
