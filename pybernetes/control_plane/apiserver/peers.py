"""Several API servers on one store: each keeps a Lease, and Service default/kubernetes leads to those that are alive.

The Lease is upstream's identity of an API server; the address is an annotation on it. A Lease that was not renewed for
its duration, by the observer's own clock, is that of a dead server, and its address goes from the endpoints. A server
that ends in order takes its own away at once. With a store of its own a server has no peers, and none of this runs.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import socket
import uuid

from pybernetes.aio import clock
from pybernetes.api.coordination_v1 import Lease, LeaseSpec
from pybernetes.control_plane.apiserver.poststart import kubernetes_service
from pybernetes.control_plane.apiserver.poststart.setup import Setup
from pybernetes.machinery import codec
from pybernetes.machinery.meta import ObjectMeta
from pybernetes.store import StoreError

log = logging.getLogger(__name__)

NAMESPACE = "kube-system"
IDENTITY = "apiserver.kubernetes.io/identity"
ADDRESS = "pybernetes.io/advertise-address"
#: Seconds between renewals, and after which a silent server counts as dead.
INTERVAL, DURATION = 5.0, 15


class Peers:
    """`run()` until cancelled."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        host = f"{setup.advertise}:{setup.port}"
        self._name = f"apiserver-{hashlib.sha256(host.encode()).hexdigest()[:26]}"
        self._holder = f"{self._name}_{uuid.uuid4()}"
        self._seen: dict[str, tuple[str, float]] = {}  # lease -> what it said, and when it said so first
        self._leases = setup.core.cache.storage("coordination.k8s.io", "leases")

    async def run(self) -> None:
        """See the class."""
        try:
            while True:
                try:
                    await self._renew()
                    await kubernetes_service.publish(self._setup, self._alive())
                except StoreError as error:
                    log.warning("identity lease not renewed: %s", error)
                await clock.sleep(INTERVAL)
        finally:
            await self._leave()

    async def _renew(self) -> None:
        now = clock.rfc3339_micro()
        labels = {IDENTITY: "kube-apiserver", "kubernetes.io/hostname": socket.gethostname()}
        metadata = ObjectMeta(
            name=self._name, namespace=NAMESPACE, labels=labels, annotations={ADDRESS: self._setup.advertise}
        )
        spec = LeaseSpec(holder_identity=self._holder, lease_duration_seconds=DURATION, renew_time=now)
        lease = Lease(metadata=metadata, spec=spec)
        present = self._setup.find(lease)
        if isinstance(present, Lease):
            lease = codec.copy(present)
            lease.metadata.labels, lease.metadata.annotations = labels, metadata.annotations
            lease.spec = spec
        await self._setup.write("POST" if present is None else "PUT", lease)

    def _alive(self) -> list[str]:
        """The addresses of servers that are not silent, ours among them."""
        found, now = {self._setup.advertise}, clock.monotonic()
        for item in self._leases.list(NAMESPACE):
            lease = item.obj
            assert isinstance(lease, Lease)
            if (lease.metadata.labels or {}).get(IDENTITY) != "kube-apiserver":
                continue
            said = str(lease.spec.renew_time)
            if self._seen.get(item.name, ("", 0.0))[0] != said:
                self._seen[item.name] = (said, now)
            silent = now - self._seen[item.name][1]
            address = (lease.metadata.annotations or {}).get(ADDRESS, "")
            if address and silent < (lease.spec.lease_duration_seconds or DURATION):
                found.add(address)
        return sorted(found)

    async def _leave(self) -> None:
        """Take ourselves out, if the store still lets us."""
        lease = Lease(metadata=ObjectMeta(name=self._name, namespace=NAMESPACE))
        others = [address for address in self._alive() if address != self._setup.advertise]
        try:
            async with asyncio.timeout(3):
                if others:
                    await kubernetes_service.publish(self._setup, others)
                await self._setup.write("DELETE", lease)
        except Exception as error:  # whatever it is, we are leaving
            log.debug("identity lease not removed: %s", error)
