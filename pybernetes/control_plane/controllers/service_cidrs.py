"""ServiceCIDRs: a range of Service addresses is ready, or on its way out as long as nobody's address depends on it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from pybernetes.aio import clock
from pybernetes.api.networking_v1 import IPAddress, ServiceCIDR
from pybernetes.client.controller import Controller, RequeueAfter
from pybernetes.machinery import codec
from pybernetes.machinery.meta import Condition

FINALIZER = "networking.k8s.io/service-cidr-finalizer"
_GRACE = 10.0  # seconds a range must be unused before it goes: an address may just be being allocated


def holds_back(cidr: ServiceCIDR, others: Iterable[ServiceCIDR], addresses: Iterable[str]) -> bool:
    """Whether an address lies in the range and in no other that stays."""
    own = [ipaddress.ip_network(text) for text in cidr.spec.cidrs or ()]
    rest = [ipaddress.ip_network(text) for other in others for text in other.spec.cidrs or ()]
    for text in addresses:
        address = ipaddress.ip_address(text)
        if any(address in network for network in own) and not any(address in network for network in rest):
            return True
    return False


class ServiceCIDRController(Controller):
    """Keys are ServiceCIDRs."""

    name = "service-cidr-controller"
    workers = 1

    def setup(self) -> None:
        """Ranges, and the addresses taken from them."""
        self.cidrs = self.informers.informer(ServiceCIDR)
        self.addresses = self.informers.informer(IPAddress)
        self.cidrs.on(self._changed, lambda old, new: self._changed(new), self._changed)
        self.addresses.on(deleted=self._freed)
        self._unused_since: dict[str, float] = {}

    def _changed(self, cidr: ServiceCIDR) -> None:
        self.enqueue(cidr)
        self._freed()

    def _freed(self, address: object = None) -> None:
        for cidr in self.cidrs.list():
            if cidr.metadata.deletion_timestamp is not None:
                self.enqueue(cidr)

    async def reconcile(self, key: str) -> RequeueAfter | None:
        """Finalizer and condition of one range."""
        cidr = self.cidrs.get("", key)
        if cidr is None:
            self._unused_since.pop(key, None)
            return None
        finalizers = cidr.metadata.finalizers or []
        if cidr.metadata.deletion_timestamp is None:
            if FINALIZER not in finalizers:
                cidr = await self._set_finalizers(cidr, [*finalizers, FINALIZER])
            await self._set_ready(cidr, "True", "", "Kubernetes Service CIDR is ready")
            return None
        if FINALIZER not in finalizers:
            return None
        others = [c for c in self.cidrs.list() if c is not cidr and c.metadata.deletion_timestamp is None]
        if holds_back(cidr, others, (address.metadata.name for address in self.addresses.list())):
            self._unused_since.pop(key, None)
            message = (
                "There are still IPAddresses referencing the ServiceCIDR, "
                "please remove them or create a new ServiceCIDR"
            )
            await self._set_ready(cidr, "False", "Terminating", message)
            return None
        since = self._unused_since.setdefault(key, clock.monotonic())
        if (remaining := since + _GRACE - clock.monotonic()) > 0:
            return RequeueAfter(remaining)
        await self._set_finalizers(cidr, [f for f in finalizers if f != FINALIZER])
        return None

    async def _set_finalizers(self, cidr: ServiceCIDR, finalizers: list[str]) -> ServiceCIDR:
        changed = codec.copy(cidr)
        changed.metadata.finalizers = finalizers or None
        updated = await self.client.resource(ServiceCIDR).update(changed)
        await self.cidrs.caught_up(updated)
        return updated

    async def _set_ready(self, cidr: ServiceCIDR, value: str, reason: str, message: str) -> None:
        present = next((c for c in cidr.status.conditions or () if c.type == "Ready"), None)
        if present is not None and present.status == value and present.message == message:
            return
        changed = codec.copy(cidr)
        changed.status.conditions = [
            *(c for c in changed.status.conditions or () if c.type != "Ready"),
            Condition(type="Ready", status=value, reason=reason, message=message, last_transition_time=clock.rfc3339()),
        ]
        await self.cidrs.caught_up(await self.client.resource(ServiceCIDR).update_status(changed))
