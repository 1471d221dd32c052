"""Cluster IPs: an address is taken by whoever creates the IPAddress object of its name.

Release is not done by the verb that ended the use, but by following the stored Services: every way in which a Service
can lose an address (update, deletion, deletion of its namespace, another server) passes there. A release names the
revision up to which it is meant, so it can never take away an address that has been given to somebody else since.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Iterable

from pybernetes.api.core_v1 import Service
from pybernetes.api.networking_v1 import IPAddress, IPAddressSpec, ParentReference, ServiceCIDR
from pybernetes.control_plane.apiserver.allocation import fields
from pybernetes.control_plane.apiserver.allocation.families import family_of
from pybernetes.control_plane.apiserver.allocation.ranges import AddressRange
from pybernetes.control_plane.apiserver.core import Core
from pybernetes.control_plane.apiserver.verbs.create import fill_metadata
from pybernetes.machinery.meta import ObjectMeta
from pybernetes.store import KeyExists, RevisionConflict

GROUP = "networking.k8s.io"
FAMILY_LABEL = "ipaddress.kubernetes.io/ip-family"
MANAGED_LABEL = "ipaddress.kubernetes.io/managed-by"
MANAGER = "ipallocator.k8s.io"


class Refused(Exception):
    """An address or port that cannot be had; the text is upstream's."""


class ClusterIPs:
    """Takes and releases addresses; `run()` carries out the releases."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.storage = core.cache.storage(GROUP, "ipaddresses")
        self.ranges_storage = core.cache.storage(GROUP, "servicecidrs")
        self._configured = [AddressRange(cidr) for cidr in core.config.service_cidrs]
        self.families = list(dict.fromkeys(item.family for item in self._configured))
        self._ranges: list[AddressRange] = []
        self._ranges_revision = -1
        #: Address -> (releases up to this revision, done when it is free).
        self._releasing: dict[str, tuple[int, asyncio.Event]] = {}
        self._wake = asyncio.Event()

    def ranges(self) -> list[AddressRange]:
        """The configured ranges and those of ServiceCIDR objects that are not being deleted."""
        storage = self.ranges_storage
        if self._ranges_revision != storage.revision:
            self._ranges_revision = storage.revision
            found = {item.network: item for item in self._configured}
            for entry in storage.items.values():
                obj = entry.obj
                assert isinstance(obj, ServiceCIDR)
                if obj.metadata.deletion_timestamp is None:
                    for item in map(AddressRange, obj.spec.cidrs or ()):
                        if item.family in self.families:
                            found.setdefault(item.network, item)
            self._ranges = [*found.values()]
        return self._ranges

    def taken(self, address: str) -> bool:
        return self.storage.prefix + address in self.storage.items

    async def take(self, address: str, service: Service, *, dry_run: bool) -> str:
        """Take one certain address; returns it in canonical form. Raises Refused."""
        value = ipaddress.ip_address(address)
        if not any(value.version == item.network.version and int(value) in item.band for item in self.ranges()):
            raise Refused("the provided network does not match the current range")
        name = str(value)
        if name in self._releasing:
            await self._releasing[name][1].wait()
        if self.taken(name) or (not dry_run and not await self._create(name, service)):
            raise Refused("provided IP is already allocated")
        return name

    async def take_any(self, family: str, service: Service, *, dry_run: bool) -> str:
        """Take a free address of a family. Raises Refused."""
        for item in self.ranges():
            if item.family != family:
                continue
            for number in item.band.candidates():
                address = item.address(number)
                if self.taken(address):
                    continue
                if dry_run or await self._create(address, service):
                    return address
        raise Refused("range is full")

    async def _create(self, address: str, service: Service) -> bool:
        metadata = ObjectMeta(name=address, labels={FAMILY_LABEL: family_of(address), MANAGED_LABEL: MANAGER})
        fill_metadata(metadata)
        parent = ParentReference(resource="services", namespace=service.metadata.namespace, name=service.metadata.name)
        try:
            await self.storage.create(
                self.storage.prefix + address, IPAddress(metadata=metadata, spec=IPAddressSpec(parent_ref=parent))
            )
        except KeyExists:
            return False
        return True

    async def record(self, address: str, service: Service) -> None:
        """Make the IPAddress of an address that a stored Service has, if it is missing."""
        name = str(ipaddress.ip_address(address))
        if not self.taken(name):
            await self._create(name, service)

    def release(self, addresses: Iterable[str], revision: int | None = None) -> None:
        """Give addresses back, if they were taken up to `revision` (now)."""
        for address in addresses:
            name = str(ipaddress.ip_address(address))
            item = self.storage.items.get(self.storage.prefix + name)
            limit = self.core.cache.revision if revision is None else revision
            if item is not None and item.create_revision <= limit and name not in self._releasing:
                self._releasing[name] = (limit, asyncio.Event())
        if self._releasing:
            self._wake.set()

    async def run(self) -> None:
        """Carry out releases until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            async with asyncio.TaskGroup() as group:
                for address in [*self._releasing]:
                    group.create_task(self._free(address), name=f"apiserver/release/{address}")

    async def _free(self, address: str) -> None:
        limit, done = self._releasing[address]
        item = self.storage.items.get(self.storage.prefix + address)
        try:
            if item is not None and item.create_revision <= limit:
                await self.storage.delete(item.key, item.revision)
        except RevisionConflict:
            pass  # somebody else had it: theirs, or gone
        finally:
            del self._releasing[address]
            done.set()

    def leaked(self, services: Iterable[Service], before: str) -> list[str]:
        """Addresses taken before that moment (RFC 3339) for Services that do not have them."""
        held = {
            str(ipaddress.ip_address(address)) for service in services for address in fields.addresses(service.spec)
        }
        found = []
        for item in self.storage.items.values():
            obj = item.obj
            assert isinstance(obj, IPAddress)
            if (
                item.name not in held
                and (obj.metadata.labels or {}).get(MANAGED_LABEL) == MANAGER
                and (obj.metadata.creation_timestamp or "") < before
            ):
                found.append(item.name)
        return found
