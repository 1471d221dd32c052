"""Leader election: of several copies of a component one works, the others stand by.

A Lease object names the holder; the holder renews it, and who sees it unrenewed for the lease's duration *by its own
clock* (never by comparing timestamps of two machines) may take it. A holder that cannot renew within the deadline stops
before others may start. Defaults are upstream's: 15 s, 10 s, 2 s.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pybernetes.aio import clock
from pybernetes.aio.tasks import Nursery
from pybernetes.api.coordination_v1 import Lease, LeaseSpec
from pybernetes.client.client import Client
from pybernetes.client.errors import Unavailable
from pybernetes.machinery import codec
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.meta import ObjectMeta

log = logging.getLogger(__name__)


class LeadershipLost(Exception):
    """The lease could not be renewed in time; the process should end, or stand for election again."""


@dataclass(frozen=True, slots=True)
class Config:
    """Which lease, who we are, and the times in seconds."""

    name: str
    namespace: str
    identity: str
    lease_duration: float = 15.0  #: how long others wait for a silent holder
    renew_deadline: float = 10.0  #: how long a holder tries to renew before it gives up; below lease_duration
    retry_period: float = 2.0  #: between attempts to take or renew


class LeaderElector:
    """`await elector.run(work)`: wait for the lease, run `work()` while holding it, release it at the end."""

    def __init__(self, config: Config, client: Client) -> None:
        self._config = config
        self._leases = client.resource(Lease)
        self._seen: Lease | None = None
        self._seen_at = 0.0
        self.leading = asyncio.Event()

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Returns when `work` does; raises LeadershipLost, or what `work` raises. Cancelling releases the lease."""
        while not await self._try():
            await clock.sleep(self._config.retry_period * (1 + 0.2 * clock.rng.random()))
        log.info("%s leads %s", self._config.identity, self._config.name)
        self.leading.set()
        try:
            async with Nursery(f"leader {self._config.name}") as nursery:
                working = nursery.start(_run(work), "work")
                renewing = nursery.start(self._renew(), "renew")
                await asyncio.wait([working, renewing], return_when=asyncio.FIRST_COMPLETED)
                if not working.done():
                    working.cancel()
                    await asyncio.wait([working])
                    raise LeadershipLost(self._config.name)
                renewing.cancel()
                await working
        finally:
            self.leading.clear()
            await asyncio.shield(self._release())

    async def _renew(self) -> None:
        renewed = clock.monotonic()
        while clock.monotonic() - renewed < self._config.renew_deadline:
            await clock.sleep(self._config.retry_period)
            try:
                async with asyncio.timeout(self._config.renew_deadline - (clock.monotonic() - renewed)):
                    if await self._try():
                        renewed = clock.monotonic()
            except TimeoutError:
                pass

    async def _try(self) -> bool:
        """Take or renew the lease if that is our right; whether we hold it now."""
        config = self._config
        now = clock.rfc3339_micro()
        spec = LeaseSpec(
            holder_identity=config.identity,
            lease_duration_seconds=int(config.lease_duration),
            acquire_time=now,
            renew_time=now,
            lease_transitions=0,
        )
        try:
            try:
                lease = await self._leases.get(config.name, config.namespace)
            except StatusError as error:
                if error.code != 404:
                    raise
                metadata = ObjectMeta(name=config.name, namespace=config.namespace)
                self._observe(await self._leases.create(Lease(metadata=metadata, spec=spec)))
                return True
            if self._seen is None or lease.metadata.resource_version != self._seen.metadata.resource_version:
                self._observe(lease)
            holder = lease.spec.holder_identity
            if holder == config.identity:
                spec.acquire_time = lease.spec.acquire_time
                spec.lease_transitions = lease.spec.lease_transitions
            elif holder and clock.monotonic() < self._seen_at + (lease.spec.lease_duration_seconds or 0):
                return False
            else:
                spec.lease_transitions = (lease.spec.lease_transitions or 0) + 1
            changed = codec.copy(lease)
            changed.spec = spec
            self._observe(await self._leases.update(changed))
            return True
        except (StatusError, Unavailable) as error:
            log.debug("lease %s: %s", config.name, error)
            return False

    def _observe(self, lease: Lease) -> None:
        self._seen, self._seen_at = lease, clock.monotonic()

    async def _release(self) -> None:
        """Give the lease up, so that the next holder need not wait."""
        lease = self._seen
        if lease is None or lease.spec.holder_identity != self._config.identity:
            return
        changed = codec.copy(lease)
        changed.spec.holder_identity = ""
        changed.spec.lease_duration_seconds = 1
        try:
            async with asyncio.timeout(self._config.renew_deadline):
                await self._leases.update(changed)
        except (StatusError, Unavailable, TimeoutError) as error:
            log.debug("lease %s not released: %s", self._config.name, error)


async def _run(work: Callable[[], Awaitable[None]]) -> None:
    await work()
