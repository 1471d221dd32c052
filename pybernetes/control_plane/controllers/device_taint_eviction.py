"""Device taint eviction: Pods leave when a device allocated to them gets a NoExecute taint that they do not tolerate.

The taints stand in the driver's slices, what is allocated and tolerated in the claims, and who uses it in their
reservations: a slice leads to claims, a claim to Pods, and the Pod's key is delayed until its shortest toleration ends.
"""

from __future__ import annotations

from collections.abc import Iterator

from pybernetes.aio import clock
from pybernetes.api.core_v1 import Pod
from pybernetes.api.resource_v1 import DeviceTaint, ResourceClaim, ResourceSlice
from pybernetes.client.controller import Controller, RequeueAfter, key_of, split_key
from pybernetes.control_plane.controllers.eviction import evict, tolerated_until
from pybernetes.control_plane.controllers.pods import is_terminal

_POOL, _CONSUMER = "device pool", "device consumer"


class DeviceTaintEvictionController(Controller):
    """Keys are Pods."""

    name = "device-taint-eviction-controller"

    def setup(self) -> None:
        """Slices, claims by the pools of their devices and by Pod, and Pods."""
        self.pods = self.informers.informer(Pod)
        self.claims = self.informers.informer(ResourceClaim)
        self.slices = self.informers.informer(ResourceSlice)
        self.slices.add_index(_POOL, lambda found: (_pool(found.spec.driver, found.spec.pool.name),))
        self.claims.add_index(_POOL, lambda claim: {_pool(driver, pool) for driver, pool, _ in _devices(claim)})
        self.claims.add_index(_CONSUMER, _consumers)
        self._marked: set[str] = set()  # Pods that are to go later
        self.slices.on(self._slice, lambda old, new: self._slice(new), self._slice)
        self.claims.on(self._claim, lambda old, new: self._claim(new), self._claim)
        self.pods.on(updated=self._pod_updated, deleted=lambda pod: self._marked.discard(key_of(pod)))

    def _slice(self, found: ResourceSlice) -> None:
        for claim in self.claims.by_index(_POOL, _pool(found.spec.driver, found.spec.pool.name)):
            self._claim(claim)

    def _claim(self, claim: ResourceClaim) -> None:
        for key in _consumers(claim):
            self.queue.add(key)

    def _pod_updated(self, old: Pod, new: Pod) -> None:
        claims = new.spec.resource_claims or new.status.extended_resource_claim_status is not None
        if old.spec.node_name != new.spec.node_name and claims:
            self.queue.add(key_of(new))

    async def reconcile(self, key: str) -> RequeueAfter | None:
        """Delete the Pod if its time with a tainted device is over."""
        pod = self.pods.get(*split_key(key))
        if pod is None or not pod.spec.node_name or pod.metadata.deletion_timestamp is not None or is_terminal(pod):
            self._marked.discard(key)
            return None
        now = clock.timestamp()
        until = self._until(pod, key, now)
        if until is None:
            if key in self._marked:
                self._marked.discard(key)
                self.events.event(pod, "Normal", "DeviceTaintManagerEviction", "Cancelling deletion")
            return None
        if until > now:
            self._marked.add(key)
            return RequeueAfter(until - now)
        self._marked.discard(key)
        self.events.event(pod, "Normal", "DeviceTaintManagerEviction", "Marking for deletion")
        message = "Device Taint manager: deleting due to NoExecute taint"
        await evict(self.client, pod, "DeletionByDeviceTaintManager", message)
        return None

    def _until(self, pod: Pod, key: str, now: float) -> float | None:
        ends = []
        for claim in self.claims.by_index(_CONSUMER, key):
            if all(reference.uid != pod.metadata.uid for reference in claim.status.reserved_for or ()):
                continue  # another Pod of that name
            allocation = claim.status.allocation
            assert allocation is not None and allocation.devices is not None
            for result in allocation.devices.results or ():
                taints = self._taints(result.driver, result.pool, result.device)
                end = tolerated_until(taints, result.tolerations or (), now)
                if end is not None:
                    ends.append(end)
        return min(ends, default=None)

    def _taints(self, driver: str, pool: str, device: str) -> list[DeviceTaint]:
        """NoExecute taints of a device, by the pool's newest generation."""
        slices = [*self.slices.by_index(_POOL, _pool(driver, pool))]
        newest = max((found.spec.pool.generation for found in slices), default=0)
        return [
            taint
            for found in slices
            if found.spec.pool.generation == newest
            for one in found.spec.devices or ()
            if one.name == device
            for taint in one.taints or ()
            if taint.effect == "NoExecute"
        ]


def _pool(driver: str, pool: str) -> str:
    return f"{driver}/{pool}"


def _devices(claim: ResourceClaim) -> Iterator[tuple[str, str, str]]:
    allocation = claim.status.allocation
    if allocation is not None and allocation.devices is not None:
        for result in allocation.devices.results or ():
            yield result.driver, result.pool, result.device


def _consumers(claim: ResourceClaim) -> tuple[str, ...]:
    """Keys of the Pods that use what is allocated."""
    if next(_devices(claim), None) is None:
        return ()
    references = claim.status.reserved_for or ()
    return tuple(f"{claim.metadata.namespace}/{r.name}" for r in references if not r.api_group and r.resource == "pods")
