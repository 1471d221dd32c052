"""Services with what they are given: the strategy that the verbs call, and the part that keeps the books.

Allocation happens after validation, right before the write; a dry run looks what would be given and takes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from pybernetes.aio import clock
from pybernetes.api.core_v1 import Service
from pybernetes.api.kinds import Kind
from pybernetes.control_plane.apiserver.allocation import families, fields
from pybernetes.control_plane.apiserver.allocation.addresses import ClusterIPs, Refused
from pybernetes.control_plane.apiserver.allocation.ports import NodePorts
from pybernetes.control_plane.apiserver.cache import Change
from pybernetes.control_plane.apiserver.call import Call
from pybernetes.control_plane.apiserver.core import Core
from pybernetes.control_plane.apiserver.objects import AnyObject
from pybernetes.control_plane.apiserver.resources.core_v1 import ServiceStrategy
from pybernetes.machinery import errors, field
from pybernetes.machinery.field import Path

#: Seconds between looks for leaks, and the age from which an address without its Service counts as one: longer than
#: any write takes.
REPAIR_INTERVAL = 180.0
LEAK_AGE = 60.0

SPEC = Path("spec")


class Allocation:
    """A part of the API server: `start()` when the cache is loaded, then `run()`."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.storage = core.cache.storage("", "services")
        self.addresses = ClusterIPs(core)
        self.ports = NodePorts(*core.config.node_ports)

    def start(self) -> None:
        """Read who has what, and follow changes."""
        for item in self.storage.items.values():
            self.ports.stored(item.key, cast(Service, item.obj), None)
        self.storage.listeners.append(self._changed)

    def _changed(self, change: Change) -> None:
        old = cast(Service, change.previous.obj) if change.previous is not None else None
        new = None if change.deleted else cast(Service, change.item.obj)
        self.ports.stored(change.item.key, new, old)
        if old is not None:
            kept = fields.addresses(new.spec) if new is not None else []
            self.addresses.release(
                (address for address in fields.addresses(old.spec) if address not in kept), change.revision
            )

    async def run(self) -> None:
        """Carry out releases and look for leaks until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.addresses.run(), name="apiserver/allocation/releases")
            while True:
                await self._repair()
                await clock.sleep(REPAIR_INTERVAL)

    async def _repair(self) -> None:
        services = [cast(Service, item.obj) for item in self.storage.items.values()]
        for service in services:
            for address in fields.addresses(service.spec):
                await self.addresses.record(address, service)
        before = clock.format_rfc3339(clock.timestamp() - LEAK_AGE)
        self.addresses.release(self.addresses.leaked(services, before))

    async def allocate(self, service: Service, old: Service | None, *, dry_run: bool) -> Callable[[], None]:
        """Give a Service what it needs beyond what it had, in place; returns how to give that back."""
        families.settle(service, old, self.addresses.families)
        taken: list[str] = []
        promised: list[int] = []

        def undo() -> None:
            if not dry_run:
                self.addresses.release(taken)
            self.ports.forget(promised)

        try:
            await self._addresses(service, old, taken, dry_run)
            self._ports(service, old, promised)
            self._health_check_port(service, old, promised)
        except BaseException:
            undo()
            raise
        if dry_run:
            self.ports.forget(promised)
        return undo

    async def _addresses(self, service: Service, old: Service | None, taken: list[str], dry_run: bool) -> None:
        spec = service.spec
        if not fields.needs_cluster_ip(spec) or spec.cluster_ip == "None":
            return
        had = fields.addresses(old.spec) if old is not None else []
        listed = [*(spec.cluster_ips or ())]
        requested = [*listed]
        for i, family in enumerate(spec.ip_families or ()):
            wanted = listed[i] if i < len(listed) else ""
            if wanted and wanted in had:
                continue
            try:
                if wanted:
                    got = await self.addresses.take(wanted, service, dry_run=dry_run)
                else:
                    got = await self.addresses.take_any(family, service, dry_run=dry_run)
            except Refused as error:
                if not wanted:
                    raise errors.internal(f"failed to allocate a serviceIP: {error}") from None
                text = f"failed to allocate IP {wanted}: {error}"
                wrong = field.invalid(SPEC.child("clusterIPs"), requested, text)
                raise errors.invalid("", "Service", service.metadata.name, [wrong]) from None
            taken.append(got)
            if wanted:
                listed[i] = wanted
            else:
                listed.append(got)
        spec.cluster_ips = listed
        spec.cluster_ip = listed[0]

    def _ports(self, service: Service, old: Service | None, promised: list[int]) -> None:
        spec = service.spec
        if not fields.takes_node_ports(spec):
            return
        had = set(fields.ports(old.spec)) if old is not None else set()
        automatic = fields.wants_node_ports(spec)
        listed = spec.ports or []
        by_port: dict[int, int] = {}
        for port in listed:
            if port.node_port and port.node_port in had:
                by_port.setdefault(port.port, port.node_port)
        for i, port in enumerate(listed):
            wanted = port.node_port or 0
            if wanted and (wanted in had or wanted in promised):
                continue
            if not wanted:
                if not automatic:
                    continue
                # One port in several protocols shares a number, one that was asked for further down included.
                wanted = by_port.get(port.port) or next(
                    (other.node_port for other in listed[i:] if other.port == port.port and other.node_port), 0
                )
                if wanted and (wanted in had or wanted in promised):
                    port.node_port = wanted
                    continue
            try:
                got = self.ports.take(wanted) if wanted else self.ports.take_any()
            except Refused as error:
                if not wanted:
                    raise errors.internal(f"failed to allocate a nodePort: {error}") from None
                at = SPEC.child("ports").index(i).child("nodePort")
                wrong = field.invalid(at, wanted, str(error))
                raise errors.invalid("", "Service", service.metadata.name, [wrong]) from None
            promised.append(got)
            port.node_port = got
            by_port.setdefault(port.port, got)

    def _health_check_port(self, service: Service, old: Service | None, promised: list[int]) -> None:
        spec = service.spec
        if not fields.needs_health_check_port(spec):
            return
        wanted = spec.health_check_node_port or 0
        if wanted and old is not None and wanted == old.spec.health_check_node_port:
            return
        try:
            got = self.ports.take(wanted) if wanted else self.ports.take_any()
        except Refused as error:
            what = f"requested HealthCheck NodePort {wanted}" if wanted else "HealthCheck NodePort"
            raise errors.internal(f"failed to allocate {what}: {error}") from None
        promised.append(got)
        spec.health_check_node_port = got


class AllocatingServices(ServiceStrategy):
    """The strategy of Services."""

    def __init__(self, kind: Kind, allocation: Allocation) -> None:
        super().__init__(kind)
        self.allocation = allocation

    def prepare_create(self, obj: AnyObject, call: Call) -> None:
        super().prepare_create(obj, call)
        fields.normalise(cast(Service, obj), None)

    def prepare_update(self, new: AnyObject, old: AnyObject, call: Call) -> None:
        super().prepare_update(new, old, call)
        service, before = cast(Service, new), cast(Service, old)
        fields.normalise(service, before)
        fields.carry_over(service, before)
        fields.drop_by_type(service, before)

    async def before_create(self, obj: AnyObject, call: Call) -> Callable[[], None] | None:
        return await self.allocation.allocate(cast(Service, obj), None, dry_run=call.dry_run)

    async def before_update(self, new: AnyObject, old: AnyObject, call: Call) -> Callable[[], None] | None:
        service, before = cast(Service, new), cast(Service, old)
        if service.spec == before.spec:
            return None
        return await self.allocation.allocate(service, before, dry_run=call.dry_run)
