"""Node ports: one number belongs to one Service, whatever the protocols it uses it for.

Who has which port is read from the stored Services at the start and followed from there; what has been promised to a
write under way is counted beside it. In memory only, so servers that share a store can, in the same instant, promise
the same port twice; a Service that finds its port taken then is reported by the log of the later one.
"""

from __future__ import annotations

import logging

from pybernetes.api.core_v1 import Service
from pybernetes.control_plane.apiserver.allocation import fields
from pybernetes.control_plane.apiserver.allocation.addresses import Refused
from pybernetes.control_plane.apiserver.allocation.ranges import port_band

log = logging.getLogger(__name__)


class NodePorts:
    """See the module."""

    def __init__(self, first: int, last: int) -> None:
        self.band = port_band(first, last)
        self._owners: dict[int, str] = {}
        self._promised: set[int] = set()

    def free(self, port: int) -> bool:
        return port not in self._owners and port not in self._promised

    def take(self, port: int) -> int:
        """Promise one certain port. Raises Refused."""
        if port not in self.band:
            text = f"The range of valid ports is {self.band.first}-{self.band.last}"
            raise Refused(f"provided port is not in the valid range. {text}")
        if not self.free(port):
            raise Refused("provided port is already allocated")
        self._promised.add(port)
        return port

    def take_any(self) -> int:
        """Promise a free port. Raises Refused."""
        port = self.band.pick(self.free)
        if port is None:
            raise Refused("range is full")
        self._promised.add(port)
        return port

    def forget(self, ports: list[int]) -> None:
        """The write these were promised to failed."""
        self._promised.difference_update(ports)

    def stored(self, key: str, new: Service | None, old: Service | None) -> None:
        """A Service changed from `old` to `new` in the store."""
        now = fields.ports(new.spec) if new is not None else []
        for port in fields.ports(old.spec) if old is not None else ():
            if port not in now and self._owners.get(port) == key:
                del self._owners[port]
        for port in now:
            owner = self._owners.setdefault(port, key)
            if owner != key:
                log.warning("node port %d of service %s is allocated to service %s as well", port, key, owner)
            self._promised.discard(port)
